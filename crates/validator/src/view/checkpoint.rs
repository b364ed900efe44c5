//! The view in a checkpoint's rows, and back.
//!
//! Written are the tables that follow from the log and from nothing else in the file; `decisions` and `open` are indexes
//! and are made again. `entries`, `effects` and `identity` are no part of the view. Of `undo` and `finals` exactly what
//! every view with these settings has at this entry is written, whenever it last forgot something.

use std::collections::BTreeSet;

use common::hash::Digest;
use redb::{ReadableTable as _, WriteTransaction};

use super::read::Snapshot;
use super::tables::{self, HeadRow};
use super::{View, ViewError, decided};
use crate::checkpoint::{CheckpointError, Header, Reader, Row, Table, Writer};
use crate::engine::boundary::Deliveries;
use crate::engine::tree::Tree;

impl View {
    /// The header of a checkpoint of this moment; `None` = there is nothing to be written yet.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn checkpoint_header(&self, snapshot: &Snapshot) -> Result<Option<Header>, ViewError> {
        let head = snapshot.head()?;
        let Some(generation) = self.generation()?.filter(|_| head.seq > 0) else { return Ok(None) };
        let (shard, schema) = (self.shard.to_string(), tables::SCHEMA_VERSION.to_owned());
        Ok(Some(Header { shard, generation, schema, undo_entries: self.settings.undo_entries, head }))
    }

    /// Fills the empty view from a checkpoint, on disk when this returns. All or nothing.
    ///
    /// # Errors
    /// See [`CheckpointError`]; the view is still empty then.
    pub(crate) fn restore(&self, file: Reader) -> Result<HeadRow, CheckpointError> {
        self.restore_in(self.db.begin_write().map_err(database)?, file)
    }

    /// The same with what the transaction has brought to the archive; ends it.
    pub(super) fn restore_in(
        &self,
        txn: WriteTransaction,
        mut file: Reader,
    ) -> Result<HeadRow, CheckpointError> {
        let head = self.check(&txn, &file)?;
        let mut leaves = Vec::new();
        {
            let mut tables = Tables::open(&txn).map_err(CheckpointError::View)?;
            while let Some(row) = file.next()? {
                if row.table == Table::Values {
                    let key = text(&row.key).ok_or_else(|| file.form("a state key is no text"))?;
                    leaves.push((common::proof::key_hash(key), common::proof::value_hash(&row.value)));
                }
                tables.take(&row)?.map_err(|what| file.form(what))?;
            }
        }
        let computed = Tree::from_leaves(leaves).root();
        if computed != head.root {
            return Err(CheckpointError::Root { path: file.path().to_owned(), stated: head.root, computed });
        }
        let noted = || -> Result<(), ViewError> {
            txn.open_table(tables::META)?.insert(tables::HEAD, common::state::encode(&head).as_slice())?;
            txn.commit()?;
            Ok(())
        };
        noted()?;
        Ok(head)
    }

    /// Whether the file may be taken here, before any row of it is read.
    fn check(&self, txn: &WriteTransaction, file: &Reader) -> Result<HeadRow, CheckpointError> {
        let (header, path) = (file.header(), file.path());
        let seq = self.snapshot()?.head()?.seq;
        if seq > 0 {
            return Err(CheckpointError::NotEmpty { seq });
        }
        header
            .check(
                self.shard,
                self.generation()?.as_deref(),
                tables::SCHEMA_VERSION,
                self.settings.undo_entries,
            )
            .map_err(|what| CheckpointError::Other { path: path.to_owned(), what })?;
        let (first, last) = (header.window_first(), header.head.seq);
        if !has_window(txn, first, last, header.head.digest)? {
            return Err(CheckpointError::Window { path: path.to_owned(), seq: last, first });
        }
        Ok(header.head.clone())
    }
}

