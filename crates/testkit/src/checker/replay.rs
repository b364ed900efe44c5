//! The log computed again with the validator's fold: I5 and I16.

use std::collections::BTreeMap;

use common::entry::Body;
use common::ids::{AssetId, Shard};
use common::keys::{asset_key, holding_key};
use common::state::{AssetRecord, HoldingRecord, decode};
use validator::{Fold, FoldError};

use super::{Evidence, Violation};

/// An entry that cannot be reproduced, or a state that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the body cannot be read")]
    Body(#[from] serde_json::Error),
    #[error(transparent)]
    Fold(#[from] FoldError),
    #[error("the stored record of {key} cannot be read")]
    Record { key: String, source: std::io::Error },
}

/// The values of the state tree by their keys.
type Values = BTreeMap<String, Vec<u8>>;

/// Sum of all holdings of an asset, and its supply; `None` = it is not registered.
fn held(values: &Values, asset: &AssetId) -> Result<Option<(u128, u128)>, ReplayError> {
    let unreadable = |key: &String, source| ReplayError::Record { key: key.clone(), source };
    let key = asset_key(asset);
    let Some(value) = values.get(&key) else { return Ok(None) };
    let record: AssetRecord = decode(value).map_err(|source| unreadable(&key, source))?;
    let prefix = holding_prefix(asset);
    let mut held = 0_u128;
    for (key, value) in values.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
        let holding: HoldingRecord = decode(value).map_err(|source| unreadable(key, source))?;
        held = held.saturating_add(holding.balance.units());
    }
    Ok(Some((held, record.supply.units())))
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
pub(super) fn conserved(shard: Shard, values: &Values, body: &Body) -> Result<(), Violation> {
    for update in &body.updates {
        let (seq, asset) = (body.seq, update.asset.clone());
        let held = held(values, &asset).map_err(|source| Violation::Replay { shard, seq, source })?;
        if let Some((held, supply)) = held.filter(|(held, supply)| held != supply) {
            return Err(Violation::Supply { shard, seq, asset, held, supply });
        }
    }
    Ok(())
}

fn fold(
    evidence: &Evidence,
    after: impl Fn(Shard, &Values, &Body) -> Result<(), Violation>,
) -> Result<(), Violation> {
    for (shard, log) in &evidence.logs {
        let mut state = Fold::genesis(*shard);
        for entry in log {
            let violated = |source| Violation::Replay { shard: *shard, seq: entry.seq, source };
            let body = entry.decode().map_err(|source| violated(source.into()))?;
            state.push(&body).map_err(|source| violated(source.into()))?;
            after(*shard, state.values(), &body)?;
        }
    }
    Ok(())
}
