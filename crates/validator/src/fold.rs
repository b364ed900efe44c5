//! The fold of a log: the state of one shard from its entries alone, without a view or a server.
//!
//! In: the bodies of a log, from its first entry on. Out: the state after each of them, or the first
//! [`FoldError`]. For everybody who checks a log from outside and trusts nothing but its content.
//!
//! Invariant: state only moves over a batch that follows it; after an error it is what it was.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;

use common::entry::Body;
use common::ids::{Rid, Shard};

use crate::engine::waiting::{self, LockRow, Waiter};
use crate::engine::{
    Batch, Changes, Decision, Deliveries, Divergence, Engine, Fault, Loaded, Needs, Past, Position, RawInput,
    Search, Stamp, ValueChange, Withdrawal, inputs_of, past,
};

/// The log cannot be folded further. Always halt.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    #[error("the replay differs")]
    Divergence(#[from] Divergence),
    #[error("the engine cannot go on")]
    Fault(#[from] Fault),
}

/// The state of one shard as far as its log has been pushed.
#[derive(Debug)]
pub struct Fold {
    engine: Engine,
    values: BTreeMap<String, Vec<u8>>,
    decisions: BTreeMap<Rid, Decision>,
    deliveries: BTreeMap<u64, Deliveries>,
    withdrawals: BTreeMap<Rid, Vec<Withdrawal>>,
    locks: BTreeMap<String, LockRow>,
    waiters: BTreeMap<Rid, Waiter>,
    past: Kept,
}

/// The last entries, as far as a rollback looks back, with the values they changed.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<(Body, BTreeMap<String, ValueChange>)>,
    bytes: usize,
}

impl Fold {
    /// The state before the first entry.
    #[must_use]
    pub fn genesis(shard: Shard) -> Self {
        Self {
            engine: Engine::genesis(shard),
            values: BTreeMap::new(),
            decisions: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            withdrawals: BTreeMap::new(),
            locks: BTreeMap::new(),
            waiters: BTreeMap::new(),
            past: Kept::default(),
        }
    }

    #[must_use]
    pub fn shard(&self) -> Shard {
        self.engine.shard()
    }

    /// After which entry it stands, with root, aux, epoch and targets.
    #[must_use]
    pub fn position(&self) -> &Position {
        self.engine.position()
    }

    /// The values of the state tree by their keys.
    #[must_use]
    pub fn values(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.values
    }

    /// Every deciding outcome so far.
    #[must_use]
    pub fn decisions(&self) -> &BTreeMap<Rid, Decision> {
        &self.decisions
    }

    /// What still waits for receipts, by entry.
    #[must_use]
    pub fn deliveries(&self) -> &BTreeMap<u64, Deliveries> {
        &self.deliveries
    }

    /// What was withdrawn of applied requests.
    #[must_use]
    pub fn withdrawals(&self) -> &BTreeMap<Rid, Vec<Withdrawal>> {
        &self.withdrawals
    }

