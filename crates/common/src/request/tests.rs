mod corporate;

use serde_json::{Value, json};

use super::*;

fn transfer() -> Value {
    json!({
        "asset": {"id": "bond:US91282CLW90"},
        "state_changes": [{"kind": "TRANSFER", "from": "acct:alice", "to": "acct:bob", "amount": "1000000"}],
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut request = transfer();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match request.pointer_mut(parent).unwrap() {
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        other => panic!("{other} is not an object"),
    }
    request
}

fn change(value: impl serde::Serialize) -> Value {
    with("/state_changes", json!([value]))
}

#[test]
fn the_full_form_is_read_and_written_canonically() {
    let request = SyncRequest::parse(&json!({
        "asset": {"id": "bond:US91282CLW90"},
        "state_changes": [
            {"kind": "REGISTER", "decimals": 2, "chains": ["optimism", "base"],
             "terms": {"coupon": "4.25", "rate": {"from": "ecb", "pointer": "/rate", "max_age_s": 60}},
             "documents": {"prospectus": {"sha256": format!("0x{}", "11".repeat(32)), "uri": "https://x", "media_type": "application/pdf", "bytes": 7}}},
            {"kind": "MINT", "to": "acct:alice", "amount": {"from": "ecb", "pointer": "/n", "max_age_s": 60, "scale": 2},
             "backed_by": {"source": "chain", "event": format!("0x{}/0", "ab".repeat(32))}},
        ],
        "event_sources": ["chain"],
        "external_apis": [{"source": "ecb", "required": false}],
        "target_chains": ["base"],
        "atomicity": "BEST_EFFORT", "expected_version": 0, "depends_on": [],
        "effective_at": null, "ttl_seconds": 300, "authority": null, "proof": "none",
    }))
    .unwrap();
    let canonical = String::from_utf8(request.canonical()).unwrap();
    assert!(canonical.contains(r#""chains":["base","optimism"]"#), "sorted: {canonical}");
    assert!(!canonical.contains("ttl_seconds"), "defaults are left out: {canonical}");
    assert!(!canonical.contains("atomicity"), "{canonical}");
    let again: SyncRequest = serde_json::from_str(&canonical).unwrap();
    assert_eq!(again, request);
    assert_eq!(again.fingerprint(), request.fingerprint());
}

#[test]
fn defaults_written_out_do_not_change_the_fingerprint() {
    let spelled = with("/ttl_seconds", json!(300));
    let spelled = SyncRequest::parse(&spelled).unwrap();
    assert_eq!(spelled.fingerprint(), SyncRequest::parse(&transfer()).unwrap().fingerprint());
    let other = SyncRequest::parse(&with("/ttl_seconds", json!(301))).unwrap();
    assert_ne!(spelled.fingerprint(), other.fingerprint());
}

/// A regulatory request with these changes.
fn ordered(changes: Value) -> Value {
    let mut request = with("/state_changes", changes);
    request["authority"] = json!({"id": "sec", "order": "2026-17"});
    request
}

#[test]
fn orders_of_authorities_are_read_and_written_canonically() {
    let all = json!([
        {"kind": "FREEZE"}, {"kind": "FREEZE", "account": "a", "amount": "5"}, {"kind": "UNFREEZE", "account": "a", "amount": "0"},
        {"kind": "SEIZE"}, {"kind": "RELEASE", "account": "a"}, {"kind": "CONFISCATE"},
        {"kind": "CONFISCATE", "account": "a", "to": "b"}, {"kind": "RESTRICT"}, {"kind": "UNRESTRICT"},
        {"kind": "LIQUIDATE", "from": "a", "to": "b", "amount": "5"}, {"kind": "RECOVER", "from": "a", "to": "b", "amount": "5"},
    ]);
    let request = SyncRequest::parse(&ordered(all.clone())).unwrap();
    assert!(request.is_regulatory());
    let canonical: Value = serde_json::from_slice(&request.canonical()).unwrap();
    assert_eq!(canonical["state_changes"], all);
    assert_eq!(canonical["authority"], json!({"id": "sec", "order": "2026-17"}));
    assert_eq!(SyncRequest::parse(&canonical).unwrap(), request);
    let mut sourced = ordered(json!([{"kind": "FREEZE"}]));
    sourced["event_sources"] = json!(["chain"]);
    assert_eq!(SyncRequest::parse(&sourced).unwrap_err()[0].pointer, "/event_sources");
}

/// Each row: a request, the pointer its first fault must name, and that fault's code.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_fault_names_its_place() {
    let hash = format!("0x{}", "ab".repeat(32));
    let rows: Vec<(Value, &str, FaultCode)> = vec![
        (json!([]), "", FaultCode::Invalid),
        (json!({"state_changes": []}), "/asset", FaultCode::Missing),
        (with("/asset", json!({"id": "Bond:x"})), "/asset/id", FaultCode::Invalid),
        (with("/asset", json!({"id": "bond:x", "nick": 1})), "/asset/nick", FaultCode::UnknownField),
        (with("/state_changes", json!([])), "/state_changes", FaultCode::Invalid),
        (
            with("/state_changes", json!(vec![transfer()["state_changes"][0].clone(); 33])),
            "/state_changes",
            FaultCode::TooMany,
        ),
        (change(json!({"kind": "LOCK", "seconds": 9})), "/state_changes/0/reason", FaultCode::Missing),
        (
            change(json!({"kind": "LOCK", "reason": "", "seconds": 9})),
            "/state_changes/0/reason",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "LOCK", "reason": "x", "seconds": 0})),
            "/state_changes/0/seconds",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "LOCK", "reason": "x", "seconds": 86_401})),
            "/state_changes/0/seconds",
            FaultCode::Invalid,
        ),
        (change(json!({"kind": "UNLOCK"})), "/state_changes/0/lock", FaultCode::Missing),
        (
            change(json!({"kind": "UNLOCK", "lock": "00000000-0000-7000-8000-000000000003"})),
            "/state_changes/0/lock",
            FaultCode::CrossShard,
        ),
        (change(json!({"kind": "FREEZE"})), "/authority", FaultCode::Missing),
        (change(json!({"kind": "FREEZE", "amount": "1"})), "/state_changes/0/account", FaultCode::Missing),
        (
            change(json!({"kind": "FREEZE", "account": "a", "amount": "0"})),
            "/state_changes/0/amount",
            FaultCode::Invalid,
        ),
        // Without an account it is of the whole asset.
        (change(json!({"kind": "FREEZE", "account": null})), "/state_changes/0/account", FaultCode::Invalid),
        (
            change(json!({"kind": "CONFISCATE", "account": null, "to": null})),
            "/state_changes/0/to",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "FREEZE", "account": "a", "amount": null})),
            "/state_changes/0/amount",
            FaultCode::Invalid,
        ),
        (change(json!({"kind": "SEIZE", "amount": "1"})), "/state_changes/0/amount", FaultCode::UnknownField),
        (change(json!({"kind": "CONFISCATE", "account": "a"})), "/state_changes/0/to", FaultCode::Missing),
        (change(json!({"kind": "CONFISCATE", "to": "a"})), "/state_changes/0/account", FaultCode::Missing),
        (
            change(json!({"kind": "CONFISCATE", "account": "a", "to": "a"})),
            "/state_changes/0/to",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "RECOVER", "from": "a", "to": "a", "amount": "1"})),
            "/state_changes/0/to",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "LIQUIDATE", "from": "a", "to": "b"})),
            "/state_changes/0/amount",
            FaultCode::Missing,
        ),
        (
            ordered(json!([{"kind": "FREEZE"}, {"kind": "SET_DATA", "terms": {"a": "b"}}])),
            "/state_changes",
            FaultCode::Invalid,
        ),
        (with("/authority", json!({"id": "sec", "order": "1"})), "/authority", FaultCode::Invalid),
        (change(json!({"kind": "TELEPORT"})), "/state_changes/0/kind", FaultCode::Invalid),
        (change(json!({"to": "a"})), "/state_changes/0/kind", FaultCode::Missing),
        (
            change(json!({"kind": "MINT", "to": "a b", "amount": "1"})),
            "/state_changes/0/to",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "MINT", "to": "a", "amount": 1})),
            "/state_changes/0/amount",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "MINT", "to": "a", "amount": "0"})),
            "/state_changes/0/amount",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "MINT", "to": "a", "amount": "1.5"})),
            "/state_changes/0/amount",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "MINT", "to": "a", "amount": "-1"})),
            "/state_changes/0/amount",
            FaultCode::Invalid,
        ),
        (change(json!({"kind": "MINT", "to": "a"})), "/state_changes/0/amount", FaultCode::Missing),
        (
            change(json!({"kind": "MINT", "to": "a", "amount": "1", "note": "x"})),
            "/state_changes/0/note",
            FaultCode::UnknownField,
        ),
        (
            change(json!({"kind": "TRANSFER", "from": "a", "to": "a", "amount": "1"})),
            "/state_changes/0/to",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "MINT", "asset": "game_item:x", "to": "a", "amount": "1"})),
            "/state_changes/0/asset",
            FaultCode::CrossShard,
        ),
        (
            change(json!({"kind": "MINT", "asset": "bond:y", "to": "a", "amount": "1"})),
            "/state_changes/0/asset",
            FaultCode::NotSupported,
        ),
        (
            change(json!({"kind": "REGISTER", "decimals": 37, "chains": ["base"]})),
            "/state_changes/0/decimals",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "REGISTER", "decimals": 2, "chains": []})),
            "/state_changes/0/chains",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "SET_DATA", "terms": {"Bad Key": "x"}})),
            "/state_changes/0/terms/Bad Key",
            FaultCode::Invalid,
        ),
        (
            change(json!({"kind": "SET_DATA", "terms": {"a": "x".repeat(1025)}})),
            "/state_changes/0/terms/a",
            FaultCode::Invalid,
        ),
        (change(json!({"kind": "SET_DATA"})), "/state_changes/0", FaultCode::Invalid),
        (
            change(
                json!({"kind": "MINT", "to": "a", "amount": {"from": "ecb", "pointer": "/n", "max_age_s": 1}}),
            ),
            "/state_changes/0/amount/from",
            FaultCode::Invalid,
        ),
        (
            change(
                json!({"kind": "MINT", "to": "a", "amount": "1", "backed_by": {"source": "s", "event": format!("{hash}/0")}}),
            ),
            "/state_changes/0/backed_by/source",
            FaultCode::Invalid,
        ),
        (with("/depends_on", json!(["nope"])), "/depends_on/0", FaultCode::Invalid),
        (
            with("/depends_on", json!(["00000000-0000-7000-8000-000000000003"])),
            "/depends_on/0",
            FaultCode::CrossShard,
        ),
        (with("/atomicity", json!("ALL_OR_NOTHING")), "/atomicity", FaultCode::NotSupported),
        (with("/effective_at", json!("2026-11-22")), "/effective_at", FaultCode::Invalid),
        (with("/effective_at", json!("2026-11-22T00:00:00.0001Z")), "/effective_at", FaultCode::Invalid),
        (with("/effective_at", json!(5)), "/effective_at", FaultCode::Invalid),
        (with("/authority", json!({"name": "SEC"})), "/authority/name", FaultCode::UnknownField),
        (with("/authority", json!({"id": "SEC", "order": "1"})), "/authority/id", FaultCode::Invalid),
        (with("/authority", json!({"id": "sec"})), "/authority/order", FaultCode::Missing),
        (
            with("/authority", json!({"id": "sec", "order": "x".repeat(257)})),
            "/authority/order",
            FaultCode::Invalid,
        ),
        (with("/effective_at", json!("\0")), "/effective_at", FaultCode::Invalid),
        (with("/authority", json!("\0")), "/authority", FaultCode::Invalid),
        (with("/proof", json!("balanced")), "/proof", FaultCode::NotSupported),
        (with("/ttl_seconds", json!(0)), "/ttl_seconds", FaultCode::Invalid),
        (with("/ttl_seconds", json!("300")), "/ttl_seconds", FaultCode::Invalid),
        (with("/expected_version", json!(-1)), "/expected_version", FaultCode::Invalid),
        (with("/target_chains", json!([])), "/target_chains", FaultCode::Invalid),
        (with("/event_sources", json!(["http://169.254.169.254/"])), "/event_sources/0", FaultCode::Invalid),
        (with("/event_sources", json!(vec!["s"; 9])), "/event_sources", FaultCode::TooMany),
        (with("/event_sources", json!(["r", "s", "s"])), "/event_sources/2", FaultCode::Invalid),
        (
            json!({"asset": {"id": "bond:x"}, "state_changes": transfer()["state_changes"],
                   "event_sources": ["s"], "external_apis": ["r", {"source": "s"}]}),
            "/external_apis/1",
            FaultCode::Invalid,
        ),
        (transfer(), "/a~0b~1c", FaultCode::UnknownField),
    ];
    for (request, pointer, code) in rows {
        let request = match request {
            // The row with an escaped key cannot be built through a pointer.
            Value::Object(_) if pointer == "/a~0b~1c" => {
                let mut request = transfer();
                request.as_object_mut().unwrap().insert("a~b/c".into(), json!(1));
                request
            }
            request => request,
        };
        let faults = SyncRequest::parse(&request).expect_err(pointer);
        assert_eq!((faults[0].pointer.as_str(), faults[0].code), (pointer, code), "{faults:?}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let mut request = change(json!({"kind": "MINT", "to": "a b", "amount": "x"}));
    request["ttl_seconds"] = json!(0);
    let faults = SyncRequest::parse(&request).unwrap_err();
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/ttl_seconds", "/state_changes/0/to", "/state_changes/0/amount"]);
}

#[test]
fn one_event_backs_one_change_of_a_request() {
    let hash = format!("0x{}", "ab".repeat(32));
    let mint = json!({"kind": "MINT", "to": "a", "amount": "1", "backed_by": {"source": "s", "event": format!("{hash}/0")}});
    let mut request = with("/state_changes", json!([mint, mint]));
    request["event_sources"] = json!(["s"]);
    let faults = SyncRequest::parse(&request).unwrap_err();
    assert_eq!(faults[0].pointer, "/state_changes/1/backed_by");
    assert!(EventRef::try_from(format!("{hash}/01")).is_err(), "one event has one spelling");
}
