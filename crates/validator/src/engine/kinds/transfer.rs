//! TRANSFER `{from, to, amount}`: units move between two accounts.
//!
//! - Footprint: writes both holdings. The asset is only read, so transfers between different accounts of
//!   one asset do not wait for each other.
//! - Effect: one balance falls by the amount, the other rises; an empty holding loses its leaf.
//! - Rejected: `INSUFFICIENT_BALANCE`; what is frozen cannot be moved. `ASSET_BLOCKED`, `HOLDING_BLOCKED`.
//! - Inverse: the transfer back.

use common::amount::Amount;
use common::ids::Account;
use common::state::HoldingRecord;

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, SlotId, Touched};
use super::Applying;

pub(super) fn footprint(from: &Account, to: &Account, touched: &mut Touched<'_>) -> ChangeSlots {
    let (from, to) = (touched.writes_holding(from), touched.writes_holding(to));
    ChangeSlots { from: Some(from), to: Some(to), ..ChangeSlots::default() }
}

pub(super) fn apply(amount: Amount, applying: &mut Applying<'_, '_>) {
    let Some(to) = applying.slots.to else { return };
    if applying.is_asset_blocked() || !debit(amount, applying) {
        return;
    }
    let state = applying.overlay.holding(to).state;
    if !applying.is_holding_blocked(state, "/to") {
        credit(to, amount, applying);
    }
}

/// Takes the amount off the holding it comes from. Gives whether it could.
pub(super) fn debit(amount: Amount, applying: &mut Applying<'_, '_>) -> bool {
    debit_at(amount, "/amount", applying)
}

/// The same; `field` is where the amount comes from.
pub(super) fn debit_at(amount: Amount, field: &str, applying: &mut Applying<'_, '_>) -> bool {
    let Some(from) = applying.slots.from else { return false };
    let holding = applying.overlay.holding(from);
    if applying.is_holding_blocked(holding.state, "/from") {
        return false;
    }
    let free = free(&holding);
    match holding.balance.checked_sub(amount) {
        Some(rest) if amount <= free => {
            applying.overlay.set_balance(from, rest);
            true
        }
        _ => {
            let detail = format!("{free} units are free, {amount} are asked for");
            applying.error(Code::InsufficientBalance, field, detail);
            false
        }
    }
}

/// Adds units that another holding gave.
pub(super) fn credit(to: SlotId, amount: Amount, applying: &mut Applying<'_, '_>) {
    let balance = applying.overlay.holding(to).balance.checked_add(amount);
    let balance = balance.expect("a balance is part of the supply, which is below 2^128");
    applying.overlay.set_balance(to, balance);
}

/// The units of a holding that are not frozen.
pub(in crate::engine) fn free(holding: &HoldingRecord) -> Amount {
    holding.balance.checked_sub(holding.frozen).unwrap_or(Amount::ZERO)
}
