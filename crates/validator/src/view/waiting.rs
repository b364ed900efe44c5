//! Locks and waiters in the view.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use common::ids::Rid;
use redb::{ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};

use super::read::Snapshot;
use super::write::Record;
use super::{ViewError, decode, tables};
use crate::engine::boundary::{Changes, Loaded, Needs};
use crate::engine::waiting::{self, LockRow, Waiter};

impl Snapshot {
    /// What a batch needs of both, under what entries have changed that the view may not have yet, the newest first.
    pub(super) fn load_waiting(
        &self,
        needs: &Needs,
        rids: BTreeSet<Rid>,
        newer: &[&Changes],
        loaded: &mut Loaded,
    ) -> Result<(), ViewError> {
        let (locks, waiters) = (self.txn.open_table(tables::LOCKS)?, self.txn.open_table(tables::WAITERS)?);
        let are_any = !locks.is_empty()? || !waiters.is_empty()?;
        // Most of the time nothing is held and nobody waits.
        if !are_any && newer.iter().all(|changes| changes.locks.is_empty() && changes.waiters.is_empty()) {
            return Ok(());
        }
        let waiter = |rid: Rid| match newer.iter().find_map(|changes| changes.waiters.get(&rid)) {
            Some(row) => Ok(row.clone()),
            None => waiters.get(rid.as_bytes())?.map(|row| decode("waiters", &rid, row.value())).transpose(),
        };
        let lock = |asset: &str| match newer.iter().find_map(|changes| changes.locks.get(asset)) {
            Some(row) => Ok(row.clone()),
            None => locks.get(asset)?.map(|row| decode("locks", &asset, row.value())).transpose(),
        };
        waiting::load(loaded, needs, rids, waiter, lock)
    }

    /// The request, if it waits.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn waiter(&self, rid: Rid) -> Result<Option<Waiter>, ViewError> {
        let table = self.txn.open_table(tables::WAITERS)?;
        table.get(rid.as_bytes())?.map(|row| decode("waiters", &rid, row.value())).transpose()
    }

    /// Who holds the asset or waits for it.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn lock(&self, asset: &str) -> Result<Option<LockRow>, ViewError> {
        let table = self.txn.open_table(tables::LOCKS)?;
        table.get(asset)?.map(|row| decode("locks", &asset, row.value())).transpose()
    }

    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn waiters_count(&self) -> Result<u64, ViewError> {
        Ok(self.txn.open_table(tables::WAITERS)?.len()?)
    }

    /// Who holds an asset or waits for it, by asset.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn locks(&self) -> Result<BTreeMap<String, LockRow>, ViewError> {
        let table = self.txn.open_table(tables::LOCKS)?;
        let mut locks = BTreeMap::new();
        for row in table.iter()? {
            let (asset, row) = row?;
            let asset = asset.value();
            locks.insert(asset.to_owned(), decode("locks", &asset, row.value())?);
        }
        Ok(locks)
    }

    /// Goes through the requests that wait, by id, until told to stop. One is in memory at a time: they have messages.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn each_waiter(
        &self,
        mut each: impl FnMut(Rid, Waiter) -> ControlFlow<()>,
    ) -> Result<(), ViewError> {
        let table = self.txn.open_table(tables::WAITERS)?;
        for row in table.iter()? {
            let (rid, row) = row?;
            let unreadable = |_| ViewError::Row { table: "waiters", row: format!("{:02x?}", rid.value()) };
            let rid = Rid::from_bytes(*rid.value()).map_err(unreadable)?;
            if each(rid, decode("waiters", &rid, row.value())?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Writes what a run of entries has changed of both.
pub(super) fn write(txn: &WriteTransaction, run: &[Record<'_>]) -> Result<(), ViewError> {
    let newest: BTreeMap<_, _> = run.iter().flat_map(|record| &record.changes.locks).collect();
    if !newest.is_empty() {
        let mut table = txn.open_table(tables::LOCKS)?;
        for (asset, row) in newest {
            match row {
                Some(row) => table.insert(asset.as_str(), common::state::encode(row).as_slice())?,
                None => table.remove(asset.as_str())?,
            };
        }
    }
    let newest: BTreeMap<_, _> = run.iter().flat_map(|record| &record.changes.waiters).collect();
    if !newest.is_empty() {
        let mut table = txn.open_table(tables::WAITERS)?;
        for (rid, row) in newest {
            match row {
                Some(row) => table.insert(rid.as_bytes(), common::state::encode(row).as_slice())?,
                None => table.remove(rid.as_bytes())?,
            };
        }
    }
    Ok(())
}
