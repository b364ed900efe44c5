//! The state a batch works on, and one request's view of it.
//!
//! In: the batch's keys with their loaded bytes, checked against the state tree. Out: records to read, and
//! an [`Overlay`] per run of a request that keeps its writes apart until the whole request is known to stand, and notes
//! every read of the state: there is no other way to it.

use std::collections::BTreeMap;

use borsh::BorshDeserialize;
use common::amount::Amount;
use common::hash::Digest;
use common::proof::{key_hash, value_hash};
use common::state::{
    self, AssetRecord, ClaimRecord, HoldingRecord, PaymentRecord, RegulatoryState, SnapshotRecord, UsedRecord,
};

use super::boundary::Fault;
use super::footprint::{Footprint, Keyspace, Shape, SlotId, locked_asset};
use super::reads::Recorder;
use super::tree::Tree;
use super::waiting::LockRow;

/// An asset's last snapshots, of which holdings keep what was held: on older ones nothing is paid any more. A rule of the
/// log, since it decides what is in records.
pub(super) const SNAPSHOTS_KEPT: u64 = 32;

/// A decoded value of the state tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Asset(Box<AssetRecord>),
    Holding(HoldingRecord),
    Used(UsedRecord),
    Lock(Box<LockRow>),
    Snapshot(SnapshotRecord),
    Payment(PaymentRecord),
    Claim(ClaimRecord),
}

impl Record {
    fn decode(shape: Shape, bytes: &[u8]) -> Result<Self, std::io::Error> {
        fn read<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, std::io::Error> {
            state::decode(bytes)
        }
        match shape {
            Shape::Asset => read(bytes).map(|record| Self::Asset(Box::new(record))),
            Shape::Holding => read(bytes).map(Self::Holding),
            Shape::Used => read(bytes).map(Self::Used),
            Shape::Lock => read(bytes).map(|row| Self::Lock(Box::new(row))),
            Shape::Snapshot => read(bytes).map(Self::Snapshot),
            Shape::Payment => read(bytes).map(Self::Payment),
            Shape::Claim => read(bytes).map(Self::Claim),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Asset(record) => state::encode(record.as_ref()),
            Self::Holding(record) => state::encode(record),
            Self::Used(record) => state::encode(record),
            Self::Lock(row) => state::encode(row.as_ref()),
            Self::Snapshot(record) => state::encode(record),
            Self::Payment(record) => state::encode(record),
            Self::Claim(record) => state::encode(record),
        }
    }

    pub(super) fn as_lock(&self) -> Option<&LockRow> {
        if let Self::Lock(row) = self { Some(row) } else { None }
    }

    pub(super) fn as_asset(&self) -> Option<&AssetRecord> {
        match self {
            Self::Asset(record) => Some(record),
            _ => None,
        }
    }
}

/// One key of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) key: String,
    pub(super) key_hash: Digest,
    pub(super) shape: Shape,
    pub(super) bytes_before: Option<Vec<u8>>,
    pub(super) now: Option<Record>,
    /// Some request of the batch wrote it.
    pub(super) written: bool,
    /// How many requests of the batch wrote it so far.
    pub(super) stamp: u32,
    /// For assets: how many requests of the batch have changed it so far.
    pub(super) bumps: u64,
}

impl Slot {
    /// Of a lock whose row is not known yet; it has no place in the tree.
    fn of_lock(key: String) -> Self {
        let (shape, key_hash, bytes_before, now) = (Shape::Lock, Digest::ZERO, None, None);
        Self { key, key_hash, shape, bytes_before, now, written: false, stamp: 0, bumps: 0 }
    }
}

/// What an entry needs to know of an asset as it was before.
#[derive(Debug)]
pub(super) struct AssetBefore {
    pub(super) version: u64,
    pub(super) history_hash: Digest,
    pub(super) chains: Vec<String>,
    pub(super) former_chains: BTreeMap<String, u64>,
}

impl AssetBefore {
    /// Of an asset that the entry registers.
    pub(super) const NONE: Self =
        Self { version: 0, history_hash: Digest::ZERO, chains: Vec::new(), former_chains: BTreeMap::new() };

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let AssetRecord { version, history_hash, chains, former_chains, .. } = state::decode(bytes).ok()?;
        Some(Self { version, history_hash, chains, former_chains })
    }

    /// The version that a chain expects to be told next: the one before the entry, on a chain that the asset had left the
    /// last one told there, on a new chain 0.
    pub(super) fn known_to(&self, chain: &String) -> u64 {
        if self.chains.contains(chain) {
            self.version
        } else {
            self.former_chains.get(chain).copied().unwrap_or_default()
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) slots: Vec<Slot>,
    /// Requests of the shard that wait.
    pub(super) waiters: u64,
}

