//! The JSON forms of corporate actions.

use super::super::Op;
use super::super::fields::{FaultCode, Fields};
use super::super::op::{Due, Payment};
use super::{Known, above_zero, account, own_asset};
use crate::corporate::{Date, PaymentKind, Rate};

pub(super) const PAYMENT_FIELDS: &[&str] =
    &["kind", "asset", "backed_by", "date", "record_date", "cash_asset", "from", "rate", "amount"];

fn date(fields: &Fields<'_>, key: &str) -> Option<Date> {
    fields.required(key, |v, p| p.text::<Date>(v))
}

pub(super) fn record_snapshot(fields: &Fields<'_>) -> Option<Op> {
    date(fields, "date").map(|date| Op::RecordSnapshot { date })
}

pub(super) fn payment(fields: &Fields<'_>, known: Known<'_>) -> Option<Payment> {
    let (date, record_date) = (date(fields, "date"), date(fields, "record_date"));
    let cash_asset = fields.required("cash_asset", |v, p| own_asset(v, p, known.asset));
    let (from, due) = (account(fields, "from"), due(fields));
    Some(Payment { date: date?, record_date: record_date?, cash_asset: cash_asset?, from: from?, due: due? })
}

fn due(fields: &Fields<'_>) -> Option<Due> {
    let rate = fields.optional("rate", |v, p| p.text::<Rate>(v));
    let amount = fields.optional("amount", above_zero);
    match (rate?, amount?) {
        (Some(rate), None) => Some(Due::Rate(rate)),
        (None, Some(amount)) => Some(Due::Amount(amount)),
        (None, None) => fields.place().key("rate").fault(FaultCode::Missing, "name a rate or an amount"),
        (Some(_), Some(_)) => {
            fields.place().key("amount").fault(FaultCode::Invalid, "there is a rate already")
        }
    }
}

pub(super) fn claim(fields: &Fields<'_>) -> Option<Op> {
    let event = fields.required("event", |v, p| p.text::<PaymentKind>(v));
    let (date, account) = (date(fields, "date"), account(fields, "account"));
    Some(Op::Claim { event: event?, date: date?, account: account? })
}
