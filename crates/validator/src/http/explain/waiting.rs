//! An undecided request: where its message is, and what of its dependencies is not decided.

use std::sync::Arc;

use common::ids::Rid;
use common::link::{self, Fronts, FullStream, StatusRecord, Stream, StreamId};
use common::message::{Body, Message};
use common::problem::Problem;
use common::request::SyncRequest;
use common::status::Status;
use serde::Deserialize;

use super::{FRONT_MAX, undecided, unreachable};
use crate::explain::{Facts, Marks, Place, Waits};
use crate::http::{broken, read_snapshot};
use crate::shard::ShardState;

/// What is read of a message in `:requests`, whose form is the collectors' own.
#[derive(Debug, Deserialize)]
struct Requested {
    request: serde_json::Value,
}

pub(super) async fn gather(
    state: &Arc<ShardState>,
    record: &StatusRecord,
    fronts: &Fronts,
) -> Result<(Facts, Marks), Problem> {
    let rid = record.rid;
    let waits = waits(state, rid).await?;
    let (place, arrived, request) = match &waits {
        Some(Waits { waiter, .. }) => (Place::Nowhere, waiter.id.parse().ok(), read(&waiter.message)),
        None => find(state, record, fronts).await?,
    };
    let depends_on = request.as_ref().map(|request| request.depends_on.clone()).unwrap_or_default();
    let ttl_ms = request.as_ref().map(|request| u64::from(request.ttl_seconds) * 1_000);
    let facts = Facts {
        status: record.status,
        place,
        waits,
        sources: sources(record),
        collector: record.by.clone().filter(|_| record.status == Status::Collecting),
        expires_ms: ttl_ms.map(|ttl_ms| record.at_ms.saturating_add(ttl_ms)),
        accepted_ms: Some(record.at_ms),
        undecided: open(state, depends_on).await?,
        ..undecided(state, rid, fronts)
    };
    let collected_ms = arrived.map(StreamId::ms);
    Ok((facts, Marks { accepted_ms: Some(record.at_ms), collected_ms, ..Marks::default() }))
}

/// What it waits for, if an entry has held it.
async fn waits(state: &Arc<ShardState>, rid: Rid) -> Result<Option<Waits>, Problem> {
    let (_, waits) = read_snapshot(Arc::clone(state), move |_, snapshot, _| {
        let Some(waiter) = snapshot.waiter(rid).map_err(|error| broken(&error))? else { return Ok(None) };
        let row = snapshot.lock(&waiter.asset).map_err(|error| broken(&error))?.unwrap_or_default();
        let place = row.queue.iter().position(|queued| queued.rid == *rid.as_bytes()).map(|index| index + 1);
        // Another tenant's requests are not named.
        let held = row.held.filter(|held| held.tenant == waiter.tenant);
        let holder = held.and_then(|held| Rid::from_bytes(held.rid).ok());
        Ok(Some(Waits { waiter, place, holder }))
    })
    .await?;
    waits
}

/// Where its message is, since when if that is an input, and what it asks for.
async fn find(
    state: &ShardState,
    record: &StatusRecord,
    fronts: &Fronts,
) -> Result<(Place, Option<StreamId>, Option<SyncRequest>), Problem> {
    let text = record.rid.to_string();
    for front in [&fronts.express, &fronts.input] {
        if let Some((ahead, message)) = (0_u64..).zip(front).find(|(_, message)| names(message, &text)) {
            let place = Place::Input { ahead, is_least: false };
            return Ok((place, Some(message.first), read(&message.payload)));
        }
    }
    let backlog = state.link.backlog().await.map_err(|error| unreachable(&error))?;
    if matches!(record.status, Status::Accepted | Status::Collecting) {
        // Its id there begins with the time of its acceptance.
        let accepted = StreamId::new(record.at_ms.saturating_sub(1), u64::MAX);
        let waiting = state.link.after(Stream::Requests, accepted, FRONT_MAX).await;
        let waiting = waiting.map_err(|error| unreachable(&error))?;
        if let Some(message) = waiting.iter().find(|message| names(message, &text)) {
            let requested: Option<Requested> = serde_json::from_slice(&message.payload).ok();
            let request = requested.and_then(|requested| SyncRequest::parse(&requested.request).ok());
            return Ok((Place::Requests, None, request));
        }
    }
    let ahead = fronts.input.len() as u64;
    if backlog.input > ahead {
        return Ok((Place::Input { ahead, is_least: true }, None, None));
    }
    let parked = state.link.after(Stream::Parked, StreamId::ZERO, FRONT_MAX).await;
    let parked = parked.map_err(|error| unreachable(&error))?;
    let is_parked = parked.iter().any(|message| names(message, &text));
    Ok((if is_parked { Place::Parked } else { Place::Nowhere }, None, None))
}

fn names(message: &link::Message, rid: &str) -> bool {
    let names = |body: &str| body.contains(&format!("\"rid\":\"{rid}\""));
    std::str::from_utf8(&message.payload).is_ok_and(names)
}

fn read(payload: &[u8]) -> Option<SyncRequest> {
    match Message::decode(payload).ok()?.body {
        Body::Collected { request, .. } => Some(*request),
        _ => None,
    }
}

/// What of these requests is not decided.
async fn open(state: &Arc<ShardState>, rids: Vec<Rid>) -> Result<Vec<Rid>, Problem> {
    if rids.is_empty() {
        return Ok(rids);
    }
    let (_, open) = read_snapshot(Arc::clone(state), move |_, snapshot, _| {
        let mut open = Vec::new();
        for rid in rids {
            if snapshot.decision(rid).map_err(|error| broken(&error))?.is_none() {
                open.push(rid);
            }
        }
        Ok(open)
    })
    .await?;
    open
}

fn sources(record: &StatusRecord) -> Vec<String> {
    let states = record.source_state.as_deref().unwrap_or_default().split(',');
    states.filter(|state| !state.is_empty()).map(str::to_owned).collect()
}

pub(super) const fn stream_name(stream: FullStream) -> &'static str {
    match stream {
        FullStream::DeadLetters => "dlq",
        FullStream::Parked => "parked",
    }
}
