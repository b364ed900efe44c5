//! What each request reads and writes, by number.
//!
//! In: requests. Out: one slot per state-tree key of the batch, numbered in order of first mention, and per
//! request its [`Footprint`]. Execution can only reach the slots named here, so a footprint cannot be too
//! small; too large a one would only cost parallelism.
//!
//! Every request reads its asset's record (issuer, status, chains) and raises its version; the version is
//! read only with `expected_version`. What its changes touch beyond that stands with each kind.

use std::collections::BTreeMap;

use common::corporate::{Date, PaymentKind};
use common::ids::{Account, AssetId};
use common::keys::{asset_key, claim_key, fund_key, holding_key, payment_key, snapshot_key, used_key};
use common::observation::Observation;
use common::request::{StateChange, SyncRequest};

use super::{evidence, kinds};

/// Number of a state-tree key within the batch.
pub(super) type SlotId = usize;

/// The keys of a batch.
#[derive(Debug, Clone, Default)]
pub(super) struct Keyspace {
    by_key: BTreeMap<String, (SlotId, Shape)>,
}

/// Which record stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Asset,
    Holding,
    Used,
    /// Outside the tree: an asset's lock.
    Lock,
    Snapshot,
    Payment,
    Claim,
}

/// What the key of a lock begins with, within a batch.
const LOCK: &str = "lock/";

impl Keyspace {
    fn slot(&mut self, key: String, shape: Shape) -> SlotId {
        let next = self.by_key.len();
        self.by_key.entry(key).or_insert((next, shape)).0
    }

    /// The state-tree keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.iter().filter(|(_, (_, shape))| *shape != Shape::Lock).map(|(key, _)| key.as_str())
    }

    /// The assets whose lock is looked at.
    pub(super) fn locks(&self) -> impl Iterator<Item = &str> {
        let locks = self.by_key.iter().filter(|(_, (_, shape))| *shape == Shape::Lock);
        locks.filter_map(|(key, _)| locked_asset(key))
    }

    /// The slot of an asset's lock.
    pub(super) fn lock(&mut self, asset: &str) -> SlotId {
        self.slot(format!("{LOCK}{asset}"), Shape::Lock)
    }

    /// Every key with its shape, by slot.
    pub(super) fn into_slots(self) -> Vec<(String, Shape)> {
        let mut slots: Vec<(SlotId, String, Shape)> =
            self.by_key.into_iter().map(|(key, (slot, shape))| (slot, key, shape)).collect();
        slots.sort_unstable_by_key(|(slot, ..)| *slot);
        slots.into_iter().map(|(_, key, shape)| (key, shape)).collect()
    }
}

/// The asset of a lock's key.
pub(super) fn locked_asset(key: &str) -> Option<&str> {
    key.strip_prefix(LOCK)
}

/// The slots of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footprint {
    pub(super) asset: SlotId,
    /// The asset's lock.
    pub(super) lock: SlotId,
    /// One per state change, in their order.
    pub(super) changes: Vec<ChangeSlots>,
    /// Without repetition, ascending. What is written is read too.
    pub(super) reads: Vec<SlotId>,
    pub(super) writes: Vec<SlotId>,
    /// Whether it looks at the asset's version.
    pub(super) reads_version: bool,
}

/// The slots of one change, beside its asset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ChangeSlots {
    /// The holding that shrinks.
    pub(super) from: Option<SlotId>,
    /// The holding that grows.
    pub(super) to: Option<SlotId>,
    /// The holding whose regulatory state or frozen figure changes; none: the asset's.
    pub(super) holding: Option<SlotId>,
    /// The mark of the event that backs it, if that was collected.
    pub(super) event: Option<SlotId>,
    /// The snapshot that is recorded, or that a payment goes by.
    pub(super) snapshot: Option<SlotId>,
    /// The payment that is made, or claimed from.
    pub(super) payment: Option<SlotId>,
    /// What one account gets of it.
    pub(super) claim: Option<SlotId>,
}

impl Footprint {
    pub(super) fn of(request: &SyncRequest, observations: &[Observation], keys: &mut Keyspace) -> Self {
        let id = &request.asset.id;
        let asset = keys.slot(asset_key(id), Shape::Asset);
        let lock = keys.lock(id.as_str());
        let mut touched = Touched { keys, id, asset, lock, reads: vec![asset, lock], writes: Vec::new() };
        let changes =
            request.state_changes.iter().map(|change| touched.change(change, observations)).collect();
        let Touched { mut reads, mut writes, .. } = touched;
        for slots in [&mut reads, &mut writes] {
            slots.sort_unstable();
            slots.dedup();
        }
        Self { asset, lock, changes, reads, writes, reads_version: request.expected_version.is_some() }
    }
}

/// Collects the slots of one request; each kind says here what it touches.
pub(super) struct Touched<'a> {
    keys: &'a mut Keyspace,
    id: &'a AssetId,
    asset: SlotId,
    lock: SlotId,
    reads: Vec<SlotId>,
    writes: Vec<SlotId>,
}

impl Touched<'_> {
    fn change(&mut self, change: &StateChange, observations: &[Observation]) -> ChangeSlots {
        let mut slots = kinds::footprint(&change.op, self);
        if let Some(identity) = change.backed_by.as_ref().and_then(|b| evidence::identity(b, observations)) {
            slots.event = Some(self.read_and_write(used_key(identity), Shape::Used));
        }
        slots
    }

    pub(super) fn writes_asset(&mut self) {
        self.writes.push(self.asset);
    }

    pub(super) fn writes_lock(&mut self) {
        self.writes.push(self.lock);
    }

    pub(super) fn writes_holding(&mut self, account: &Account) -> SlotId {
        self.read_and_write(holding_key(self.id, account), Shape::Holding)
    }

    /// The holding that a payment is made from.
    pub(super) fn writes_fund(&mut self, date: &Date, kind: PaymentKind) -> SlotId {
        self.read_and_write(fund_key(self.id, date, kind), Shape::Holding)
    }

    pub(super) fn reads_snapshot(&mut self, date: &Date) -> SlotId {
        let slot = self.keys.slot(snapshot_key(self.id, date), Shape::Snapshot);
        self.reads.push(slot);
        slot
    }

    pub(super) fn writes_snapshot(&mut self, date: &Date) -> SlotId {
        self.read_and_write(snapshot_key(self.id, date), Shape::Snapshot)
    }

    pub(super) fn writes_payment(&mut self, date: &Date, kind: PaymentKind) -> SlotId {
        self.read_and_write(payment_key(self.id, date, kind), Shape::Payment)
    }

    pub(super) fn writes_claim(&mut self, date: &Date, kind: PaymentKind, account: &Account) -> SlotId {
        self.read_and_write(claim_key(self.id, date, kind, account), Shape::Claim)
    }

    fn read_and_write(&mut self, key: String, shape: Shape) -> SlotId {
        let slot = self.keys.slot(key, shape);
        self.reads.push(slot);
        self.writes.push(slot);
        slot
    }
}
