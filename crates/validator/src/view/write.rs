//! Writing committed entries: archive row, changes, undo records and effects in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use common::entry::{Body, Entry};
use redb::{Durability, ReadableTable as _, WriteTransaction};

use super::tables::{self, HeadRow};
use super::{View, ViewError, decided, decode, undo, waiting};
use crate::engine::boundary::{Changes, Deliveries};

/// One entry with what it changed.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) entry: &'a Entry,
    /// The entry's decoded body.
    pub(crate) body: &'a Body,
    pub(crate) changes: &'a Changes,
    /// JSON of the effects still to be carried out; empty = none.
    pub(crate) effects: &'a [u8],
    /// The logged targets after the entry, as canonical JSON.
    pub(crate) targets: &'a [u8],
}

impl View {
    /// Writes an entry that is in the log, as [`View::write_run`] does.
    ///
    /// # Errors
    /// See there.
    pub(crate) fn write(&self, record: &Record<'_>) -> Result<(), ViewError> {
        self.write_run(std::slice::from_ref(record))
    }

    /// Writes entries that are in the log, one after the other, in one transaction: what several of them change is
    /// written once. One transaction in `sync_ms` is fsynced, with all before it.
    ///
    /// # Errors
    /// An entry does not follow the one before it or the view's head, stands in the archive with another digest, or
    /// the database fails. Nothing is written then.
    pub(crate) fn write_run(&self, run: &[Record<'_>]) -> Result<(), ViewError> {
        let Some(last) = run.last() else { return Ok(()) };
        let is_synced = self.is_sync_due(false);
        let mut txn = self.db.begin_write()?;
        if is_synced {
            txn.set_quick_repair(true);
        } else {
            txn.set_durability(Durability::None)?;
        }
        write_head(&txn, run, last)?;
        write_archive(&txn, run)?;
        write_values(&txn, run)?;
        write_answers(&txn, run)?;
        self.write_finals(&txn, run, last.entry.seq)?;
        self.forget_undo(&txn, run)?;
        txn.commit()?;
        if run.iter().any(|record| !record.effects.is_empty()) {
            self.may_have_effects.store(true, Ordering::SeqCst);
        }
        self.written(last.entry.seq, is_synced);
        Ok(())
    }

    /// Whether effects may wait to be carried out.
    pub(crate) fn may_have_effects(&self) -> bool {
        self.may_have_effects.load(Ordering::SeqCst)
    }

    /// Notes that all effects are carried out. For the sequencer, when the view has every entry.
    pub(crate) fn no_effects_left(&self) {
        self.may_have_effects.store(false, Ordering::SeqCst);
    }

    /// Forgets the effects of an entry, which have been carried out.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn effects_done(&self, seq: u64) -> Result<(), ViewError> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::None)?;
        txn.open_table(tables::EFFECTS)?.remove(seq)?;
        txn.commit()?;
        Ok(())
    }

