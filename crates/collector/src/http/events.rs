//! `GET /v1/sync-requests/{rid}/events`: one request's changes until its end.
//!
//! Each event is the whole resource, so none has to be told again: its id is the resource's tag, and who comes back
//! with it is shown the request at once if it has changed meanwhile.

use std::time::Duration;

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::ids::Rid;
use common::link::Link;
use common::problem::Problem;
use futures_util::stream;
use tokio::time::Instant;

use super::{Api, get};
use crate::rates::Use;
use crate::status::View;
use crate::watcher::{Waiter, Waiters};
use common::sse::{self, Place};

/// Follows a sync request until its end.
///
/// Server-sent events: `snapshot` first, unless `Last-Event-ID` names the request as it is; then `status` at each
/// change. The data is what GET answers. The stream ends with the request; who comes back afterwards knowing the
/// end gets 204.
#[utoipa::path(
    get,
    path = "/v1/sync-requests/{rid}/events",
    operation_id = "request_events",
    tag = "sync requests",
    params(
        ("rid" = String, Path, description = "Request id"),
        ("Last-Event-ID" = Option<String>, Header, description = "id of the last event seen"),
    ),
    responses(
        (status = 200, description = "Events snapshot and status; each one's data is a SyncRequest resource", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The request has ended, and Last-Event-ID names its end"),
        (status = 429, description = "The key has too many streams open, or is used too often", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn events(
    request: HttpRequest,
    path: Path<String>,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let principal = api.admit(&request, &[Scope::Read], Use::Read)?;
    let rid = super::path_rid(&path)?;
    api.require_known_data()?;
    let link = api.link(rid.shard());
    let loaded = match View::load(&link, rid).await {
        Ok(loaded) => loaded,
        Err(error) => return Err(super::failed(rid.shard(), "read", &error)),
    };
    let known = sse::last_event_id(request.headers());
    let Some(view) = get::owned(loaded, &principal)? else {
        let resource = get::expired(&api, rid, request.headers()).await?;
        let id = "expired";
        return Ok(if known == Some(id) {
            HttpResponse::NoContent().finish()
        } else {
            sse::answer(stream::once(std::future::ready(sse::event("snapshot", id, &resource))))
        });
    };
    if view.record.status.is_end() && known == Some(view.tag().as_str()) {
        return Ok(HttpResponse::NoContent().finish());
    }
    let place = api.shared.places.take(&principal.key_id)?;
    let following = Following {
        link,
        rid,
        waiter: api.shared.waiters.register(rid),
        waiters: api.shared.waiters.clone(),
        shown: known.unwrap_or_default().to_owned(),
        name: "snapshot",
        heartbeat: api.shared.heartbeat,
        beat_at: Instant::now() + api.shared.heartbeat,
        _place: place,
    };
    Ok(sse::answer(stream::unfold(following, async |mut following| {
        following.next().await.map(|event| (event, following))
    })))
}

struct Following {
    link: Link,
    rid: Rid,
    waiter: Waiter,
    waiters: Waiters,
    /// Tag of what the client has seen.
    shown: String,
    /// The next event's name.
    name: &'static str,
    heartbeat: Duration,
    beat_at: Instant,
    _place: Place,
}

impl Following {
    /// The next thing to send; `None` ends the stream. What Redis cannot say now the client asks again.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.waiters.is_closed() {
                return None;
            }
            let loaded = View::load(&self.link, self.rid).await;
            let loaded =
                loaded.inspect_err(|error| crate::metrics::link_failed(self.rid.shard(), "events", error));
            let view = loaded.ok().flatten()?;
            if let Some(seq) = view.record.seq
                && self.waiter.follow(seq)
            {
                continue;
            }
            let tag = view.tag();
            if tag != self.shown {
                let name = std::mem::replace(&mut self.name, "status");
                let event = sse::event(name, &tag, &view.resource);
                self.sent(tag);
                return Some(event);
            }
            if view.record.status.is_end() {
                return None;
            }
            // From the first look on, what comes is a change.
            self.name = "status";
            if Instant::now() >= self.beat_at {
                self.sent(tag);
                return Some(sse::heartbeat(&self.shown));
            }
            drop(tokio::time::timeout_at(self.beat_at, self.waiter.woken()).await);
        }
    }

    fn sent(&mut self, tag: String) {
        self.shown = tag;
        self.beat_at = Instant::now() + self.heartbeat;
    }
}
