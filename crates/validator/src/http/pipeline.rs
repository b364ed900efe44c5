//! `GET /v1/pipeline`: per shard what waits where, how far each target is, and how batches look.

use std::collections::BTreeMap;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::ids::Shard;
use common::link::FullStream;
use common::problem::Problem;
use serde::Serialize;

use super::{Api, stamped, unreachable};
use crate::shard::ShardState;

#[derive(Debug, Serialize)]
struct ShardPipeline {
    shard: Shard,
    /// Lengths of the streams.
    backlog: Streams,
    /// The last entry.
    head: u64,
    /// The last entry that is on this process' disk.
    archived: u64,
    /// The entry whose COMMIT is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_flight: Option<u64>,
    batches: Batches,
    targets: BTreeMap<String, TargetLag>,
    /// Intake stands still until an operator empties this stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by: Option<&'static str>,
    record_ttl_ms: u64,
}

#[derive(Debug, Serialize)]
struct Streams {
    requests: u64,
    r#in: u64,
    inx: u64,
    receipts: u64,
    parked: u64,
    dlq: u64,
    log: u64,
}

#[derive(Debug, Serialize)]
struct Batches {
    /// Since this process started.
    entries: u64,
    messages: u64,
    last_messages: usize,
    mean_messages: f64,
    messages_per_second: f64,
}

#[derive(Debug, Serialize)]
struct TargetLag {
    /// The last entry relayed; left out before the target was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    watermark: Option<u64>,
    /// Entries still to be relayed.
    lag: u64,
    /// The newest entry it has finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest_final: Option<u64>,
    /// How often its outbox was found full since this process started.
    outbox_full: u64,
}

/// Shows what waits where.
#[utoipa::path(
    get,
    path = "/v1/pipeline",
    operation_id = "pipeline",
    tag = "shards",
    responses(
        (status = 200, description = "Per shard backlogs, batches and how far each target is", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn all(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let result = async {
        api.authorize(&request, Scope::Read)?;
        let mut shards = Vec::new();
        for shard in Shard::ALL {
            shards.push(of_shard(api.led(shard)?).await?);
        }
        let seqs: Vec<String> = shards.iter().map(|at| format!("{}={}", at.shard, at.head)).collect();
        let answer = HttpResponse::Ok().json(serde_json::json!({ "node": api.node, "shards": shards }));
        Ok(stamped(answer, &seqs.join(",")))
    };
    let result = result.await;
    api.answer(None, result)
}

async fn of_shard(state: &ShardState) -> Result<ShardPipeline, Problem> {
    let backlog = state.link.backlog().await.map_err(|error| unreachable(&error))?;
    let log = state.link.head().await.map_err(|error| unreachable(&error))?;
    let (stats, head) = (state.stats(), state.now().seq);
    let snapshot = state.view.snapshot().map_err(|error| super::broken(&error))?;
    let mut targets = BTreeMap::new();
    let names: Vec<String> =
        state.engine().position().targets.iter().map(|target| target.name.to_string()).collect();
    for name in names {
        let watermark = log.watermarks.get(&name).copied();
        let newest_final = snapshot.finals(&name, 1).map_err(|error| super::broken(&error))?.first().copied();
        let lag = head.saturating_sub(watermark.unwrap_or(head));
        let outbox_full = stats.full.get(&name).copied().unwrap_or(0);
        targets.insert(name, TargetLag { watermark, lag, newest_final, outbox_full });
    }
    Ok(ShardPipeline {
        shard: state.shard,
        backlog: Streams {
            requests: backlog.requests,
            r#in: backlog.input,
            inx: backlog.express,
            receipts: backlog.receipts,
            parked: backlog.parked,
            dlq: backlog.dead_letters,
            log: backlog.log,
        },
        head,
        archived: state.view.synced_seq(),
        in_flight: stats.in_flight,
        batches: Batches {
            entries: stats.entries,
            messages: stats.messages,
            last_messages: stats.last_batch,
            mean_messages: stats.mean_batch,
            messages_per_second: stats.rate,
        },
        targets,
        blocked_by: stats.blocked_by.map(|stream| match stream {
            FullStream::DeadLetters => "dlq",
            FullStream::Parked => "parked",
        }),
        record_ttl_ms: state.record_ttl_ms(),
    })
}
