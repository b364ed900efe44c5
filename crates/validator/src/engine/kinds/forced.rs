//! Forced moves: units change hands by order, whatever freezes them.
//!
//! What is frozen shrinks by what a move takes beyond the free units (ERC-7943: unfrozen first, then moved). The
//! receiver must be able to receive; a confiscated holding has nothing left to give.

use common::amount::Amount;

use super::super::codes::Code;
use super::{Applying, transfer};

pub(super) fn apply(amount: Amount, applying: &mut Applying<'_, '_>) {
    let Some(from) = applying.slots.from else { return };
    let balance = applying.overlay.holding(from).balance;
    if amount > balance {
        let detail = format!("{balance} units are held, {amount} are asked for");
        applying.error(Code::InsufficientBalance, "/amount", detail);
        return;
    }
    moved(amount, applying);
}

/// Moves units that are there. Gives whether it could.
pub(super) fn moved(amount: Amount, applying: &mut Applying<'_, '_>) -> bool {
    let (Some(from), Some(to)) = (applying.slots.from, applying.slots.to) else { return false };
    let (giver, receiver) = (applying.overlay.holding(from), applying.overlay.holding(to));
    if applying.is_holding_blocked(receiver.state, "/to") {
        return false;
    }
    let free = transfer::free(&giver);
    let beyond = amount.checked_sub(free).unwrap_or(Amount::ZERO);
    let frozen = giver.frozen.checked_sub(beyond).unwrap_or(Amount::ZERO);
    let rest = giver.balance.checked_sub(amount).expect("as much is there");
    applying.overlay.set_frozen(from, frozen);
    applying.overlay.set_balance(from, rest);
    transfer::credit(to, amount, applying);
    true
}