    /// Drops the undo records of entries that are older than what is kept.
    fn forget_undo(&self, txn: &WriteTransaction, run: &[Record<'_>]) -> Result<(), ViewError> {
        let last = run.last().and_then(|last| last.entry.seq.checked_sub(self.settings.undo_entries));
        if let Some(last) = last {
            // Mostly those of as many entries as were written; all that are too many once fewer are to be kept.
            txn.open_table(tables::UNDO)?.retain_in(..=last, |_, _| false)?;
        }
        Ok(())
    }

    fn write_finals(&self, txn: &WriteTransaction, run: &[Record<'_>], head: u64) -> Result<(), ViewError> {
        let mut finals = txn.open_table(tables::FINALS)?;
        let mut newest = BTreeMap::new();
        for (target, seq) in run.iter().flat_map(|record| &record.changes.finals) {
            finals.insert((target.as_str(), *seq), ())?;
            newest.insert(target.as_str(), *seq);
        }
        for (target, newest) in newest {
            // Proofs reach back as far as undo records do; the newest one stays however old it is.
            let floor = head.saturating_sub(self.settings.undo_entries).min(newest);
            finals.retain_in((target, 0)..(target, floor), |_, ()| false)?;
        }
        Ok(())
    }
}

/// Every entry has to follow the one before it, the first one the view's head.
fn write_head(txn: &WriteTransaction, run: &[Record<'_>], last: &Record<'_>) -> Result<(), ViewError> {
    let mut meta = txn.open_table(tables::META)?;
    let before = match meta.get(tables::HEAD)? {
        None => HeadRow::empty(),
        Some(row) => decode("meta", &tables::HEAD, row.value())?,
    };
    let (mut seq, mut digest) = (before.seq, before.digest);
    for Record { entry, .. } in run {
        if seq.checked_add(1) != Some(entry.seq) || digest != entry.prev {
            return Err(ViewError::NotNext { seq: entry.seq, head: seq });
        }
        (seq, digest) = (entry.seq, entry.digest);
    }
    let Record { entry, body, .. } = last;
    let head = HeadRow {
        seq: entry.seq,
        digest: entry.digest,
        root: body.root,
        aux: body.aux,
        time_ms: body.time_ms,
        ruleset: body.ruleset,
        epoch: body.epoch,
        targets: last.targets.to_vec(),
    };
    meta.insert(tables::HEAD, common::state::encode(&head).as_slice())?;
    Ok(())
}

fn write_archive(txn: &WriteTransaction, run: &[Record<'_>]) -> Result<(), ViewError> {
    let mut entries = txn.open_table(tables::ENTRIES)?;
    for record in run {
        let Entry { seq, prev, digest, body } = record.entry;
        let stored = entries.get(*seq)?.map(|row| *row.value().1);
        match stored {
            Some(stored) if stored == digest.0 => {}
            Some(_) => return Err(ViewError::Fork { seq: *seq }),
            None => {
                entries.insert(*seq, (&prev.0, &digest.0, body.as_slice()))?;
                if !record.effects.is_empty() {
                    txn.open_table(tables::EFFECTS)?.insert(*seq, record.effects)?;
                }
            }
        }
    }
    Ok(())
}

fn write_values(txn: &WriteTransaction, run: &[Record<'_>]) -> Result<(), ViewError> {
    let mut newest = BTreeMap::new();
    let mut records = txn.open_table(tables::UNDO)?;
    for record in run {
        if !record.changes.values.is_empty() {
            records.insert(record.entry.seq, undo::encode(&record.changes.values).as_slice())?;
        }
        for (key, change) in &record.changes.values {
            newest.insert(key.as_str(), change.after.as_deref());
        }
    }
    let mut values = txn.open_table(tables::VALUES)?;
    for (key, after) in newest {
        match after {
            Some(after) => values.insert(key, after)?,
            None => values.remove(key)?,
        };
    }
    Ok(())
}

fn write_answers(txn: &WriteTransaction, run: &[Record<'_>]) -> Result<(), ViewError> {
    decided::write(txn, run.iter().flat_map(|record| &record.changes.decisions))?;
    let told: BTreeMap<_, _> = run.iter().flat_map(|record| &record.changes.withdrawals).collect();
    if !told.is_empty() {
        let mut withdrawals = txn.open_table(tables::WITHDRAWALS)?;
        for (rid, list) in told {
            withdrawals.insert(rid.as_bytes(), common::state::encode(list).as_slice())?;
        }
    }
    waiting::write(txn, run)?;
    let newest: BTreeMap<_, _> = run.iter().flat_map(|record| &record.changes.deliveries).collect();
    let mut deliveries = txn.open_table(tables::DELIVERIES)?;
    let mut open = txn.open_table(tables::OPEN)?;
    for (seq, row) in newest {
        let before = match row {
            Some(row) => deliveries.insert(*seq, common::state::encode(row).as_slice())?,
            None => deliveries.remove(*seq)?,
        };
        let before = before.map(|row| decode::<Deliveries>("deliveries", seq, row.value())).transpose()?;
        let before = before.map(|row| row.open).unwrap_or_default();
        let empty = BTreeSet::new();
        let after = row.as_ref().map_or(&empty, |row| &row.open);
        for target in before.difference(after) {
            open.remove((target.as_str(), *seq))?;
        }
        for target in after.difference(&before) {
            open.insert((target.as_str(), *seq), ())?;
        }
    }
    Ok(())
}
