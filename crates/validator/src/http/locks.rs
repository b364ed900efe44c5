//! `GET /v1/locks` and its stream: who holds an asset, who waits for it in which order, and who waits for another request or a time.
//!
//! A key sees what its tenant holds and waits with; a key with scope `operate` sees all. Places in a queue are counted
//! over everybody in it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use common::auth::{Principal, Scope};
use common::ids::{AssetId, Rid, Shard, Tenant};
use common::problem::Problem;
use common::sse::{self, Place};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Api, broken, query, read_snapshot, stamped};
use crate::engine::waiting::{Cause, LockRow, Waiter};
use crate::shard::{ShardState, Standing};
use crate::view::Snapshot;

/// Rows of one shard that are shown, at most: of assets, and of requests that wait for something else.
const ROWS_MAX: usize = 256;
/// Least time between two looks of a stream, and most before it shows that it lives.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// This asset alone.
    asset: Option<AssetId>,
    /// Wait until the asset's shard has reached this entry.
    min_seq: Option<u64>,
}

/// What one shard shows.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Listed {
    locks: Vec<Lock>,
    /// Who waits for something else than an asset.
    others: Vec<Waiting>,
    /// There are more than are shown.
    more: bool,
}

/// One asset that is held or waited for.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Lock {
    shard: Shard,
    asset: String,
    /// None: it is free, and who waits is about to go on; or another tenant's.
    holder: Option<Holder>,
    /// In the order in which they take their turn.
    waiters: Vec<Waiting>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Holder {
    /// The request with the LOCK.
    rid: Rid,
    reason: String,
    /// Its entry, and that one's log time, Unix ms.
    since_seq: u64,
    since_ms: u64,
    /// From when on an entry may end it, Unix ms.
    until_ms: u64,
}

/// One request that waits.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Waiting {
    rid: Rid,
    /// 1 = next; of one that waits for a lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    /// An order of an authority, which goes before others.
    is_order: bool,
    asset: String,
    /// The request it waits for, if it waits for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    awaits: Option<Rid>,
    /// When it takes effect, Unix ms, if it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_ms: Option<u64>,
    since_seq: u64,
    since_ms: u64,
    /// When its wait is over, Unix ms.
    ends_ms: u64,
}

/// Who looks.
#[derive(Debug, Clone)]
struct Eyes {
    tenant: Tenant,
    sees_all: bool,
}

impl Eyes {
    fn of(principal: Principal) -> Self {
        Self { sees_all: principal.has(Scope::Operate), tenant: principal.tenant }
    }

    fn see(&self, tenant: &str) -> bool {
        self.sees_all || self.tenant.as_str() == tenant
    }
}

/// Lists long locks and requests that wait.
#[utoipa::path(
    get,
    path = "/v1/locks",
    operation_id = "locks",
    tag = "state",
    params(
        ("asset" = Option<String>, Query, description = "This asset alone"),
        ("min_seq" = Option<u64>, Query, description = "With asset: wait until its shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "Per held or awaited asset the holder (request, reason, since, until) and the waiters in order with their deadlines; and requests that wait for others, or for a time", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn list(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let result = async {
        let eyes = Eyes::of(api.authorize_any(&request, &[Scope::Read, Scope::Operate])?);
        let asked = asked(&request)?;
        let mut all = Listed::default();
        let mut seqs = Vec::new();
        for state in shards(&api, &asked).await? {
            let shard = state.shard;
            let (seq, listed) = look(state, asked.asset.clone(), eyes.clone()).await?;
            seqs.push((shard, seq));
            all.locks.extend(listed.locks);
            all.others.extend(listed.others);
            all.more |= listed.more;
        }
        let seqs = match seqs.as_slice() {
            [(_, seq)] => seq.to_string(),
            seqs => seqs.iter().map(|(shard, seq)| format!("{shard}={seq}")).collect::<Vec<_>>().join(","),
        };
        Ok(stamped(HttpResponse::Ok().json(all), &seqs))
    };
    let result = result.await;
    api.answer(None, result)
}

