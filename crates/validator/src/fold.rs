//! The fold of a log: the state of one shard from its entries alone, without a view or a server.
//!
//! In: the bodies of a log, from its first entry on. Out: the state after each of them, or the first
//! [`FoldError`]. For everybody who checks a log from outside and trusts nothing but its content.
//!
//! Invariant: state only moves over a batch that follows it; after an error it is what it was.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::Body;
use common::ids::{Rid, Shard};

use crate::engine::{
    Batch, Changes, Decision, Deliveries, Divergence, Engine, Fault, Loaded, Needs, Position, RawInput,
    Stamp, Withdrawal, inputs_of,
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
        Loaded { values, decisions, deliveries, withdrawals }
    }

    /// The engine first: if the batch does not follow, nothing has moved.
    fn accept(&mut self, batch: Batch) -> Result<(), Fault> {
        let Batch { changes: Changes { values, decisions, deliveries, withdrawals, .. }, next, .. } = batch;
        self.engine.accept(next)?;
        for (key, change) in values {
            match change.after {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
        self.decisions.extend(decisions);
        self.withdrawals.extend(withdrawals);
        for (seq, row) in deliveries {
            match row {
                Some(row) => self.deliveries.insert(seq, row),
                None => self.deliveries.remove(&seq),
            };
        }
        Ok(())
    }
}
