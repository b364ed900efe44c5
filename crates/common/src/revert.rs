//! What a REVERT takes back (DESIGN §8): the payload of its `:ctl` entry, written by COMMIT and read by every lane.
//!
//! `{seq, covers: [{asset, chain, from, version}]}`; `asset` is the key hash an update carries, `chain` a target's name.
//! An update is covered iff same asset and chain, `update.from ≥ from` and `update.version < version`.

use serde::{Deserialize, Serialize};

use crate::entry::{Body, EntryKind};
use crate::hash::Digest;
use crate::ids::Name;
use crate::keys::asset_key;
use crate::proof::key_hash;

/// All covers of one REVERT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverted {
    /// The REVERT's entry.
    pub seq: u64,
    pub covers: Vec<Cover>,
}

/// One asset's reach on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    pub asset: Digest,
    pub chain: Name,
    pub from: u64,
    pub version: u64,
}

impl Reverted {
    /// Of an entry; `None` = it is no REVERT.
    #[must_use]
    pub fn of(body: &Body) -> Option<Self> {
        let covers = body.updates.iter().flat_map(|update| {
            let asset = key_hash(&asset_key(&update.asset));
            let cover = move |(chain, from): (&Name, &u64)| Cover {
                asset,
                chain: chain.clone(),
                from: *from,
                version: update.version,
            };
            update.from.iter().map(cover)
        });
        (body.kind == EntryKind::Revert).then(|| Self { seq: body.seq, covers: covers.collect() })
    }

    /// The bytes of the `:ctl` entry.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Serializing plain data into memory cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Cover {
    /// Whether an update of the cover's asset and chain is taken back.
    #[must_use]
    pub const fn covers(&self, from: u64, version: u64) -> bool {
        from >= self.from && version < self.version
    }
}