impl Work {
    /// Decodes the values of all keys.
    ///
    /// # Errors
    /// A value is not the one whose hash the tree holds, or is not a record.
    pub(super) fn load(
        keys: Keyspace,
        mut values: BTreeMap<String, Vec<u8>>,
        tree: &Tree,
    ) -> Result<Self, Fault> {
        Self::load_if(keys, &mut values, |key_hash, bytes| tree.get(key_hash) == bytes.map(value_hash))
    }

    /// As [`Self::load`], for values of an older state whose tree may be gone.
    pub(super) fn load_older(keys: Keyspace, mut values: BTreeMap<String, Vec<u8>>) -> Result<Self, Fault> {
        Self::load_if(keys, &mut values, |_, _| true)
    }

    fn load_if(
        keys: Keyspace,
        values: &mut BTreeMap<String, Vec<u8>>,
        holds: impl Fn(&Digest, Option<&[u8]>) -> bool,
    ) -> Result<Self, Fault> {
        let load = |(key, shape): (String, Shape)| {
            if shape == Shape::Lock {
                return Ok(Slot::of_lock(key));
            }
            let key_hash = key_hash(&key);
            let bytes = values.remove(&key);
            if !holds(&key_hash, bytes.as_deref()) {
                return Err(Fault::View { key });
            }
            let now = bytes.as_deref().map(|bytes| Record::decode(shape, bytes)).transpose();
            match now {
                Ok(now) => {
                    let (written, stamp, bumps) = (false, 0, 0);
                    Ok(Slot { key, key_hash, shape, bytes_before: bytes, now, written, stamp, bumps })
                }
                Err(source) => Err(Fault::Record { key, source }),
            }
        };
        let slots = keys.into_slots().into_iter().map(load).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { slots, waiters: 0 })
    }

    /// Puts the rows of locks in their slots.
    pub(super) fn with_locks(mut self, mut rows: BTreeMap<String, LockRow>) -> Self {
        for slot in self.slots.iter_mut().filter(|slot| slot.shape == Shape::Lock) {
            let row = locked_asset(&slot.key).and_then(|asset| rows.remove(asset));
            slot.now = row.map(|row| Record::Lock(Box::new(row)));
        }
        self
    }

    pub(super) fn lock(&self, slot: SlotId) -> Option<&LockRow> {
        self.slots[slot].now.as_ref().and_then(Record::as_lock)
    }

    /// Changes a lock's row in the turn of a request, or before all of them.
    pub(super) fn change_lock(&mut self, slot: SlotId, change: impl FnOnce(&mut LockRow)) {
        let mut row = self.lock(slot).cloned().unwrap_or_default();
        change(&mut row);
        let slot = &mut self.slots[slot];
        slot.now = (!row.is_empty()).then(|| Record::Lock(Box::new(row)));
        slot.written = true;
        slot.stamp += 1;
    }

    /// The version of an asset after the requests that have changed it so far; 0 if it does not exist.
    pub(super) fn version(&self, asset: SlotId) -> u64 {
        let slot = &self.slots[asset];
        let stored = slot.now.as_ref().and_then(Record::as_asset).map_or(0, |asset| asset.version);
        stored.saturating_add(slot.bumps)
    }

    /// Takes over the writes of a request that stands.
    pub(super) fn take_over(&mut self, asset: SlotId, writes: Writes) {
        for (slot, record) in writes {
            let slot = &mut self.slots[slot];
            slot.now = Some(record);
            slot.written = true;
            slot.stamp += 1;
        }
        self.slots[asset].bumps += 1;
    }
}

/// What a request writes, each slot once.
pub(super) type Writes = Vec<(SlotId, Record)>;

