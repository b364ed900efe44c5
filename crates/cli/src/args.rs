//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use common::bridge::Address;
use common::hash::Digest;
use common::ids::{IdempotencyKey, Name, Rid, Shard};
use common::targets::Tier;

#[derive(Debug, Parser)]
#[command(
    name = "oss",
    version,
    about = "Oracle State Synchronizer: run a stack, send requests, check results"
)]
#[command(
    after_help = "Exit codes: 0 done, 1 a check failed, 2 rejected, 3 rolled back, 4 timeout, 5 unreachable, 64 usage"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Form of the result on stdout
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// No progress on stderr
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// Folder of the stack's data; other commands find the running stack there
    #[arg(long, global = true, env = "OSS_DATA", default_value = ".oss", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// One origin for all services, instead of the stack file's
    #[arg(long, global = true, env = "OSS_URL")]
    pub(crate) url: Option<String>,
    /// API key, instead of the stack file's
    #[arg(long, global = true, env = "OSS_KEY", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) api_key: Option<String>,
    /// Give up after this many seconds
    #[arg(long, global = true, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start Redis, four chains and the three services on this machine, until Ctrl-C
    Up(UpArgs),
    /// Create keys, contracts and configuration files where they are missing
    Init(InitArgs),
    /// Serve the recorded reference rate over HTTP
    RateSource(RateSourceArgs),
    /// Walk a bond through the whole path and check the result on every chain
    Demo(DemoArgs),
    /// Send a sync request
    Submit(SubmitArgs),
    /// Show a request
    Get(GetArgs),
    /// Say where a request is, what holds it, and how long each stage took
    Explain(ExplainArgs),
    /// Follow a request to its end
    Watch(WatchArgs),
    /// Undo a request that no later one rests on
    Rollback(RollbackArgs),
    /// Check a proof or a log by recomputing it
    #[command(subcommand)]
    Verify(VerifyCommand),
    /// Look at an installation and say what is wrong with it
    Doctor(DoctorArgs),
    /// Measure this machine
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// First of a run of ports: collector +0 (admin +1), validator +2 (+3), broadcaster +4 (+5), redis +6, rate +7,
    /// source chain +8, base +9, arbitrum +10, optimism +11. Without it every port is a free one
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    pub(crate) port_base: Option<u16>,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

/// Where the programs are that a stack consists of.
#[derive(Debug, Clone, Args)]
pub(crate) struct Programs {
    /// anvil; without it PATH and contracts/node_modules are searched
    #[arg(long, env = "OSS_ANVIL", value_name = "FILE")]
    pub(crate) anvil: Option<PathBuf>,
    /// redis-server; without it PATH is searched
    #[arg(long, env = "OSS_REDIS_SERVER", value_name = "FILE")]
    pub(crate) redis_server: Option<PathBuf>,
    /// Folder of the services' binaries; without it the folder of this one
    #[arg(long, env = "OSS_BIN_DIR", value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folder for the files
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// A target chain as NAME=RPC-URL; may be repeated
    #[arg(long = "chain", required = true, value_name = "NAME=URL")]
    pub(crate) chains: Vec<NamedUrl>,
    /// RPC URL of the chain whose token's events back mints
    #[arg(long, value_name = "URL")]
    pub(crate) source_chain: String,
    /// URL of the reference rate's JSON document
    #[arg(long, value_name = "URL")]
    pub(crate) rate_url: String,
    /// Redis to wait for
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// When a transaction counts as final
    #[arg(long, value_parser = parse_tier, default_value = "finalized")]
    pub(crate) tier: Tier,
    /// Public base URLs for the stack file
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Option<String>,
    /// Seconds to wait for chains and Redis
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(crate) wait: u64,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Redis, instead of the stack file's
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub(crate) redis_url: Option<String>,
    /// File with the password of Redis' user `admin`, instead of the stack's
    #[arg(long, value_name = "FILE")]
    pub(crate) redis_password_file: Option<PathBuf>,
    /// PEM: who may have signed Redis' certificate (rediss://), in place of those the system trusts
    #[arg(long, value_name = "FILE")]
    pub(crate) redis_ca_file: Option<PathBuf>,
    /// PEM: a client certificate for Redis
    #[arg(long, value_name = "FILE", requires = "redis_key_file")]
    pub(crate) redis_cert_file: Option<PathBuf>,
    /// PEM: its key
    #[arg(long, value_name = "FILE", requires = "redis_cert_file")]
    pub(crate) redis_key_file: Option<PathBuf>,
    /// A service's admin port as NAME=URL; may be repeated; of a host name every address of one family (IPv4 if it
    /// has any) is asked. Without it those of the settings in the stack's folder
    #[arg(long, value_name = "NAME=URL")]
    pub(crate) admin: Vec<NamedUrl>,
}

