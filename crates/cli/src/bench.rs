//! `oss bench throughput`: what the path costs on this machine, as ratios to a yardstick of the same run.
//!
//! Absolute figures of one machine say little; the ratio to a bare relay of the same bytes, batches and fsync
//! through the same Redis does. Passes alternate (relay, direct, with source, …), medians are reported, and the
//! CPU time that Redis spends per request stands beside. Out: a table with DESIGN's targets, `throughput.json`
//! and `throughput.svg`.

mod machine;
mod redis_cpu;
mod relay;

mod load;
mod received;
mod requests;
mod target;

mod measure;

mod chart;
mod report;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use crate::args::{BenchCommand, ThroughputArgs};
use crate::exit::Exit;
use crate::stack::files;
use crate::ui::Ui;

/// Every message is this long: the figure the design's targets speak of.
const MESSAGE_BYTES: usize = 1_024;

pub(crate) async fn run(bench: &BenchCommand, ui: &Ui) -> anyhow::Result<Exit> {
    match bench {
        BenchCommand::Throughput(args) => throughput(args, ui).await,
    }
}

async fn throughput(args: &ThroughputArgs, ui: &Ui) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let folder =
        tempfile::Builder::new().prefix("oss-bench-").tempdir().context("no folder for the bench")?;
    let mut target = target::Target::start(folder.path(), args, ui).await?;
    let asked = common::exit::signal();
    tokio::pin!(asked);
    let measured = tokio::select! {
        measured = measure::all(&mut target, args, ui) => measured,
        signal = &mut asked => signal.map_err(Into::into).and_then(|_| Err(anyhow::anyhow!("interrupted"))),
    };
    let stopped = target.stop(ui).await;
    if measured.is_err() {
        ui.progress(format!("the stack's data and logs are in {}", folder.keep().display()));
    }
    let figures = measured?;
    stopped?;
    let report = report::Report::new(args, figures);
    files::write_json(&args.out.join("throughput.json"), &report, files::Access::Everybody)?;
    chart::draw(&args.out.join("throughput.svg"), &report)?;
    ui.result(&report, || report.human())?;
    if report.is_disturbed() {
        ui.warn(
            "other programs used more than a tenth of the machine meanwhile: measure again when it is quiet",
        );
    }
    ui.progress(format!("written: {}", args.out.join("throughput.{json,svg}").display()));
    Ok(Exit::Done)
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
