//! FREEZE `{account?, amount?}`: nothing moves, of the asset, of one holding, or of a part of it.
//!
//! - Footprint: writes the asset, or the holding.
//! - Effect: the state becomes FROZEN; with `amount` the holding's state stays, and so many of its units are frozen from
//!   now on. The figure is absolute and may be above the balance: what comes in later is frozen too (ERC-7943).
//! - Rejected: `TRANSITION_NOT_ALLOWED`, `FROZEN_NOT_RAISED` (lowering is UNFREEZE).
//! - Inverse: UNFREEZE, with the figure before.

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
    let Some(amount) = amount else { return regulatory::step(Action::Freeze, applying) };
    regulatory::set_frozen(amount, applying, |now, applying| {
        if amount <= now {
            let detail = format!("{now} units are frozen already, {amount} are asked for");
            applying.error(Code::FrozenNotRaised, "/amount", detail);
        }
    });
}
