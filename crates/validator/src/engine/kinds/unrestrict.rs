//! UNRESTRICT `{account?}`: the end of the conditions, for the asset or for one holding.
//!
//! - Footprint: writes the asset, or the holding.
//! - Effect: the state becomes ACTIVE again.
//! - Rejected: `TRANSITION_NOT_ALLOWED`.
//! - Inverse: RESTRICT.

use common::ids::Account;

use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;
use super::regulatory::{self, Action};

pub(super) fn footprint(account: Option<&Account>, touched: &mut Touched<'_>) -> ChangeSlots {
    regulatory::footprint(account, touched)
}

pub(super) fn apply(applying: &mut Applying<'_, '_>) {
    regulatory::step(Action::Unrestrict, applying);
}
