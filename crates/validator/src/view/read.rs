//! Reading the view: the state a batch needs, and answers for readers.
//!
//! A [`Snapshot`] is one moment of the database: what it shows does not change while it is held.

use std::collections::{BTreeMap, BTreeSet};

use common::hash::Digest;
use common::ids::Rid;
use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::decided::Lookup;
use super::tables::{self, HeadRow};
use super::{View, ViewError, decode, undo};
use crate::engine::boundary::{Changes, Decision, Deliveries, Loaded, Needs, Withdrawal};
use crate::engine::tree::LeafWrite;

/// One moment of the view.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(super) txn: ReadTransaction,
}

impl View {
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn snapshot(&self) -> Result<Snapshot, ViewError> {
        Ok(Snapshot { txn: self.db.begin_read()? })
    }

    /// The state that a batch touches, as of the head.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn load(&self, needs: &Needs) -> Result<Loaded, ViewError> {
        self.snapshot()?.load(needs)
    }
}

impl Snapshot {
    /// The state that a batch touches, as of this moment.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn load(&self, needs: &Needs) -> Result<Loaded, ViewError> {
        self.load_under(needs, &[])
    }

    /// The same with what entries have changed that the view may not have yet, the newest first.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn load_under(&self, needs: &Needs, newer: &[&Changes]) -> Result<Loaded, ViewError> {
        let mut loaded = Loaded::default();
        let values = self.txn.open_table(tables::VALUES)?;
        for key in &needs.keys {
            let value = match newer.iter().find_map(|changes| changes.values.get(key)) {
                Some(change) => change.after.clone(),
                None => values.get(key.as_str())?.map(|value| value.value().to_vec()),
            };
            loaded.values.extend(value.map(|value| (key.clone(), value)));
        }
        let deliveries = self.txn.open_table(tables::DELIVERIES)?;
        for seq in &needs.seqs {
            let row = match newer.iter().find_map(|changes| changes.deliveries.get(seq)) {
                Some(row) => row.clone(),
                None => {
                    deliveries.get(*seq)?.map(|row| decode("deliveries", seq, row.value())).transpose()?
                }
            };
            loaded.deliveries.extend(row.map(|row| (*seq, row)));
        }
        let waiting = loaded.deliveries.values().flat_map(|row| row.waiting.keys());
        let waiting = waiting.filter_map(|rid| Rid::from_bytes(*rid).ok());
        let rids: BTreeSet<Rid> = needs.rids.iter().copied().chain(waiting).collect();
        let mut decisions = Lookup::new(&self.txn)?;
        let withdrawals = self.txn.open_table(tables::WITHDRAWALS)?;
        let is_any_withdrawn = withdrawals.first()?.is_some();
        for rid in rids.iter().copied() {
            let decision = match newer.iter().find_map(|changes| changes.decisions.get(&rid)) {
                Some(decision) => Some(decision.clone()),
                None => decisions.get(rid)?,
            };
            loaded.decisions.extend(decision.map(|decision| (rid, decision)));
            if let Some(list) = newer.iter().find_map(|changes| changes.withdrawals.get(&rid)) {
                loaded.withdrawals.insert(rid, list.clone());
            // Most of the time nothing was ever withdrawn.
            } else if is_any_withdrawn && let Some(row) = withdrawals.get(rid.as_bytes())? {
                loaded.withdrawals.insert(rid, decode("withdrawals", &rid, row.value())?);
            }
        }
        if let Some(rid) = needs.undone {
            self.load_past(rid, &mut loaded)?;
        }
        self.load_waiting(needs, rids, newer, &mut loaded)?;
        Ok(loaded)
    }

    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn head(&self) -> Result<HeadRow, ViewError> {
        let table = self.txn.open_table(tables::META)?;
        match table.get(tables::HEAD)? {
            None => Ok(HeadRow::empty()),
            Some(row) => decode("meta", &tables::HEAD, row.value()),
        }
    }

    /// The present value of a state key.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn value(&self, key: &str) -> Result<Option<Vec<u8>>, ViewError> {
        let table = self.txn.open_table(tables::VALUES)?;
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    /// The value of a state key after entry `seq`, which must be among those whose undo records are kept.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn value_at(&self, key: &str, seq: u64) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(self.values_at([key.to_owned()].into(), seq)?.remove(key))
    }

    /// The leaf writes that turn the tree after entry `newer` into the one after entry `older`, each key once; `None` =
    /// they are more than `keys_max`. Only hashes are kept: values may be large.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn undo_between(
        &self,
        older: u64,
        newer: u64,
        keys_max: usize,
    ) -> Result<Option<Vec<LeafWrite>>, ViewError> {
        let records = self.txn.open_table(tables::UNDO)?;
        let mut values = BTreeMap::new();
        for record in records.range(older.saturating_add(1)..newer.saturating_add(1))? {
            let (seq, row) = record?;
            for before in undo::read(seq.value(), row.value()) {
                let (key, before) = before?;
                let key_hash = common::proof::key_hash(key);
                // The oldest write of a key after `older` holds its value then.
                if values.contains_key(&key_hash) {
                    continue;
                }
                if values.len() == keys_max {
                    return Ok(None);
                }
                values.insert(key_hash, before.map(common::proof::value_hash));
            }
        }
        let write = |(key_hash, value_hash)| LeafWrite { key_hash, value_hash };
        Ok(Some(values.into_iter().map(write).collect()))
    }

    /// Every leaf of the state tree: (key hash, value hash).
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn leaves(&self) -> Result<Vec<(Digest, Digest)>, ViewError> {
        let table = self.txn.open_table(tables::VALUES)?;
        let leaf = |row: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), _>| {
            let (key, value) = row?;
            Ok((common::proof::key_hash(key.value()), common::proof::value_hash(value.value())))
        };
        table.iter()?.map(leaf).collect()
    }

    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn decision(&self, rid: Rid) -> Result<Option<Decision>, ViewError> {
        Lookup::new(&self.txn)?.get(rid)
    }

    /// What was withdrawn of an applied request, oldest first.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn withdrawals(&self, rid: Rid) -> Result<Vec<Withdrawal>, ViewError> {
        let table = self.txn.open_table(tables::WITHDRAWALS)?;
        let list = table.get(rid.as_bytes())?.map(|row| decode("withdrawals", &rid, row.value()));
        Ok(list.transpose()?.unwrap_or_default())
    }

    /// Who waits in the entry for deliveries.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn deliveries(&self, seq: u64) -> Result<Option<Deliveries>, ViewError> {
        let table = self.txn.open_table(tables::DELIVERIES)?;
        table.get(seq)?.map(|row| decode("deliveries", &seq, row.value())).transpose()
    }

    /// Entries final on the target, newest first, at most `limit`.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn finals(&self, target: &str, limit: usize) -> Result<Vec<u64>, ViewError> {
        let table = self.txn.open_table(tables::FINALS)?;
        let rows = table.range((target, 0)..=(target, u64::MAX))?.rev().take(limit);
        rows.map(|row| Ok(row?.0.value().1)).collect()
    }

    /// Whether the entry is final on the target.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn is_final(&self, target: &str, seq: u64) -> Result<bool, ViewError> {
        Ok(self.txn.open_table(tables::FINALS)?.get((target, seq))?.is_some())
    }

    /// Up to `limit` entries, oldest first, in which the target is open.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn open_entries(&self, target: &str, limit: usize) -> Result<Vec<u64>, ViewError> {
        self.open_from(target, 0, limit)
    }

    /// Up to `limit` entries from `first` on, oldest first, in which the target is open.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn open_from(&self, target: &str, first: u64, limit: usize) -> Result<Vec<u64>, ViewError> {
        let table = self.txn.open_table(tables::OPEN)?;
        let rows = table.range((target, first)..=(target, u64::MAX))?.take(limit);
        rows.map(|row| Ok(row?.0.value().1)).collect()
    }

    /// The targets that are open in some entry.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn open_targets(&self) -> Result<BTreeSet<String>, ViewError> {
        let table = self.txn.open_table(tables::OPEN)?;
        let mut targets = BTreeSet::<String>::new();
        loop {
            // One look-up per target: the first row beyond all rows of the last one found.
            let last = targets.last().cloned().unwrap_or_default();
            let Some(row) = table
                .range((last.as_str(), u64::MAX)..)?
                .find(|row| row.as_ref().map_or(true, |(key, _)| key.value().0 != last))
            else {
                return Ok(targets);
            };
            targets.insert(row?.0.value().0.to_owned());
        }
    }

    /// Entries whose effects are not carried out yet, oldest first, with the effects' JSON.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn effects(&self) -> Result<Vec<(u64, Vec<u8>)>, ViewError> {
        let table = self.txn.open_table(tables::EFFECTS)?;
        let read =
            |row: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>| {
                let (seq, json) = row?;
                Ok((seq.value(), json.value().to_vec()))
            };
        table.iter()?.map(read).collect()
    }
}
