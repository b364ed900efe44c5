//! The path itself, as a client sees it: `Prefer: wait` until completed, that is final on all three targets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use common::ids::IdempotencyKey;
use common::status::Status;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Case, SOURCES, TARGETS};
use crate::args::ArticleArgs;
use crate::bench::target::Target;
use crate::client::{Client, WAIT_MAX_S, Wait};
use crate::ui::Ui;

/// Requests change assets of their own as far as this goes.
const ASSETS: u32 = 32;
/// Requests in flight while intervals are measured, with our validation and with the article's: there stage 2 takes one
/// after the other, so more would only wait longer.
const IN_FLIGHT: u32 = 32;
const IN_FLIGHT_SLOW: u32 = 8;
/// Rounds of all in flight that are timed, after one that is not.
const ROUNDS: u32 = 8;

/// Milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Pipelined {
    /// One request alone, POST to completed.
    pub(super) p50_ms: f64,
    pub(super) max_ms: f64,
    requests: u32,
    /// Between two completions under load.
    pub(super) interval_ms: f64,
    pub(super) in_flight: u32,
    completions: u32,
}

pub(super) async fn measure(
    target: &Target,
    args: &ArticleArgs,
    case: Case,
    ui: &Ui,
) -> anyhow::Result<Pipelined> {
    let load = Load::new(target, ui).await?;
    // Connections and caches.
    load.one().await?;
    let mut alone = Vec::new();
    for _ in 0..args.requests {
        alone.push(load.one().await?.as_secs_f64() * 1e3);
    }
    alone.sort_by(f64::total_cmp);
    let p50_ms = crate::bench::figure::median(&alone).context("no request was measured")?;
    let max_ms = alone.last().copied().unwrap_or(p50_ms);
    ui.progress(format!("one request: {p50_ms:.0} ms"));
    let in_flight = if case == Case::Ours { IN_FLIGHT } else { IN_FLIGHT_SLOW };
    let completions = load.many(in_flight, in_flight * (ROUNDS + 1)).await?;
    let (interval, timed) = interval(&completions, in_flight as usize).context("too few completions")?;
    let interval_ms = interval.as_secs_f64() * 1e3;
    ui.progress(format!("under load: one in {interval_ms:.1} ms"));
    Ok(Pipelined { p50_ms, max_ms, requests: args.requests, interval_ms, in_flight, completions: timed })
}

/// The mean time between completions after the first `warm_up` of them, and how many those are.
fn interval(completions: &[Instant], warm_up: usize) -> Option<(Duration, u32)> {
    let first = completions.get(warm_up.checked_sub(1)?)?;
    let timed = u32::try_from(completions.len() - warm_up).ok().filter(|timed| *timed > 0)?;
    Some((completions.last()?.duration_since(*first) / timed, timed))
}

/// Requests of the article's form.
#[derive(Debug)]
pub(super) struct Load {
    client: Client,
    run: String,
    next: AtomicU32,
}

impl Load {
    /// Registers the assets.
    pub(super) async fn new(target: &Target, ui: &Ui) -> anyhow::Result<Arc<Self>> {
        let run = format!("{:016x}", rand::random::<u64>());
        target.set_up((0..ASSETS as usize).map(|asset| register(&run, asset)), &run, ui).await?;
        Ok(Arc::new(Self { client: target.client()?, run, next: AtomicU32::new(0) }))
    }

    /// Submits one request and waits until it is completed.
    pub(super) async fn one(&self) -> anyhow::Result<Duration> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key: IdempotencyKey = format!("{}-{number}", self.run).parse().context("an idempotency key")?;
        let body = serde_json::to_vec(&transfer(&self.run, number))?;
        let began = Instant::now();
        let wait = Wait { seconds: WAIT_MAX_S, completed: true };
        let answer = self.client.submit(body, Some(&key), Some(wait)).await?;
        let status = answer.view.fields.status;
        if status != Status::Completed {
            bail!("a request of the bench is {} after {} s", status.name(), began.elapsed().as_secs());
        }
        Ok(began.elapsed())
    }

    /// Keeps so many in flight until `count` are completed; when each was, in order.
    async fn many(self: &Arc<Self>, in_flight: u32, count: u32) -> anyhow::Result<Vec<Instant>> {
        let left = Arc::new(AtomicU32::new(count));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..in_flight {
            let (load, left) = (Arc::clone(self), Arc::clone(&left));
            clients.spawn(async move {
                let mut completions = Vec::new();
                let take = |left: u32| left.checked_sub(1);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                    load.one().await?;
                    completions.push(Instant::now());
                }
                anyhow::Ok(completions)
            });
        }
        let mut completions = Vec::new();
        while let Some(ended) = clients.join_next().await {
            completions.extend(ended.context("a client's task")??);
        }
        completions.sort_unstable();
        Ok(completions)
    }
}

fn asset(run: &str, asset: usize) -> String {
    format!("bond:ARTICLE-{run}-{asset}")
}

fn register(run: &str, number: usize) -> Value {
    json!({
        "asset": {"id": asset(run, number)},
        "state_changes": [
            {"kind": "REGISTER", "decimals": 2, "chains": TARGETS},
            {"kind": "MINT", "to": "acct:alice", "amount": "1000000000"},
        ],
    })
}

fn transfer(run: &str, number: u32) -> Value {
    json!({
        "asset": {"id": asset(run, (number % ASSETS) as usize)},
        "state_changes": [{"kind": "TRANSFER", "from": "acct:alice", "to": "acct:bob", "amount": "1"}],
        "external_apis": SOURCES,
    })
}

#[cfg(test)]
mod tests {
    use common::request::SyncRequest;

    use super::*;

    #[test]
    fn requests_are_well_formed_and_name_all_sources_and_targets() {
        let register = SyncRequest::parse(&register("00ff", 3)).expect("well formed");
        let transfer = SyncRequest::parse(&transfer("00ff", 3 + ASSETS)).expect("well formed");
        assert_eq!(register.asset, transfer.asset);
        assert_eq!(transfer.external_apis.len(), SOURCES.len());
        assert!(!register.needs_collecting() && transfer.needs_collecting());
    }

    #[test]
    fn the_interval_leaves_out_the_first_round() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let completions = [at(0), at(500), at(520), at(540)];
        assert_eq!(interval(&completions, 2), Some((Duration::from_millis(20), 2)));
        assert_eq!(interval(&completions, 4), None);
        assert_eq!(interval(&[], 0), None);
    }
}
