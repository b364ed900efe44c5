//! Decisions: by request, and all of an entry in one row.
//!
//! An entry decides up to hundreds of requests and ends them together when its receipts come, so their decisions stand
//! together, in the row of the entry that decided them (`decided`); under a request's own id stands only which entry
//! that was (`decisions`).

use std::collections::BTreeMap;

use common::ids::Rid;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _, WriteTransaction};

use super::{ViewError, decode, tables};
use crate::engine::boundary::Decision;

/// The decisions of one entry.
pub(super) type Row = BTreeMap<[u8; 16], Decision>;

/// Writes decisions of any entries, new ones and new states of old ones.
pub(super) fn write<'a>(
    txn: &WriteTransaction,
    decisions: impl Iterator<Item = (&'a Rid, &'a Decision)>,
) -> Result<(), ViewError> {
    let mut by_entry: BTreeMap<u64, BTreeMap<&Rid, &Decision>> = BTreeMap::new();
    for (rid, decision) in decisions {
        by_entry.entry(decision.seq).or_default().insert(rid, decision);
    }
    let (mut rows, mut index) = (txn.open_table(tables::DECIDED)?, txn.open_table(tables::DECISIONS)?);
    for (seq, changed) in by_entry {
        let stored = rows.get(seq)?.map(|row| decode::<Row>("decided", &seq, row.value())).transpose()?;
        let mut row = stored.unwrap_or_default();
        for (rid, decision) in changed {
            if row.insert(*rid.as_bytes(), decision.clone()).is_none() {
                index.insert(rid.as_bytes(), seq)?;
            }
        }
        rows.insert(seq, common::state::encode(&row).as_slice())?;
    }
    Ok(())
}

/// Looks up decisions, each row once.
pub(super) struct Lookup {
    rows: ReadOnlyTable<u64, &'static [u8]>,
    index: ReadOnlyTable<&'static [u8; 16], u64>,
    read: BTreeMap<u64, Row>,
}

impl Lookup {
    pub(super) fn new(txn: &ReadTransaction) -> Result<Self, ViewError> {
        let (rows, index) = (txn.open_table(tables::DECIDED)?, txn.open_table(tables::DECISIONS)?);
        Ok(Self { rows, index, read: BTreeMap::new() })
    }

    pub(super) fn get(&mut self, rid: Rid) -> Result<Option<Decision>, ViewError> {
        let Some(seq) = self.index.get(rid.as_bytes())?.map(|seq| seq.value()) else { return Ok(None) };
        if !self.read.contains_key(&seq) {
            let row = self.rows.get(seq)?.ok_or_else(|| missing(seq))?;
            self.read.insert(seq, decode("decided", &seq, row.value())?);
        }
        let decision = self.read.get(&seq).and_then(|row| row.get(rid.as_bytes()));
        decision.cloned().map(Some).ok_or_else(|| missing(seq))
    }
}

/// What the index names is in the row.
fn missing(seq: u64) -> ViewError {
    ViewError::Row { table: "decided", row: seq.to_string() }
}
