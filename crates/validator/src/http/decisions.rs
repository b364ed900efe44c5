//! `GET /v1/decisions/{rid}`: the permanent answer to a request, also when its status record has expired.
//!
//! A tenant sees its own requests only; anybody else's are 404, like unknown ones.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::hash::Digest;
use common::ids::Rid;
use serde::{Deserialize, Serialize};

use super::{Api, blocking, broken, not_found, path_part, query};
use crate::engine::Decision;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    min_seq: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Answer {
    rid: Rid,
    tenant: String,
    fp: Digest,
    /// The entry that decided it.
    seq: u64,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The status that follows from it, as the record showed it.
    status: String,
}

/// Shows what the log decided about a request, also when its status record has expired.
#[utoipa::path(
    get,
    path = "/v1/decisions/{rid}",
    operation_id = "decision",
    tag = "sync requests",
    params(
        ("rid" = String, Path, description = "Request id"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "The decision", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn one(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let rid = path_part::<Rid>(&request, "rid");
    let shard = rid.as_ref().ok().map(Rid::shard);
    let result = async {
        let principal = api.authorize(&request, Scope::Read)?;
        let rid = rid?;
        let wait = query::<Wait>(&request)?;
        let state = Arc::clone(api.reached(rid.shard(), wait.min_seq).await?);
        let decision = blocking(move || {
            let snapshot = state.view.snapshot().map_err(|error| broken(&error))?;
            snapshot.decision(rid).map_err(|error| broken(&error))
        });
        let decision = decision.await?.filter(|decision| decision.tenant == principal.tenant.as_str());
        let decision = decision.ok_or_else(|| not_found("No decision about this request is known"))?;
        Ok(HttpResponse::Ok().json(answer(rid, decision)))
    };
    let result = result.await;
    api.answer(shard, result)
}

fn answer(rid: Rid, decision: Decision) -> Answer {
    let status = match (decision.outcome.as_str(), decision.delivered.as_deref()) {
        ("APPLIED", None) => "committed".to_owned(),
        ("APPLIED", Some(delivered)) => delivered.to_owned(),
        (other, _) => other.to_ascii_lowercase(),
    };
    let Decision { tenant, fp, seq, outcome, code, .. } = decision;
    Answer { rid, tenant, fp, seq, outcome, code, status }
}
