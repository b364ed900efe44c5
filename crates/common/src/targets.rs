//! The targets file: one JSON file that validator and broadcaster mount and the collector reads for names.
//!
//! `{"targets": [{"name", "kind", "chain_id", "contract", "tier", "set_id", "retired"}]}`. Its canonical content
//! (sorted by name, this field order) is what a TARGETS entry logs; `head.targets` is the SHA-256 of it.
//!
//! A name means one contract for ever. What a target has is known from the log alone, so a name that were taken
//! away for a while, or given to another contract, would expect versions that its chain never gets. Therefore a
//! list follows another only if it keeps all of its names ([`Targets::check_follows`]); a target that is given up
//! stays in the list as `retired`, and a chain that comes back gets a new name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bridge::Address;
use crate::hash::Digest;
use crate::ids::Name;

/// One place that every update of its assets goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub name: Name,
    pub kind: TargetKind,
    /// EIP-155 chain id; EVM targets only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<u64>,
    /// The `StateBridge` contract; EVM targets only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Address>,
    /// When a transaction counts as final; EVM targets only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// The validator set that signs for it; EVM targets only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_id: Option<u64>,
    /// Given up for ever: nothing goes to it and nobody waits for it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
}

impl Target {
    /// A target of kind `null` in use.
    #[must_use]
    pub const fn null(name: Name) -> Self {
        Self {
            name,
            kind: TargetKind::Null,
            chain_id: None,
            contract: None,
            tier: None,
            set_id: None,
            retired: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    Evm,
    /// Takes everything and sends nothing: for benches.
    Null,
}

/// The block tag whose number a transaction's block must not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    Latest,
    Safe,
    Finalized,
}

/// All targets, retired ones too, sorted by name; names are distinct and EVM targets complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Targets {
    targets: Vec<Target>,
}

/// The targets file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetsError {
    #[error("cannot read the targets file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the targets file {path} is not valid")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("target {name} is named twice")]
    Twice { name: Name },
    #[error(
        "targets {first} and {second} are in use on the same chain {chain_id}: their senders would share nonces"
    )]
    SameChain { first: Name, second: Name, chain_id: u64 },
    #[error("target {name} of kind {kind:?} has a wrong or missing field: {field}")]
    Field { name: Name, kind: TargetKind, field: &'static str },
}

/// A list that may not come after another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfollowed {
    #[error("target {name} is missing: what is given up stays in the file with \"retired\": true")]
    Missing { name: Name },
    #[error("target {name} was retired and cannot come back: give the chain a new name")]
    Revived { name: Name },
    #[error("target {name} has another {field} than before: give it a new name and retire this one")]
    Changed { name: Name, field: &'static str },
}

impl Targets {
    /// # Errors
    /// A name stands twice, two targets in use share a chain (a gas wallet has one journal of nonces a chain, see
    /// the broadcaster), or a target lacks a field of its kind or has one of another kind.
    pub fn new(mut targets: Vec<Target>) -> Result<Self, TargetsError> {
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        let mut names = BTreeSet::new();
        let mut chains = BTreeMap::new();
        for target in &targets {
            if !names.insert(&target.name) {
                return Err(TargetsError::Twice { name: target.name.clone() });
            }
            if let Some(chain_id) = target.chain_id.filter(|_| !target.retired)
                && let Some(first) = chains.insert(chain_id, &target.name)
            {
                let (first, second) = (first.clone(), target.name.clone());
                return Err(TargetsError::SameChain { first, second, chain_id });
            }
            let evm = target.kind == TargetKind::Evm;
            for (field, present) in [
                ("chain_id", target.chain_id.is_some()),
                ("contract", target.contract.is_some()),
                ("tier", target.tier.is_some()),
                ("set_id", target.set_id.is_some()),
            ] {
                if present != evm {
                    return Err(TargetsError::Field { name: target.name.clone(), kind: target.kind, field });
                }
            }
        }
        Ok(Self { targets })
    }

    /// # Errors
    /// The file cannot be read, is not JSON of the form above, or breaks a rule of [`Self::new`].
    pub fn load(path: &Path) -> Result<Self, TargetsError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            targets: Vec<Target>,
        }
        let bytes =
            std::fs::read(path).map_err(|source| TargetsError::Read { path: path.to_owned(), source })?;
        let file: File = serde_json::from_slice(&bytes)
            .map_err(|source| TargetsError::Json { path: path.to_owned(), source })?;
        Self::new(file.targets)
    }

    /// Those in use: all but the retired ones.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| !target.retired)
    }

    /// A target in use.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Target> {
        self.find(name).filter(|target| !target.retired)
    }

    fn find(&self, name: &Name) -> Option<&Target> {
        self.targets.binary_search_by(|target| target.name.cmp(name)).ok().map(|index| &self.targets[index])
    }

    /// Whether this list may take the place of `before`. New names, another tier or signing set may come.
    ///
    /// # Errors
    /// The first target of `before` that is missing, back in use, or another one.
    pub fn check_follows(&self, before: &Self) -> Result<(), Unfollowed> {
        for old in &before.targets {
            let name = old.name.clone();
            let Some(new) = self.find(&old.name) else { return Err(Unfollowed::Missing { name }) };
            if old.retired && !new.retired {
                return Err(Unfollowed::Revived { name });
            }
            let changed = [
                ("kind", new.kind != old.kind),
                ("chain_id", new.chain_id != old.chain_id),
                ("contract", new.contract != old.contract),
            ];
            if let Some((field, _)) = changed.into_iter().find(|(_, changed)| *changed) {
                return Err(Unfollowed::Changed { name, field });
            }
        }
        Ok(())
    }

    /// Canonical JSON bytes, as a TARGETS entry holds them.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Serializing plain data into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of [`Self::canonical`]; `head.targets`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[&self.canonical()])
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            targets: Vec<Target>,
        }
        let wire = Wire::deserialize(deserializer)?;
        Self::new(wire.targets).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
