//! MINT `{to, amount}`: new units for one account.
//!
//! - Footprint: writes the asset (its supply) and the holding of `to`.
//! - Effect: supply and balance rise by the amount.
//! - Rejected: `SUPPLY_OVERFLOW`. A balance is part of the supply, so it cannot overflow first. `ASSET_BLOCKED`,
//!   `HOLDING_BLOCKED`.
//! - Inverse: BURN of the same amount from `to`.

use common::amount::Amount;
use common::ids::Account;

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;

pub(super) fn footprint(to: &Account, touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_asset();
    ChangeSlots { to: Some(touched.writes_holding(to)), ..ChangeSlots::default() }
}

pub(super) fn apply(amount: Amount, applying: &mut Applying<'_, '_>) {
    let Some(to) = applying.slots.to else { return };
    let holding = applying.overlay.holding(to);
    if applying.is_asset_blocked() || applying.is_holding_blocked(holding.state, "/to") {
        return;
    }
    let balance = holding.balance.checked_add(amount);
    let Some(asset) = applying.overlay.change_asset() else { return };
    let (Some(supply), Some(balance)) = (asset.supply.checked_add(amount), balance) else {
        let detail = format!("the supply is {}, the sum must stay below 2^128", asset.supply);
        applying.error(Code::SupplyOverflow, "/amount", detail);
        return;
    };
    asset.supply = supply;
    applying.overlay.set_balance(to, balance);
}