/// One run's view: its own writes over the state it started from.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    work: &'a Work,
    asset: SlotId,
    lock: SlotId,
    writes: Writes,
    reads: &'a Recorder,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(work: &'a Work, footprint: &Footprint, reads: &'a Recorder) -> Self {
        Self { work, asset: footprint.asset, lock: footprint.lock, writes: Vec::new(), reads }
    }

    pub(super) fn into_writes(self) -> Writes {
        self.writes
    }

    fn get(&self, slot: SlotId) -> Option<&Record> {
        match self.writes.iter().find(|(written, _)| *written == slot) {
            Some((_, record)) => Some(record),
            None => self.read(slot),
        }
    }

    /// What the state holds.
    fn read(&self, slot: SlotId) -> Option<&'a Record> {
        let slot_now = &self.work.slots[slot];
        self.reads.slot(slot, slot_now.stamp);
        slot_now.now.as_ref()
    }

    /// The version of the asset before the request.
    pub(super) fn version(&self) -> u64 {
        let version = self.work.version(self.asset);
        self.reads.version(self.asset, version);
        version
    }

    fn put(&mut self, slot: SlotId, record: Record) {
        match self.writes.iter_mut().find(|(written, _)| *written == slot) {
            Some((_, old)) => *old = record,
            None => self.writes.push((slot, record)),
        }
    }

    pub(super) fn asset(&self) -> Option<&AssetRecord> {
        self.get(self.asset).and_then(Record::as_asset)
    }

    /// The asset to be changed; it must exist.
    pub(super) fn change_asset(&mut self) -> Option<&mut AssetRecord> {
        let asset = self.asset;
        if !self.writes.iter().any(|(written, _)| *written == asset) {
            let record = self.read(asset).cloned()?;
            self.writes.push((asset, record));
        }
        self.writes.iter_mut().find_map(|(written, record)| match record {
            Record::Asset(record) if *written == asset => Some(record.as_mut()),
            _ => None,
        })
    }

    pub(super) fn put_asset(&mut self, record: AssetRecord) {
        self.put(self.asset, Record::Asset(Box::new(record)));
    }

    /// A holding; an absent one is empty.
    pub(super) fn holding(&self, slot: SlotId) -> HoldingRecord {
        match self.get(slot) {
            Some(Record::Holding(record)) => record.clone(),
            _ => HoldingRecord::default(),
        }
    }

    pub(super) fn set_balance(&mut self, slot: SlotId, balance: Amount) {
        let snapshots = self.asset().map_or(0, |asset| asset.snapshots);
        let mut record = self.holding(slot);
        record.set_balance(balance, snapshots, SNAPSHOTS_KEPT);
        self.put(slot, Record::Holding(record));
    }

    pub(super) fn set_frozen(&mut self, slot: SlotId, frozen: Amount) {
        let record = HoldingRecord { frozen, ..self.holding(slot) };
        self.put(slot, Record::Holding(record));
    }

    pub(super) fn set_state(&mut self, slot: SlotId, state: RegulatoryState) {
        let record = HoldingRecord { state, ..self.holding(slot) };
        self.put(slot, Record::Holding(record));
    }

    /// The asset's lock; without a row it is free.
    pub(super) fn lock(&self) -> Option<&LockRow> {
        self.get(self.lock).and_then(Record::as_lock)
    }

    /// Whether the asset was held before the request.
    pub(super) fn was_locked(&self) -> bool {
        self.read(self.lock).and_then(Record::as_lock).is_some_and(|row| row.held.is_some())
    }

    pub(super) fn set_lock(&mut self, row: LockRow) {
        self.put(self.lock, Record::Lock(Box::new(row)));
    }

    pub(super) fn snapshot(&self, slot: SlotId) -> Option<&SnapshotRecord> {
        match self.get(slot) {
            Some(Record::Snapshot(record)) => Some(record),
            _ => None,
        }
    }

    pub(super) fn put_snapshot(&mut self, slot: SlotId, record: SnapshotRecord) {
        self.put(slot, Record::Snapshot(record));
    }

    pub(super) fn payment(&self, slot: SlotId) -> Option<&PaymentRecord> {
        match self.get(slot) {
            Some(Record::Payment(record)) => Some(record),
            _ => None,
        }
    }

    pub(super) fn put_payment(&mut self, slot: SlotId, record: PaymentRecord) {
        self.put(slot, Record::Payment(record));
    }

    pub(super) fn is_claimed(&self, slot: SlotId) -> bool {
        self.get(slot).is_some()
    }

    pub(super) fn put_claim(&mut self, slot: SlotId, record: ClaimRecord) {
        self.put(slot, Record::Claim(record));
    }

    pub(super) fn is_used(&self, slot: SlotId) -> bool {
        self.get(slot).is_some()
    }

    pub(super) fn mark_used(&mut self, slot: SlotId, record: UsedRecord) {
        self.put(slot, Record::Used(record));
    }
}

/// Whether nothing is left of a holding: its leaf goes.
pub(super) fn is_gone(record: &Record) -> bool {
    match record {
        Record::Holding(holding) => *holding == HoldingRecord::default(),
        _ => false,
    }
}