/// Follows the locks of one asset.
///
/// Server-sent events `locks`, the first at once, then one at each change; the data is what GET answers, the id the entry
/// after which it is so.
#[utoipa::path(
    get,
    path = "/v1/locks/events",
    operation_id = "lock_events",
    tag = "state",
    params(("asset" = String, Query, description = "Asset id, class:name")),
    responses(
        (status = 200, description = "Events locks; each one's data is what GET /v1/locks answers", body = String, content_type = "text/event-stream"),
        (status = 429, description = "The key has too many streams open", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn events(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let result = async {
        let principal = api.authorize_any(&request, &[Scope::Read, Scope::Operate])?;
        let Asked { asset, .. } = asked(&request)?;
        let asset = asset.ok_or_else(|| super::invalid_query("asset is required".to_owned()))?;
        let state = Arc::clone(api.readable(asset.shard())?);
        let place = api.places.take(&principal.key_id)?;
        let following = Following {
            standing: state.standing(),
            state,
            asset,
            eyes: Eyes::of(principal),
            shown: None,
            next_look: Instant::now(),
            _place: place,
        };
        Ok(sse::answer(stream::unfold(following, async |mut following| {
            following.next().await.map(|event| (event, following))
        })))
    };
    let result = result.await;
    api.answer(None, result)
}

fn asked(request: &HttpRequest) -> Result<Asked, Problem> {
    let asked: Asked = query(request)?;
    if asked.min_seq.is_some() && asked.asset.is_none() {
        return Err(super::invalid_query(
            "min_seq goes with asset: each shard counts its own entries".to_owned(),
        ));
    }
    Ok(asked)
}

async fn shards(api: &Api, asked: &Asked) -> Result<Vec<Arc<ShardState>>, Problem> {
    match &asked.asset {
        Some(asset) => Ok(vec![Arc::clone(api.reached(asset.shard(), asked.min_seq).await?)]),
        None => Shard::ALL.into_iter().map(|shard| api.readable(shard).map(Arc::clone)).collect(),
    }
}

/// What one shard shows, with the entry after which it is so.
async fn look(state: Arc<ShardState>, asset: Option<AssetId>, eyes: Eyes) -> Result<(u64, Listed), Problem> {
    let read = move |state: &ShardState, snapshot: &Snapshot, _| {
        listed(state.shard, snapshot, asset.as_ref(), &eyes).map_err(|error| broken(&error))
    };
    let (seq, listed) = read_snapshot(state, read).await?;
    Ok((seq, listed?))
}

fn listed(
    shard: Shard,
    snapshot: &Snapshot,
    asset: Option<&AssetId>,
    eyes: &Eyes,
) -> Result<Listed, crate::view::ViewError> {
    let mut listed = Listed::default();
    let is_asked = |named: &str| asset.is_none_or(|asset| asset.as_str() == named);
    let rows = match asset {
        Some(asset) => {
            let row = snapshot.lock(asset.as_str())?;
            row.map(|row| (asset.to_string(), row)).into_iter().collect()
        }
        None => snapshot.locks()?,
    };
    for (asset, row) in rows {
        let LockRow { held, queue } = row;
        let held = held.filter(|held| eyes.see(&held.tenant));
        let holder = held.and_then(|held| {
            let rid = Rid::from_bytes(held.rid).ok()?;
            let (reason, since_seq, since_ms) = (held.reason, held.since, held.since_ms);
            Some(Holder { rid, reason, since_seq, since_ms, until_ms: held.until_ms })
        });
        let mut waiters = Vec::new();
        for (index, queued) in queue.iter().enumerate() {
            let Ok(rid) = Rid::from_bytes(queued.rid) else { continue };
            let waiter = snapshot.waiter(rid)?.filter(|waiter| eyes.see(&waiter.tenant));
            waiters.extend(waiter.map(|waiter| Waiting::of(rid, &waiter, Some(index + 1))));
        }
        if holder.is_none() && waiters.is_empty() {
            continue;
        }
        if listed.locks.len() == ROWS_MAX {
            listed.more = true;
            break;
        }
        listed.locks.push(Lock { shard, asset, holder, waiters });
    }
    snapshot.each_waiter(|rid, waiter| {
        let is_lock = matches!(waiter.cause, Cause::Lock { .. });
        if is_lock || !eyes.see(&waiter.tenant) || !is_asked(&waiter.asset) {
            return ControlFlow::Continue(());
        }
        if listed.others.len() == ROWS_MAX {
            listed.more = true;
            return ControlFlow::Break(());
        }
        listed.others.push(Waiting::of(rid, &waiter, None));
        ControlFlow::Continue(())
    })?;
    Ok(listed)
}

impl Waiting {
    fn of(rid: Rid, waiter: &Waiter, place: Option<usize>) -> Self {
        let (awaits, starts_ms) = match waiter.cause {
            Cause::Dependency { rid } => (Rid::from_bytes(rid).ok(), None),
            Cause::Time { at_ms } => (None, Some(at_ms)),
            Cause::Lock { .. } => (None, None),
        };
        let Waiter { is_order, asset, since, since_ms, .. } = waiter;
        Self {
            rid,
            place,
            is_order: *is_order,
            asset: asset.clone(),
            awaits,
            starts_ms,
            since_seq: *since,
            since_ms: *since_ms,
            ends_ms: waiter.ends_ms(),
        }
    }
}

struct Following {
    state: Arc<ShardState>,
    standing: watch::Receiver<Standing>,
    asset: AssetId,
    eyes: Eyes,
    /// The entry and what was shown of it.
    shown: Option<(u64, Listed)>,
    next_look: Instant,
    _place: Place,
}

impl Following {
    /// The next thing to send; `None` ends the stream: this process cannot answer any more.
    async fn next(&mut self) -> Option<Bytes> {
        let beat_at = Instant::now() + HEARTBEAT;
        loop {
            tokio::time::sleep_until(self.next_look).await;
            self.next_look = Instant::now() + LOOK_EVERY;
            if !self.state.is_leading() && !self.state.is_following() {
                return None;
            }
            self.standing.mark_unchanged();
            let looked = look(Arc::clone(&self.state), Some(self.asset.clone()), self.eyes.clone());
            let (seq, listed) = looked.await.ok()?;
            if self.shown.as_ref().is_none_or(|(_, shown)| *shown != listed) {
                let event = sse::event("locks", &seq.to_string(), &listed);
                self.shown = Some((seq, listed));
                return Some(event);
            }
            match tokio::time::timeout_at(beat_at, self.standing.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => {
                    let shown = self.shown.as_ref().map_or(0, |(seq, _)| *seq);
                    return Some(sse::heartbeat(&shown.to_string()));
                }
            }
        }
    }
}
