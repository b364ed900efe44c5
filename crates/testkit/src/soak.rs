//! A soak: many requests about the same few assets, and memory that must not grow with them (I12).
//!
//! In: how many requests, a seed. Out: a [`Report`]. Three thirds of plain load; between the first and the second the
//! backlog is filled to its bound and then Redis' memory, and each time requests are refused with 503, what was
//! accepted is decided, and requests are accepted again. What is compared is the second third with the last: resident
//! memory of every process, and what Redis uses beside its records of ended requests, which are bounded by time and
//! number (200,000 or 15 minutes' worth, whichever is more) and counted apart.

mod episodes;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use common::ids::Rid;

use crate::checker::{self, Summary};
use crate::load::{Acknowledged, Client, Generator, Shape};
use crate::run::RunError;
use crate::stack::{NULL_SOURCE, Plan, Role, Stack};

pub use episodes::{Backlog, Memory};
use memory::{Part, Sampler, Third};

const TENANT: &str = "demo";
const TARGET: &str = "sink";
const SENDERS: usize = 32;
/// Per cent of the requests that name a source.
const SOURCED: u32 = 10;
const CHUNK: usize = 500;
/// Of so many requests one is asked for at the end; what the log says is checked of all.
const ASKED: usize = 100;
/// Small, so that the bound is reached soon.
const BACKLOG_MAX: usize = 2_000;
/// Small, so that the caches are full in the first third: what grows later is something else.
const CACHE_BYTES: u64 = 4 << 20;
const PATIENCE: Duration = Duration::from_mins(2);
const DRAINED_WITHIN: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub seed: u64,
    pub requests: usize,
}

#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub acknowledged: usize,
    pub took: Duration,
    pub backlog: Backlog,
    pub memory: Memory,
    /// Medians of the thirds, per part.
    pub parts: BTreeMap<Part, [Third; 3]>,
    pub summary: Summary,
}

impl Report {
    /// What grew from the second third to the last by more than the margin.
    #[must_use]
    pub fn grown(&self) -> Vec<Part> {
        let parts = self.parts.iter().filter(|(_, [_, middle, last])| last.is_above(*middle));
        parts.map(|(part, _)| *part).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, acknowledged, took, .. } = self;
        writeln!(f, "seed {seed}: {acknowledged} requests acknowledged in {:.0} s", took.as_secs_f64())?;
        writeln!(f, "{}\n{}", self.backlog, self.memory)?;
        writeln!(f, "median KiB           first third  middle third  last third")?;
        for (part, [first, middle, last]) in &self.parts {
            let mark = if last.is_above(*middle) { "  GREW" } else { "" };
            writeln!(f, "{:<19}  {first:>11}  {middle:>12}  {last:>10}{mark}", part.name())?;
        }
        writeln!(f, "margin of the last third over the middle one: {}", Third::MARGIN)?;
        write!(f, "{:?}", self.summary)
    }
}

/// Runs a soak from start to end.
///
/// # Errors
/// A part does not refuse, drain or recover as it must, or an invariant does not hold. Growth is no error here.
pub async fn run(options: Options) -> Result<Report, RunError> {
    let settings = vec![
        (Role::Collector, "OSS__LIMITS__BACKLOG_MAX", BACKLOG_MAX.to_string()),
        (Role::Validator, "OSS__VIEW__CACHE_BYTES", CACHE_BYTES.to_string()),
    ];
    let mut stack = Stack::start(Plan { settings, ..Plan::default() }).await?;
    match soak(&mut stack, options).await {
        Ok(report) => Ok(report),
        Err(error) => {
            eprintln!("{}", stack.log_tails(20));
            Err(error)
        }
    }
}

/// The load, and what is remembered of it: not its bodies, there are too many.
#[derive(Debug)]
struct Load {
    client: Client,
    generator: Generator,
    submitted: BTreeSet<(Rid, common::hash::Digest)>,
    asked: Vec<Acknowledged>,
}

