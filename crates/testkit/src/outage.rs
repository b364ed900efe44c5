//! An outage: one chain is dead and one source a black hole, and everything else must not notice (I14).
//!
//! In: a length, rounds, a rate. Out: a [`Report`]. A round is two halves under the same load, one without faults and one
//! with them, in turns first. The load is *calm* requests, on two chains that live and in part with a source that answers, and
//! *stuck* ones, on an asset of the dead chain or with the dead source. Per half: how many calm requests were sent and
//! completed, and the 95th percentile of their time until committed and until completed. The calm ones of a half with
//! faults must all complete before the faults end. Afterwards the stuck ones must end too, and no collector's
//! place and no lane's entry may still be held.

mod load;
mod watch;

use std::fmt;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::checker::{self, Summary};
use crate::ports;
use crate::proxy::{Path, Proxy};
use crate::run::{Behind, RunError, percentile, settle};
use crate::stack::{Link, Plan, Programs, Role, Stack};

use load::{Calm, Load};
pub use watch::Peak;
use watch::Watch;

/// What the median ratio of the 95th percentiles may be, in hundredths.
pub const RATIO_MAX: u64 = 125;
const CHAINS: [(&str, u64); 3] = [("base", 8_453), ("arbitrum", 42_161), (DEAD_CHAIN, 10)];
const DEAD_CHAIN: &str = "optimism";
/// The source of `oss init` whose URL is a path that can fail.
const DEAD_SOURCE: &str = "ust-par-yield";
const DRAINED_WITHIN: Duration = Duration::from_mins(4);
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Of each half.
    pub length: Duration,
    pub rounds: usize,
    /// Calm requests per second; a third as many are stuck.
    pub per_second: u32,
    /// How long a collector waits for the sources of one request.
    pub deadline: Duration,
}

/// One half of a round.
#[derive(Debug, Clone)]
pub struct Half {
    pub sent: usize,
    pub completed: usize,
    pub committed_p95: Duration,
    pub completed_p95: Duration,
    /// Requests on the dead chain or with the dead source.
    pub stuck: usize,
    pub peak: Peak,
}

#[derive(Debug)]
pub struct Report {
    /// Without faults, with them.
    pub rounds: Vec<(Half, Half)>,
    pub summary: Summary,
}

impl Report {
    /// The median over the rounds of the two halves' 95th percentiles until completed, in hundredths.
    #[must_use]
    pub fn ratio(&self) -> u64 {
        self.median(|half| half.completed_p95)
    }

    /// The same until committed.
    #[must_use]
    pub fn committed_ratio(&self) -> u64 {
        self.median(|half| half.committed_p95)
    }

    fn median(&self, of: fn(&Half) -> Duration) -> u64 {
        let ratios = self.rounds.iter().map(|(without, with)| hundredths(of(with), of(without)));
        percentile(&ratios.collect::<Vec<_>>(), 50).unwrap_or(u64::MAX)
    }
}

fn hundredths(of: Duration, to: Duration) -> u64 {
    let (of, to) = (of.as_micros().saturating_mul(100), to.as_micros().max(1));
    u64::try_from(of / to).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "round  faults   calm sent  completed  stuck  p95 committed ms  p95 completed ms  {}",
            Peak::HEAD
        )?;
        for (n, (without, with)) in self.rounds.iter().enumerate() {
            for (name, half) in [("without", without), ("with", with)] {
                let (committed, completed) = (half.committed_p95.as_millis(), half.completed_p95.as_millis());
                let Half { sent, completed: done, stuck, peak, .. } = half;
                writeln!(
                    f,
                    "{:>5}  {name:<7}  {sent:>9}  {done:>9}  {stuck:>5}  {committed:>16}  {completed:>16}  {peak}",
                    n + 1,
                )?;
            }
            let ratio = |of: fn(&Half) -> Duration| hundredths(of(with), of(without));
            let (committed, completed) = (ratio(|half| half.committed_p95), ratio(|half| half.completed_p95));
            writeln!(f, "{:>5}  ratio    {committed:>59} %  {completed:>14} %", n + 1)?;
        }
        writeln!(f, "median ratio: committed {} %, completed {} %", self.committed_ratio(), self.ratio())?;
        write!(f, "{:?}", self.summary)
    }
}

