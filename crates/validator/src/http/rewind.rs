//! `POST /v1/targets/{target}/rewind?shard=`: relay again what the target has not finished, under its present
//! validator set.
//!
//! The command is a message in `:inx` and decided by log order like everything else; its request id is that of
//! the Idempotency-Key, so sending it twice orders one rewind. 202 with the id; `GET /v1/decisions/{rid}` tells.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::hash::Digest;
use common::headers;
use common::ids::{Name, Rid, Shard};
use common::link::{Disposition, SendTo, Sent};
use common::message::{About, Body, Command, Message};
use common::problem::Problem;
use serde::Deserialize;

use super::{Api, blocking, broken, not_found, path_part, query, unreachable};

/// Own bound of `:inx`.
const EXPRESS_MAX: u64 = 1_000;
const REPLAYED: (&str, &str) = ("Idempotency-Replayed", "true");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    shard: Shard,
}

/// Relays again what a target has not finished, under its present validator set. The key needs the scope operate.
#[utoipa::path(
    post,
    path = "/v1/targets/{target}/rewind",
    operation_id = "rewind",
    tag = "targets",
    params(
        ("target" = String, Path, description = "Target"),
        ("shard" = String, Query, description = "Shard"),
        ("Idempotency-Key" = String, Header, description = "Ordering it twice with one key is one rewind"),
    ),
    responses(
        (status = 202, description = "Ordered; GET /v1/decisions/{rid} tells what came of it", body = serde_json::Value),
        (status = 422, description = "The key was used for something else", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn rewind(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let place = query::<Where>(&request);
    let shard = place.as_ref().ok().map(|place| place.shard);
    let result = order(&request, &api, place).await;
    api.answer(shard, result)
}

async fn order(
    request: &HttpRequest,
    api: &Api,
    place: Result<Where, Problem>,
) -> Result<HttpResponse, Problem> {
    let principal = api.authorize(request, Scope::Operate)?;
    let target = path_part::<Name>(request, "target")?;
    let shard = place?.shard;
    let key = headers::idempotency_key(request.headers())?.ok_or_else(key_missing)?;
    let state = Arc::clone(api.led(shard)?);
    if state.engine().position().targets.get(&target).is_none() {
        return Err(not_found("There is no such target"));
    }
    let rid = Rid::from_key(&principal.tenant, &key, shard);
    let fp = Digest::of(&[b"oss/command/1", b"rewind", target.as_str().as_bytes()]);
    let view = Arc::clone(&state);
    let known = blocking(move || {
        view.view.snapshot().and_then(|snapshot| snapshot.decision(rid)).map_err(|error| broken(&error))
    });
    if let Some(decision) = known.await? {
        if decision.fp != fp || decision.tenant != principal.tenant.as_str() {
            return Err(conflict());
        }
        return Ok(accepted(rid, true));
    }
    let about = About { rid, tenant: principal.tenant.clone(), fp, accepted_ms: None };
    let traceparent = headers::traceparent(request.headers()).map(str::to_owned);
    let body = Body::Command { about, command: Command::Rewind { target } };
    let message = Message { id: rid.to_string(), traceparent, body };
    let sent =
        state.link.send(SendTo::Express, &format!("command:{rid}"), &message.encode(), EXPRESS_MAX).await;
    match sent {
        Ok(Sent::Ok { .. }) => Ok(accepted(rid, false)),
        Ok(Sent::Dup { .. }) => Ok(accepted(rid, true)),
        Ok(Sent::Busy) => Err(backpressure()),
        Err(error) if error.disposition() == Disposition::Backpressure => Err(backpressure()),
        Err(error) => Err(unreachable(&error)),
    }
}

fn key_missing() -> Problem {
    let title = "An Idempotency-Key is needed";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", title).error(
        "#header/Idempotency-Key",
        "missing",
        "is required",
    )
}

fn accepted(rid: Rid, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    if replayed {
        response.insert_header(REPLAYED);
    }
    response.insert_header(("Location", format!("/v1/decisions/{rid}")));
    response.json(serde_json::json!({ "rid": rid, "status": "accepted" }))
}

fn conflict() -> Problem {
    let title = "The Idempotency-Key was used for something else";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict", title).error(
        "#header/Idempotency-Key",
        "idempotency_conflict",
        "use a new key for a new command",
    )
}

fn backpressure() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "backpressure", "The express queue is full").retry_after(1)
}
