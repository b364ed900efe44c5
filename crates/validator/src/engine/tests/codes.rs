//! Every code of the engine once, with its JSON pointer.

use std::collections::BTreeSet;

use common::entry::InputStream;
use common::message::{Body, Command, GivenUp, Receipt};
use common::observation::Observation;
use common::state::{AssetRecord, AssetStatus, encode};
use common::status::Delivery;
use serde_json::{Value, json};

use super::evidence::{backed, document, errors, event, minted, one, reopen, sourced, sourced_term, tx};
use super::withdrawals::gone;
use super::world::{START_MS, World, about, bond, cancel, collected, parse, raw};
use crate::engine::RawInput;
use crate::engine::codes::Code;

fn big_terms(count: usize) -> Value {
    (0..count).map(|n| (format!("t{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
}

fn big_documents(count: usize) -> Value {
    let document = json!({"sha256": tx(1), "uri": "u", "media_type": "text/plain", "bytes": 1});
    (0..count).map(|n| (format!("d{n}"), document.clone())).collect::<serde_json::Map<_, _>>().into()
}

type Rejected = (Value, Vec<Observation>, Code, &'static str);

/// Requests that `World::with_bond` rejects, one cause each.
fn rejected() -> Vec<Rejected> {
    let max = u128::MAX.to_string();
    let with = |mut request: Value, field: &str, value: Value| {
        request[field] = value;
        request
    };
    let mint = || one(&json!({"kind": "MINT", "to": "alice", "amount": "1"}));
    vec![
        (with(mint(), "asset", json!({"id": "bond:none"})), vec![], Code::NotRegistered, "/asset/id"),
        (
            one(&json!({"kind": "REGISTER", "decimals": 0, "chains": ["op"]})),
            vec![],
            Code::AlreadyRegistered,
            "/state_changes/0/kind",
        ),
        (
            one(&json!({"kind": "ADD_CHAIN", "chain": "moon"})),
            vec![],
            Code::UnknownTarget,
            "/state_changes/0/chain",
        ),
        (
            one(&json!({"kind": "ADD_CHAIN", "chain": "op"})),
            vec![],
            Code::ChainAlreadyPresent,
            "/state_changes/0/chain",
        ),
        (
            one(&json!({"kind": "BURN", "from": "alice", "amount": "101"})),
            vec![],
            Code::InsufficientBalance,
            "/state_changes/0/amount",
        ),
        (
            one(&json!({"kind": "MINT", "to": "bob", "amount": max})),
            vec![],
            Code::SupplyOverflow,
            "/state_changes/0/amount",
        ),
        (
            bond(
                &json!([{"kind": "SET_DATA", "terms": big_terms(64)}, {"kind": "SET_DATA", "terms": {"one_more": "x"}}]),
            ),
            vec![],
            Code::TooManyTerms,
            "/state_changes/1/terms",
        ),
        (
            bond(
                &json!([{"kind": "SET_DATA", "documents": big_documents(32)}, {"kind": "SET_DATA", "documents": {"more": big_documents(1)["d0"]}}]),
            ),
            vec![],
            Code::TooManyDocuments,
            "/state_changes/1/documents",
        ),
        (with(mint(), "expected_version", json!(7)), vec![], Code::VersionMismatch, "/expected_version"),
        (
            with(mint(), "target_chains", json!(["base", "arb"])),
            vec![],
            Code::TargetNotOnAsset,
            "/target_chains/1",
        ),
        (
            with(mint(), "depends_on", json!([super::world::rid("nobody", "acme").to_string()])),
            vec![],
            Code::DependencyPending,
            "/depends_on/0",
        ),
    ]
}

/// Requests whose evidence is missing or says something else.
fn without_evidence() -> Vec<Rejected> {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(1025));
    vec![
        (backed(1, "5"), vec![], Code::EventNotCollected, "/state_changes/0/backed_by"),
        (backed(1, "5"), vec![event(1, &minted("6"))], Code::EventMismatch, "/state_changes/0/backed_by"),
        (sourced("/a", 0), vec![], Code::ObservationMissing, "/state_changes/0/amount"),
        (
            sourced("/a", 0),
            vec![document(r#"{"a":1}"#, 60_001)],
            Code::ObservationTooOld,
            "/state_changes/0/amount",
        ),
        (
            sourced("/a", 0),
            vec![Observation { as_of_ms: START_MS + 60_001, ..document(r#"{"a":1}"#, 0) }],
            Code::ObservationFromFuture,
            "/state_changes/0/amount",
        ),
        (sourced("/b", 0), vec![document(r#"{"a":1}"#, 0)], Code::PointerNotFound, "/state_changes/0/amount"),
        (
            sourced("/a", 1),
            vec![document(r#"{"a":1.05}"#, 0)],
            Code::ValueNotAnAmount,
            "/state_changes/0/amount",
        ),
        (
            sourced_term("/a"),
            vec![document(r#"{"a":[1]}"#, 0)],
            Code::ValueNotText,
            "/state_changes/0/terms/rate",
        ),
        (sourced_term("/a"), vec![document(&long, 0)], Code::ValueTooLong, "/state_changes/0/terms/rate"),
    ]
}

#[test]
fn every_code_comes_up_with_its_pointer_and_leaves_the_state_alone() {
    let mut world = World::with_bond();
    let root = world.engine.position().root;
    let mut met: BTreeSet<&str> = BTreeSet::new();
    for (index, (request, seen, code, pointer)) in
        rejected().into_iter().chain(without_evidence()).enumerate()
    {
        let found = errors(&mut world, &format!("k{index}"), &request, seen);
        assert_eq!(found, [(code.name().to_owned(), pointer.to_owned())], "{request}");
        met.insert(code.name());
    }
    assert_eq!(world.engine.position().root, root, "rejections change no state");
    met.extend(codes_of_other_ways(&mut world));
    let of_rollbacks = super::rollback::codes();
    met.extend(of_rollbacks.iter().map(String::as_str));
    let of_authorities = super::regulatory::codes();
    met.extend(of_authorities.iter().map(String::as_str));
    let of_waiting = super::waiting::codes();
    met.extend(of_waiting.iter().map(String::as_str));
    let of_corporate_actions = super::corporate::codes();
    met.extend(of_corporate_actions.iter().map(String::as_str));
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(met, all);
}

/// Codes that need more than one request, another message, or another state.
fn codes_of_other_ways(world: &mut World) -> Vec<&'static str> {
    let mint = one(&json!({"kind": "MINT", "to": "alice", "amount": "1"}));
    let with = |field: &str, value: Value| {
        let mut request = mint.clone();
        request[field] = value;
        request
    };
    let on = |id: &str, changes: &Value| json!({"asset": {"id": id}, "state_changes": changes});
    let many: Vec<String> = (0..17).map(|n| format!("c{n}")).collect();
    let mut expired = Body::Cancel { about: about("e", "acme", &parse(&mint)) };
    if let Body::Collected { about, request, .. } = collected("expired", &mint, vec![]) {
        let about = common::message::About { accepted_ms: Some(1), ..about };
        expired = Body::Collected { about, request, observations: vec![] };
    }
    let itself = super::world::rid("itself", "acme").to_string();
    let on_rejected = super::world::rid("k0", "acme").to_string();
    let foreign = {
        let request = parse(&mint);
        Body::Collected {
            about: about("f", "other", &request),
            request: Box::new(request),
            observations: vec![],
        }
    };
    let named: Vec<&str> = many.iter().map(String::as_str).chain(["base", "op", "arb"]).collect();
    world.set_targets(&named);
    world.commit_in(vec![
        collected("setup", &mint, vec![]),
        expired,
        cancel("cancelled", &mint),
        gone("gone", &mint, 1),
        collected("itself", &with("depends_on", json!([itself])), vec![]),
        collected("on-rejected", &with("depends_on", json!([on_rejected])), vec![]),
        foreign,
        collected(
            "wide",
            &on("bond:wide", &json!([{"kind": "REGISTER", "decimals": 0, "chains": many[..16]}])),
            vec![],
        ),
        collected("wider", &on("bond:wide", &json!([{"kind": "ADD_CHAIN", "chain": "c16"}])), vec![]),
        collected("used", &backed(9, "5"), vec![event(9, &minted("5"))]),
        collected("again", &backed(9, "5"), vec![event(9, &minted("5"))]),
        collected(
            "panic",
            &on("bond:panic", &json!([{"kind": "MINT", "to": "test:panic", "amount": "1"}])),
            vec![],
        ),
        Body::Command {
            about: about("c", "acme", &parse(&mint)),
            command: Command::Rewind { target: "x".parse().expect("name") },
        },
    ]);
    let failed = codes_of_other_messages(world, &mint);
    withdrawn(world);
    let said: BTreeSet<String> = world
        .log
        .iter()
        .flat_map(|body| &body.outcomes)
        .filter_map(|o| o.code.clone())
        .chain(failed)
        .collect();
    Code::ALL.iter().map(|code| code.name()).filter(|name| said.contains(*name)).collect()
}

/// Codes of a failed delivery, which is no outcome, and of an unreadable message.
fn codes_of_other_messages(world: &mut World, mint: &Value) -> Vec<String> {
    let unreadable = RawInput { stream: InputStream::In, id: "1-0".to_owned(), bytes: b"?".to_vec() };
    let parked = RawInput {
        bytes: format!(
            r#"{{"v":9,"rid":"{}","fp":"{}"}}"#,
            super::world::rid("p", "acme"),
            parse(mint).fingerprint()
        )
        .into(),
        ..unreadable.clone()
    };
    world.commit(vec![unreadable, parked]);
    let receipt =
        Receipt { seq: 2, target: "op".parse().expect("name"), status: Delivery::Failed, parts: vec![] };
    let batch = world.commit(vec![raw(InputStream::Receipts, Body::Receipt(receipt))]);
    let failed: Vec<_> = batch.statuses.iter().filter_map(|write| write.code.clone()).collect();
    let malformed = r#"{"v":1,"msg":"?","rid":"RID","fp":"FP"}"#
        .replace("RID", &super::world::rid("m", "acme").to_string())
        .replace("FP", &parse(mint).fingerprint().to_string());
    world.commit(vec![RawInput { stream: InputStream::In, id: "1-0".to_owned(), bytes: malformed.into() }]);
    let fact = GivenUp { s: InputStream::In, id: "1-0".to_owned(), attempts: 3 };
    let fatal = RawInput { id: "1-0".to_owned(), ..raw(InputStream::In, collected("fatal", mint, vec![])) };
    world.commit(vec![raw(InputStream::Local, Body::GivenUp(fact)), fatal]);
    failed
}

/// A state in which the asset's registration was undone; no entry makes one yet.
fn withdrawn(world: &mut World) {
    let record = AssetRecord { status: AssetStatus::Withdrawn, ..world.asset("bond:a").expect("registered") };
    let value = encode(&record);
    world.values.insert("asset/bond:a".to_owned(), value);
    reopen(world);
    let burn = one(&json!({"kind": "BURN", "from": "alice", "amount": "1"}));
    let found = errors(world, "withdrawn", &burn, vec![]);
    assert_eq!(found, [("ASSET_WITHDRAWN".to_owned(), "/asset/id".to_owned())]);
}
