//! UNFREEZE `{account?, amount?}`: the end of a FREEZE, or less of it.
//!
//! - Footprint: writes the asset, or the holding.
//! - Effect: the state becomes ACTIVE again; with `amount` the holding's state stays, and so many of its units are frozen
//!   from now on. The figure is absolute; 0 = none.
//! - Rejected: `TRANSITION_NOT_ALLOWED`, `FROZEN_NOT_LOWERED` (raising is FREEZE).
//! - Inverse: FREEZE, with the figure before.

use common::amount::Amount;
use common::ids::Account;

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;
use super::regulatory::{self, Action};

pub(super) fn footprint(account: Option<&Account>, touched: &mut Touched<'_>) -> ChangeSlots {
    regulatory::footprint(account, touched)
}

pub(super) fn apply(amount: Option<Amount>, applying: &mut Applying<'_, '_>) {
    let Some(amount) = amount else { return regulatory::step(Action::Unfreeze, applying) };
    regulatory::set_frozen(amount, applying, |now, applying| {
        if amount >= now {
            let detail = format!("{now} units are frozen, {amount} are asked for");
            applying.error(Code::FrozenNotLowered, "/amount", detail);
        }
    });
}
