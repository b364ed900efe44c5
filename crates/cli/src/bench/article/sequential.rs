//! The baseline: one request at a time, one step after the other, each step's result fsynced before the next.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use redis::AsyncCommands as _;
use serde::Serialize;

use super::{SOURCE_MS, SOURCES, TARGET_MS, TARGETS};
use crate::bench::{MESSAGE_BYTES, figure};

/// Latency and interval between completions are the same here.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Sequential {
    pub(super) latency_ms: f64,
    requests: u32,
}

pub(super) async fn measure(redis_url: &str, requests: u32, validate_ms: u64) -> anyhow::Result<Sequential> {
    let mut connection = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    let key = format!("bench:{:08x}", rand::random::<u32>());
    let result = vec![b'.'; MESSAGE_BYTES];
    let steps: Vec<u64> =
        [[SOURCE_MS; SOURCES.len()].as_slice(), &[validate_ms], &[TARGET_MS; TARGETS.len()]].concat();
    let mut latencies = Vec::new();
    for _ in 0..requests {
        let began = Instant::now();
        for step_ms in &steps {
            tokio::time::sleep(Duration::from_millis(*step_ms)).await;
            let _id: String = connection.xadd(&key, "*", &[("m", &result)]).await?;
        }
        latencies.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let () = connection.del(&key).await?;
    latencies.sort_by(f64::total_cmp);
    Ok(Sequential { latency_ms: figure::median(&latencies).context("no request was measured")?, requests })
}
