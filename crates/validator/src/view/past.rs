//! Reading what a rollback rests on: the archive from the undone request's entry on, and the values before it.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::Rid;

use super::read::Snapshot;
use super::{ViewError, tables, undo};
use crate::engine::boundary::Loaded;
use crate::engine::{Past, Search};

impl Snapshot {
    /// The past of a request, and what else of the state it calls for.
    pub(super) fn load_past(&self, rid: Rid, loaded: &mut Loaded) -> Result<(), ViewError> {
        let Some(past) = self.past(rid)? else { return Ok(()) };
        for key in past.keys() {
            if let Some(value) = self.value(&key)? {
                loaded.values.insert(key, value);
            }
        }
        for seq in past.seqs() {
            if let Some(row) = self.deliveries(seq)? {
                loaded.deliveries.insert(seq, row);
            }
        }
        loaded.past = Some(past);
        Ok(())
    }

    /// What the log says of a request that is to be undone, as of this moment. `None`: its decision alone says that
    /// there is nothing to undo. Reads the archive from its entry on.
    pub(super) fn past(&self, rid: Rid) -> Result<Option<Past>, ViewError> {
        let Some(mut search) = Search::begin(rid, self.decision(rid)?.as_ref(), self.head()?.seq + 1) else {
            return Ok(None);
        };
        let entries = self.txn.open_table(tables::ENTRIES)?;
        // An archive may reach beyond its view while that is rebuilt.
        for row in entries.range(search.first()..=self.head()?.seq)? {
            let (seq, row) = row?;
            let unreadable = |_| ViewError::Row { table: "entries", row: seq.value().to_string() };
            let body = serde_json::from_slice(row.value().2).map_err(unreadable)?;
            if search.take(&body).is_break() {
                break;
            }
        }
        let mut past = search.end();
        for (key, value) in
            self.values_at(past.keys().into_iter().collect(), past.first().saturating_sub(1))?
        {
            past.set_before(key, value);
        }
        Ok(Some(past))
    }

    /// The values of state keys after entry `seq`, which must be among those whose undo records are kept: one walk over
    /// the records since, until each key has come up. What is absent is left out.
    pub(super) fn values_at(
        &self,
        mut keys: BTreeSet<String>,
        seq: u64,
    ) -> Result<BTreeMap<String, Vec<u8>>, ViewError> {
        let mut values = BTreeMap::new();
        let records = self.txn.open_table(tables::UNDO)?;
        for record in records.range(seq.saturating_add(1)..)? {
            if keys.is_empty() {
                break;
            }
            let (later, row) = record?;
            for before in undo::read(later.value(), row.value()) {
                let (key, value) = before?;
                // The oldest change of a key after the entry holds its value then.
                if keys.remove(key) {
                    values.extend(value.map(|value| (key.to_owned(), value.to_vec())));
                }
            }
        }
        for key in keys {
            if let Some(value) = self.value(&key)? {
                values.insert(key, value);
            }
        }
        Ok(values)
    }
}
