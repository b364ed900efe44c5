//! BURN `{from, amount}`: units of one account go out of the world.
//!
//! - Footprint: writes the asset (its supply) and the holding of `from`.
//! - Effect: supply and balance fall by the amount; an empty holding loses its leaf.
//! - Rejected: `INSUFFICIENT_BALANCE`; what is frozen cannot be burned. `ASSET_BLOCKED`, `HOLDING_BLOCKED`.
//! - Inverse: none by itself; a burn is never undone automatically.

use common::amount::Amount;
use common::ids::Account;

use super::super::footprint::{ChangeSlots, Touched};
use super::{Applying, transfer};

pub(super) fn footprint(from: &Account, touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_asset();
    ChangeSlots { from: Some(touched.writes_holding(from)), ..ChangeSlots::default() }
}

pub(super) fn apply(amount: Amount, applying: &mut Applying<'_, '_>) {
    if applying.is_asset_blocked() || !transfer::debit(amount, applying) {
        return;
    }
    let Some(asset) = applying.overlay.change_asset() else { return };
    asset.supply = asset.supply.checked_sub(amount).expect("the supply is the sum of all holdings");
}
