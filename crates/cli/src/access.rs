//! Where a stack is and with which key to talk to it.
//!
//! `oss up` and `oss init` write `secrets/operator/stack.json` into the data folder; `OSS_URL` (one origin in front of all
//! services) and `OSS_KEY` stand above it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use common::auth::Scope;
use common::bridge::Address;
use common::ids::Name;
use serde::{Deserialize, Serialize};

use crate::args::Global;

/// Name of the stack file in the data folder.
pub(crate) const STACK_FILE: &str = "secrets/operator/stack.json";

/// What other commands need to know of a stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StackFile {
    /// Base URLs of the services' APIs.
    pub(crate) collector: String,
    pub(crate) validator: String,
    pub(crate) broadcaster: String,
    pub(crate) keys: Tokens,
    pub(crate) targets_file: PathBuf,
    /// RPC URL per target chain.
    pub(crate) chains: BTreeMap<Name, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redis_url: Option<String>,
    /// The chain whose token's events back mints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_chain: Option<SourceChain>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SourceChain {
    pub(crate) rpc: String,
    pub(crate) token: Address,
}

/// One full token `oss_<id>_<secret>` per scope of clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    pub(crate) submit: String,
    pub(crate) read: String,
    pub(crate) operate: String,
    pub(crate) regulate: String,
}

impl Tokens {
    pub(crate) fn of(&self, scope: Scope) -> &str {
        match scope {
            Scope::Submit => &self.submit,
            Scope::Read => &self.read,
            // `operate` opens what `peer` does.
            Scope::Operate | Scope::Peer => &self.operate,
            Scope::Regulate => &self.regulate,
        }
    }
}

/// The services and the keys to use.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) collector: String,
    pub(crate) validator: String,
    keys: AccessKeys,
}

#[derive(Debug, Clone)]
enum AccessKeys {
    /// The user's own key, for everything.
    One(String),
    PerScope(Tokens),
}

impl StackFile {
    pub(crate) fn load(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(STACK_FILE);
        let bytes = std::fs::read(&path).with_context(|| {
            format!("cannot read {}: start a stack with `oss up`, or set OSS_URL and OSS_KEY", path.display())
        })?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not a stack file", path.display()))
    }

    pub(crate) fn access(&self) -> Access {
        Access {
            collector: self.collector.clone(),
            validator: self.validator.clone(),
            keys: AccessKeys::PerScope(self.keys.clone()),
        }
    }
}

impl Access {
    /// The options' origin and key, else the stack file's.
    pub(crate) fn find(global: &Global) -> anyhow::Result<Self> {
        let mut access = match (&global.url, &global.api_key) {
            (Some(url), Some(key)) => {
                let url = origin(url)?;
                return Ok(Self {
                    collector: url.clone(),
                    validator: url,
                    keys: AccessKeys::One(key.clone()),
                });
            }
            _ => StackFile::load(&global.data)?.access(),
        };
        if let Some(url) = &global.url {
            let url = origin(url)?;
            access = Self { collector: url.clone(), validator: url, ..access };
        }
        if let Some(key) = &global.api_key {
            access.keys = AccessKeys::One(key.clone());
        }
        Ok(access)
    }

    pub(crate) fn token(&self, scope: Scope) -> &str {
        match &self.keys {
            AccessKeys::One(key) => key,
            AccessKeys::PerScope(tokens) => tokens.of(scope),
        }
    }
}

/// A base URL without a slash at its end.
pub(crate) fn origin(url: &str) -> anyhow::Result<String> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        bail!("{url:?} is not an http or https URL");
    }
    Ok(url.trim_end_matches('/').to_owned())
}
