//! What one entry holds for one target: its updates, split into parts and signed.
//!
//! In: an entry's updates. Out: the JSON of a [`OutBody`], or nothing when no update names the target. Updates
//! stand in the order of their key hashes, at most 50 in a part; headers for EVM targets are signed here, after
//! COMMIT, because signatures are not in the log. For one entry, target and key the bytes are always the same.

use std::collections::BTreeMap;

use common::bridge::{Domain, Header, OutBody, PART_UPDATES_MAX, Part, Update, updates_hash};
use common::entry::{AssetUpdate, Body, InputStream};
use common::hash::Digest;
use common::ids::{Name, Rid, Shard};
use common::keys::asset_key;
use common::proof::key_hash;
use common::targets::{Target, TargetKind};
use serde::Deserialize;

use crate::signer::{Signer, SignerError};

/// Most requests whose trace context travels with an entry.
const TRACES_MAX: usize = 16;

/// The part of an entry that leaves for targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) shard: Shard,
    pub(crate) seq: u64,
    pub(crate) root: Digest,
    pub(crate) updates: Vec<AssetUpdate>,
    /// W3C trace context by request id.
    pub(crate) traces: BTreeMap<String, String>,
}

/// One target with what signing for it needs.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) name: Name,
    signing: Option<Signing>,
}

#[derive(Debug, Clone)]
struct Signing {
    domain: Domain,
    set_id: u64,
}

impl Address {
    #[must_use]
    pub(crate) fn of(target: &Target) -> Self {
        let signing = match (target.kind, target.chain_id, target.contract, target.set_id) {
            (TargetKind::Evm, Some(chain_id), Some(contract), Some(set_id)) => {
                Some(Signing { domain: Domain::new(chain_id, contract), set_id })
            }
            // A list of targets holds no incomplete EVM target.
            _ => None,
        };
        Self { name: target.name.clone(), signing }
    }
}

impl Work {
    #[must_use]
    pub(crate) fn of(body: &Body) -> Self {
        Self {
            shard: body.shard,
            seq: body.seq,
            root: body.root,
            updates: body.updates.clone(),
            traces: if body.updates.is_empty() { BTreeMap::new() } else { traces(body) },
        }
    }

    /// The bytes for `:out:<target>`; `None` = nothing for it.
    ///
    /// # Errors
    /// A header could not be signed.
    pub(crate) fn for_target(
        &self,
        target: &Address,
        signer: &Signer,
    ) -> Result<Option<Vec<u8>>, SignerError> {
        let mut updates: Vec<Update> =
            self.updates.iter().filter_map(|update| addressed(update, &target.name)).collect();
        if updates.is_empty() {
            return Ok(None);
        }
        updates.sort_unstable_by_key(|update| update.asset);
        let chunks: Vec<&[Update]> = updates.chunks(PART_UPDATES_MAX).collect();
        // An entry has at most 256 requests of one asset each.
        let parts = u16::try_from(chunks.len()).unwrap_or(u16::MAX);
        let signed: Result<Vec<Part>, SignerError> = (0..)
            .zip(chunks)
            .map(|(part, updates)| self.part(part, parts, updates, target, signer))
            .collect();
        let body = OutBody {
            v: 1,
            shard: self.shard,
            seq: self.seq,
            root: self.root,
            parts: signed?,
            traces: self.traces.clone(),
        };
        // Serializing plain data into memory cannot fail.
        Ok(Some(serde_json::to_vec(&body).unwrap_or_default()))
    }

    fn part(
        &self,
        part: u16,
        parts: u16,
        updates: &[Update],
        target: &Address,
        signer: &Signer,
    ) -> Result<Part, SignerError> {
        let header = Header {
            shard: u32::from(self.shard.number()),
            seq: self.seq,
            part,
            parts,
            set_id: target.signing.as_ref().map_or(0, |signing| signing.set_id),
            updates_hash: updates_hash(updates),
            state_root: self.root,
        };
        let sig = match &target.signing {
            None => None,
            Some(signing) => Some(hex::encode_prefixed(signer.sign(&signing.domain.digest(&header))?.0)),
        };
        Ok(Part { header, updates: updates.to_vec(), sig })
    }
}

fn addressed(update: &AssetUpdate, target: &Name) -> Option<Update> {
    update.from.get(target).map(|from| Update {
        asset: key_hash(&asset_key(&update.asset)),
        from: *from,
        version: update.version,
        state_hash: update.state_hash,
    })
}

/// The trace contexts of the entry's requests, by request id.
pub(crate) fn traces(body: &Body) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Traced {
        rid: Rid,
        traceparent: String,
    }
    let traced = body
        .inputs
        .iter()
        .filter(|input| input.s != InputStream::Receipts && input.m.get().contains("\"traceparent\""))
        .filter_map(|input| serde_json::from_str::<Traced>(input.m.get()).ok());
    traced.take(TRACES_MAX).map(|traced| (traced.rid.to_string(), traced.traceparent)).collect()
}

#[cfg(test)]
mod tests;
