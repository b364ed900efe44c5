//! Step 5: what stands is committed, in order.
//!
//! In: verdicts by place in the order, and the batch's state. Out: outcomes and decisions in the draft, the
//! changed values and tree writes, and one [`AssetUpdate`] per asset changed.
//!
//! Version and history are bookkeeping of this step: each applied request raises its asset's version by one
//! and sets `history_hash = SHA-256(previous ‖ digest)`, where `digest` is the SHA-256 of the request's
//! canonical `state_changes` JSON with every value from a source replaced by what it gave.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::AssetUpdate;
use common::hash::Digest;
use common::ids::Name;
use common::proof::value_hash;
use common::request::StateChange;
use common::status::OutcomeKind;
use common::targets::Targets;

use super::boundary::{Deliveries, ValueChange};
use super::draft::{Delivery, Draft};
use super::execute::Verdict;
use super::footprint::{Shape, SlotId};
use super::intake::Candidate;
use super::order::Placed;
use super::tree::LeafWrite;
use super::work::{AssetBefore, Record, Slot, Work, is_gone};

/// What the batch does to the state tree.
#[derive(Debug, Default)]
pub(super) struct Committed {
    pub(super) values: BTreeMap<String, ValueChange>,
    pub(super) writes: Vec<LeafWrite>,
    /// By asset id.
    pub(super) updates: Vec<AssetUpdate>,
}

/// An asset's line of versions within the entry.
struct Line<'a> {
    asset: &'a common::ids::AssetId,
    before: AssetBefore,
    version: u64,
    history_hash: Digest,
}

/// `SHA-256(previous ‖ SHA-256(canonical JSON of the resolved changes))`.
pub(super) fn history_hash(previous: Digest, changes: &[StateChange]) -> Digest {
    // Serializing plain data into memory cannot fail.
    let json = serde_json::to_vec(changes).unwrap_or_default();
    Digest::of(&[&previous.0, &Digest::of(&[&json]).0])
}

pub(super) fn commit(
    candidates: &[Candidate<'_>],
    order: &[Placed],
    verdicts: Vec<Verdict<'_>>,
    mut work: Work,
    targets: &Targets,
    draft: &mut Draft,
) -> Committed {
    let mut lines: BTreeMap<SlotId, Line<'_>> = BTreeMap::new();
    let mut row = Deliveries::default();
    for (placed, verdict) in order.iter().zip(verdicts) {
        let candidate = &candidates[placed.node];
        let about = candidate.about;
        let changes = match verdict {
            Verdict::Rejected(errors) => {
                draft.end(about.into(), OutcomeKind::Rejected, errors);
                continue;
            }
            Verdict::Held(cause) => {
                draft.hold(candidate, cause);
                continue;
            }
            Verdict::Applied(changes) => changes,
        };
        let slot = candidate.footprint.asset;
        let line =
            lines.entry(slot).or_insert_with(|| Line::start(&candidate.request.asset.id, &work.slots[slot]));
        line.version += 1;
        line.history_hash = history_hash(line.history_hash, &changes);
        let chains = chains(&work.slots[slot]);
        let waited = waited(candidate, chains, targets);
        let delivery = if waited.is_empty() { Delivery::Nothing } else { Delivery::Waited };
        draft.apply(about.into(), Some(line.version), delivery);
        if !waited.is_empty() {
            row.waiting.insert(*about.rid.as_bytes(), waited);
        }
    }
    let mut committed = Committed::default();
    for (slot, line) in &lines {
        if let Some(Record::Asset(record)) = &mut work.slots[*slot].now {
            record.version = line.version;
            record.history_hash = line.history_hash;
            work.slots[*slot].written = true;
        }
        let chains = chains(&work.slots[*slot]);
        row.open.extend(chains.iter().filter(|chain| is_target(chain, targets)).cloned());
    }
    for (slot, state) in work.slots.into_iter().enumerate() {
        if state.shape == Shape::Lock {
            draft.lock(&state);
        } else {
            committed.write(state, lines.get(&slot));
        }
    }
    committed.updates.sort_by(|a, b| a.asset.cmp(&b.asset));
    if !row.open.is_empty() {
        draft.deliveries.insert(draft.seq, Some(row));
    }
    committed
}

fn chains(slot: &Slot) -> &[String] {
    slot.now.as_ref().and_then(Record::as_asset).map_or(&[], |asset| asset.chains.as_slice())
}

fn is_target(chain: &str, targets: &Targets) -> bool {
    chain.parse::<Name>().is_ok_and(|name| targets.get(&name).is_some())
}

/// The targets a request waits for: those it names, or all of its asset's. One that is no longer in the
/// log's list is not waited for.
fn waited(candidate: &Candidate<'_>, chains: &[String], targets: &Targets) -> BTreeSet<String> {
    match &candidate.request.target_chains {
        Some(named) => named.iter().filter(|name| targets.get(name).is_some()).map(Name::to_string).collect(),
        None => chains.iter().filter(|chain| is_target(chain, targets)).cloned().collect(),
    }
}

impl<'a> Line<'a> {
    fn start(asset: &'a common::ids::AssetId, slot: &Slot) -> Self {
        let stored = slot.bytes_before.as_deref().and_then(AssetBefore::read);
        let before = stored.unwrap_or(AssetBefore::NONE);
        Self { asset, version: before.version, history_hash: before.history_hash, before }
    }

    fn update(&self, chains: &[String], state_hash: Digest) -> AssetUpdate {
        let from = |chain: &String| {
            // The chains of a record were names when they were registered.
            chain.parse::<Name>().ok().map(|name| (name, self.before.known_to(chain)))
        };
        AssetUpdate {
            asset: self.asset.clone(),
            version: self.version,
            state_hash,
            from: chains.iter().filter_map(from).collect(),
        }
    }
}

impl Committed {
    /// What a REVERT writes, with its one update.
    pub(super) fn of_revert(slots: Vec<Slot>, update: AssetUpdate) -> Self {
        let mut committed = Self::default();
        for slot in slots.into_iter().filter(|slot| slot.shape != Shape::Lock) {
            committed.write(slot, None);
        }
        committed.updates.push(update);
        committed
    }

    fn write(&mut self, slot: Slot, line: Option<&Line<'_>>) {
        if !slot.written {
            return;
        }
        let after = slot.now.as_ref().filter(|record| !is_gone(record)).map(Record::encode);
        let hash = after.as_deref().map(value_hash);
        if let (Some(line), Some(hash)) = (line, hash) {
            self.updates.push(line.update(chains(&slot), hash));
        }
        if after != slot.bytes_before {
            self.writes.push(LeafWrite { key_hash: slot.key_hash, value_hash: hash });
            self.values.insert(slot.key, ValueChange { before: slot.bytes_before, after });
        }
    }
}
