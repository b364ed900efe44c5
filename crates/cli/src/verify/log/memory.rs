//! The state a replay runs on, in memory: what the validator keeps in its view.

use std::collections::BTreeMap;

use common::ids::Rid;
use validator::engine::{Changes, Decision, Deliveries, Loaded, Needs};

/// All values of the state tree and the tables beside it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    values: BTreeMap<String, Vec<u8>>,
    decisions: BTreeMap<Rid, Decision>,
    deliveries: BTreeMap<u64, Deliveries>,
}

impl Memory {
    /// What a batch needs, as of now.
    pub(super) fn load(&self, needs: &Needs) -> Loaded {
        let deliveries: BTreeMap<u64, Deliveries> =
            needs.seqs.iter().filter_map(|seq| Some((*seq, self.deliveries.get(seq)?.clone()))).collect();
        // A receipt ends requests that its message does not name: those that wait in its entry's row.
        let waiting = deliveries.values().flat_map(|row| row.waiting.keys());
        let rids = needs.rids.iter().copied().chain(waiting.filter_map(|bytes| Rid::from_bytes(*bytes).ok()));
        let decisions = rids.filter_map(|rid| Some((rid, self.decisions.get(&rid)?.clone()))).collect();
        let values =
            needs.keys.iter().filter_map(|key| Some((key.clone(), self.values.get(key)?.clone()))).collect();
        Loaded { values, decisions, deliveries }
    }

    #[cfg(test)]
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    pub(super) fn apply(&mut self, changes: Changes) {
        for (key, change) in changes.values {
            match change.after {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
        self.decisions.extend(changes.decisions);
        for (seq, row) in changes.deliveries {
            match row {
                Some(row) => self.deliveries.insert(seq, row),
                None => self.deliveries.remove(&seq),
            };
        }
    }
}
