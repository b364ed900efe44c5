//! What a stack consists of, the names of its parts, and what can go wrong with it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::ApiError;
use crate::anvil::AnvilError;
use crate::redis::RedisServerError;

/// The collector's null source in every stack.
pub const NULL_SOURCE: &str = "quiet";

/// The three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Validator,
    Collector,
    Broadcaster,
}

impl Role {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Collector => "collector",
            Self::Broadcaster => "broadcaster",
        }
    }
}

/// One process of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    pub role: Role,
    pub index: usize,
}

/// What a stack consists of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name and chain id of target chains, each on an anvil of its own.
    pub chains: Vec<(&'static str, u64)>,
    /// Targets that take everything and send nothing. Used only without chains.
    pub null_targets: Vec<&'static str>,
    pub collectors: usize,
    pub validators: usize,
    pub broadcasters: usize,
    /// How long the source [`NULL_SOURCE`] takes.
    pub source_delay_ms: u64,
    /// When a transaction is final: `latest`, `safe` or `finalized`.
    pub tier: &'static str,
    /// Every service reaches Redis, and every chain is reached, over a path that can fail; Redis' power can be cut and
    /// its clock moved.
    pub fragile: bool,
    /// Where the source `ust-par-yield` of a stack with chains asks; `None` = nobody listens there.
    pub rate_url: Option<String>,
    /// Further settings of a role, as `OSS__…` variables.
    pub settings: Vec<(Role, &'static str, String)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            chains: Vec::new(),
            null_targets: vec!["sink"],
            collectors: 1,
            validators: 1,
            broadcasters: 1,
            source_delay_ms: 5,
            tier: "finalized",
            fragile: false,
            rate_url: None,
            settings: Vec::new(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("a file or process could not be used")]
    Io(#[from] io::Error),
    #[error("{path} is missing: build the binaries with `make unit`, or name their folder with OSS_BIN_DIR")]
    Binary { path: PathBuf },
    #[error(transparent)]
    Redis(#[from] RedisServerError),
    #[error(transparent)]
    Anvil(#[from] AnvilError),
    #[error("oss init failed:\n{output}")]
    Init { output: String },
    #[error("a configuration file is not what was expected: {file}")]
    Configuration { file: &'static str },
    #[error("{name} ended by itself ({status}); the end of its log:\n{tail}")]
    Ended { name: String, status: ExitStatus, tail: String },
    #[error("{name} was not ready in time, it says {said}; the end of its log:\n{tail}")]
    NotReady { name: String, said: String, tail: String },
    #[error("the stack has no such part: {name}")]
    NoSuchPart { name: String },
    #[error(transparent)]
    Api(#[from] ApiError),
}
