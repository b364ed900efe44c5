//! Checks a finished run against the invariants of the design, from outside: the shards' logs, HTTP answers, chains.
//!
//! In: an [`Evidence`], gathered from a drained stack by [`gather`] or made by hand. Out: nothing, or the first
//! [`Violation`]. One function per invariant; each trusts no other one's result, and each has a test in which
//! evidence was tampered with and it must find that.

mod chain;
mod drain;
mod gather;
mod log;
mod outcomes;
mod replay;
mod seen;

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Body, Entry};
use common::hash::Digest;
use common::ids::{AssetId, Name, Rid, Shard};
use common::status::{OutcomeKind, Status};

pub use chain::{applied_once, chains_agree};
pub use drain::drained;
pub use gather::{GatherError, Ledger, gather, gather_from};
pub use log::{epochs_rise, gapless};
pub use outcomes::{decided_once, effects_once, only_submitted};
pub use replay::{ReplayError, replays, supply_held};
pub use seen::{Sightings, seen_stays};

/// What is known of a run after it was drained.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub logs: BTreeMap<Shard, Vec<Entry>>,
    /// Every request that was sent, acknowledged or not.
    pub submitted: BTreeSet<(Rid, Digest)>,
    /// Those that were answered 2xx.
    pub acknowledged: BTreeSet<(Rid, Digest)>,
    /// What the collector says of them at the end.
    pub answers: BTreeMap<Rid, FinalAnswer>,
    /// Entries as they were shown while the run went on: shard, number, digest.
    pub seen: BTreeSet<(Shard, u64, Digest)>,
    /// Per chain that is a target.
    pub chains: BTreeMap<Name, ChainState>,
}

/// A request's status resource, as far as the log says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalAnswer {
    pub status: Status,
    pub outcome: Option<OutcomeKind>,
    pub seq: Option<u64>,
}

/// What a bridge contract says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainState {
    /// `assetState` by the asset's key hash: version and state hash.
    pub assets: BTreeMap<Digest, (u64, Digest)>,
    /// `StateUpdated` events in the order of the chain: asset, version, state hash.
    pub updates: Vec<(Digest, u64, Digest)>,
    /// `BatchApplied` events in the order of the chain.
    pub batches: Vec<AppliedBatch>,
}

/// One `BatchApplied` event; bit i of a mask speaks of update i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedBatch {
    pub shard: u32,
    pub seq: u64,
    pub part: u16,
    pub applied: u64,
    pub stale: u64,
    pub deferred: u64,
    pub skipped: u64,
}

/// What was counted in a run that keeps every invariant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub acknowledged: usize,
    pub entries: usize,
    pub applied: usize,
    pub not_applied: usize,
    /// Updates that took effect, over all chains.
    pub landed: usize,
}

/// An invariant that does not hold, and where.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    #[error("I1: request {rid} has {count} deciding outcomes")]
    Decisions { rid: Rid, count: usize },
    #[error("I1: request {rid} is answered {answer:?}, the log decided {outcome:?} in entry {seq}")]
    Answer { rid: Rid, answer: Option<FinalAnswer>, outcome: OutcomeKind, seq: u64 },
    #[error("I2: request {rid} was applied {count} times")]
    AppliedTwice { rid: Rid, count: usize },
    #[error("I2: event {identity} backs {first} and {second}")]
    EventTwice { identity: String, first: Rid, second: Rid },
    #[error("I3: {shard} decided {rid} with fingerprint {fp}, which nobody submitted")]
    NotSubmitted { shard: Shard, rid: Rid, fp: Digest },
    #[error("I4: {shard}: entry {found} stands where entry {expected} should")]
    Gap { shard: Shard, expected: u64, found: u64 },
    #[error("I4: {shard}: entry {seq} does not continue the chain of digests")]
    Chain { shard: Shard, seq: u64 },
    #[error("I4: {shard}: the body of entry {seq} cannot be read")]
    Body { shard: Shard, seq: u64, source: serde_json::Error },
    #[error("I4: {shard}: the body of entry {seq} says it is entry {said} of {of}")]
    OtherBody { shard: Shard, seq: u64, said: u64, of: Shard },
    #[error("I4: {shard}: entry {seq} was shown with digest {seen}, the log has {logged:?}")]
    OtherDigest { shard: Shard, seq: u64, seen: Digest, logged: Option<Digest> },
    #[error("I5: {shard}: entry {seq}")]
    Replay { shard: Shard, seq: u64, source: ReplayError },
    #[error("I6: {shard}: the epoch falls from {before} to {epoch} at entry {seq}")]
    Epoch { shard: Shard, seq: u64, before: u64, epoch: u64 },
    #[error("I9: {chain} has {asset} at {found:?}, the log's newest is {logged:?}")]
    ChainState { chain: Name, asset: AssetId, found: Option<(u64, Digest)>, logged: (u64, Digest) },
    #[error("I9: {chain}: asset {asset} went from version {before} to {version}")]
    VersionFell { chain: Name, asset: Digest, before: u64, version: u64 },
    #[error("I9: {chain}: version {version} of asset {asset} is not in the log like this")]
    NotLogged { chain: Name, asset: Digest, version: u64 },
    #[error(
        "I9: {chain}: version {version} of asset {asset} never took effect, and no REVERT that did covers it"
    )]
    NeverLanded { chain: Name, asset: Digest, version: u64 },
    #[error("I10: {chain}: version {version} of asset {asset} took effect twice")]
    VersionTwice { chain: Name, asset: Digest, version: u64 },
    #[error("I10: {chain}: part {part} of entry {seq} of shard {shard} took effect twice")]
    PartTwice { chain: Name, shard: u32, seq: u64, part: u16 },
    #[error("I10: {chain}: part {part} of entry {seq} of shard {shard} never took effect")]
    PartMissing { chain: Name, shard: u32, seq: u64, part: u16 },
    #[error("I16: {shard}: after entry {seq} the holdings of {asset} are {held}, its supply is {supply}")]
    Supply { shard: Shard, seq: u64, asset: AssetId, held: u128, supply: u128 },
}

/// Checks everything, cheapest first.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check_all(evidence: &Evidence) -> Result<Summary, Violation> {
    gapless(evidence)?;
    seen_stays(evidence)?;
    epochs_rise(evidence)?;
    only_submitted(evidence)?;
    decided_once(evidence)?;
    effects_once(evidence)?;
    replays(evidence)?;
    supply_held(evidence)?;
    applied_once(evidence)?;
    chains_agree(evidence)?;
    let mut summary = Summary {
        acknowledged: evidence.acknowledged.len(),
        entries: evidence.logs.values().map(Vec::len).sum(),
        landed: evidence.chains.values().map(|chain| chain.updates.len()).sum(),
        ..Summary::default()
    };
    for (_, body) in evidence.bodies()? {
        for outcome in body.outcomes.iter().filter(|outcome| outcome.outcome.is_deciding()) {
            let count = if outcome.outcome == OutcomeKind::Applied {
                &mut summary.applied
            } else {
                &mut summary.not_applied
            };
            *count += 1;
        }
    }
    Ok(summary)
}

impl Evidence {
    /// Every entry's content, shard by shard.
    fn bodies(&self) -> Result<Vec<(Shard, Body)>, Violation> {
        let entries = self.logs.iter().flat_map(|(shard, log)| log.iter().map(move |entry| (*shard, entry)));
        entries
            .map(|(shard, entry)| {
                let body =
                    entry.decode().map_err(|source| Violation::Body { shard, seq: entry.seq, source })?;
                Ok((shard, body))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
