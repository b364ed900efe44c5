//! `oss bench scaling`: what more collectors bring while a slow source is what a request waits for.
//!
//! One `null` source of 100 ms, and each collector takes so few requests at one time that it is never the processor it
//! waits for: N collectors do N times as much until the machine is full. Out: a table with the CPU time beside,
//! `scaling.json` and `scaling.svg`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;

use super::chart::{self, Bar, Chart};
use super::machine::Part;
use super::measure::{self, Way};
use super::requests::{ASSETS, NULL_SOURCE, NULL_TARGET, Shape};
use super::target::{Plan, Target};
use super::{load, on_stack};
use crate::args::ScalingArgs;
use crate::exit::Exit;
use crate::stack::files;
use crate::stack::settings::Tuning;
use crate::ui::{self, Ui};

/// Each collector is measured for about so long.
const SECONDS: f64 = 5.0;

/// The content of `scaling.json`.
#[derive(Debug, Serialize)]
struct Report {
    source_ms: u64,
    in_flight_max: u16,
    cores: usize,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Serialize)]
struct Step {
    collectors: u8,
    requests: u32,
    per_second: f64,
    /// What the source allows: every place of every collector taken all the time.
    at_most: f64,
    /// To what the first row makes of each of its collectors, times these.
    of_linear: f64,
    /// CPU time of each program per request, microseconds.
    cpu_us: BTreeMap<Part, f64>,
    /// Share of the cores that all of them used.
    busy: f64,
}

pub(super) async fn run(args: &ScalingArgs, ui: &Ui) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut steps: Vec<Step> = Vec::new();
    for collectors in &args.collectors {
        let tuning = Tuning { in_flight_max: Some(args.in_flight), ..Plan::roomy() };
        let plan = Plan {
            targets: &[NULL_TARGET],
            sources: &[NULL_SOURCE],
            source_ms: args.source_ms,
            collectors: *collectors,
            tuning,
        };
        let step = on_stack(&plan, &args.programs, ui, async |target| {
            measure_one(target, args, *collectors, cores, ui).await
        });
        let mut step = step.await?;
        let each = steps.first().unwrap_or(&step);
        step.of_linear =
            step.per_second / f64::from(*collectors) / (each.per_second / f64::from(each.collectors));
        ui.progress(format!(
            "{collectors} collectors: {:.0}/s, x{:.2} of linear",
            step.per_second, step.of_linear
        ));
        steps.push(step);
    }
    let report = Report { source_ms: args.source_ms, in_flight_max: args.in_flight, cores, steps };
    files::write_json(&args.out.join("scaling.json"), &report, files::Access::Everybody)?;
    chart::draw(&args.out.join("scaling.svg"), &report.chart())?;
    ui.result(&report, || report.human())?;
    ui.progress(format!("written: {}", args.out.join("scaling.{json,svg}").display()));
    Ok(Exit::Done)
}

async fn measure_one(
    target: &Target,
    args: &ScalingArgs,
    collectors: u8,
    cores: usize,
    ui: &Ui,
) -> anyhow::Result<Step> {
    let shape = Shape::find(&target.tenant, true)?;
    target.set_up((0..ASSETS).map(|asset| shape.setup(asset)), "scaling", ui).await?;
    let places = u32::from(collectors) * u32::from(args.in_flight);
    let at_most = f64::from(places) * 1e3 / super::float(args.source_ms);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive count")]
    let requests = (at_most * SECONDS).ceil() as u32;
    let pattern = load::Pattern {
        connections: 64,
        // Twice the places: there is always a next one.
        in_flight: places * 2,
        per_second: None,
        send_only: false,
    };
    // Connections and caches.
    measure::send(target, measure::prepare(target, &shape, places)?, pattern).await?;
    let prepared = measure::prepare(target, &shape, requests)?;
    let before = measure::Before::read(target).await?;
    let outcome = measure::send(target, prepared, pattern).await?;
    let per_second = f64::from(requests) / outcome.seconds;
    let pass = before.made(target, Way::NullSource, requests, per_second, outcome.refused).await?;
    let used_us: f64 = pass.cpu_us.values().sum();
    let busy = used_us * per_second / 1e6 / super::float(cores as u64);
    Ok(Step { collectors, requests, per_second, at_most, of_linear: 1.0, cpu_us: pass.cpu_us, busy })
}

impl Report {
    fn human(&self) -> String {
        let mut table = ui::table([
            "collectors",
            "requests/s",
            "the source allows",
            "of linear",
            "CPU us each",
            "of the cores",
        ]);
        for step in &self.steps {
            table.add_row([
                step.collectors.to_string(),
                format!("{:.1}", step.per_second),
                format!("{:.0}", step.at_most),
                format!("{:.2}", step.of_linear),
                format!("{:.0}", step.cpu_us.values().sum::<f64>()),
                format!("{:.0} %", step.busy * 100.0),
            ]);
        }
        format!(
            "one null source of {} ms, {} requests at one time per collector, {} cores\n{table}",
            self.source_ms, self.in_flight_max, self.cores
        )
    }

    fn chart(&self) -> Chart {
        let bars = self.steps.iter().map(|step| Bar {
            label: format!("{} collectors", step.collectors),
            figures: format!("{:.0}/s, x{:.2} of linear", step.per_second, step.of_linear),
            value: step.per_second,
            target: Some(step.at_most),
            is_beside: false,
        });
        let caption =
            format!("one source of {} ms, {} requests per collector", self.source_ms, self.in_flight_max);
        Chart { caption, unit: "requests per second", bars: bars.collect() }
    }
}
