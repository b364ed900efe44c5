//! The JSON forms of the regulatory kinds: on the asset, or with `account` on one holding of it.

use serde_json::Value;

use super::super::fields::{FaultCode, Fields, Place};
use super::super::{Forfeit, Op};
use super::{above_zero, accounts};
use crate::amount::Amount;
use crate::ids::Account;

/// A change of one of these kinds, whose fields are known to be its own.
pub(super) fn read(kind: &str, fields: &Fields<'_>) -> Option<Op> {
    match kind {
        "FREEZE" => part(fields, above_zero).map(|(account, amount)| Op::Freeze { account, amount }),
        // Down to nothing frozen.
        "UNFREEZE" => {
            let figure = |value: &Value, place: &Place<'_>| place.text::<Amount>(value);
            part(fields, figure).map(|(account, amount)| Op::Unfreeze { account, amount })
        }
        "SEIZE" => subject(fields).map(|account| Op::Seize { account }),
        "RELEASE" => subject(fields).map(|account| Op::Release { account }),
        "CONFISCATE" => confiscate(fields),
        "RESTRICT" => subject(fields).map(|account| Op::Restrict { account }),
        "UNRESTRICT" => subject(fields).map(|account| Op::Unrestrict { account }),
        "LIQUIDATE" => moved(fields).map(|(from, to, amount)| Op::Liquidate { from, to, amount }),
        _ => moved(fields).map(|(from, to, amount)| Op::Recover { from, to, amount }),
    }
}

#[expect(clippy::option_option, reason = "outer: readable; inner: present")]
fn subject(fields: &Fields<'_>) -> Option<Option<Account>> {
    fields.if_named("account", |v, p| p.text::<Account>(v))
}

/// A holding, or a part of it by an absolute figure.
fn part(
    fields: &Fields<'_>,
    figure: fn(&Value, &Place<'_>) -> Option<Amount>,
) -> Option<(Option<Account>, Option<Amount>)> {
    let (account, amount) = (subject(fields), fields.if_named("amount", figure));
    let (account, amount) = (account?, amount?);
    if amount.is_some() && account.is_none() {
        return fields.place().key("account").fault(FaultCode::Missing, "an amount is of one account");
    }
    Some((account, amount))
}

fn confiscate(fields: &Fields<'_>) -> Option<Op> {
    let to = fields.if_named("to", |v, p| p.text::<Account>(v));
    let holding = match (subject(fields)?, to?) {
        (None, None) => None,
        (Some(account), Some(to)) if account == to => {
            return fields.place().key("to").fault(FaultCode::Invalid, "must differ from the account");
        }
        (Some(account), Some(to)) => Some(Forfeit { account, to }),
        (Some(_), None) => {
            return fields.place().key("to").fault(FaultCode::Missing, "say who gets its units");
        }
        (None, Some(_)) => {
            return fields.place().key("account").fault(FaultCode::Missing, "say whose units these are");
        }
    };
    Some(Op::Confiscate { holding })
}

fn moved(fields: &Fields<'_>) -> Option<(Account, Account, Amount)> {
    let (accounts, amount) = (accounts(fields), fields.required("amount", above_zero));
    let (from, to) = accounts?;
    Some((from, to, amount?))
}