impl Load {
    async fn start(stack: &Stack, seed: u64) -> Result<Self, RunError> {
        let client = Client::new(stack.api(), PATIENCE);
        let tenant = TENANT.parse().map_err(|_| RunError::Broken("the tenant is none"))?;
        let source = Some((NULL_SOURCE, SOURCED));
        let mut generator = Generator::new(Shape { seed, tenant, chains: vec![TARGET.to_owned()], source });
        let registrations = generator.registrations();
        let mut load = Self { client, generator, submitted: BTreeSet::new(), asked: Vec::new() };
        let acknowledged = load.client.send_all(registrations, 1).await?;
        load.note(acknowledged);
        Ok(load)
    }

    fn note(&mut self, acknowledged: Vec<Acknowledged>) {
        for request in acknowledged {
            if self.submitted.len().is_multiple_of(ASKED) {
                self.asked.push(request.clone());
            }
            self.submitted.insert((request.rid, request.fp));
        }
    }

    /// Sends so many requests, each until it is acknowledged, and looks at the memory now and then.
    async fn send(&mut self, stack: &Stack, count: usize, sampler: &mut Sampler) -> Result<(), RunError> {
        let mut left = count;
        while left > 0 {
            let chunk: Vec<_> = (0..left.min(CHUNK)).map(|_| self.generator.request()).collect();
            left -= chunk.len();
            let acknowledged = self.client.send_all(chunk, SENDERS).await?;
            self.note(acknowledged);
            sampler.look(stack)?;
        }
        Ok(())
    }
}

async fn soak(stack: &mut Stack, options: Options) -> Result<Report, RunError> {
    let Options { seed, requests } = options;
    let began = Instant::now();
    let mut load = Load::start(stack, seed).await?;
    let third = (requests / 3).max(1);
    let mut samplers = [Sampler::default(), Sampler::default(), Sampler::default()];
    let [first, middle, last] = &mut samplers;
    load.send(stack, third, first).await?;
    eprintln!("soak: a third is through after {:.0} s", began.elapsed().as_secs_f64());
    let backlog = episodes::full_backlog(stack, &mut load, BACKLOG_MAX).await?;
    let memory = episodes::full_memory(stack, &mut load).await?;
    load.send(stack, third, middle).await?;
    eprintln!("soak: two thirds are through after {:.0} s", began.elapsed().as_secs_f64());
    load.send(stack, requests.saturating_sub(2 * third), last).await?;
    let took = began.elapsed();

    checker::drained(&stack.api(), &load.asked, DRAINED_WITHIN).await?;
    let mut evidence = checker::gather(stack, &[], &load.asked).await?;
    evidence.submitted.clone_from(&load.submitted);
    let summary = checker::check_all(&evidence)?;
    all_decided_once(&evidence, &load)?;
    let panics = stack.panics();
    if !panics.is_empty() {
        return Err(RunError::Panics(panics));
    }
    let acknowledged = load.submitted.len();
    Ok(Report { seed, acknowledged, took, backlog, memory, parts: memory::compare(&samplers), summary })
}

/// Every acknowledged request has exactly one deciding outcome in the log (I1), those too that are not asked for.
fn all_decided_once(evidence: &checker::Evidence, load: &Load) -> Result<(), RunError> {
    let mut times: BTreeMap<Rid, usize> = BTreeMap::new();
    for entry in evidence.logs.values().flatten() {
        let body = entry.decode().map_err(|_| RunError::Broken("an entry cannot be read"))?;
        for outcome in body.outcomes.iter().filter(|outcome| outcome.outcome.is_deciding()) {
            *times.entry(outcome.rid).or_default() += 1;
        }
    }
    let wrong = load.submitted.iter().find(|(rid, _)| times.get(rid) != Some(&1));
    match wrong {
        Some((rid, _)) => {
            let count = times.get(rid).copied().unwrap_or(0);
            Err(RunError::Failed(format!("request {rid} has {count} deciding outcomes")))
        }
        None => Ok(()),
    }
}
