//! Takeovers: of two validators the one that leads is killed, again and again, and the time is taken until the other
//! one does its work.
//!
//! In: a seed, which decides the load and when in the life of a lease each kill comes; how often. Out: a [`Report`] with
//! two times per kill, from `kill -9` on: until the other one says that it leads, and until a request that was sent
//! right after the kill is committed in every shard. Load runs all the time, and every invariant is checked at the end.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use common::ids::{AssetId, Shard};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::checker::Summary;
use crate::load::{ASSETS, Acknowledged, Client, Generator, Planned, Shape, offer};
use crate::run::{RunError, percentile, settle};
use crate::stack::{Api, Plan, Role, Service, Stack};

/// The validators' default.
const LEASE_TTL: Duration = Duration::from_secs(3);
const RENEW_MS: u64 = 1_000;
/// What a takeover may take.
pub const BOUND: Duration = Duration::from_secs(4);
const TENANT: &str = "demo";
const TARGET: &str = "sink";
const PATIENCE: Duration = Duration::from_mins(1);
const READY_WITHIN: Duration = Duration::from_mins(1);
const DRAINED_WITHIN: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub seed: u64,
    pub times: usize,
    /// Requests offered per second.
    pub per_second: u32,
}

/// One kill.
#[derive(Debug, Clone, Copy)]
pub struct Takeover {
    pub killed: Service,
    /// Until the other one leads.
    pub leads: Duration,
    /// Until it has committed in every shard.
    pub commits: Duration,
}

#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub takeovers: Vec<Takeover>,
    /// Leases of the validators over all shards.
    pub epochs: usize,
    pub summary: Summary,
}

impl Report {
    /// How many took no longer than `bound`.
    #[must_use]
    pub fn within(&self, bound: Duration) -> usize {
        self.takeovers.iter().filter(|takeover| takeover.commits <= bound).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kill  killed       leads ms  commits ms")?;
        for (n, takeover) in self.takeovers.iter().enumerate() {
            let killed = format!("{}-{}", takeover.killed.role.name(), takeover.killed.index);
            let (leads, commits) = (takeover.leads.as_millis(), takeover.commits.as_millis());
            writeln!(f, "{:>4}  {killed:<11}  {leads:>8}  {commits:>10}", n + 1)?;
        }
        let columns = [
            self.takeovers.iter().map(|takeover| takeover.leads.as_millis()).collect::<Vec<_>>(),
            self.takeovers.iter().map(|takeover| takeover.commits.as_millis()).collect(),
        ];
        for (name, of) in [("min", 1), ("median", 50), ("max", 100)] {
            let [leads, commits] = columns.each_ref().map(|column| percentile(column, of).unwrap_or(0));
            writeln!(f, "{name:<17}  {leads:>8}  {commits:>10}")?;
        }
        let (within, all) = (self.within(BOUND), self.takeovers.len());
        let (bound, ttl) = (BOUND.as_millis(), LEASE_TTL.as_millis());
        writeln!(f, "{within} of {all} within {bound} ms (a lease lives {ttl} ms); {} epochs", self.epochs)?;
        write!(f, "{:?}", self.summary)
    }
}

/// Runs all takeovers.
///
/// # Errors
/// Nobody takes over, something is lost, or an invariant does not hold. A slow takeover is no error here.
pub async fn run(options: Options) -> Result<Report, RunError> {
    let mut stack = Stack::start(Plan { validators: 2, ..Plan::default() }).await?;
    match kill_in_turn(&mut stack, options).await {
        Ok(report) => Ok(report),
        Err(error) => {
            eprintln!("{}", stack.log_tails(20));
            Err(error)
        }
    }
}

