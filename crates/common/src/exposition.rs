//! What `/metrics` shows: the table of a service's metrics, the recorder behind them, and how busy stages are.
//!
//! In: what the `metrics` macros record, each metric named in a service's table of [`Metric`]s with its labels. Out: the
//! Prometheus text format. Invariants: a metric has one table row; its labels have few values (shards, configured names, words
//! of the code), never what a client chooses; memory does not depend on whether anybody asks ([`keep_up`]).

mod busy;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use busy::Busy;

/// Upper bounds of all histograms, seconds.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// How often recorded values are taken out of their queues and busy ratios are worked out.
const KEEP_UP_EVERY: Duration = Duration::from_secs(5);

/// What kind of figure a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// Of seconds.
    Histogram,
}

impl Kind {
    /// As the text format names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One row of a service's table of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// The names of its labels, in alphabetical order.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

impl Metric {
    /// A row. `labels` in alphabetical order.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind, labels, help }
    }
}

/// Those of every service's API (`common::envelope`).
pub const HTTP: &[Metric] = &[
    Metric::new("oss_http_panics_total", Kind::Counter, &[], "Request handlers that panicked."),
    Metric::new(
        "oss_http_request_seconds",
        Kind::Histogram,
        &["route"],
        "Time from a request's head to its answer's head, by the route's pattern.",
    ),
    Metric::new(
        "oss_http_requests_total",
        Kind::Counter,
        &["route", "status"],
        "Answers by the route's pattern and the class of the status.",
    ),
];

/// The metrics of every service: how busy its stages are.
pub const STAGES: &[Metric] = &[Metric::new(
    "oss_stage_busy_ratio",
    Kind::Gauge,
    &["shard", "stage", "target"],
    "Share of the last seconds in which the stage's workers had something in hand, 0 to 1.",
)];

/// What every process says of itself.
pub const PROCESS: &[Metric] = &[
    Metric::new(
        "oss_build_info",
        Kind::Gauge,
        &["service", "version"],
        "Always 1; the labels say what runs.",
    ),
    Metric::new(
        "process_start_time_seconds",
        Kind::Gauge,
        &[],
        "When the process started, seconds since 1970.",
    ),
];

/// Installs the process' metrics recorder. Every further call in the process answers a handle of the same one, so that
/// a service that is built anew goes on with it.
#[must_use]
pub fn install(service: &'static str, version: &'static str, tables: &[&[Metric]]) -> PrometheusHandle {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let recorder = recorder();
        let handle = recorder.handle();
        // Only a recorder from elsewhere could be there already; then this one stays empty.
        drop(metrics::set_global_recorder(recorder));
        let started = UNIX_EPOCH.elapsed().unwrap_or_default();
        metrics::gauge!("process_start_time_seconds").set(started.as_secs_f64());
        handle
    };
    let handle = INSTALLED.get_or_init(install).clone();
    describe(tables);
    metrics::gauge!("oss_build_info", "service" => service, "version" => version).set(1.0);
    // A counter that appears with its first event shows no increase.
    metrics::counter!("oss_http_panics_total").increment(0);
    handle
}

/// A recorder with our buckets.
#[must_use]
pub fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new();
    // Refused are only empty lists.
    builder.set_buckets(&BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder()
}

/// Tells the installed recorder what each metric is about.
pub fn describe(tables: &[&[Metric]]) {
    for metric in tables.iter().copied().flatten() {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}

/// Runs beside a service for as long as it lives: histograms queue every value until somebody takes them out, and a
/// process that nobody scrapes must not grow.
pub async fn keep_up(handle: PrometheusHandle) {
    let mut rounds = tokio::time::interval(KEEP_UP_EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        handle.run_upkeep();
        busy::publish();
    }
}

/// The list of a service's metrics for people, in Markdown.
#[must_use]
pub fn document(service: &str, tables: &[&[Metric]]) -> String {
    let mut rows: Vec<&Metric> = tables.iter().copied().flatten().collect();
    rows.sort_by_key(|metric| metric.name);
    let mut text = format!(
        "# Metrics of the {service}\n\nMade from `crates/{service}/src/metrics/table.rs`: run its tests with \
         `OSS_GENERATE=1`.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
    );
    for Metric { name, kind, labels, help } in rows {
        let line = format!("| `{name}` | {} | {} | {help} |\n", kind.word(), labels.join(", "));
        text.push_str(&line);
    }
    text
}

/// What a page in the text format shows: metric name → (kind, names of labels). `le` of a histogram's buckets is
/// not a label of the metric.
#[must_use]
pub fn shown(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            if let Some((name, kind)) = rest.split_once(' ') {
                kind.clone_into(&mut found.entry(name.to_owned()).or_default().0);
            }
            continue;
        }
        let name_end = line.find(['{', ' ']).unwrap_or(line.len());
        let sample = line.get(..name_end).unwrap_or_default();
        let whole = ["_bucket", "_sum", "_count"].iter().filter_map(|end| sample.strip_suffix(end));
        let Some(name) = whole.chain([sample]).find(|name| found.contains_key(*name)) else { continue };
        let labels = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
        let labels = labels.map(|(labels, _)| label_names(labels)).unwrap_or_default();
        if let Some((_, known)) = found.get_mut(name) {
            known.extend(labels);
        }
    }
    found
}

/// The names in `a="…",b="…"`; a value may hold commas and escaped quotes.
fn label_names(mut labels: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    while let Some((name, rest)) = labels.split_once("=\"") {
        if name != "le" {
            names.insert(name.to_owned());
        }
        let mut escaped = false;
        let end = rest.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        labels = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default().trim_start_matches(',');
    }
    names
}

/// The faults of a page against the tables: a metric or label that no row has. With `is_whole` also rows that the
/// page does not show.
#[must_use]
pub fn faults(page: &str, tables: &[&[Metric]], is_whole: bool) -> Vec<String> {
    let rows: BTreeMap<&str, &Metric> =
        tables.iter().copied().flatten().map(|metric| (metric.name, metric)).collect();
    let shown = shown(page);
    let mut faults = Vec::new();
    for (name, (kind, labels)) in &shown {
        let Some(row) = rows.get(name.as_str()) else {
            faults.push(format!("{name} is in no table"));
            continue;
        };
        if row.kind.word() != kind {
            faults.push(format!("{name} is a {kind}, its row says {}", row.kind.word()));
        }
        let known: BTreeSet<&str> = row.labels.iter().copied().collect();
        faults.extend(
            labels
                .iter()
                .filter(|label| !known.contains(label.as_str()))
                .map(|label| format!("{name} has a label {label} that its row does not name")),
        );
        if is_whole {
            let missing = known.iter().filter(|label| !labels.contains(**label));
            faults.extend(missing.map(|label| format!("{name} never has its label {label}")));
        }
    }
    if is_whole {
        let silent = rows.keys().filter(|name| !shown.contains_key(**name));
        faults.extend(silent.map(|name| format!("{name} is in the table and never set")));
    }
    faults
}

#[cfg(test)]
mod tests;
