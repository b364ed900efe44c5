//! The report: measured times, the article's own beside, the design's targets.

use serde::Serialize;

use super::hops::Hop;
use super::pipelined::Pipelined;
use super::sequential::Sequential;
use super::{Case, SOURCE_MS, SOURCES, TARGET_MS, TARGETS};
use crate::args::ArticleArgs;
use crate::bench::chart::{Bar, Chart};
use crate::bench::figure::{self, Figure};
use crate::ui;

/// The article's overhead between two stages, ms.
const ARTICLE_OVERHEAD_MS: f64 = 10.0;

#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) case: Case,
    pub(super) sequential: Sequential,
    pub(super) pipelined: Pipelined,
}

/// The content of `article.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    sources: usize,
    source_ms: u64,
    targets: usize,
    target_ms: u64,
    requests: u32,
    cores: usize,
    cases: Vec<Row>,
    hops: Vec<Hop>,
    figures: Vec<Figure>,
}

/// A case with what the article's formulas say of it, given our overhead per hop.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    measured: Measured,
    validate_ms: u64,
    /// The sum of all steps.
    article_sequential_ms: f64,
    /// The longest stage and two overheads of 10 ms.
    article_interval_ms: f64,
    /// How many times shorter than sequential.
    latency_gain: f64,
    interval_gain: f64,
}

impl Report {
    pub(super) fn new(args: &ArticleArgs, cases: Vec<Measured>, hops: Vec<Hop>) -> Self {
        let cases: Vec<Row> = cases.into_iter().map(Row::new).collect();
        Self {
            sources: SOURCES.len(),
            source_ms: SOURCE_MS,
            targets: TARGETS.len(),
            target_ms: TARGET_MS,
            requests: args.requests,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            figures: cases.iter().flat_map(Row::figures).collect(),
            cases,
            hops,
        }
    }

    pub(super) fn human(&self) -> String {
        let mut times = ui::table([
            "validation put in",
            "",
            "one request ms",
            "slowest ms",
            "interval ms",
            "to sequential",
            "the article's",
        ]);
        for row in &self.cases {
            let Measured { sequential, pipelined, .. } = &row.measured;
            let ms = |ms: f64| format!("{ms:.1}");
            times.add_row([
                format!("{} ms", row.validate_ms),
                "one step after the other".to_owned(),
                ms(sequential.latency_ms),
                String::new(),
                ms(sequential.latency_ms),
                String::new(),
                format!("{:.0} ms", row.article_sequential_ms),
            ]);
            times.add_row([
                String::new(),
                format!("OSS, {} in flight for the interval", pipelined.in_flight),
                ms(pipelined.p50_ms),
                ms(pipelined.max_ms),
                ms(pipelined.interval_ms),
                format!("x{:.1}, interval x{:.1}", row.latency_gain, row.interval_gain),
                format!("interval {:.0} ms", row.article_interval_ms),
            ]);
        }
        let mut hops = ui::table(["hop, XADD to being read", "p50 ms", "p99 ms", "max ms", "messages"]);
        for hop in &self.hops {
            let ms = |us: u64| format!("{:.2}", crate::bench::float(us) / 1e3);
            hops.add_row([
                hop.name.to_owned(),
                ms(hop.p50_us),
                ms(hop.p99_us),
                ms(hop.max_us),
                hop.messages.to_string(),
            ]);
        }
        format!(
            "{} sources of {} ms, {} targets of {} ms, median of {} requests, {} cores; the article takes {} ms per hop\n\
             {times}\n{hops}\n{}",
            self.sources,
            self.source_ms,
            self.targets,
            self.target_ms,
            self.requests,
            self.cores,
            ARTICLE_OVERHEAD_MS,
            figure::table(&self.figures),
        )
    }

    pub(super) fn chart(&self) -> Chart {
        let bars = self.cases.iter().flat_map(|row| {
            let Measured { case, sequential, pipelined } = &row.measured;
            let (latency, interval) = case.bounds();
            let with = match case {
                Case::Ours => "",
                Case::WithValidation => " + 150 ms",
            };
            let bar = |label: &str, value: f64, target: Option<f64>| Bar {
                label: format!("{label}{with}"),
                figures: format!("{value:.1} ms"),
                value,
                target,
                is_beside: target.is_none(),
            };
            [
                bar("sequential", sequential.latency_ms, None),
                bar("one request", pipelined.p50_ms, Some(latency)),
                bar("interval", pipelined.interval_ms, Some(interval)),
            ]
        });
        let caption = format!(
            "{} sources of {} ms, {} targets of {} ms",
            self.sources, self.source_ms, self.targets, self.target_ms
        );
        Chart { caption, unit: "ms", bars: bars.collect() }
    }
}

impl Case {
    /// DESIGN §13: at most so many ms for one request and between completions.
    const fn bounds(self) -> (f64, f64) {
        match self {
            Self::Ours => (200.0, 20.0),
            Self::WithValidation => (360.0, 170.0),
        }
    }
}

impl Row {
    fn new(measured: Measured) -> Self {
        let validate_ms = measured.case.validate_ms();
        let ms = crate::bench::float;
        let sum = SOURCE_MS * SOURCES.len() as u64 + validate_ms + TARGET_MS * TARGETS.len() as u64;
        let longest = SOURCE_MS.max(validate_ms).max(TARGET_MS);
        let Measured { sequential, pipelined, .. } = &measured;
        Self {
            validate_ms,
            article_sequential_ms: ms(sum),
            article_interval_ms: ms(longest) + 2.0 * ARTICLE_OVERHEAD_MS,
            latency_gain: sequential.latency_ms / pipelined.p50_ms,
            interval_gain: sequential.latency_ms / pipelined.interval_ms,
            measured,
        }
    }

    fn figures(&self) -> [Figure; 2] {
        let (latency, interval) = self.measured.case.bounds();
        let names = match self.measured.case {
            Case::Ours => ["one request, ms", "interval between completions, ms"],
            Case::WithValidation => {
                ["one request with 150 ms in stage 2, ms", "interval with 150 ms in stage 2, ms"]
            }
        };
        let Pipelined { p50_ms, interval_ms, .. } = self.measured.pipelined;
        [Figure::at_most(names[0], p50_ms, latency), Figure::at_most(names[1], interval_ms, interval)]
    }
}
