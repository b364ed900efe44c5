//! `GET /v1/deliveries/{rid}`: how far the entry of a request is on each target.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, get};
use common::auth::Scope;
use common::ids::Rid;
use common::link::EntryProgress;
use common::problem::Problem;
use serde::Serialize;
use std::collections::BTreeMap;

use super::{Api, unavailable};

#[derive(Debug, Serialize)]
pub(super) struct Deliveries {
    rid: Rid,
    status: &'static str,
    /// The log entry that decided the request; null while undecided.
    seq: Option<u64>,
    targets: BTreeMap<String, Delivered>,
}

#[derive(Debug, Serialize)]
struct Delivered {
    state: &'static str,
    block: Option<u64>,
    tx: Vec<String>,
}

/// Shows how far the entry of a request is on each target.
#[utoipa::path(
    get,
    path = "/v1/deliveries/{rid}",
    operation_id = "deliveries",
    tag = "sync requests",
    params(
        ("rid" = String, Path, description = "Request id"),
    ),
    responses(
        (status = 200, description = "Per target the state, block and transactions", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
#[get("/deliveries/{rid}")]
pub(super) async fn get(
    request: HttpRequest,
    api: Data<Api>,
    rid: Path<String>,
) -> Result<Json<Deliveries>, Problem> {
    let principal = api.keys.authorize(&request, Scope::Read)?;
    let rid: Rid = rid.parse().map_err(|error: common::ids::IdError| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "The id is not a request id").error(
            "#path/rid",
            "invalid",
            error.to_string(),
        )
    })?;
    let unknown = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is no such request, or its record has expired",
        )
    };
    let link = api.links.get(&rid.shard()).ok_or_else(unknown)?;
    let record = link.record(rid).await.map_err(|error| unavailable(&error))?;
    // Another tenant's request looks like none.
    let record = record.filter(|record| record.tenant == principal.tenant).ok_or_else(unknown)?;
    let progress = match record.seq {
        Some(seq) => link.progress(seq).await.map_err(|error| unavailable(&error))?,
        None => None,
    };
    let EntryProgress { targets, .. } = progress.unwrap_or_default();
    let targets = targets.into_iter().map(|(name, progress)| {
        let delivered = Delivered { state: progress.state.name(), block: progress.block, tx: progress.tx };
        (name, delivered)
    });
    Ok(Json(Deliveries { rid, status: record.status.name(), seq: record.seq, targets: targets.collect() }))
}
