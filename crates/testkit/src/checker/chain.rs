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

/// An update as it was logged for one chain.
#[derive(Debug, Clone, Copy)]
struct Logged {
    asset: Digest,
    version: u64,
    state_hash: Digest,
    from: u64,
    is_revert: bool,
}

impl Logged {
    /// The rule of the design, §8, for an older update of the same asset: this REVERT takes it back, so that it need
    /// not land.
    const fn covers(&self, older: &Self) -> bool {
        self.is_revert && older.from >= self.from
    }
}

/// I9: on each chain every asset is at the log's newest version and state hash, its versions only rose, each of
/// them was logged for that chain, and each logged one landed or was covered by the one that landed next.
///
/// # Errors
/// [`Violation::ChainState`], [`Violation::VersionFell`], [`Violation::NotLogged`] or [`Violation::NeverLanded`].
pub fn chains_agree(evidence: &Evidence) -> Result<(), Violation> {
    let bodies = evidence.bodies()?;
    for (chain, state) in &evidence.chains {
        let mut newest: BTreeMap<&AssetId, (u64, Digest)> = BTreeMap::new();
        let mut logged = Vec::new();
        for (body, update) in bodies.iter().flat_map(|(_, body)| body.updates.iter().map(move |u| (body, u)))
        {
            let Some(from) = update.from.get(chain).copied() else { continue };
            let AssetUpdate { version, state_hash, .. } = *update;
            let is_revert = body.kind == EntryKind::Revert;
            logged.push(Logged { asset: on_chain(&update.asset), version, state_hash, from, is_revert });
            let known = newest.entry(&update.asset).or_insert((version, state_hash));
            *known = (*known).max((version, state_hash));
        }
        rising(chain, state, &logged)?;
        for (asset, logged) in newest {
            let found = state.assets.get(&on_chain(asset)).copied();
            if found != Some(logged) {
                let (chain, asset) = (chain.clone(), asset.clone());
                return Err(Violation::ChainState { chain, asset, found, logged });
            }
        }
        none_lost(chain, state, &logged)?;
    }
    Ok(())
}

fn rising(chain: &Name, state: &ChainState, logged: &[Logged]) -> Result<(), Violation> {
    let logged: BTreeSet<(Digest, u64, Digest)> =
        logged.iter().map(|update| (update.asset, update.version, update.state_hash)).collect();
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

/// Every logged version landed, or the landing that jumped over it is of a REVERT that covers it. A log without
/// a REVERT therefore lands version by version. That a part was stale proves nothing: so is what came too late.
fn none_lost(chain: &Name, state: &ChainState, logged: &[Logged]) -> Result<(), Violation> {
    let landed: BTreeSet<(Digest, u64)> =
        state.updates.iter().map(|(asset, version, _)| (*asset, *version)).collect();
    let by_version: BTreeMap<(Digest, u64), &Logged> =
        logged.iter().map(|update| ((update.asset, update.version), update)).collect();
    for update in logged.iter().filter(|update| !landed.contains(&(update.asset, update.version))) {
        let later = landed.range((update.asset, update.version)..=(update.asset, u64::MAX)).next();
        let jumped = later.and_then(|landing| by_version.get(landing));
        if !jumped.is_some_and(|by| by.covers(update)) {
            let (asset, version) = (update.asset, update.version);
            return Err(Violation::NeverLanded { chain: chain.clone(), asset, version });
        }
    }
    Ok(())
}

/// I10: on each chain no version and no update of a part takes effect twice, and every part with work for the
/// chain has landed. In a log with a REVERT a part may be left out: [`chains_agree`] asks for each update there.
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
                let places =
                    state.places.get(&(asset, version)).map(|places| places.join(", ")).unwrap_or_default();
                return Err(Violation::VersionTwice { chain: chain.clone(), asset, version, places });
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

/// An asset's name on chain.
pub(super) fn on_chain(asset: &AssetId) -> Digest {
    key_hash(&asset_key(asset))
}
