//! An operator's command on its way into the log: what the routes that order one have in common.
//!
//! The command is a message in `:inx` and decided by log order like everything else; its request id is that of
//! the Idempotency-Key, so sending it twice orders it once. `GET /v1/decisions/{rid}` tells what came of it.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use common::auth::Principal;
use common::hash::Digest;
use common::headers;
use common::ids::{Rid, Shard};
use common::link::{Disposition, Ordered, Sent};
use common::message::{About, Body, Command, Message};
use common::problem::Problem;

use super::{Api, blocking, broken, unreachable};
use crate::engine::Decision;
use crate::shard::ShardState;

/// Own bound of `:inx`.
const EXPRESS_MAX: u64 = 1_000;
pub(super) const REPLAYED: (&str, &str) = ("Idempotency-Replayed", "true");

/// A command that is to be ordered by a process that leads its shard.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) state: Arc<ShardState>,
    /// The command's own id.
    pub(super) rid: Rid,
    pub(super) about: About,
    traceparent: Option<String>,
}

impl Order {
    /// `content`: what makes the command another one under the same key.
    ///
    /// # Errors
    /// No key, or this process does not lead the shard.
    pub(super) fn new(
        request: &HttpRequest,
        api: &Api,
        principal: &Principal,
        shard: Shard,
        content: &[&[u8]],
    ) -> Result<Self, Problem> {
        let key = headers::idempotency_key(request.headers())?.ok_or_else(key_missing)?;
        let state = Arc::clone(api.led(shard)?);
        let rid = Rid::from_key(&principal.tenant, &key, shard);
        let mut parts: Vec<&[u8]> = vec![b"oss/command/1"];
        parts.extend(content);
        let about =
            About { rid, tenant: principal.tenant.clone(), fp: Digest::of(&parts), accepted_ms: None };
        let traceparent = headers::traceparent(request.headers()).map(str::to_owned);
        Ok(Self { state, rid, about, traceparent })
    }

    /// What became of the command, if the log says so already.
    ///
    /// # Errors
    /// The key was used for something else.
    pub(super) async fn decided(&self) -> Result<Option<Decision>, Problem> {
        let (state, rid) = (Arc::clone(&self.state), self.rid);
        let known = blocking(move || {
            state.view.snapshot().and_then(|snapshot| snapshot.decision(rid)).map_err(|error| broken(&error))
        });
        let known = known.await?;
        let is_other = |decision: &Decision| {
            decision.fp != self.about.fp || decision.tenant != self.about.tenant.as_str()
        };
        if known.as_ref().is_some_and(is_other) { Err(conflict()) } else { Ok(known) }
    }

    /// Puts the command into `:inx`; true: it was there a moment ago.
    ///
    /// # Errors
    /// The key was used for something else a moment ago, the stream is full, or Redis does not answer.
    pub(super) async fn send(&self, command: Command) -> Result<bool, Problem> {
        let body = Body::Command { about: self.about.clone(), command };
        let message = Message { id: self.rid.to_string(), traceparent: self.traceparent.clone(), body };
        let id = format!("command:{}", self.rid);
        match self.state.link.order(&id, self.about.fp, &message.encode(), EXPRESS_MAX).await {
            Ok(Ordered::Sent(Sent::Ok { .. })) => Ok(false),
            Ok(Ordered::Sent(Sent::Dup { .. })) => Ok(true),
            Ok(Ordered::Other) => Err(conflict()),
            Ok(Ordered::Sent(Sent::Busy)) => Err(backpressure("The express queue is full")),
            Err(error) if error.disposition() == Disposition::Backpressure => {
                Err(backpressure("The express queue is full"))
            }
            Err(error) => Err(unreachable(&error)),
        }
    }
}

pub(super) fn backpressure(title: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "backpressure", title).retry_after(1)
}

fn key_missing() -> Problem {
    let title = "An Idempotency-Key is needed";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", title).error(
        "#header/Idempotency-Key",
        "missing",
        "is required",
    )
}

fn conflict() -> Problem {
    let title = "The Idempotency-Key was used for something else";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict", title).error(
        "#header/Idempotency-Key",
        "idempotency_conflict",
        "use a new key for a new command",
    )
}
