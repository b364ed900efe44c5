//! The measurements, in alternation.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::load::{self, Pattern};
use super::machine::{Clocks, Part};
use super::relay::{self, Pace};
use super::requests::{ASSETS, Shape};
use super::target::Target;
use super::{MESSAGE_BYTES, received, redis_cpu};
use crate::args::ThroughputArgs;
use crate::stack::services::Role;
use crate::ui::Ui;

/// The low load at which latency is measured, and for how long.
const LATENCY_PER_SECOND: u32 = 200;
const LATENCY_REQUESTS: u32 = 1_000;
/// Passes before the first one that counts: caches, allocators and the first AOF rewrite.
const WARM_UP_DIVISOR: u32 = 4;

/// One pass of one way.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Pass {
    pub(super) way: Way,
    pub(super) per_second: f64,
    pub(super) redis_cpu_us: f64,
    /// CPU time of each program per request, microseconds; empty where it cannot be told.
    pub(super) cpu_us: BTreeMap<Part, f64>,
    /// Answers 503; those requests were sent again.
    pub(super) refused: u64,
    /// Share of all cores that other programs used meanwhile, where it can be told.
    pub(super) others: Option<f64>,
}

/// Everything that is read before and after a pass.
#[derive(Debug, Clone)]
pub(super) struct Before {
    redis_cpu: Duration,
    clocks: Option<Clocks>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    Relay,
    Direct,
    NullSource,
    Drain,
}

/// Latency at low load, microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Latency {
    pub(super) way: Way,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
    pub(super) samples: u64,
}

#[derive(Debug)]
pub(super) struct Figures {
    pub(super) passes: Vec<Pass>,
    pub(super) latencies: Vec<Latency>,
}

pub(super) async fn all(target: &mut Target, args: &ThroughputArgs, ui: &Ui) -> anyhow::Result<Figures> {
    let direct = Shape::find(&target.tenant, false)?;
    let sourced = Shape::find(&target.tenant, true)?;
    target.set_up((0..ASSETS).map(|asset| direct.setup(asset)), "direct", ui).await?;
    target.set_up((0..ASSETS).map(|asset| sourced.setup(asset)), "sourced", ui).await?;
    ui.progress("warming up");
    throughput(target, Way::Direct, &direct, args.requests / WARM_UP_DIVISOR, args).await?;
    relay_pass(target, args.requests / WARM_UP_DIVISOR).await?;

    let mut passes = Vec::new();
    for run in 1..=args.runs {
        let mut done = vec![relay_pass(target, args.requests).await?];
        if args.sources.direct() {
            done.push(throughput(target, Way::Direct, &direct, args.requests, args).await?);
        }
        if args.sources.sourced() {
            done.push(throughput(target, Way::NullSource, &sourced, args.requests, args).await?);
        }
        done.push(drain(target, &direct, args).await?);
        for pass in &done {
            ui.progress(format!(
                "run {run}: {:?} {:.0}/s, Redis {:.1} us each",
                pass.way, pass.per_second, pass.redis_cpu_us
            ));
        }
        passes.append(&mut done);
        target.must_run()?;
    }
    ui.progress(format!("latency at {LATENCY_PER_SECOND} requests/s"));
    let latencies = vec![relay_latency(target.redis_url()).await?, latency(target, &direct).await?];
    Ok(Figures { passes, latencies })
}

async fn relay_pass(target: &Target, requests: u32) -> anyhow::Result<Pass> {
    let before = Before::read(target).await?;
    let url = target.redis_url().to_owned();
    let pass = blocking(move || relay::pass(&url, requests, MESSAGE_BYTES, Pace::Full)).await?;
    before.made(target, Way::Relay, requests, f64::from(requests) / pass.seconds, 0).await
}

async fn relay_latency(url: &str) -> anyhow::Result<Latency> {
    let url = url.to_owned();
    let pace = Pace::PerSecond(LATENCY_PER_SECOND);
    let pass = blocking(move || relay::pass(&url, LATENCY_REQUESTS, MESSAGE_BYTES, pace)).await?;
    distribution(Way::Relay, &pass.latencies)
}

