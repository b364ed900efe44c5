//! `testkit storm --minutes N --seed S`: a storm of any length, in a network namespace of its own.
//!
//! The binaries are those beside it: `cargo build --bins` first.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use testkit::storm::{self, Options};

/// Set for the process inside the namespace.
const INSIDE: &str = "OSS_STORM_INSIDE";
/// A new namespace's loopback is down. Debian keeps `ip` where only root's PATH looks.
const START: &str = r#"PATH="$PATH:/usr/sbin:/sbin" ip link set lo up && exec "$0" "$@""#;

#[derive(Debug, Parser)]
#[command(name = "testkit", about = "Runs of Oracle State Synchronizer that no test has time for")]
struct Arguments {
    #[command(subcommand)]
    command: Job,
}

#[derive(Debug, Clone, Copy, Subcommand)]
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
}

fn main() -> ExitCode {
    let Job::Storm { minutes, seed, rate } = Arguments::parse().command;
    if std::env::var_os(INSIDE).is_none() {
        return enter();
    }
    let clock = || UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos()));
    let seed = seed.unwrap_or_else(clock);
    eprintln!("storm: seed {seed}, {minutes} minutes, {rate} requests/s");
    let options = Options { seed, length: Duration::from_secs_f64(minutes * 60.0), per_second: rate };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(storm::run(options)) {
        Ok(report) => {
            eprintln!("{report:#?}");
            ExitCode::SUCCESS
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
        eprintln!("storm: no network namespace of its own is to be had; it shares the machine's");
        Command::new(itself)
    };
    fail(&command.args(std::env::args_os().skip(1)).env(INSIDE, "1").exec())
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes: Vec<String> = causes.map(|cause| format!(": {cause}")).collect();
    eprintln!("storm: {error}{}", causes.concat());
    ExitCode::FAILURE
}
