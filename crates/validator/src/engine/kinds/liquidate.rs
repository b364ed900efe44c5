//! LIQUIDATE `{from, to, amount}`: a forced sale: the buyer is `to`, the proceeds are settled elsewhere.
//!
//! - Footprint: writes both holdings.
//! - Effect: as a forced move; the states stay.
//! - Rejected: `INSUFFICIENT_BALANCE`, `HOLDING_BLOCKED`.
//! - Inverse: none; it is never undone automatically.

use common::amount::Amount;
use common::ids::Account;

use super::super::footprint::{ChangeSlots, Touched};
use super::{Applying, forced, transfer};

pub(super) fn footprint(from: &Account, to: &Account, touched: &mut Touched<'_>) -> ChangeSlots {
    transfer::footprint(from, to, touched)
}

pub(super) fn apply(amount: Amount, applying: &mut Applying<'_, '_>) {
    forced::apply(amount, applying);
}
