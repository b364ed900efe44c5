//! Why the broadcaster cannot start. Each names the file or setting at fault.

use std::path::PathBuf;

use common::auth::KeyFileError;
use common::config::ConfigError;
use common::ids::{IdError, Name};
use common::link::LinkError;
use common::targets::TargetsError;

use crate::target::evm::WalletError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("settings: instance is not a usable name")]
    Instance(#[source] IdError),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Targets(#[from] TargetsError),
    #[error(transparent)]
    Wallet(#[from] WalletError),
    #[error("cannot read the endpoints file {path}")]
    EndpointsRead { path: PathBuf, source: std::io::Error },
    /// URLs carry keys, and the parser's words quote them.
    #[error(
        "the endpoints file {path} is not {{\"<target>\": {{\"rpc\": [\"http://…\"]}}}} (line {line}, column {column})"
    )]
    EndpointsJson { path: PathBuf, line: usize, column: usize },
    #[error("target {target} has no endpoint in the endpoints file")]
    NoEndpoint { target: Name },
    #[error("redis cannot be used")]
    Redis(#[from] LinkError),
    #[error("cannot listen on {address}")]
    Listen { address: String, source: std::io::Error },
}

impl StartError {
    /// The exit code: settings are for a person to mend, the rest for a restart.
    #[must_use]
    pub const fn exit_code(&self) -> i32 {
        match self {
            Self::Redis(_) | Self::Listen { .. } => common::exit::ESSENTIAL,
            _ => common::exit::CONFIG,
        }
    }
}