async fn throughput(
    target: &Target,
    way: Way,
    shape: &Shape,
    requests: u32,
    args: &ThroughputArgs,
) -> anyhow::Result<Pass> {
    let pattern = Pattern {
        connections: args.connections,
        in_flight: args.in_flight,
        per_second: None,
        send_only: false,
    };
    let prepared = prepare(target, shape, requests)?;
    let before = Before::read(target).await?;
    let outcome = send(target, prepared, pattern).await?;
    before.made(target, way, requests, f64::from(requests) / outcome.seconds, outcome.refused).await
}

async fn latency(target: &Target, shape: &Shape) -> anyhow::Result<Latency> {
    let pattern = Pattern {
        connections: 16,
        in_flight: LATENCY_REQUESTS,
        per_second: Some(LATENCY_PER_SECOND),
        send_only: false,
    };
    let outcome = send(target, prepare(target, shape, LATENCY_REQUESTS)?, pattern).await?;
    distribution(Way::Direct, &outcome.latencies)
}

/// A backlog is filled while validator and broadcaster stand still (SIGSTOP); then they drain it alone.
async fn drain(target: &Target, shape: &Shape, args: &ThroughputArgs) -> anyhow::Result<Pass> {
    const DRAINING: [Role; 2] = [Role::Validator, Role::Broadcaster];
    for role in DRAINING {
        target.signal(role, "STOP").await?;
    }
    let pattern = Pattern {
        connections: args.connections,
        in_flight: args.in_flight,
        per_second: None,
        send_only: true,
    };
    let prepared = prepare(target, shape, args.requests)?;
    let rids = prepared.iter().map(|request| request.rid).collect();
    let refused = send(target, prepared, pattern).await?.refused;
    let before = Before::read(target).await?;
    let url = target.redis_url().to_owned();
    let watched = tokio::task::spawn_blocking(move || received::watch(&url, rids));
    for role in DRAINING {
        target.signal(role, "CONT").await?;
    }
    let drained = watched.await.context("the watcher's thread")??;
    before.made(target, Way::Drain, args.requests, drained.per_second, refused).await
}

impl Before {
    pub(super) async fn read(target: &Target) -> anyhow::Result<Self> {
        let redis_cpu = redis_cpu::used(target.redis_url()).await?;
        Ok(Self { redis_cpu, clocks: Clocks::read(&target.pids()) })
    }

    pub(super) async fn made(
        self,
        target: &Target,
        way: Way,
        requests: u32,
        per_second: f64,
        refused: u64,
    ) -> anyhow::Result<Pass> {
        let after = Self::read(target).await?;
        let cpu = after.redis_cpu.saturating_sub(self.redis_cpu);
        let redis_cpu_us = cpu.as_secs_f64() * 1e6 / f64::from(requests);
        let clocks = self.clocks.zip(after.clocks);
        let others = clocks.as_ref().map(|(before, after)| before.others_until(after));
        let cpu_us = clocks.map(|(before, after)| before.each_until(&after, requests)).unwrap_or_default();
        Ok(Pass { way, per_second, redis_cpu_us, cpu_us, refused, others })
    }
}

pub(super) fn prepare(target: &Target, shape: &Shape, requests: u32) -> anyhow::Result<Vec<load::Prepared>> {
    let run = format!("{:016x}", rand::random::<u64>());
    shape.prepare(&run, requests, &target.collector_address(), &target.tokens.submit)
}

pub(super) async fn send(
    target: &Target,
    prepared: Vec<load::Prepared>,
    pattern: Pattern,
) -> anyhow::Result<load::Outcome> {
    let (addresses, url) = (target.collector_addresses(), target.redis_url().to_owned());
    blocking(move || load::run(&addresses, &url, prepared, pattern)).await
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a measuring thread ended")?
}

pub(super) fn distribution(way: Way, samples: &[Duration]) -> anyhow::Result<Latency> {
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3).context("a histogram")?;
    for sample in samples {
        histogram.record(u64::try_from(sample.as_micros()).unwrap_or(u64::MAX)).context("a latency")?;
    }
    Ok(Latency {
        way,
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
        samples: histogram.len(),
    })
}
