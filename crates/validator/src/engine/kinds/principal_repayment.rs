//! PRINCIPAL_REPAYMENT `{date, record_date, cash_asset, from, rate | amount}`: principal goes back to those who held the asset at a record date.
//!
//! - Footprint: writes the holding of `from`, the payment's fund and its event; reads the snapshot of `record_date`.
//! - Effect: `rate` times the supply of the snapshot, or `amount`, goes from `from` to the fund, and the event says for
//!   which snapshot and at which rate; CLAIM pays from it. Holdings stay as they are.
//! - Rejected: `EVENT_EXISTS`, `SNAPSHOT_UNKNOWN`, `SNAPSHOT_CLOSED`, `NOTHING_DUE`, `INSUFFICIENT_BALANCE`,
//!   `ASSET_BLOCKED`, `HOLDING_BLOCKED`.
//! - Inverse: the units go back to `from`, and the event goes. Who has claimed rests on it.

use common::corporate::PaymentKind;
use common::request::Payment;

use super::super::footprint::{ChangeSlots, Touched};
use super::{Applying, payment};

pub(super) fn footprint(of: &Payment, touched: &mut Touched<'_>) -> ChangeSlots {
    payment::footprint(PaymentKind::PrincipalRepayment, of, touched)
}

pub(super) fn apply(of: &Payment, applying: &mut Applying<'_, '_>) {
    payment::apply(of, applying);
}