impl Snapshot {
    /// Writes every row; `go_on` is asked now and then.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub(crate) fn write_rows(
        &self,
        header: &Header,
        out: &mut Writer,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), CheckpointError> {
        let mut put = |table, key: &[u8], value: &[u8]| {
            if go_on() { out.row(table, key, value) } else { Err(CheckpointError::Stopped) }
        };
        let (head, undo_entries) = (header.head.seq, header.undo_entries);
        let open = self.txn.open_table(tables::VALUES).map_err(database)?;
        for row in open.iter().map_err(database)? {
            let (key, value) = row.map_err(database)?;
            put(Table::Values, key.value().as_bytes(), value.value())?;
        }
        let numbered = [
            (Table::Undo, tables::UNDO, (head + 1).saturating_sub(undo_entries)),
            (Table::Decided, tables::DECIDED, 0),
        ];
        for (table, definition, first) in numbered {
            let open = self.txn.open_table(definition).map_err(database)?;
            for row in open.range(first..).map_err(database)? {
                let (seq, value) = row.map_err(database)?;
                put(table, &seq.value().to_be_bytes(), value.value())?;
            }
        }
        let open = self.txn.open_table(tables::WITHDRAWALS).map_err(database)?;
        for row in open.iter().map_err(database)? {
            let (rid, value) = row.map_err(database)?;
            put(Table::Withdrawals, rid.value(), value.value())?;
        }
        let open = self.txn.open_table(tables::DELIVERIES).map_err(database)?;
        for row in open.iter().map_err(database)? {
            let (seq, value) = row.map_err(database)?;
            put(Table::Deliveries, &seq.value().to_be_bytes(), value.value())?;
        }
        self.write_finals(head.saturating_sub(undo_entries), &mut put)?;
        let open = self.txn.open_table(tables::LOCKS).map_err(database)?;
        for row in open.iter().map_err(database)? {
            let (asset, value) = row.map_err(database)?;
            put(Table::Locks, asset.value().as_bytes(), value.value())?;
        }
        let open = self.txn.open_table(tables::WAITERS).map_err(database)?;
        for row in open.iter().map_err(database)? {
            let (rid, value) = row.map_err(database)?;
            put(Table::Waiters, rid.value(), value.value())?;
        }
        Ok(())
    }

    /// Those from `floor` on, and the newest of each target.
    fn write_finals(
        &self,
        floor: u64,
        put: &mut impl FnMut(Table, &[u8], &[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let open = self.txn.open_table(tables::FINALS).map_err(database)?;
        let mut rows = open.iter().map_err(database)?.peekable();
        while let Some(row) = rows.next() {
            let (key, _) = row.map_err(database)?;
            let (target, seq) = key.value();
            let is_newest = match rows.peek() {
                Some(Ok((next, _))) => next.value().0 != target,
                _ => true,
            };
            if seq >= floor || is_newest {
                let key = [target.as_bytes(), &[0], &seq.to_be_bytes()].concat();
                put(Table::Finals, &key, &[])?;
            }
        }
        Ok(())
    }
}

/// The view's tables, to be filled.
struct Tables<'txn> {
    values: redb::Table<'txn, &'static str, &'static [u8]>,
    undo: redb::Table<'txn, u64, &'static [u8]>,
    decided: redb::Table<'txn, u64, &'static [u8]>,
    decisions: redb::Table<'txn, &'static [u8; 16], u64>,
    withdrawals: redb::Table<'txn, &'static [u8; 16], &'static [u8]>,
    deliveries: redb::Table<'txn, u64, &'static [u8]>,
    open: redb::Table<'txn, (&'static str, u64), ()>,
    finals: redb::Table<'txn, (&'static str, u64), ()>,
    locks: redb::Table<'txn, &'static str, &'static [u8]>,
    waiters: redb::Table<'txn, &'static [u8; 16], &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, ViewError> {
        Ok(Self {
            values: txn.open_table(tables::VALUES)?,
            undo: txn.open_table(tables::UNDO)?,
            decided: txn.open_table(tables::DECIDED)?,
            decisions: txn.open_table(tables::DECISIONS)?,
            withdrawals: txn.open_table(tables::WITHDRAWALS)?,
            deliveries: txn.open_table(tables::DELIVERIES)?,
            open: txn.open_table(tables::OPEN)?,
            finals: txn.open_table(tables::FINALS)?,
            locks: txn.open_table(tables::LOCKS)?,
            waiters: txn.open_table(tables::WAITERS)?,
        })
    }

    /// Takes one row; the inner error says what is wrong with it.
    fn take(&mut self, row: &Row) -> Result<Result<(), &'static str>, ViewError> {
        let Row { table, key, value } = row;
        match table {
            Table::Values => {
                let Some(key) = text(key) else { return Ok(Err("a state key is no text")) };
                self.values.insert(key, value.as_slice())?;
            }
            Table::Undo => {
                let Some(seq) = number(key) else { return Ok(Err("an entry's number is none")) };
                self.undo.insert(seq, value.as_slice())?;
            }
            Table::Decided => {
                let Some(seq) = number(key) else { return Ok(Err("an entry's number is none")) };
                let Ok(row) = common::state::decode::<decided::Row>(value) else {
                    return Ok(Err("the decisions of an entry cannot be read"));
                };
                for rid in row.keys() {
                    self.decisions.insert(rid, seq)?;
                }
                self.decided.insert(seq, value.as_slice())?;
            }
            Table::Withdrawals => {
                let Some(rid) = key.first_chunk().filter(|rid| rid.len() == key.len()) else {
                    return Ok(Err("a request's id is none"));
                };
                self.withdrawals.insert(rid, value.as_slice())?;
            }
            Table::Deliveries => {
                let (seq, open) = match open_in(row) {
                    Ok(found) => found.unwrap_or_default(),
                    Err(what) => return Ok(Err(what)),
                };
                for target in open {
                    self.open.insert((target.as_str(), seq), ())?;
                }
                self.deliveries.insert(seq, value.as_slice())?;
            }
            Table::Finals => {
                let Some((target, seq)) = pair(key) else { return Ok(Err("a target's entry is none")) };
                self.finals.insert((target, seq), ())?;
            }
            Table::Locks => {
                let Some(asset) = text(key) else { return Ok(Err("an asset's id is no text")) };
                self.locks.insert(asset, value.as_slice())?;
            }
            Table::Waiters => {
                let Some(rid) = key.first_chunk().filter(|rid| rid.len() == key.len()) else {
                    return Ok(Err("a request's id is none"));
                };
                self.waiters.insert(rid, value.as_slice())?;
            }
        }
        Ok(Ok(()))
    }
}

