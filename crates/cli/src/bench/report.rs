//! The report: medians, ratios to the relay of the same run, the design's targets beside.

use std::fmt::Write as _;

use serde::Serialize;

use super::MESSAGE_BYTES;
use super::measure::{Figures, Latency, Pass, Way};
use crate::args::ThroughputArgs;
use crate::ui;

/// Above this share of the cores for others a run is not to be relied on.
const OTHERS_MAX: f64 = 0.10;

/// The content of `throughput.json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) message_bytes: usize,
    pub(super) requests_per_pass: u32,
    pub(super) runs: u8,
    pub(super) in_flight: u32,
    pub(super) connections: u16,
    pub(super) cores: usize,
    pub(super) appendfsync: &'static str,
    pub(super) medians: Vec<Median>,
    pub(super) latencies: Vec<Latency>,
    pub(super) figures: Vec<Figure>,
    passes: Vec<Pass>,
}

/// One way, over all its passes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Median {
    pub(super) way: Way,
    pub(super) per_second: f64,
    pub(super) redis_cpu_us: f64,
    /// To the relay's median.
    pub(super) ratio: f64,
    /// Largest share of the cores that others used in a pass of it.
    pub(super) others_max: Option<f64>,
}

/// One line of DESIGN §13.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: f64,
    /// First and later bound.
    pub(super) first: f64,
    pub(super) later: Option<f64>,
    /// Whether smaller is better.
    pub(super) at_most: bool,
}

impl Figure {
    pub(super) fn meets(&self, bound: f64) -> bool {
        if self.at_most { self.value <= bound } else { self.value >= bound }
    }
}

impl Way {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Relay => "bare three-hop relay",
            Self::Direct => "submit to received, nothing to collect",
            Self::NullSource => "submit to received, one null source",
            Self::Drain => "validator and broadcaster draining",
        }
    }
}

impl Report {
    pub(super) fn new(args: &ThroughputArgs, figures: Figures) -> Self {
        let Figures { passes, latencies } = figures;
        let medians = medians(&passes);
        Self {
            message_bytes: MESSAGE_BYTES,
            requests_per_pass: args.requests,
            runs: args.runs,
            in_flight: args.in_flight,
            connections: args.connections,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            appendfsync: "always",
            figures: against_targets(&medians, &latencies),
            medians,
            latencies,
            passes,
        }
    }

    /// Whether others were so busy that the figures say little.
    pub(super) fn is_disturbed(&self) -> bool {
        self.medians.iter().any(|median| median.others_max.is_some_and(|share| share > OTHERS_MAX))
    }

    pub(super) fn human(&self) -> String {
        let mut rates =
            ui::table(["way", "requests/s", "to the relay", "Redis CPU us each", "CPU of others"]);
        for median in &self.medians {
            rates.add_row([
                median.way.title().to_owned(),
                format!("{:.0}", median.per_second),
                format!("{:.2}", median.ratio),
                format!("{:.1}", median.redis_cpu_us),
                median.others_max.map_or_else(String::new, |share| format!("{:.0} %", share * 100.0)),
            ]);
        }
        let mut low = ui::table(["at 200 requests/s", "p50 ms", "p99 ms", "max ms"]);
        for latency in &self.latencies {
            let ms = |us: u64| format!("{:.2}", super::float(us) / 1e3);
            low.add_row([
                latency.way.title().to_owned(),
                ms(latency.p50_us),
                ms(latency.p99_us),
                ms(latency.max_us),
            ]);
        }
        let mut targets = ui::table(["figure", "value", "target", "met"]);
        for figure in &self.figures {
            let sign = if figure.at_most { "at most" } else { "at least" };
            let mut target = format!("{sign} {}", figure.first);
            let mut met = if figure.meets(figure.first) { "yes" } else { "NO" }.to_owned();
            if let Some(later) = figure.later {
                let _infallible = write!(target, ", then {later}");
                met.push_str(if figure.meets(later) { ", yes" } else { ", not yet" });
            }
            targets.add_row([figure.name.to_owned(), format!("{:.2}", figure.value), target, met]);
        }
        format!(
            "{} B messages, {} requests a pass, median of {} passes, {} cores, appendfsync {}\n{rates}\n{low}\n{targets}",
            self.message_bytes, self.requests_per_pass, self.runs, self.cores, self.appendfsync
        )
    }
}

