//! The report: medians, ratios to the relay of the same run, the design's targets beside.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::MESSAGE_BYTES;
use super::chart::{Bar, Chart};
use super::figure::{self, Figure};
use super::machine::Part;
use super::measure::{Figures, Latency, Pass, Way};
use crate::args::ThroughputArgs;
use crate::stack::services::Role;
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
    /// CPU time of each program per request, microseconds: the median of each.
    cpu_us: BTreeMap<Part, f64>,
    /// To the relay's median.
    pub(super) ratio: f64,
    /// Largest share of the cores that others used in a pass of it.
    pub(super) others_max: Option<f64>,
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

    const fn label(self) -> &'static str {
        match self {
            Self::Relay => "bare relay",
            Self::Direct => "nothing to collect",
            Self::NullSource => "one null source",
            Self::Drain => "draining a backlog",
        }
    }

    /// The first bound of DESIGN §13, to the relay.
    const fn floor(self) -> Option<f64> {
        match self {
            Self::Relay => None,
            Self::Direct => Some(0.45),
            Self::NullSource => Some(0.35),
            Self::Drain => Some(0.7),
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
        let spent = self.cpu_table();
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
        let targets = figure::table(&self.figures);
        format!(
            "{} B messages, {} requests a pass, median of {} passes, {} cores, appendfsync {}\n{rates}\n{spent}\n{low}\n{targets}",
            self.message_bytes, self.requests_per_pass, self.runs, self.cores, self.appendfsync
        )
    }

    /// Requests per second of each way, the relay beside, the design's floor as a line.
    pub(super) fn chart(&self) -> Chart {
        let relay = self.medians.iter().find(|median| median.way == Way::Relay);
        let relay = relay.map_or(0.0, |median| median.per_second);
        let bars = self.medians.iter().map(|median| Bar {
            label: median.way.label().to_owned(),
            figures: format!(
                "{:.0}/s, x{:.2}, Redis {:.0} us",
                median.per_second, median.ratio, median.redis_cpu_us
            ),
            value: median.per_second,
            target: median.way.floor().map(|floor| floor * relay),
            is_beside: median.way == Way::Relay,
        });
        let caption =
            format!("{} B messages, fsync on every write, {} cores", self.message_bytes, self.cores);
        Chart { caption, unit: "requests per second", bars: bars.collect() }
    }

    /// Where the CPU time of a request goes.
    fn cpu_table(&self) -> String {
        let parts: BTreeSet<Part> =
            self.medians.iter().flat_map(|median| median.cpu_us.keys().copied()).collect();
        let names = parts.iter().map(|part| part.title().to_owned());
        let head = ["CPU us per request".to_owned()].into_iter().chain(names).chain(["all".to_owned()]);
        let mut table = ui::table(head.collect::<Vec<_>>());
        for median in &self.medians {
            let cell = |us: Option<&f64>| us.map_or_else(String::new, |us| format!("{us:.1}"));
            let all: f64 = median.cpu_us.values().sum();
            let cells = parts.iter().map(|part| cell(median.cpu_us.get(part)));
            let row = [median.way.title().to_owned()].into_iter().chain(cells).chain([cell(Some(&all))]);
            table.add_row(row.collect::<Vec<_>>());
        }
        table.to_string()
    }
}

impl Part {
    const fn title(self) -> &'static str {
        match self {
            Self::Stack(Role::Collector) => "collector",
            Self::Stack(Role::Validator) => "validator",
            Self::Stack(Role::Broadcaster) => "broadcaster",
            Self::Stack(Role::RateSource) => "rate source",
            Self::Stack(Role::Chain) => "chain",
            Self::Stack(Role::Redis) => "redis",
            Self::Bench => "bench itself",
        }
    }
}

fn medians(passes: &[Pass]) -> Vec<Median> {
    let of = |way: Way, value: fn(&Pass) -> f64| {
        let mut values: Vec<f64> = passes.iter().filter(|pass| pass.way == way).map(value).collect();
        values.sort_by(f64::total_cmp);
        figure::median(&values)
    };
    let relay = of(Way::Relay, |pass| pass.per_second).unwrap_or(f64::NAN);
    [Way::Relay, Way::Direct, Way::NullSource, Way::Drain]
        .into_iter()
        .filter_map(|way| {
            let per_second = of(way, |pass| pass.per_second)?;
            let redis_cpu_us = of(way, |pass| pass.redis_cpu_us)?;
            let others = passes.iter().filter(|pass| pass.way == way).filter_map(|pass| pass.others);
            let others_max = others.reduce(f64::max);
            let cpu_us = cpu_medians(passes, way);
            Some(Median { way, per_second, redis_cpu_us, cpu_us, ratio: per_second / relay, others_max })
        })
        .collect()
}

fn cpu_medians(passes: &[Pass], way: Way) -> BTreeMap<Part, f64> {
    let mut values: BTreeMap<Part, Vec<f64>> = BTreeMap::new();
    for (part, us) in passes.iter().filter(|pass| pass.way == way).flat_map(|pass| &pass.cpu_us) {
        values.entry(*part).or_default().push(*us);
    }
    let of = |(part, mut values): (Part, Vec<f64>)| {
        values.sort_by(f64::total_cmp);
        Some((part, figure::median(&values)?))
    };
    values.into_iter().filter_map(of).collect()
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
        Some(Figure::at_most(name, value, first))
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
        let (cpu_us, others) = (BTreeMap::from([(Part::Bench, per_second)]), Some(per_second / 1e3));
        Pass { way, per_second, redis_cpu_us: 30.0, cpu_us, refused: 0, others }
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
        assert!((medians[1].cpu_us[&Part::Bench] - 80.0).abs() < 1e-9);
    }
}