async fn kill_in_turn(stack: &mut Stack, options: Options) -> Result<Report, RunError> {
    let Options { seed, times, per_second } = options;
    let client = Client::new(stack.api(), PATIENCE);
    let tenant = TENANT.parse().map_err(|_| RunError::Broken("the tenant is none"))?;
    let shape = Shape { seed, tenant, chains: vec![TARGET.to_owned()], source: None };
    let mut generator = Generator::new(shape);
    let mut sent = generator.registrations();
    let mut acknowledged = client.send_all(sent.clone(), 1).await?;
    let (calm, calm_seen) = watch::channel(false);
    let loading = tokio::spawn(offer(client, generator, per_second, calm_seen));

    let mut random = StdRng::seed_from_u64(seed);
    let mut takeovers = Vec::new();
    for n in 0..times {
        let killed = pair(stack).await?;
        // The lease may have any age up to a renewal when its holder dies.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..RENEW_MS))).await;
        let probes = probes(seed, n)?;
        stack.kill(killed)?;
        let began = Instant::now();
        let api = stack.api();
        let committing = commit_all(&api, &probes, began);
        let (leads, commits) = tokio::try_join!(led_by_another(stack, killed, began), committing)?;
        takeovers.push(Takeover { killed, leads, commits });
        acknowledged.extend(probes.iter().map(Acknowledged::once));
        sent.extend(probes);
        stack.launch(killed)?;
    }
    calm.send_replace(true);
    let (more, answered) = loading.await??;
    sent.extend(more);
    acknowledged.extend(answered);
    pair(stack).await?;
    let (evidence, summary) = settle(stack, &sent, &acknowledged, DRAINED_WITHIN).await?;
    let bodies = evidence.logs.values().flatten().filter_map(|entry| entry.decode().ok());
    let epochs: BTreeSet<_> = bodies.map(|body| (body.shard, body.epoch)).collect();
    Ok(Report { seed, takeovers, epochs: epochs.len(), summary })
}

/// Waits until one validator leads and the other one could; answers the first.
async fn pair(stack: &Stack) -> Result<Service, RunError> {
    let deadline = Instant::now() + READY_WITHIN;
    let validators = [0, 1].map(|index| Service { role: Role::Validator, index });
    loop {
        if let Some(leader) = stack.leader().await {
            let other = validators.into_iter().find(|service| *service != leader);
            let state = match other {
                Some(other) => stack.state(other).await,
                None => String::new(),
            };
            if state == "standby" {
                return Ok(leader);
            }
        }
        if Instant::now() > deadline {
            return Err(RunError::Failed("there is no standby beside a leader".to_owned()));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn led_by_another(stack: &Stack, killed: Service, began: Instant) -> Result<Duration, RunError> {
    while stack.leader().await.is_none_or(|leader| leader == killed) {
        if began.elapsed() > PATIENCE {
            return Err(RunError::Failed("nobody takes over".to_owned()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(began.elapsed())
}

/// A request for an asset of each shard.
fn probes(seed: u64, n: usize) -> Result<Vec<Planned>, RunError> {
    let tenant = TENANT.parse().map_err(|_| RunError::Broken("the tenant is none"))?;
    let of_shard = |shard: Shard| {
        let is_of = |asset: &&&str| asset.parse().is_ok_and(|asset: AssetId| asset.shard() == shard);
        let asset = ASSETS.iter().find(is_of).ok_or(RunError::Broken("a shard has no asset"))?;
        let mint = json!({"kind": "MINT", "to": "acct:0", "amount": "1"});
        let body = json!({"asset": {"id": asset}, "state_changes": [mint]});
        let key = format!("takeover-{seed}-{n}-{shard}");
        Planned::new(&tenant, &key, body).ok_or(RunError::Broken("a probe is not well formed"))
    };
    Shard::ALL.into_iter().map(of_shard).collect()
}

/// Sends all at once; answers when the last one was committed.
async fn commit_all(api: &Api, probes: &[Planned], began: Instant) -> Result<Duration, RunError> {
    let mut tasks = JoinSet::new();
    for probe in probes {
        let (api, probe) = (api.clone(), probe.clone());
        tasks.spawn(async move {
            let request = api.request(Method::POST, "/v1/sync-requests").json(&probe.body);
            let request = request.header("Idempotency-Key", &probe.key).header("Prefer", "wait=30");
            let answer = Api::send(request).await?;
            match answer.status {
                200 => Ok(began.elapsed()),
                status => Err(RunError::Failed(format!("a probe was answered {status}: {}", answer.body))),
            }
        });
    }
    let mut last = Duration::ZERO;
    while let Some(done) = tasks.join_next().await {
        last = last.max(done??);
    }
    Ok(last)
}