/// Whether the archive has these entries, each following the one before, and the last with this digest.
fn has_window(txn: &WriteTransaction, first: u64, last: u64, digest: Digest) -> Result<bool, ViewError> {
    let entries = txn.open_table(tables::ENTRIES)?;
    let mut before: Option<(u64, Digest)> = None;
    for row in entries.range(first..=last)? {
        let (seq, row) = row?;
        let (prev, own, _) = row.value();
        let follows = match before {
            None => seq.value() == first,
            Some((before, digest)) => seq.value() == before + 1 && digest.0 == *prev,
        };
        if !follows {
            return Ok(false);
        }
        before = Some((seq.value(), Digest(*own)));
    }
    Ok(before == Some((last, digest)))
}

/// The entry of a row of deliveries and who is open in it; `None` = it is a row of another table.
pub(super) fn open_in(row: &Row) -> Result<Option<(u64, BTreeSet<String>)>, &'static str> {
    if row.table != Table::Deliveries {
        return Ok(None);
    }
    let seq = number(&row.key).ok_or("an entry's number is none")?;
    let deliveries = common::state::decode::<Deliveries>(&row.value);
    let Ok(deliveries) = deliveries else { return Err("the deliveries of an entry cannot be read") };
    Ok(Some((seq, deliveries.open)))
}

fn text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok()
}

fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

fn pair(key: &[u8]) -> Option<(&str, u64)> {
    let (target, seq) = key.split_last_chunk::<8>()?;
    Some((text(target.strip_suffix(&[0])?)?, u64::from_be_bytes(*seq)))
}

fn database(error: impl Into<redb::Error>) -> CheckpointError {
    ViewError::from(error).into()
}
