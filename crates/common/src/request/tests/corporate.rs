use serde_json::{Value, json};

use super::change;
use crate::request::{FaultCode, SyncRequest};

fn payment(field: &str, value: Option<Value>) -> Value {
    let mut payment = json!({"kind": "INTEREST_PAYMENT", "date": "2026-04-02", "record_date": "2026-03-31",
        "cash_asset": "bond:US91282CLW90", "from": "issuer", "rate": "0.0425"});
    let fields = payment.as_object_mut().expect("an object");
    match value {
        Some(value) => drop(fields.insert(field.to_owned(), value)),
        None => drop(fields.remove(field)),
    }
    change(payment)
}

#[test]
fn corporate_actions_are_read_and_written_canonically() {
    let all = json!([
        {"kind": "RECORD_SNAPSHOT", "date": "2026-03-31"},
        {"kind": "INTEREST_PAYMENT", "date": "2026-04-02", "record_date": "2026-03-31", "cash_asset": "bond:x",
         "from": "issuer", "rate": "0.0425"},
        {"kind": "PRINCIPAL_REPAYMENT", "date": "2026-04-02", "record_date": "2026-03-31", "cash_asset": "bond:x",
         "from": "issuer", "amount": "500"},
        {"kind": "CLAIM", "event": "INTEREST_PAYMENT", "date": "2026-04-02", "account": "alice"},
    ]);
    let request =
        SyncRequest::parse(&json!({"asset": {"id": "bond:x"}, "state_changes": all})).expect("parses");
    assert!(!request.is_regulatory());
    let canonical: Value = serde_json::from_slice(&request.canonical()).expect("json");
    assert_eq!(canonical["state_changes"], all);
    assert_eq!(SyncRequest::parse(&canonical), Ok(request));
}

#[test]
fn every_fault_of_a_corporate_action_names_its_place() {
    let claim = |event: &str, date: &str| {
        change(json!({"kind": "CLAIM", "event": event, "date": date, "account": "a"}))
    };
    let rows = [
        (change(json!({"kind": "RECORD_SNAPSHOT"})), "date", FaultCode::Missing),
        (change(json!({"kind": "RECORD_SNAPSHOT", "date": "2026-02-29"})), "date", FaultCode::Invalid),
        (change(json!({"kind": "RECORD_SNAPSHOT", "date": 2026})), "date", FaultCode::Invalid),
        (payment("date", None), "date", FaultCode::Missing),
        (payment("record_date", None), "record_date", FaultCode::Missing),
        (payment("record_date", Some(json!("soon"))), "record_date", FaultCode::Invalid),
        (payment("cash_asset", None), "cash_asset", FaultCode::Missing),
        (payment("cash_asset", Some(json!("eur"))), "cash_asset", FaultCode::Invalid),
        (payment("cash_asset", Some(json!("bond:y"))), "cash_asset", FaultCode::NotSupported),
        (payment("cash_asset", Some(json!("cash:eur"))), "cash_asset", FaultCode::CrossShard),
        (payment("from", None), "from", FaultCode::Missing),
        (payment("rate", None), "rate", FaultCode::Missing),
        (payment("rate", Some(json!("0"))), "rate", FaultCode::Invalid),
        (payment("rate", Some(json!(0.5))), "rate", FaultCode::Invalid),
        (payment("amount", Some(json!("5"))), "amount", FaultCode::Invalid),
        (payment("amount", Some(json!("0"))), "amount", FaultCode::Invalid),
        (payment("note", Some(json!("x"))), "note", FaultCode::UnknownField),
        (payment("backed_by", Some(json!({}))), "backed_by", FaultCode::Invalid),
        (claim("RECORD_SNAPSHOT", "2026-04-02"), "event", FaultCode::Invalid),
        (claim("INTEREST_PAYMENT", "2026-4-2"), "date", FaultCode::Invalid),
        (
            change(json!({"kind": "CLAIM", "event": "INTEREST_PAYMENT", "date": "2026-04-02"})),
            "account",
            FaultCode::Missing,
        ),
    ];
    for (request, field, code) in rows {
        let faults = SyncRequest::parse(&request).expect_err(field);
        let pointer = format!("/state_changes/0/{field}");
        assert_eq!((faults[0].pointer.as_str(), faults[0].code), (pointer.as_str(), code), "{faults:?}");
    }
}
