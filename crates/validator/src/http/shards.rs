//! `GET /v1/shards` and `GET /v1/shards/{S}`: where the shards stand.

use std::collections::BTreeMap;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::hash::Digest;
use common::ids::Shard;
use common::problem::Problem;
use serde::{Deserialize, Serialize};

use super::{Api, path_part, query, stamped, unreachable};
use crate::lease::Tenure;
use crate::shard::ShardState;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    min_seq: Option<u64>,
}

/// Where one shard stands.
#[derive(Debug, Serialize)]
struct Position {
    shard: Shard,
    seq: u64,
    root: Digest,
    digest: Digest,
    aux: Digest,
    epoch: u64,
    /// The process that answers.
    node: String,
    /// The process that leads, as far as this one knows.
    leader: Option<String>,
    /// Log time of the last entry, Unix ms.
    time_ms: u64,
    /// SHA-256 of the logged target list.
    targets: Digest,
    /// Per target the last entry relayed to it.
    watermarks: BTreeMap<String, u64>,
}

/// Shows where all shards stand.
#[utoipa::path(
    get,
    path = "/v1/shards",
    operation_id = "shards",
    tag = "shards",
    responses(
        (status = 200, description = "Per shard the last entry, its root and digest, the leader and the watermarks", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn list(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let result = async {
        api.authorize(&request, Scope::Read)?;
        let mut shards = Vec::new();
        for shard in Shard::ALL {
            shards.push(position(&api, api.readable(shard)?).await?);
        }
        let seqs: Vec<String> = shards.iter().map(|at| format!("{}={}", at.shard, at.seq)).collect();
        let answer = HttpResponse::Ok().json(serde_json::json!({ "shards": shards }));
        Ok(stamped(answer, &seqs.join(",")))
    };
    let result = result.await;
    api.answer(None, result)
}

/// Shows where a shard stands.
#[utoipa::path(
    get,
    path = "/v1/shards/{shard}",
    operation_id = "shard",
    tag = "shards",
    params(
        ("shard" = String, Path, description = "Shard"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "The last entry, its root and digest, the leader and the watermarks", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn one(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let shard = path_part::<Shard>(&request, "shard");
    let named = shard.as_ref().ok().copied();
    let result = async {
        api.authorize(&request, Scope::Read)?;
        let wait = query::<Wait>(&request)?;
        let state = api.reached(shard?, wait.min_seq).await?;
        let position = position(&api, state).await?;
        let seq = position.seq.to_string();
        Ok(stamped(HttpResponse::Ok().json(position), &seq))
    };
    let result = result.await;
    api.answer(named, result)
}

fn leader(api: &Api, state: &ShardState) -> Option<String> {
    if state.is_leading() {
        return Some(api.node.to_string());
    }
    match state.tenure() {
        Tenure::Waiting { holder } => holder,
        Tenure::Leading(_) => None,
    }
}

async fn position(api: &Api, state: &ShardState) -> Result<Position, Problem> {
    let head = state.link.head().await.map_err(|error| unreachable(&error))?;
    let now = state.now();
    let targets = state.engine().position().targets.digest();
    Ok(Position {
        shard: state.shard,
        seq: now.seq,
        root: now.root,
        digest: now.digest,
        aux: now.aux,
        epoch: now.epoch,
        node: api.node.to_string(),
        leader: leader(api, state),
        time_ms: now.time_ms,
        targets,
        watermarks: head.watermarks,
    })
}
