//! Payments to holders: units are set aside at once, and each account claims its part. Nothing here looks at a holder, so
//! however many there are, a payment touches four records beside the asset's.
//!
//! What is set aside lies in a holding of its own under a name that no account can have: the sum of all holdings stays
//! the supply, and a stopped asset pays nothing. Parts are rounded down, so they never come to more than was set aside;
//! what is left over, or never claimed, stays there.

use common::amount::Amount;
use common::corporate::PaymentKind;
use common::request::{Due, Payment};
use common::state::PaymentRecord;

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::{Applying, transfer};

pub(super) fn footprint(kind: PaymentKind, payment: &Payment, touched: &mut Touched<'_>) -> ChangeSlots {
    ChangeSlots {
        from: Some(touched.writes_holding(&payment.from)),
        to: Some(touched.writes_fund(&payment.date, kind)),
        snapshot: Some(touched.reads_snapshot(&payment.record_date)),
        payment: Some(touched.writes_payment(&payment.date, kind)),
        ..ChangeSlots::default()
    }
}

pub(super) fn apply(payment: &Payment, applying: &mut Applying<'_, '_>) {
    let (Some(fund), Some(snapshot), Some(slot)) =
        (applying.slots.to, applying.slots.snapshot, applying.slots.payment)
    else {
        return;
    };
    if applying.is_asset_blocked() {
        return;
    }
    if applying.overlay.payment(slot).is_some() {
        applying.error(Code::EventExists, "/date", "the asset has a payment of this kind and date");
        return;
    }
    let Some(snapshot) = applying.overlay.snapshot(snapshot).cloned() else {
        let detail = format!("the asset has no snapshot of {}", payment.record_date);
        applying.error(Code::SnapshotUnknown, "/record_date", detail);
        return;
    };
    if applying.is_snapshot_closed(snapshot.number, "/record_date") {
        return;
    }
    let Some((funded, field)) = funded(&payment.due, snapshot.supply, applying) else { return };
    if !transfer::debit_at(funded, field, applying) {
        return;
    }
    transfer::credit(fund, funded, applying);
    let rate = match payment.due {
        Due::Rate(rate) => Some(rate),
        Due::Amount(_) => None,
    };
    let record = PaymentRecord {
        snapshot: snapshot.number,
        supply: snapshot.supply,
        cash_asset: payment.cash_asset.to_string(),
        rate,
        funded,
        paid: Amount::ZERO,
    };
    applying.overlay.put_payment(slot, record);
}

/// What is to be set aside for all who held the supply, and the field that says so. `None`: nothing comes of it, or more
/// than can be; an error then.
fn funded(due: &Due, supply: Amount, applying: &mut Applying<'_, '_>) -> Option<(Amount, &'static str)> {
    let (funded, field) = match due {
        Due::Amount(_) if supply == Amount::ZERO => (Some(Amount::ZERO), "/record_date"),
        Due::Amount(amount) => (Some(*amount), "/amount"),
        Due::Rate(rate) => (rate.of(supply), "/rate"),
    };
    match funded {
        Some(Amount::ZERO) => {
            let detail = format!("it comes to nothing for the {supply} units of the snapshot");
            applying.error(Code::NothingDue, field, detail);
            None
        }
        None => {
            let detail = format!("it comes to 2^128 units or more for the {supply} units of the snapshot");
            applying.error(Code::InsufficientBalance, field, detail);
            None
        }
        Some(funded) => Some((funded, field)),
    }
}