/// Runs all rounds.
///
/// # Errors
/// A calm request does not complete, something stays held, or an invariant does not hold. A high ratio is no error
/// here.
pub async fn run(options: Options) -> Result<Report, RunError> {
    let source = rate_source().await?;
    let settings =
        vec![(Role::Collector, "OSS__COLLECT__DEADLINE_MS", options.deadline.as_millis().to_string())];
    let plan = Plan {
        chains: CHAINS.to_vec(),
        // What is measured is what the services do, not how long a chain takes to be sure.
        tier: "latest",
        fragile: true,
        rate_url: Some(format!("http://127.0.0.1:{}/rate.json", source.proxy.port())),
        settings,
        ..Plan::default()
    };
    let mut stack = Stack::start(plan).await?;
    match rounds(&mut stack, &source.proxy, options).await {
        Ok(report) => Ok(report),
        Err(error) => {
            eprintln!("{}", stack.log_tails(20));
            Err(error)
        }
    }
}

/// The stand-in of the reference rate, behind a path.
async fn rate_source() -> Result<Behind, RunError> {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
    let mut command = Command::new(Programs::find()?.oss());
    command.args(["--quiet", "rate-source", "--listen", &address.to_string()]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(Behind { child, proxy: Proxy::start(address).await? })
}

async fn rounds(stack: &mut Stack, source: &Proxy, options: Options) -> Result<Report, RunError> {
    let mut load = Load::start(stack.api()).await?;
    let mut rounds = Vec::new();
    for n in 0..options.rounds {
        let (without, with) = if n % 2 == 0 {
            let without = half(stack, source, &mut load, options, None).await?;
            (without, half(stack, source, &mut load, options, Some(n)).await?)
        } else {
            let with = half(stack, source, &mut load, options, Some(n)).await?;
            (half(stack, source, &mut load, options, None).await?, with)
        };
        let (count, all) = (n + 1, options.rounds);
        eprintln!(
            "round {count} of {all}: {:?} without, {:?} with",
            without.completed_p95, with.completed_p95
        );
        rounds.push((without, with));
    }
    let (sent, acknowledged) = load.into_sent();
    let (_, summary) = settle(stack, &sent, &acknowledged, DRAINED_WITHIN).await?;
    Ok(Report { rounds, summary })
}

/// One half; with faults if it is told the round's number.
async fn half(
    stack: &Stack,
    source: &Proxy,
    load: &mut Load,
    options: Options,
    faults: Option<usize>,
) -> Result<Half, RunError> {
    let chain = Link::Chain(DEAD_CHAIN.to_owned());
    if let Some(round) = faults {
        // A chain may be gone or silent; a source that is a black hole is the worse one.
        stack.set_path(&chain, if round % 2 == 0 { Path::Held } else { Path::Cut })?;
        source.set(Path::Held);
    }
    let mut watch = Watch::default();
    let offered = load.offer(options.length, options.per_second, async || watch.look(stack).await).await;
    // The faults stand until here.
    let (calm, stuck) = offered?;
    stack.set_path(&chain, Path::Open)?;
    source.set(Path::Open);
    checker::drained(&stack.api(), load.acknowledged(), DRAINED_WITHIN).await?;
    nothing_held(stack).await?;
    let of = |part: fn(&Calm) -> Duration| {
        percentile(&calm.iter().map(part).collect::<Vec<_>>(), 95).unwrap_or_default()
    };
    Ok(Half {
        sent: calm.len(),
        completed: calm.iter().filter(|request| request.is_completed).count(),
        committed_p95: of(|request| request.committed),
        completed_p95: of(|request| request.completed),
        stuck,
        peak: watch.peak(),
    })
}

/// After everything has ended no place of a collector and no entry of a lane is held.
async fn nothing_held(stack: &Stack) -> Result<(), RunError> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let mut watch = Watch::default();
        watch.look(stack).await?;
        let peak = watch.peak();
        if peak.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(RunError::Failed(format!("held after everything has ended: {peak:?}")));
        }
        tokio::time::sleep(POLL).await;
    }
}
