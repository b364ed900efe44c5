//! The log computed again with the validator's engine: I5 and I16.

use std::collections::BTreeMap;

use common::entry::{Body, Entry};
use common::ids::{AssetId, Rid, Shard};
use common::keys::{asset_key, holding_key};
use common::state::{AssetRecord, HoldingRecord, decode};
use validator::engine::{Batch, Decision, Deliveries, Divergence, Engine, Fault, Loaded, Needs, inputs_of};

use super::{Evidence, Violation};

/// An entry that cannot be reproduced.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the body cannot be read")]
    Body(#[from] serde_json::Error),
    #[error("the replay differs")]
    Divergence(#[from] Divergence),
    #[error("the engine cannot go on")]
    Fault(#[from] Fault),
    #[error("the stored record of {key} cannot be read")]
    Record { key: String, source: std::io::Error },
}

/// The state of one shard, folded from its log alone.
#[derive(Debug)]
pub struct Fold {
    engine: Engine,
    values: BTreeMap<String, Vec<u8>>,
    decisions: BTreeMap<Rid, Decision>,
    deliveries: BTreeMap<u64, Deliveries>,
}

impl Fold {
    /// The state before the first entry.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self {
            engine: Engine::genesis(shard),
            values: BTreeMap::new(),
            decisions: BTreeMap::new(),
            deliveries: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What a batch needs, as of now.
    #[must_use]
    pub fn load(&self, needs: &Needs) -> Loaded {
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

    /// Computes the next entry again and moves over it.
    ///
    /// # Errors
    /// Outcomes, updates, root, aux or another field differ, or the entry does not follow.
    pub fn take(&mut self, entry: &Entry) -> Result<Body, ReplayError> {
        let body = entry.decode()?;
        let plan = Engine::read(inputs_of(&body));
        let loaded = self.load(plan.needs());
        let batch = self.engine.replay(&body, plan, loaded)?;
        self.accept(batch)?;
        Ok(body)
    }

    /// Moves over a batch that was decided on this state.
    ///
    /// # Errors
    /// It does not follow.
    pub fn accept(&mut self, batch: Batch) -> Result<(), Fault> {
        for (key, change) in batch.changes.values {
            match change.after {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
        self.decisions.extend(batch.changes.decisions);
        for (seq, row) in batch.changes.deliveries {
            match row {
                Some(row) => self.deliveries.insert(seq, row),
                None => self.deliveries.remove(&seq),
            };
        }
        self.engine.accept(batch.next).map(drop)
    }

    /// Sum of all holdings of an asset, and its supply; `None` = it is not registered.
    fn held(&self, asset: &AssetId) -> Result<Option<(u128, u128)>, ReplayError> {
        let unreadable = |key: &String, source| ReplayError::Record { key: key.clone(), source };
        let key = asset_key(asset);
        let Some(value) = self.values.get(&key) else { return Ok(None) };
        let record: AssetRecord = decode(value).map_err(|source| unreadable(&key, source))?;
        let prefix = holding_prefix(asset);
        let mut held = 0_u128;
        for (key, value) in
            self.values.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix))
        {
            let holding: HoldingRecord = decode(value).map_err(|source| unreadable(key, source))?;
            held = held.saturating_add(holding.balance.units());
        }
        Ok(Some((held, record.supply.units())))
    }
}

/// What the keys of all holdings of an asset begin with.
fn holding_prefix(asset: &AssetId) -> String {
    let account = "x";
    let key = account.parse().map(|account| holding_key(asset, &account)).unwrap_or_default();
    key.strip_suffix(account).unwrap_or_default().to_owned()
}

/// I5: the engine computes every entry again to equal outcomes, updates, root and aux.
///
/// # Errors
/// [`Violation::Replay`].
pub fn replays(evidence: &Evidence) -> Result<(), Violation> {
    fold(evidence, |_, _, _| Ok(()))
}

/// I16: after every entry, for every asset it changed, the holdings add up to the supply.
///
/// # Errors
/// [`Violation::Supply`], or [`Violation::Replay`] if the state cannot be computed.
pub fn supply_held(evidence: &Evidence) -> Result<(), Violation> {
    fold(evidence, conserved)
}

/// The assets an entry changed, in the state after it.
pub(super) fn conserved(shard: Shard, state: &Fold, body: &Body) -> Result<(), Violation> {
    for update in &body.updates {
        let (seq, asset) = (body.seq, update.asset.clone());
        let held = state.held(&asset).map_err(|source| Violation::Replay { shard, seq, source })?;
        if let Some((held, supply)) = held.filter(|(held, supply)| held != supply) {
            return Err(Violation::Supply { shard, seq, asset, held, supply });
        }
    }
    Ok(())
}

fn fold(
    evidence: &Evidence,
    after: impl Fn(Shard, &Fold, &Body) -> Result<(), Violation>,
) -> Result<(), Violation> {
    for (shard, log) in &evidence.logs {
        let mut state = Fold::new(*shard);
        for entry in log {
            let violated = |source| Violation::Replay { shard: *shard, seq: entry.seq, source };
            let body = state.take(entry).map_err(violated)?;
            after(*shard, &state, &body)?;
        }
    }
    Ok(())
}

#[cfg(test)]
impl Fold {
    /// Replaces a value behind the engine's back: no log can say this, only a faulty engine does it.
    pub(super) fn corrupt(&mut self, key: String, value: Vec<u8>) {
        self.values.insert(key, value);
    }
}
