//! `GET /v1/stream`: what happens to the tenant's requests, in all shards.
//!
//! A notification says that something has changed, not what: the truth is the request. Who comes back with the id of
//! its last event is told what it has missed, if that is little enough and `:status` still holds it; else it is
//! told to look at its requests anew (`reset`).

mod place;

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::ids::{Name, Rid, Shard, Tenant};
use common::link::{LinkError, StreamId};
use common::problem::Problem;
use common::status::Delivery;
use futures_util::future::try_join_all;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use super::Api;
use crate::feed::{self, Recent, Told, What};
use crate::rates::Use;
use common::sse::{self, Place};
use place::Position;

/// How much a client that comes back is told of what it has missed, per shard.
const MISSED_MAX: usize = 256;
const MISSED_RIDS_MAX: usize = 4_096;

/// Follows all of the tenant's sync requests.
///
/// Server-sent events. `changed`: these requests have changed (`{shard, seq, ids}`); `delivery`: the entry with these
/// requests has moved on a target (`{shard, seq, target, state, ids}`), told of entries whose `changed` was told
/// before; `reset`: look at your requests anew (`{reason}`), at the beginning and whenever something may be
/// missing. Only records' changes by the log are told, not those on the way to it.
#[utoipa::path(
    get,
    path = "/v1/stream",
    operation_id = "stream",
    tag = "sync requests",
    params(("Last-Event-ID" = Option<String>, Header, description = "id of the last event seen")),
    responses(
        (status = 200, description = "Events changed, delivery and reset", body = String, content_type = "text/event-stream"),
        (status = 429, description = "The key has too many streams open, or is used too often", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn stream(request: HttpRequest, api: Data<Api>) -> Result<HttpResponse, Problem> {
    let principal = api.admit(&request, &[Scope::Read], Use::Read)?;
    api.require_known_data()?;
    let place = api.shared.places.take(&principal.key_id)?;
    // Followed first, then read: what comes between is told twice at most, and once is passed over.
    let live = api.shared.live.follow();
    let known = sse::last_event_id(request.headers());
    let begin = match begin(&api, known).await {
        Ok(begin) => begin,
        Err((shard, error)) => return Err(super::failed(shard, "stream", &error)),
    };
    let heartbeat = api.shared.heartbeat;
    let mut following = Following {
        tenant: principal.tenant,
        position: begin.position,
        waiting: VecDeque::new(),
        live,
        heartbeat,
        beat_at: Instant::now() + heartbeat,
        _place: place,
    };
    match begin.reset {
        Some(reason) => following.reset(reason),
        None => begin.missed.into_iter().for_each(|told| following.take(&told)),
    }
    if api.shared.waiters.is_closed() {
        return Err(super::unavailable());
    }
    Ok(sse::answer(stream::unfold(following, async |mut following| {
        following.next().await.map(|event| (event, following))
    })))
}

/// From where on a stream tells, and what before that.
struct Begin {
    position: Position,
    missed: Vec<Told>,
    reset: Option<&'static str>,
}

async fn begin(api: &Api, known: Option<&str>) -> Result<Begin, (Shard, LinkError)> {
    let reason = match known.map(str::parse::<Position>) {
        None => "connected",
        Some(Err(_)) => "unknown_id",
        Some(Ok(position)) => match missed(api, position).await? {
            Some(missed) => return Ok(Begin { position, missed, reset: None }),
            None => "too_old",
        },
    };
    let ends = try_join_all(
        Shard::ALL.map(async |shard| api.link(shard).status_end().await.map_err(|error| (shard, error))),
    );
    let ends: [StreamId; Shard::ALL.len()] = ends.await?.try_into().unwrap_or_default();
    Ok(Begin { position: Position::new(ends), missed: Vec::new(), reset: Some(reason) })
}

/// What came after a position; `None`: too much, or not there any more.
async fn missed(api: &Api, position: Position) -> Result<Option<Vec<Told>>, (Shard, LinkError)> {
    let mut missed = Vec::new();
    for shard in Shard::ALL {
        let link = api.link(shard);
        let failed = |error| (shard, error);
        let after = link.status_after(position.of(shard), MISSED_MAX).await.map_err(failed)?;
        let Some(entries) = after.filter(|entries| feed::named(entries) <= MISSED_RIDS_MAX) else {
            return Ok(None);
        };
        let told = feed::attribute(&link, &entries, &mut Recent::default()).await.map_err(failed)?;
        missed.extend(told);
    }
    Ok(Some(missed))
}

struct Following {
    tenant: Tenant,
    position: Position,
    /// Events that are ready.
    waiting: VecDeque<Bytes>,
    live: broadcast::Receiver<Told>,
    heartbeat: Duration,
    beat_at: Instant,
    _place: Place,
}

#[derive(Serialize)]
struct Reset {
    reason: &'static str,
}

#[derive(Serialize)]
struct Event<'a> {
    shard: Shard,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Delivery>,
    ids: &'a [Rid],
}

impl Following {
    /// The next thing to send; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.beat_at = Instant::now() + self.heartbeat;
                return Some(event);
            }
            match tokio::time::timeout_at(self.beat_at, self.live.recv()).await {
                Ok(Ok(Told { what: What::Closing, .. }) | Err(RecvError::Closed)) => return None,
                Ok(Ok(told)) => self.take(&told),
                Ok(Err(RecvError::Lagged(_))) => self.reset("too_slow"),
                Err(_) => self.waiting.push_back(sse::heartbeat(&self.position.to_string())),
            }
        }
    }

    fn take(&mut self, told: &Told) {
        if matches!(told.what, What::Gap) {
            return self.reset("gap");
        }
        if !self.position.advance(told.shard, told.id) {
            return;
        }
        let (name, seq, target, state, owners) = match &told.what {
            What::Changed { seq, owners } => ("changed", *seq, None, None, owners),
            What::Delivery { seq, target, state, owners } => {
                ("delivery", *seq, Some(target), Some(*state), owners)
            }
            What::Gap | What::Closing => return,
        };
        let Some(ids) = owners.get(&self.tenant) else { return };
        let event = Event { shard: told.shard, seq, target, state, ids };
        self.waiting.push_back(sse::event(name, &self.position.to_string(), &event));
    }

    fn reset(&mut self, reason: &'static str) {
        self.waiting.push_back(sse::event("reset", &self.position.to_string(), &Reset { reason }));
    }
}

#[cfg(test)]
mod tests;
