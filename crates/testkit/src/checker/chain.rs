//! What landed on the chains, against the log: I9 and I10.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{AssetUpdate, EntryKind};
use common::hash::Digest;
use common::ids::{AssetId, Name};
use common::keys::asset_key;
use common::proof::key_hash;

use super::{ChainState, Evidence, Violation};

/// Updates of one part (DESIGN §5).
const PART_UPDATES_MAX: usize = 50;

/// I9: on each chain every asset is at the log's newest version and state hash, its versions only rose, and
/// each of them was logged for that chain.
///
/// # Errors
/// [`Violation::ChainState`], [`Violation::VersionFell`] or [`Violation::NotLogged`].
pub fn chains_agree(evidence: &Evidence) -> Result<(), Violation> {
    let logged = logged(evidence)?;
    for (chain, state) in &evidence.chains {
        let mut newest: BTreeMap<&AssetId, (u64, Digest)> = BTreeMap::new();
        let mut versions = BTreeSet::new();
        for update in logged.iter().filter(|update| update.from.contains_key(chain)) {
            let version = (update.version, update.state_hash);
            versions.insert((on_chain(&update.asset), update.version, update.state_hash));
            let known = newest.entry(&update.asset).or_insert(version);
            *known = (*known).max(version);
        }
        rising(chain, state, &versions)?;
        for (asset, logged) in newest {
            let found = state.assets.get(&on_chain(asset)).copied();
            if found != Some(logged) {
                let (chain, asset) = (chain.clone(), asset.clone());
                return Err(Violation::ChainState { chain, asset, found, logged });
            }
        }
    }
    Ok(())
}

fn rising(
    chain: &Name,
    state: &ChainState,
    logged: &BTreeSet<(Digest, u64, Digest)>,
) -> Result<(), Violation> {
    let mut last: BTreeMap<Digest, u64> = BTreeMap::new();
    for (asset, version, state_hash) in &state.updates {
        let (asset, version) = (*asset, *version);
        let before = last.insert(asset, version).unwrap_or(0);
        if version < before {
            return Err(Violation::VersionFell { chain: chain.clone(), asset, before, version });
        }
        if !logged.contains(&(asset, version, *state_hash)) {
            return Err(Violation::NotLogged { chain: chain.clone(), asset, version });
        }
    }
    Ok(())
}

/// I10: on each chain no version and no update of a part takes effect twice, and every part with work for the
/// chain has landed. Entries that a REVERT may have covered are not demanded.
///
/// # Errors
/// [`Violation::VersionTwice`], [`Violation::PartTwice`] or [`Violation::PartMissing`].
pub fn applied_once(evidence: &Evidence) -> Result<(), Violation> {
    let bodies = evidence.bodies()?;
    let has_revert = bodies.iter().any(|(_, body)| body.kind == EntryKind::Revert);
    for (chain, state) in &evidence.chains {
        let mut seen = BTreeSet::new();
        for (asset, version, _) in &state.updates {
            let (asset, version) = (*asset, *version);
            if !seen.insert((asset, version)) {
                return Err(Violation::VersionTwice { chain: chain.clone(), asset, version });
            }
        }
        let settled = settled(chain, state)?;
        for (shard, body) in &bodies {
            let updates = body.updates.iter().filter(|update| update.from.contains_key(chain)).count();
            let (shard, seq) = (u32::from(shard.number()), body.seq);
            for (part, _) in (0_u16..).zip(0..updates.div_ceil(PART_UPDATES_MAX)) {
                if !has_revert && !settled.contains(&(shard, seq, part)) {
                    return Err(Violation::PartMissing { chain: chain.clone(), shard, seq, part });
                }
            }
        }
    }
    Ok(())
}

/// The parts of which each update took effect, was stale or was skipped; no update twice.
fn settled(chain: &Name, state: &ChainState) -> Result<BTreeSet<(u32, u64, u16)>, Violation> {
    #[derive(Default)]
    struct Masks {
        applied: u64,
        settled: u64,
        all: u64,
    }
    let mut parts: BTreeMap<(u32, u64, u16), Masks> = BTreeMap::new();
    for batch in &state.batches {
        let (shard, seq, part) = (batch.shard, batch.seq, batch.part);
        let masks = parts.entry((shard, seq, part)).or_default();
        if masks.applied & batch.applied != 0 {
            return Err(Violation::PartTwice { chain: chain.clone(), shard, seq, part });
        }
        masks.applied |= batch.applied;
        masks.settled |= batch.applied | batch.stale | batch.skipped;
        masks.all |= batch.applied | batch.stale | batch.skipped | batch.deferred;
    }
    Ok(parts.into_iter().filter(|(_, masks)| masks.settled == masks.all).map(|(part, _)| part).collect())
}

fn logged(evidence: &Evidence) -> Result<Vec<AssetUpdate>, Violation> {
    Ok(evidence.bodies()?.into_iter().flat_map(|(_, body)| body.updates).collect())
}

/// An asset's name on chain.
pub(super) fn on_chain(asset: &AssetId) -> Digest {
    key_hash(&asset_key(asset))
}