#[derive(Debug, Args)]
pub(crate) struct RateSourceArgs {
    /// host:port
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Use the running stack of --data instead of a fresh one
    #[arg(long)]
    pub(crate) attach: bool,
    /// Keep the fresh stack's data folder
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// JSON of the request; `-` reads stdin
    pub(crate) file: PathBuf,
    /// Idempotency key: sent again, it gives the first answer and does nothing twice
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<IdempotencyKey>,
    /// Wait until it is committed or ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// What to wait for; implies --wait
    #[arg(long, value_enum)]
    pub(crate) until: Option<Until>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    Committed,
    Completed,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Request id
    pub(crate) rid: Rid,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Request id
    pub(crate) rid: Rid,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Id of the request to undo
    pub(crate) rid: Rid,
    /// Only say what would be undone, or what is in the way
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Idempotency key: sent again, it asks for the rollback there is; a fresh one if left out
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<IdempotencyKey>,
    /// What to wait for: that the log has undone it, or that every chain has
    #[arg(long, value_enum, default_value_t = Until::Completed)]
    pub(crate) until: Until,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Request id
    pub(crate) rid: Rid,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VerifyCommand {
    /// Check a state proof offline
    Proof(VerifyProofArgs),
    /// Fetch a shard's log, check its chain of digests and replay it
    Log(VerifyLogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyProofArgs {
    /// JSON of the proof; `-` reads stdin
    pub(crate) file: PathBuf,
    /// The root the proof must be against, from a source you trust
    #[arg(long)]
    pub(crate) root: Option<Digest>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyLogArgs {
    #[arg(long, default_value = "financial")]
    pub(crate) shard: Shard,
    /// A recorded log (one entry a line) instead of the validator's
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// Record the entries, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "from_file")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Durable throughput and latency beside a bare relay in the same run
    Throughput(ThroughputArgs),
    /// The article's case: three sources of 100 ms, three targets of 80 ms, with the sequential way beside
    Article(ArticleArgs),
    /// One to several collectors before a source of 100 ms
    Scaling(ScalingArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ArticleArgs {
    /// Requests sent one at a time, whose median is reported
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) requests: u32,
    /// Folder for article.json and article.svg
    #[arg(long, default_value = "bench", value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

#[derive(Debug, Args)]
pub(crate) struct ScalingArgs {
    /// Numbers of collectors, each measured on a stack of its own
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4], value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) collectors: Vec<u8>,
    /// Requests that one collector collects for at one time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) in_flight: u16,
    /// How long the source takes
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) source_ms: u64,
    /// Folder for scaling.json and scaling.svg
    #[arg(long, default_value = "bench", value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

#[derive(Debug, Args)]
pub(crate) struct ThroughputArgs {
    /// Requests per measurement
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=2_000_000))]
    pub(crate) requests: u32,
    /// Alternating repetitions; medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=21))]
    pub(crate) runs: u8,
    /// Which requests to measure
    #[arg(long, value_enum, default_value_t = BenchSources::Both)]
    pub(crate) sources: BenchSources,
    /// Requests in flight at once
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) in_flight: u32,
    /// Keep-alive connections of the load
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) connections: u16,
    /// Folder for throughput.json and throughput.svg
    #[arg(long, default_value = "bench", value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) programs: Programs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchSources {
    /// Nothing to collect
    None,
    /// One `null` source without delay: both hops of stage 1
    Null,
    Both,
}

impl BenchSources {
    pub(crate) const fn direct(self) -> bool {
        matches!(self, Self::None | Self::Both)
    }

    pub(crate) const fn sourced(self) -> bool {
        matches!(self, Self::Null | Self::Both)
    }
}

/// `NAME=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedUrl {
    pub(crate) name: Name,
    pub(crate) url: String,
}

impl FromStr for NamedUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, url) = text.split_once('=').ok_or("expected NAME=URL")?;
        let name = name.parse().map_err(|error: common::ids::IdError| error.to_string())?;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err("expected an http or https URL after the =".to_owned());
        }
        Ok(Self { name, url: url.to_owned() })
    }
}

fn parse_tier(text: &str) -> Result<Tier, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| "expected latest, safe or finalized".to_owned())
}

/// An address in the form the chains' tools print it.
pub(crate) fn address(address: alloy::primitives::Address) -> Address {
    Address(address.into_array())
}
