//! Runs that no test has time for, each in a network namespace of its own; `docs/testing.md` says what each one shows.
//!
//! The services' binaries are those beside it: `cargo build --bins` first.

use std::fmt::Display;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use testkit::drive;
use testkit::outage;
use testkit::soak;
use testkit::storm;
use testkit::takeover;

/// Set for the process inside the namespace.
const INSIDE: &str = "OSS_TESTKIT_INSIDE";
/// A new namespace's loopback is down. Debian keeps `ip` where only root's PATH looks.
const START: &str = r#"PATH="$PATH:/usr/sbin:/sbin" ip link set lo up && exec "$0" "$@""#;

/// How often `drive` says how many requests it has sent.
const TELL_EVERY: usize = 50;

#[derive(Debug, Parser)]
#[command(name = "testkit", about = "Runs of Oracle State Synchronizer that no test has time for")]
struct Arguments {
    #[command(subcommand)]
    command: Job,
}

#[derive(Debug, Clone, Subcommand)]
enum Job {
    /// A whole stack under load while everything around it fails; then every invariant is checked.
    Storm {
        #[arg(long, default_value_t = 1.0)]
        minutes: f64,
        /// Decides the load and all faults; without it the clock does, and it is printed.
        #[arg(long)]
        seed: Option<u64>,
        /// Requests offered per second.
        #[arg(long, default_value_t = 25)]
        rate: u32,
    },
    /// Of two validators the one that leads is killed, under load, again and again: how long until the other one works.
    Takeover {
        #[arg(long, default_value_t = 20)]
        times: usize,
        /// Decides the load and when each kill comes.
        #[arg(long)]
        seed: Option<u64>,
        /// Requests offered per second.
        #[arg(long, default_value_t = 25)]
        rate: u32,
    },
    /// A chain is dead and a source a black hole while the same load runs as without: what does not need them must not
    /// notice.
    Outage {
        /// Length of each half of a round, one with the faults and one without.
        #[arg(long, default_value_t = 3.0)]
        minutes: f64,
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Requests per second that need neither; a third as many need one of them.
        #[arg(long, default_value_t = 15)]
        rate: u32,
    },
    /// Load for a deployment that runs already, and every check of what became of it (`scripts/compose-kills.sh`).
    Drive(DriveArgs),
    /// Many requests about the same few assets, a full backlog and a full memory: nothing grows with them.
    Soak {
        #[arg(long, default_value_t = 200_000)]
        requests: usize,
        /// Decides the load.
        #[arg(long)]
        seed: Option<u64>,
    },
}

#[derive(Debug, Clone, Args)]
struct DriveArgs {
    /// The one URL of all services.
    #[arg(long)]
    url: String,
    /// JSON with a key per scope: `submit`, `read`, `operate`, `regulate`.
    #[arg(long)]
    keys: PathBuf,
    /// The deployment's targets file.
    #[arg(long)]
    targets: PathBuf,
    /// A target chain as NAME=RPC-URL; may be repeated.
    #[arg(long = "chain", required = true)]
    chains: Vec<String>,
    #[arg(long, default_value = "ust-par-yield")]
    source: String,
    #[arg(long, default_value_t = 500)]
    requests: usize,
    #[arg(long, default_value_t = 50)]
    assets: usize,
    /// Requests per second.
    #[arg(long, default_value_t = 25)]
    rate: u32,
}

fn main() -> ExitCode {
    let job = Arguments::parse().command;
    // What somebody else runs is not to be reached from a namespace of one's own.
    if std::env::var_os(INSIDE).is_none() && !matches!(job, Job::Drive(_)) {
        return enter();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match job {
        Job::Storm { minutes, seed, rate } => {
            let seed = seed_or_clock(seed);
            eprintln!("storm: seed {seed}, {minutes} minutes, {rate} requests/s");
            let length = Duration::from_secs_f64(minutes * 60.0);
            match runtime.block_on(storm::run(storm::Options { seed, length, per_second: rate })) {
                Ok(report) => {
                    eprintln!("{report:#?}");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error),
            }
        }
        Job::Takeover { times, seed, rate } => {
            let seed = seed_or_clock(seed);
            eprintln!("takeover: seed {seed}, {times} times, {rate} requests/s");
            let done = runtime.block_on(takeover::run(takeover::Options { seed, times, per_second: rate }));
            verdict(done, |report| report.within(takeover::BOUND) == times)
        }
        Job::Drive(args) => match args.options() {
            Ok(options) => verdict(runtime.block_on(drive::run(options, tell)), |report| {
                report.ends.len() == 1 && report.ends.contains_key("completed")
            }),
            Err(error) => fail(&error),
        },
        Job::Soak { requests, seed } => {
            let seed = seed_or_clock(seed);
            eprintln!("soak: seed {seed}, {requests} requests");
            let done = runtime.block_on(soak::run(soak::Options { seed, requests }));
            verdict(done, |report| report.grown().is_empty())
        }
        Job::Outage { minutes, rounds, rate } => {
            let (length, deadline) = (Duration::from_secs_f64(minutes * 60.0), Duration::from_secs(30));
            let options = outage::Options { length, rounds, per_second: rate, deadline };
            let done = runtime.block_on(outage::run(options));
            verdict(done, |report| report.ratio().max(report.committed_ratio()) <= outage::RATIO_MAX)
        }
    }
}

impl DriveArgs {
    fn options(self) -> Result<drive::Options, testkit::RunError> {
        let Self { url, keys, targets, chains, source, requests, assets, rate } = self;
        let (tokens, targets) = (read_json(&keys)?, read_json(&targets)?);
        let pair = |text: &String| text.split_once('=').map(|(name, url)| (name.into(), url.into()));
        let chains = chains.iter().filter_map(pair).collect();
        let run = format!("drive{}", seed_or_clock(None));
        Ok(drive::Options { url, tokens, targets, chains, source, requests, assets, per_second: rate, run })
    }
}

fn tell(sent: usize) {
    if sent.is_multiple_of(TELL_EVERY) {
        eprintln!("drive: sent {sent}");
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Result<T, testkit::RunError> {
    let bytes = std::fs::read(path)?;
    serde_json::from_slice(&bytes).map_err(|_| testkit::RunError::Broken("a JSON file is not as expected"))
}

fn seed_or_clock(seed: Option<u64>) -> u64 {
    seed.unwrap_or_else(|| UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos())))
}

/// Prints the report; what it says is good or not.
fn verdict<R: Display>(done: Result<R, testkit::RunError>, is_good: impl FnOnce(&R) -> bool) -> ExitCode {
    match done {
        Ok(report) => {
            eprintln!("{report}");
            if is_good(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(&error),
    }
}

/// Runs itself again where nobody else uses ports; where that is not allowed, among everybody else.
fn enter() -> ExitCode {
    let itself = match std::env::current_exe() {
        Ok(path) => path,
        Err(error) => return fail(&error),
    };
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let is_allowed = |way: &&&[&str]| {
        let tried = Command::new("unshare").args(**way).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let mut command = if let Some(way) = ways.iter().find(is_allowed) {
        let mut command = Command::new("unshare");
        command.args(*way).args(["sh", "-c", START]).arg(itself);
        command
    } else {
        eprintln!("testkit: no network namespace of its own is to be had; it shares the machine's");
        Command::new(itself)
    };
    fail(&command.args(std::env::args_os().skip(1)).env(INSIDE, "1").exec())
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes: Vec<String> = causes.map(|cause| format!(": {cause}")).collect();
    eprintln!("testkit: {error}{}", causes.concat());
    ExitCode::FAILURE
}
