//! `oss bench`: what the path costs on this machine.
//!
//! `throughput`: as ratios to a yardstick of the same run. Absolute figures of one machine say little; the ratio to
//! a bare relay of the same bytes, batches and fsync through the same Redis does. Passes alternate (relay, direct,
//! with source, …), medians are reported, and the CPU time of every program per request stands beside. [`article`]: the
//! case the article computes. [`scaling`]: what more collectors bring. Each on a stack of its own, without
//! chains; out: a table, with DESIGN's targets where there are any, and the same as JSON and SVG.

mod machine;
mod redis_cpu;
mod relay;

mod load;
mod received;
mod requests;
mod target;

mod measure;

mod chart;
mod figure;
mod report;

mod article;
mod scaling;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use crate::args::{BenchCommand, Programs, ThroughputArgs};
use crate::exit::Exit;
use crate::stack::files;
use crate::ui::Ui;
use target::{Plan, Target};

/// Every message is this long: the figure the design's targets speak of.
const MESSAGE_BYTES: usize = 1_024;

pub(crate) async fn run(bench: &BenchCommand, ui: &Ui) -> anyhow::Result<Exit> {
    match bench {
        BenchCommand::Throughput(args) => throughput(args, ui).await,
        BenchCommand::Article(args) => article::run(args, ui).await,
        BenchCommand::Scaling(args) => scaling::run(args, ui).await,
    }
}

async fn throughput(args: &ThroughputArgs, ui: &Ui) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let plan = Plan {
        targets: &[requests::NULL_TARGET],
        sources: &[requests::NULL_SOURCE],
        source_ms: 0,
        collectors: 1,
        tuning: Plan::roomy(),
    };
    let figures =
        on_stack(&plan, &args.programs, ui, async |target| measure::all(target, args, ui).await).await?;
    let report = report::Report::new(args, figures);
    files::write_json(&args.out.join("throughput.json"), &report, files::Access::Everybody)?;
    chart::draw(&args.out.join("throughput.svg"), &report.chart())?;
    ui.result(&report, || report.human())?;
    if report.is_disturbed() {
        ui.warn(
            "other programs used more than a tenth of the machine meanwhile: measure again when it is quiet",
        );
    }
    ui.progress(format!("written: {}", args.out.join("throughput.{json,svg}").display()));
    Ok(Exit::Done)
}

/// Measures on a stack of its own, which is stopped however that ends. What it leaves is kept if it fails.
async fn on_stack<T>(
    plan: &Plan<'_>,
    programs: &Programs,
    ui: &Ui,
    work: impl AsyncFnOnce(&mut Target) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let folder =
        tempfile::Builder::new().prefix("oss-bench-").tempdir().context("no folder for the bench")?;
    let mut target = Target::start(folder.path(), plan, programs, ui).await?;
    let asked = common::exit::signal();
    tokio::pin!(asked);
    let measured = tokio::select! {
        measured = work(&mut target) => measured,
        signal = &mut asked => signal.map_err(Into::into).and_then(|_| Err(anyhow::anyhow!("interrupted"))),
    };
    let stopped = target.stop(ui).await;
    if measured.is_err() {
        ui.progress(format!("the stack's data and logs are in {}", folder.keep().display()));
    }
    let measured = measured?;
    stopped?;
    Ok(measured)
}

/// Sent to received, per message; both in microseconds since the same start.
fn latencies(sent_us: &[AtomicU64], received_us: &[AtomicU64]) -> Vec<Duration> {
    let read = |time: &AtomicU64| time.load(Ordering::Relaxed);
    sent_us
        .iter()
        .zip(received_us)
        .filter(|(_, received)| read(received) > 0)
        .map(|(sent, received)| Duration::from_micros(read(received).saturating_sub(read(sent))))
        .collect()
}

/// Runs on the calling thread until it is done: every part of a measurement has a thread of its own.
fn on_thread<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// A count or a time as a number to divide; what is measured here is far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "figures for people, of at most 2^52")]
const fn float(count: u64) -> f64 {
    count as f64
}
