//! RESTRICT `{account?}`: trade under conditions, for the asset or for one holding.
//!
//! - Footprint: writes the asset, or the holding.
//! - Effect: the state becomes RESTRICTED. What moves then is for the rules to say; the state alone stops nothing.
//! - Rejected: `TRANSITION_NOT_ALLOWED`.
//! - Inverse: UNRESTRICT.

use common::ids::Account;

use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;
use super::regulatory::{self, Action};

pub(super) fn footprint(account: Option<&Account>, touched: &mut Touched<'_>) -> ChangeSlots {
    regulatory::footprint(account, touched)
}

pub(super) fn apply(applying: &mut Applying<'_, '_>) {
    regulatory::step(Action::Restrict, applying);
}