    /// Who holds an asset or waits for it, by asset.
    #[must_use]
    pub fn locks(&self) -> &BTreeMap<String, LockRow> {
        &self.locks
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiters(&self) -> &BTreeMap<Rid, Waiter> {
        &self.waiters
    }

    /// Computes the next entry again, compares it, and moves over it.
    ///
    /// # Errors
    /// Outcomes, updates, root, aux or another field differ, or the entry does not follow.
    pub fn push(&mut self, body: &Body) -> Result<(), FoldError> {
        let plan = Engine::read(inputs_of(body));
        let loaded = self.load(plan.needs());
        let batch = self.engine.replay(body, plan, loaded)?;
        Ok(self.accept(batch)?)
    }

    /// Decides a new entry on this state and moves over it, as a leader does: for whoever writes a log.
    ///
    /// # Errors
    /// See [`Engine::run`].
    pub fn write(&mut self, inputs: Vec<RawInput>, stamp: Stamp) -> Result<Body, Fault> {
        let plan = Engine::read(inputs);
        let loaded = self.load(plan.needs());
        let batch = self.engine.run(plan, loaded, stamp)?;
        let body = batch.body.clone();
        self.accept(batch)?;
        Ok(body)
    }

    /// What a batch needs, as of now.
    fn load(&self, needs: &Needs) -> Loaded {
        let deliveries: BTreeMap<u64, Deliveries> =
            needs.seqs.iter().filter_map(|seq| Some((*seq, self.deliveries.get(seq)?.clone()))).collect();
        // A receipt ends requests that its message does not name: those that wait in its entry's row.
        let waiting = deliveries.values().flat_map(|row| row.waiting.keys());
        let waiting = waiting.filter_map(|bytes| Rid::from_bytes(*bytes).ok());
        let rids: BTreeSet<Rid> = needs.rids.iter().copied().chain(waiting).collect();
        let decisions =
            rids.iter().filter_map(|rid| Some((*rid, self.decisions.get(rid)?.clone()))).collect();
        let withdrawals =
            rids.iter().filter_map(|rid| Some((*rid, self.withdrawals.get(rid)?.clone()))).collect();
        let values =
            needs.keys.iter().filter_map(|key| Some((key.clone(), self.values.get(key)?.clone()))).collect();
        let mut loaded = Loaded { values, decisions, deliveries, withdrawals, ..Loaded::default() };
        loaded.past = needs.undone.and_then(|rid| self.past_of(rid, &mut loaded));
        let waiter = |rid| Ok(self.waiters.get(&rid).cloned());
        let lock = |asset: &str| Ok(self.locks.get(asset).cloned());
        let Ok(()) = waiting::load::<Infallible>(&mut loaded, needs, rids, waiter, lock);
        loaded
    }

    /// The past of a request that is to be undone, and what else of the state it calls for.
    fn past_of(&self, rid: Rid, loaded: &mut Loaded) -> Option<Past> {
        let next = self.engine.position().seq + 1;
        let mut search = Search::begin(rid, self.decisions.get(&rid), next)?;
        let first = search.first();
        for (body, _) in self.past.entries.iter().skip_while(|(body, _)| body.seq < first) {
            if search.take(body).is_break() {
                break;
            }
        }
        let mut past = search.end();
        for key in past.keys() {
            let present = self.values.get(&key);
            let before = self.past.change(first, &key).map_or(present, |change| change.before.as_ref());
            if let Some(value) = before {
                past.set_before(key.clone(), value.clone());
            }
            if let Some(value) = present {
                loaded.values.insert(key, value.clone());
            }
        }
        let row = |seq: u64| Some((seq, self.deliveries.get(&seq)?.clone()));
        loaded.deliveries.extend(past.seqs().into_iter().filter_map(row));
        Some(past)
    }

    /// The engine first: if the batch does not follow, nothing has moved.
    fn accept(&mut self, batch: Batch) -> Result<(), Fault> {
        let Batch { body, changes, next, .. } = batch;
        let Changes { values, decisions, deliveries, withdrawals, locks, waiters, .. } = changes;
        self.engine.accept(next)?;
        self.past.push(body, values.clone());
        for (key, change) in values {
            match change.after {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
        self.decisions.extend(decisions);
        self.withdrawals.extend(withdrawals);
        apply(&mut self.locks, locks);
        apply(&mut self.waiters, waiters);
        apply(&mut self.deliveries, deliveries);
        Ok(())
    }
}

/// `None` deletes the row.
fn apply<K: Ord, V>(table: &mut BTreeMap<K, V>, changes: BTreeMap<K, Option<V>>) {
    for (key, row) in changes {
        match row {
            Some(row) => table.insert(key, row),
            None => table.remove(&key),
        };
    }
}

impl Kept {
    /// The oldest change of a key from an entry on.
    fn change(&self, first: u64, key: &str) -> Option<&ValueChange> {
        let mut from = self.entries.iter().skip_while(|(body, _)| body.seq < first);
        from.find_map(|(_, values)| values.get(key))
    }

    fn push(&mut self, body: Body, values: BTreeMap<String, ValueChange>) {
        self.bytes += past::bytes_of(&body);
        self.entries.push_back((body, values));
        // Further back a search says that it is too far, with or without the entries.
        while self.bytes > past::WINDOW_BYTES || self.entries.len() as u64 > past::WINDOW_ENTRIES {
            let Some((oldest, _)) = self.entries.pop_front() else { return };
            self.bytes -= past::bytes_of(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