fn medians(passes: &[Pass]) -> Vec<Median> {
    let of = |way: Way, value: fn(&Pass) -> f64| {
        let mut values: Vec<f64> = passes.iter().filter(|pass| pass.way == way).map(value).collect();
        values.sort_by(f64::total_cmp);
        median(&values)
    };
    let relay = of(Way::Relay, |pass| pass.per_second).unwrap_or(f64::NAN);
    [Way::Relay, Way::Direct, Way::NullSource, Way::Drain]
        .into_iter()
        .filter_map(|way| {
            let per_second = of(way, |pass| pass.per_second)?;
            let redis_cpu_us = of(way, |pass| pass.redis_cpu_us)?;
            let others = passes.iter().filter(|pass| pass.way == way).filter_map(|pass| pass.others);
            let others_max = others.reduce(f64::max);
            Some(Median { way, per_second, redis_cpu_us, ratio: per_second / relay, others_max })
        })
        .collect()
}

/// Of sorted values.
fn median(values: &[f64]) -> Option<f64> {
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

fn against_targets(medians: &[Median], latencies: &[Latency]) -> Vec<Figure> {
    let ratio = |way: Way| medians.iter().find(|median| median.way == way).map(|median| median.ratio);
    let at_least = |name, way, first, later| {
        ratio(way).map(|value| Figure { name, value, first, later, at_most: false })
    };
    let latency = |way: Way| latencies.iter().find(|latency| latency.way == way);
    let low = |name, quantile: fn(&Latency) -> u64, first| {
        let (ours, relay) = (latency(Way::Direct)?, latency(Way::Relay)?);
        let value = super::float(quantile(ours)) / super::float(quantile(relay));
        Some(Figure { name, value, first, later: None, at_most: true })
    };
    [
        at_least("throughput, nothing to collect / relay", Way::Direct, 0.45, Some(0.65)),
        at_least("throughput, one null source / relay", Way::NullSource, 0.35, Some(0.50)),
        at_least("drain / relay", Way::Drain, 0.7, None),
        low("latency p50 / relay's", |latency| latency.p50_us, 3.0),
        low("latency p99 / relay's", |latency| latency.p99_us, 8.0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(way: Way, per_second: f64) -> Pass {
        Pass { way, per_second, redis_cpu_us: 30.0, refused: 0, others: Some(per_second / 1e3) }
    }

    #[test]
    fn ratios_are_of_medians_and_ways_that_were_not_measured_are_left_out() {
        let passes = [
            pass(Way::Relay, 100.0),
            pass(Way::Direct, 10.0),
            pass(Way::Relay, 300.0),
            pass(Way::Direct, 90.0),
            pass(Way::Relay, 200.0),
            pass(Way::Direct, 80.0),
        ];
        let medians = medians(&passes);
        assert_eq!(medians.len(), 2);
        assert!((medians[1].ratio - 0.4).abs() < 1e-9);
        assert_eq!(medians[0].others_max, Some(0.3));
    }

    #[test]
    fn a_target_is_missed_below_a_floor_and_above_a_cap() {
        let floor = Figure { name: "f", value: 0.44, first: 0.45, later: None, at_most: false };
        let cap = Figure { name: "c", value: 3.1, first: 3.0, later: None, at_most: true };
        assert!(!floor.meets(0.45) && floor.meets(0.44));
        assert!(!cap.meets(3.0) && cap.meets(3.1));
    }
}
