//! The regulatory machine of assets and holdings: which action leads where.
//!
//! In: a state and an action. Out: the state after it, or that there is none. The table is that of ERC-8319 ("State
//! Transition Dynamics"): a row per transition, everything else is refused; nothing leaves CONFISCATED. RECOVER and
//! LIQUIDATE move units and are no actions of the machine.

use common::amount::Amount;
use common::ids::Account;
use common::state::{AssetStatus, RegulatoryState};

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Freeze,
    Unfreeze,
    Seize,
    Release,
    Confiscate,
    Restrict,
    Unrestrict,
}

use Action::{Confiscate, Freeze, Release, Restrict, Seize, Unfreeze, Unrestrict};
use RegulatoryState::{Active, Confiscated, Frozen, Restricted, Seized};

const ERC_8319: [(RegulatoryState, Action, RegulatoryState); 12] = [
    (Active, Freeze, Frozen),
    (Active, Seize, Seized),
    (Active, Confiscate, Confiscated),
    (Active, Restrict, Restricted),
    (Frozen, Unfreeze, Active),
    (Frozen, Seize, Seized),
    (Frozen, Confiscate, Confiscated),
    (Seized, Release, Active),
    (Seized, Confiscate, Confiscated),
    (Restricted, Freeze, Frozen),
    (Restricted, Confiscate, Confiscated),
    (Restricted, Unrestrict, Active),
];

fn next(state: RegulatoryState, action: Action) -> Option<RegulatoryState> {
    ERC_8319.iter().find(|(from, by, _)| (*from, *by) == (state, action)).map(|(.., to)| *to)
}

/// Whether nothing may move in this state by an ordinary change.
pub(super) const fn stops(state: RegulatoryState) -> bool {
    match state {
        Frozen | Seized | Confiscated => true,
        Active | Restricted => false,
    }
}

/// One holding, or the asset.
pub(super) fn footprint(account: Option<&Account>, touched: &mut Touched<'_>) -> ChangeSlots {
    let Some(account) = account else {
        touched.writes_asset();
        return ChangeSlots::default();
    };
    ChangeSlots { holding: Some(touched.writes_holding(account)), ..ChangeSlots::default() }
}

/// Moves the asset, or the holding, to its next state.
pub(super) fn step(action: Action, applying: &mut Applying<'_, '_>) {
    let holding = applying.slots.holding.map(|slot| (slot, applying.overlay.holding(slot).state));
    let asset = applying.overlay.asset().and_then(|asset| asset.status.regulatory());
    let Some(state) = holding.map(|(_, state)| state).or(asset) else { return };
    let Some(next) = next(state, action) else {
        let detail = format!("not in state {}", state.name());
        applying.error(Code::TransitionNotAllowed, "/kind", detail);
        return;
    };
    match holding {
        Some((slot, _)) => applying.overlay.set_state(slot, next),
        None => {
            if let Some(asset) = applying.overlay.change_asset() {
                asset.status = AssetStatus::from(next);
            }
        }
    }
}

/// Sets how many units of the holding are frozen, if `check` finds nothing wrong with the present figure.
pub(super) fn set_frozen(
    amount: Amount,
    applying: &mut Applying<'_, '_>,
    check: impl FnOnce(Amount, &mut Applying<'_, '_>),
) {
    let Some(slot) = applying.slots.holding else { return };
    let holding = applying.overlay.holding(slot);
    if holding.state == Confiscated {
        applying.holding_is_blocked(holding.state, "/account");
    }
    check(holding.frozen, applying);
    if applying.errors.is_empty() {
        applying.overlay.set_frozen(slot, amount);
    }
}

#[cfg(test)]
mod tests;
