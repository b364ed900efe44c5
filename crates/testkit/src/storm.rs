//! A storm: a whole stack under load while everything around it fails, then peace, then every invariant.
//!
//! In: a seed, which decides the load and every fault, and a length. Out: a [`Report`], or the first thing that is
//! not as it must be. Two phases. *Safety*: faults of every kind come and go, up to three at once, while
//! requests are sent until each is acknowledged. *Liveness*: nothing fails any more, and everything must drain.
//! The checks read logs, HTTP answers and chains only. What a process does at which moment is not decided by the
//! seed: the same seed gives the same storm, not the same run.

mod fault;
mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use crate::anvil::AnvilError;
use crate::checker::{self, GatherError, Sightings, Summary, Violation};
use crate::load::{Acknowledged, Client, Generator, LoadError, Sent, Shape, offer};
use crate::redis::RedisServerError;
use crate::stack::{Api, NULL_SOURCE, Plan, Role, Service, Stack, StackError};

pub use fault::Fault;
use weather::Weather;

/// Faults at one moment.
const ACTIVE_MAX: usize = 3;
const CHAINS: [(&str, u64); 3] = [("base", 8_453), ("arbitrum", 42_161), ("optimism", 10)];
const TENANT: &str = "demo";
/// Per cent of the requests that name a source.
const SOURCED: u8 = 30;
/// How long one request is repeated: longer than anything is away, and than a lease that a moved clock makes longer.
const PATIENCE: Duration = Duration::from_mins(3);
const DRAINED_WITHIN: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub seed: u64,
    /// Of the safety phase.
    pub length: Duration,
    /// Requests offered per second.
    pub per_second: u32,
}

/// What a storm was, and what came through it.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// Requests that had to be sent more than once.
    pub repeated: usize,
    /// Processes that gave up by themselves and were started again.
    pub gave_up: usize,
    /// Bytes that Redis had written and power cuts took, none of them answered for.
    pub bytes_cut: u64,
    /// Leases of the validators.
    pub epochs: usize,
    /// Entries that were seen while the storm went on.
    pub seen: usize,
    pub drained_in: Duration,
    pub summary: Summary,
}

#[derive(Debug, thiserror::Error)]
pub enum StormError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Gather(#[from] GatherError),
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("a task of the storm ended")]
    Task(#[from] JoinError),
    #[error("{service:?} ended with {status}, which no fault excuses")]
    Final { service: Service, status: std::process::ExitStatus },
    #[error("redis could not be made to fail")]
    Redis(#[from] RedisServerError),
    #[error("a chain could not be made to fail")]
    Anvil(#[from] AnvilError),
    #[error("the storm itself is broken: {0}")]
    Broken(&'static str),
    #[error("a service panicked: {0:?}")]
    Panics(Vec<String>),
    #[error("{rid} was to be rejected with {code}, it is {said}")]
    NotRejected { rid: common::ids::Rid, code: &'static str, said: String },
}

fn plan() -> Plan {
    let settings = vec![
        // A dead collector's requests are taken over soon, or a storm would wait a minute for each.
        (Role::Collector, "OSS__COLLECT__CLAIM_IDLE_MS", "2000".to_owned()),
        (Role::Broadcaster, "OSS__LANE__LEASE_TTL_MS", "1500".to_owned()),
    ];
    Plan {
        chains: CHAINS.to_vec(),
        collectors: 2,
        validators: 2,
        broadcasters: 2,
        fragile: true,
        settings,
        ..Plan::default()
    }
}

/// Runs a storm from start to end.
///
/// # Errors
/// See [`StormError`]; whatever it is, the seed makes the storm again.
pub async fn run(options: Options) -> Result<Report, StormError> {
    let mut stack = Stack::start(plan()).await?;
    match weather_through(&mut stack, options).await {
        Ok(report) => Ok(report),
        Err(error) => {
            eprintln!("{}", stack.log_tails(20));
            Err(error)
        }
    }
}

async fn weather_through(stack: &mut Stack, options: Options) -> Result<Report, StormError> {
    let client = Client::new(stack.api(), PATIENCE);
    let chains = CHAINS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let tenant = TENANT.parse().map_err(|_| StormError::Broken("the tenant is none"))?;
    let shape = Shape { seed: options.seed, tenant, chains, source: Some((NULL_SOURCE, SOURCED.into())) };
    let mut generator = Generator::new(shape);
    let mut sent = generator.registrations();
    let mut acknowledged = client.send_all(sent.clone(), 1).await?;

    let (calm, calm_seen) = watch::channel(false);
    let looking = tokio::spawn(look_on(stack.api(), calm_seen.clone()));
    let sending = tokio::spawn(offer(client, generator, options.per_second, calm_seen));
    let mut weather = Weather::new(StdRng::seed_from_u64(options.seed), stack);
    let until = Instant::now() + options.length;
    while Instant::now() < until && !sending.is_finished() {
        weather.pass(stack, ACTIVE_MAX).await?;
        tokio::time::sleep(POLL).await;
    }
    weather.clear(stack).await?;
    calm.send_replace(true);
    let (more, answered) = supervised(sending, stack, &mut weather).await??;
    sent.extend(more);
    acknowledged.extend(answered);

    let calmed = Instant::now();
    stack.wait_ready().await?;
    checker::drained(&stack.api(), &acknowledged, DRAINED_WITHIN).await?;
    let drained_in = calmed.elapsed();
    let mut evidence = checker::gather(stack, &sent, &acknowledged).await?;
    evidence.seen = looking.await?.into_seen();
    let summary = checker::check_all(&evidence)?;
    checker::seen_stays(&evidence)?;
    rejected_as_foretold(&stack.api(), &acknowledged).await?;
    let panics = stack.panics();
    if !panics.is_empty() {
        return Err(StormError::Panics(panics));
    }
    let bodies = evidence.logs.values().flatten().filter_map(|entry| entry.decode().ok());
    let epochs: BTreeSet<_> = bodies.map(|body| (body.shard, body.epoch)).collect();
    Ok(Report {
        seed: options.seed,
        repeated: acknowledged.iter().filter(|request| request.sent > 1).count(),
        gave_up: weather.gave_up(),
        bytes_cut: weather.bytes_cut(),
        faults: weather.into_faults(),
        epochs: epochs.len(),
        seen: evidence.seen.len(),
        drained_in,
        summary,
    })
}

/// Waits for the senders, starting again what gives up meanwhile.
async fn supervised(
    sending: JoinHandle<Sent>,
    stack: &mut Stack,
    weather: &mut Weather,
) -> Result<Sent, StormError> {
    while !sending.is_finished() {
        weather.supervise(stack)?;
        tokio::time::sleep(POLL).await;
    }
    Ok(sending.await?)
}

async fn look_on(api: Api, mut calm: watch::Receiver<bool>) -> Sightings {
    let mut sightings = Sightings::default();
    loop {
        sightings.look(&api).await;
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = calm.wait_for(|calm| *calm) => return sightings,
        }
    }
}

/// What nothing could save was rejected with its code, unless its time was over first.
async fn rejected_as_foretold(api: &Api, acknowledged: &[Acknowledged]) -> Result<(), StormError> {
    for request in acknowledged {
        let Some(code) = request.doomed else { continue };
        let answer = api.status(request.rid).await.map_err(StackError::Api)?;
        let told = (answer.text("/status"), answer.text("/code"));
        if told != ("rejected", code) && told.0 != "expired" {
            let said = answer.body.to_string();
            return Err(StormError::NotRejected { rid: request.rid, code, said });
        }
    }
    Ok(())
}
