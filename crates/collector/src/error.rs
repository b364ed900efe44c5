//! Why the collector cannot start.

use common::auth::KeyFileError;
use common::config::ConfigError;
use common::link::LinkError;
use common::targets::TargetsError;

use crate::source::CatalogError;

/// A fault at start. Every variant but the last two is one of settings or files: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Targets(#[from] TargetsError),
    #[error(transparent)]
    Sources(#[from] CatalogError),
    #[error("{0}")]
    Source(String),
    #[error("the HTTP client cannot be made")]
    Client(#[from] reqwest::Error),
    #[error("redis: {0}")]
    Redis(#[from] LinkError),
    #[error("cannot listen on {address}")]
    Listen { address: String, source: std::io::Error },
}

impl StartError {
    /// The exit code this ends the process with: a restart helps only against the last two.
    #[must_use]
    pub const fn exit_code(&self) -> i32 {
        match self {
            Self::Redis(_) | Self::Listen { .. } => common::exit::ESSENTIAL,
            _ => common::exit::CONFIG,
        }
    }
}
