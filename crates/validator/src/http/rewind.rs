//! `POST /v1/targets/{target}/rewind?shard=`: relay again what the target has not finished, under its present
//! validator set.
//! 202 with the id; `GET /v1/decisions/{rid}` tells.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::ids::{Name, Rid, Shard};
use common::message::Command;
use common::problem::Problem;
use serde::Deserialize;

use super::command::{Order, REPLAYED};
use super::{Api, not_found, path_part, query};

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
    let content: [&[u8]; 2] = [b"rewind", target.as_str().as_bytes()];
    let order = Order::new(request, api, &principal, place?.shard, &content)?;
    if order.state.engine().position().targets.get(&target).is_none() {
        return Err(not_found("There is no such target"));
    }
    if order.decided().await?.is_some() {
        return Ok(accepted(order.rid, true));
    }
    let replayed = order.send(Command::Rewind { target }).await?;
    Ok(accepted(order.rid, replayed))
}

fn accepted(rid: Rid, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    if replayed {
        response.insert_header(REPLAYED);
    }
    response.insert_header(("Location", format!("/v1/decisions/{rid}")));
    response.json(serde_json::json!({ "rid": rid, "status": "accepted" }))
}
