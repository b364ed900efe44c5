//! The contract `StateBridge` as this service speaks it (DESIGN §10): calls out, events in.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, Log};
use alloy::sol_types::{SolCall as _, SolEvent as _};
use common::bridge::{Part, Update};
use common::link::Item;

use crate::receipt::Landing;

mod bridge {
    alloy::sol! {
        struct Header {
            uint32 shard;
            uint64 seq;
            uint16 part;
            uint16 parts;
            uint64 setId;
            bytes32 updatesHash;
            bytes32 stateRoot;
        }
        struct Update {
            bytes32 asset;
            uint64 from;
            uint64 version;
            bytes32 stateHash;
        }
        struct SignedBatch {
            Header h;
            Update[] us;
            bytes sigs;
            uint64 skip;
        }
        function applyBatches(SignedBatch[] batches) external;
        event BatchApplied(
            uint32 indexed shard,
            uint64 indexed seq,
            uint16 part,
            uint16 parts,
            uint64 applied,
            uint64 stale,
            uint64 deferred,
            uint64 skipped
        );
        event BatchRejected(uint256 indexed index, uint32 shard, uint64 seq, uint16 part, uint8 reason);
    }
}

/// A part cannot be put into a call: the validator wrote it without a readable signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("part {item} has no readable signature")]
pub(crate) struct UnreadableSignature {
    pub(crate) item: Item,
}

fn update(update: &Update) -> bridge::Update {
    bridge::Update {
        asset: B256::from(update.asset.0),
        from: update.from,
        version: update.version,
        stateHash: B256::from(update.state_hash.0),
    }
}

fn batch(part: &Part, skip: u64) -> Result<bridge::SignedBatch, UnreadableSignature> {
    let header = &part.header;
    let item = Item { seq: header.seq, part: header.part };
    let sigs =
        part.sig.as_deref().and_then(|sig| hex::decode(sig).ok()).ok_or(UnreadableSignature { item })?;
    Ok(bridge::SignedBatch {
        h: bridge::Header {
            shard: header.shard,
            seq: header.seq,
            part: header.part,
            parts: header.parts,
            setId: header.set_id,
            updatesHash: B256::from(header.updates_hash.0),
            stateRoot: B256::from(header.state_root.0),
        },
        us: part.updates.iter().map(update).collect(),
        sigs: Bytes::from(sigs),
        skip,
    })
}

/// Whether the part can be put into a call.
pub(crate) fn check(part: &Part) -> Result<(), UnreadableSignature> {
    batch(part, 0).map(drop)
}

/// Calldata of `applyBatches` with these parts and skip masks, in this order.
pub(crate) fn apply_batches(parts: &[(&Part, u64)]) -> Result<Bytes, UnreadableSignature> {
    let batches = parts.iter().map(|(part, skip)| batch(part, *skip)).collect::<Result<_, _>>()?;
    Ok(Bytes::from(bridge::applyBatchesCall { batches }.abi_encode()))
}

/// What the contract says of each part of `shard` in one transaction's logs.
pub(crate) fn landings<'a>(
    logs: impl Iterator<Item = &'a Log>,
    contract: Address,
    shard: u32,
) -> BTreeMap<Item, Landing> {
    let mut landings = BTreeMap::new();
    for log in logs.filter(|log| log.address == contract) {
        if let Ok(event) = bridge::BatchApplied::decode_log(log) {
            let landing = Landing::Taken {
                applied: event.applied,
                stale: event.stale,
                deferred: event.deferred,
                skipped: event.skipped,
            };
            if event.shard == shard {
                landings.insert(Item { seq: event.seq, part: event.part }, landing);
            }
        } else if let Ok(event) = bridge::BatchRejected::decode_log(log)
            && event.shard == shard
        {
            let landing = Landing::Rejected { reason: event.reason };
            landings.insert(Item { seq: event.seq, part: event.part }, landing);
        }
    }
    landings
}
