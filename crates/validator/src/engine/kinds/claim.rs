//! CLAIM `{event, date, account}`: one account gets its part of a payment, once.
//!
//! - Footprint: writes the payment's event and fund, the account's holding, and the mark that it has claimed.
//! - Effect: what is due for the units that the account held at the snapshot goes from the fund to its holding; what it
//!   holds now does not matter. The mark says how much it held and got.
//! - Rejected: `PAYMENT_UNKNOWN`, `ALREADY_CLAIMED`, `SNAPSHOT_CLOSED`, `NOTHING_DUE`, `ASSET_BLOCKED`, `HOLDING_BLOCKED`.
//! - Inverse: the units go back to the fund, and the mark goes.

use common::amount::Amount;
use common::corporate::{Date, PaymentKind};
use common::ids::Account;
use common::state::{ClaimRecord, PaymentRecord};

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::{Applying, transfer};

pub(super) fn footprint(
    event: PaymentKind,
    date: &Date,
    account: &Account,
    touched: &mut Touched<'_>,
) -> ChangeSlots {
    ChangeSlots {
        from: Some(touched.writes_fund(date, event)),
        to: Some(touched.writes_holding(account)),
        payment: Some(touched.writes_payment(date, event)),
        claim: Some(touched.writes_claim(date, event, account)),
        ..ChangeSlots::default()
    }
}

pub(super) fn apply(applying: &mut Applying<'_, '_>) {
    let (Some(to), Some(slot), Some(claim)) =
        (applying.slots.to, applying.slots.payment, applying.slots.claim)
    else {
        return;
    };
    if applying.is_asset_blocked() {
        return;
    }
    let Some(payment) = applying.overlay.payment(slot).cloned() else {
        applying.error(Code::PaymentUnknown, "/date", "the asset has no payment of this kind and date");
        return;
    };
    if applying.overlay.is_claimed(claim) {
        applying.error(Code::AlreadyClaimed, "/account", "the account got its part already");
        return;
    }
    let holding = applying.overlay.holding(to);
    if applying.is_snapshot_closed(payment.snapshot, "/date")
        || applying.is_holding_blocked(holding.state, "/account")
    {
        return;
    }
    let held = holding.held_at(payment.snapshot);
    let amount = payment.due(held).expect("a part of what was set aside");
    if amount == Amount::ZERO {
        let detail = format!("nothing is due for the {held} units that it held");
        applying.error(Code::NothingDue, "/account", detail);
        return;
    }
    let paid = payment.paid.checked_add(amount).filter(|paid| *paid <= payment.funded);
    let paid = paid.expect("parts are rounded down, so their sum is no more than was set aside");
    if transfer::debit(amount, applying) {
        transfer::credit(to, amount, applying);
        applying.overlay.put_payment(slot, PaymentRecord { paid, ..payment });
        applying.overlay.put_claim(claim, ClaimRecord { held, amount });
    }
}
