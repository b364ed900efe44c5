//! `oss bench article`: the case the article computes, measured.
//!
//! Three sources of 100 ms, validation, three targets of 80 ms. Sources and targets are the `null` ones, which take their
//! time and do nothing; everything between them is the real path, durable at every step. Measured: one request alone until
//! it is completed, the interval between completions under load, the same work done one step after the other, each with
//! our own validation and with the article's 150 ms put into stage 2; and, without any of these delays, the article's
//! overhead between stages: per hop the time from XADD to being read. Out: a table with DESIGN's targets,
//! `article.json` and `article.svg`.

mod hops;
mod pipelined;
mod report;
mod sequential;

use anyhow::Context as _;
use serde::Serialize;

use super::target::Plan;
use super::{chart, on_stack};
use crate::args::ArticleArgs;
use crate::exit::Exit;
use crate::stack::files;
use crate::stack::settings::Tuning;
use crate::ui::Ui;

pub(super) const SOURCES: [&str; 3] = ["first", "second", "third"];
pub(super) const TARGETS: [&str; 3] = ["base", "arbitrum", "optimism"];
const SOURCE_MS: u64 = 100;
const TARGET_MS: u64 = 80;
const VALIDATE_MS: u64 = 150;
/// How often the slow baseline is run.
const SEQUENTIAL_REQUESTS: u32 = 5;
/// Requests over which hops are measured.
const HOP_REQUESTS: u32 = 200;

/// How much of the article's case is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Case {
    /// Our own validation.
    Ours,
    /// And 150 ms per request.
    WithValidation,
}

impl Case {
    const fn validate_ms(self) -> u64 {
        match self {
            Self::Ours => 0,
            Self::WithValidation => VALIDATE_MS,
        }
    }
}

pub(super) async fn run(args: &ArticleArgs, ui: &Ui) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let mut cases = Vec::new();
    for case in [Case::Ours, Case::WithValidation] {
        ui.progress(format!("the case with {} ms of validation put in", case.validate_ms()));
        let tuning = Tuning { validate_ms: case.validate_ms(), deliver_ms: TARGET_MS, ..Plan::roomy() };
        let plan = plan(SOURCE_MS, tuning);
        let measured = on_stack(&plan, &args.programs, ui, async |target| {
            let sequential =
                sequential::measure(target.redis_url(), SEQUENTIAL_REQUESTS, case.validate_ms()).await?;
            ui.progress(format!("sequential: {:.0} ms each", sequential.latency_ms));
            let pipelined = pipelined::measure(target, args, case, ui).await?;
            Ok(report::Measured { case, sequential, pipelined })
        });
        cases.push(measured.await?);
    }
    ui.progress("hops, without delays");
    let plan = plan(0, Plan::roomy());
    let hops =
        on_stack(&plan, &args.programs, ui, async |target| hops::measure(target, HOP_REQUESTS, ui).await);
    let report = report::Report::new(args, cases, hops.await?);
    files::write_json(&args.out.join("article.json"), &report, files::Access::Everybody)?;
    chart::draw(&args.out.join("article.svg"), &report.chart())?;
    ui.result(&report, || report.human())?;
    ui.progress(format!("written: {}", args.out.join("article.{json,svg}").display()));
    Ok(Exit::Done)
}

fn plan(source_ms: u64, tuning: Tuning) -> Plan<'static> {
    Plan { targets: &TARGETS, sources: &SOURCES, source_ms, collectors: 1, tuning }
}
