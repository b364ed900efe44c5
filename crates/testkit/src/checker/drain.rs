//! Waits until a stack stands still: every acknowledged request has ended, nothing waits anywhere (I15).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::ids::{Rid, Shard};
use common::status::Status;
use serde::Deserialize;
use serde_json::Value;

use super::GatherError;
use crate::load::Acknowledged;
use crate::stack::{Api, ApiError};

const POLL: Duration = Duration::from_millis(200);

/// What `GET /v1/pipeline` must say. A field that is not there is not zero: it would make a full stack look drained.
#[derive(Debug, Deserialize)]
struct Pipeline {
    shards: Vec<ShardPipeline>,
}

#[derive(Debug, Deserialize)]
struct ShardPipeline {
    shard: Shard,
    backlog: Backlog,
    targets: BTreeMap<String, Lag>,
}

#[derive(Debug, Deserialize)]
struct Backlog {
    requests: u64,
    r#in: u64,
    inx: u64,
    receipts: u64,
}

#[derive(Debug, Deserialize)]
struct Lag {
    /// Entries still to be relayed.
    lag: u64,
}

/// Waits until every acknowledged request has ended and nothing waits anywhere (I15).
///
/// # Errors
/// [`GatherError::NotDrained`] with what is still open, [`GatherError::Pipeline`] at once.
pub async fn drained(api: &Api, acknowledged: &[Acknowledged], within: Duration) -> Result<(), GatherError> {
    let deadline = Instant::now() + within;
    let mut open: Vec<Rid> = acknowledged.iter().map(|request| request.rid).collect();
    loop {
        let mut still = Vec::new();
        for rid in std::mem::take(&mut open) {
            // Once one is open the rest need no asking in this round.
            let is_ended = still.is_empty() && matches!(ended(api, rid).await, Ok(true));
            if !is_ended {
                still.push(rid);
            }
        }
        open = still;
        let waiting = match api.read("/v1/pipeline").await {
            Ok(pipeline) => Ok(held(&pipeline)?),
            Err(error) => Err(error),
        };
        if open.is_empty() && waiting.as_ref().is_ok_and(Option::is_none) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let first = match open.first() {
                Some(rid) => api.status(*rid).await.map(|answer| answer.body.to_string()).unwrap_or_default(),
                None => String::new(),
            };
            let what = format!("{} requests, first {first}; pipeline: {waiting:?}", open.len());
            return Err(GatherError::NotDrained { seconds: within.as_secs(), what });
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn ended(api: &Api, rid: Rid) -> Result<bool, ApiError> {
    let answer = api.status(rid).await?;
    Ok(answer.status == 200 && Status::from_name(answer.text("/status")).is_some_and(Status::is_end))
}

/// What the pipeline still holds, as text; `None` = nothing.
fn held(pipeline: &Value) -> Result<Option<String>, GatherError> {
    let read = Pipeline::deserialize(pipeline)
        .map_err(|source| GatherError::Pipeline { body: pipeline.to_string(), source })?;
    for shard in Shard::ALL {
        let Some(found) = read.shards.iter().find(|found| found.shard == shard) else {
            return Ok(Some(format!("{shard} is not reported")));
        };
        let Backlog { requests, r#in, inx, receipts } = found.backlog;
        let lag: u64 = found.targets.values().map(|target| target.lag).sum();
        if requests + r#in + inx + receipts + lag > 0 {
            return Ok(Some(format!("{found:?}")));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn empty() -> Value {
        let shards = Shard::ALL.map(|shard| {
            json!({
                "shard": shard, "backlog": {"requests": 0, "in": 0, "inx": 0, "receipts": 0, "dlq": 1},
                "targets": {"base": {"lag": 0}},
            })
        });
        json!({ "shards": shards })
    }

    #[test]
    fn a_stack_is_drained_when_each_shard_says_that_nothing_waits() {
        assert!(held(&empty()).expect("is read").is_none());
        let places =
            ["backlog/requests", "backlog/in", "backlog/inx", "backlog/receipts", "targets/base/lag"];
        for place in places {
            let mut pipeline = empty();
            *pipeline.pointer_mut(&format!("/shards/3/{place}")).expect("a field") = json!(1);
            assert!(held(&pipeline).expect("is read").is_some(), "{place}");
        }
        let mut unreported = empty();
        unreported["shards"].as_array_mut().expect("shards").pop();
        assert!(held(&unreported).expect("is read").is_some());
    }

    #[test]
    fn a_pipeline_that_lacks_a_field_is_an_error_and_not_an_empty_one() {
        let places = [
            ("", "shards"),
            ("/shards/0", "backlog"),
            ("/shards/0", "targets"),
            ("/shards/0/backlog", "requests"),
            ("/shards/0/backlog", "in"),
            ("/shards/0/backlog", "inx"),
            ("/shards/0/backlog", "receipts"),
            ("/shards/0/targets/base", "lag"),
        ];
        for (place, field) in places {
            let mut pipeline = empty();
            let object = pipeline.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
            object.remove(field).expect("a field");
            assert!(matches!(held(&pipeline), Err(GatherError::Pipeline { .. })), "{place}/{field}");
        }
    }
}
