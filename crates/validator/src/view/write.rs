//! Writing one committed entry: archive row, changes, undo records and effects in one transaction.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use common::entry::{Body, Entry};
use redb::{Durability, ReadableTable as _, WriteTransaction};

use super::tables::{self, HeadRow};
use super::{View, ViewError, decode};
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
    /// Writes an entry that is in the log. One in `sync_ms` of these is fsynced, with all before it.
    ///
    /// # Errors
    /// The entry does not follow the view's head, stands in the archive with another digest, or the
    /// database fails.
    pub(crate) fn write(&self, record: &Record<'_>) -> Result<(), ViewError> {
        let seq = record.entry.seq;
        let is_synced = self.is_sync_due(false);
        let mut txn = self.db.begin_write()?;
        if is_synced {
            txn.set_quick_repair(true);
        } else {
            txn.set_durability(Durability::None)?;
        }
        write_head(&txn, record)?;
        write_archive(&txn, record)?;
        write_values(&txn, seq, record.changes)?;
        write_answers(&txn, record.changes)?;
        self.write_finals(&txn, record)?;
        if let Some(old) = seq.checked_sub(self.settings.undo_entries) {
            forget_undo(&txn, old)?;
        }
        txn.commit()?;
        if !record.effects.is_empty() {
            self.may_have_effects.store(true, Ordering::SeqCst);
        }
        self.written(seq, is_synced);
        Ok(())
    }

    /// Whether effects may wait to be carried out.
    pub(crate) fn may_have_effects(&self) -> bool {
        self.may_have_effects.load(Ordering::SeqCst)
    }

    /// Notes that all effects are carried out. For the sequencer, who alone writes entries.
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

    fn write_finals(&self, txn: &WriteTransaction, record: &Record<'_>) -> Result<(), ViewError> {
        let mut finals = txn.open_table(tables::FINALS)?;
        for (target, seq) in &record.changes.finals {
            finals.insert((target.as_str(), *seq), ())?;
            // Proofs reach back as far as undo records do; the newest one stays however old it is.
            let floor = record.entry.seq.saturating_sub(self.settings.undo_entries).min(*seq);
            finals.retain_in((target.as_str(), 0)..(target.as_str(), floor), |_, ()| false)?;
        }
        Ok(())
    }
}

fn write_head(txn: &WriteTransaction, record: &Record<'_>) -> Result<(), ViewError> {
    let Record { entry, body, .. } = record;
    let mut meta = txn.open_table(tables::META)?;
    let before = match meta.get(tables::HEAD)? {
        None => HeadRow::empty(),
        Some(row) => decode("meta", &tables::HEAD, row.value())?,
    };
    if before.seq.checked_add(1) != Some(entry.seq) || before.digest != entry.prev {
        return Err(ViewError::NotNext { seq: entry.seq, head: before.seq });
    }
    let head = HeadRow {
        seq: entry.seq,
        digest: entry.digest,
        root: body.root,
        aux: body.aux,
        time_ms: body.time_ms,
        ruleset: body.ruleset,
        epoch: body.epoch,
        targets: record.targets.to_vec(),
    };
    meta.insert(tables::HEAD, common::state::encode(&head).as_slice())?;
    Ok(())
}

fn write_archive(txn: &WriteTransaction, record: &Record<'_>) -> Result<(), ViewError> {
    let Entry { seq, prev, digest, body } = record.entry;
    let mut entries = txn.open_table(tables::ENTRIES)?;
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
    Ok(())
}

fn write_values(txn: &WriteTransaction, seq: u64, changes: &Changes) -> Result<(), ViewError> {
    if changes.values.is_empty() {
        return Ok(());
    }
    let mut values = txn.open_table(tables::VALUES)?;
    let mut undo = txn.open_table(tables::UNDO)?;
    for (key, change) in &changes.values {
        undo.insert((seq, key.as_str()), change.before.as_deref())?;
        match &change.after {
            Some(after) => values.insert(key.as_str(), after.as_slice())?,
            None => values.remove(key.as_str())?,
        };
    }
    Ok(())
}

fn write_answers(txn: &WriteTransaction, changes: &Changes) -> Result<(), ViewError> {
    let mut decisions = txn.open_table(tables::DECISIONS)?;
    for (rid, decision) in &changes.decisions {
        decisions.insert(rid.as_bytes(), common::state::encode(decision).as_slice())?;
    }
    if !changes.withdrawals.is_empty() {
        let mut withdrawals = txn.open_table(tables::WITHDRAWALS)?;
        for (rid, list) in &changes.withdrawals {
            withdrawals.insert(rid.as_bytes(), common::state::encode(list).as_slice())?;
        }
    }
    let mut deliveries = txn.open_table(tables::DELIVERIES)?;
    let mut open = txn.open_table(tables::OPEN)?;
    for (seq, row) in &changes.deliveries {
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

/// Drops the undo records of an entry that is older than what is kept.
fn forget_undo(txn: &WriteTransaction, seq: u64) -> Result<(), ViewError> {
    let mut undo = txn.open_table(tables::UNDO)?;
    undo.retain_in((seq, "")..(seq.saturating_add(1), ""), |_, _| false)?;
    Ok(())
}
