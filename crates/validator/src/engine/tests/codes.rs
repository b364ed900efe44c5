//! Every code of the engine once, with its JSON pointer; evidence in all its faults.

use std::collections::BTreeSet;

use common::entry::InputStream;
use common::message::{Body, Command, Receipt};
use common::observation::{Observation, ObservationKind};
use common::state::{AssetRecord, AssetStatus, encode};
use common::status::Delivery;
use serde_json::{Value, json};

use super::world::{START_MS, World, about, bond, cancel, collected, parse, raw};
use crate::engine::codes::{Code, ERRORS_MAX};
use crate::engine::{Engine, RawInput};

fn tx(n: u8) -> String {
    format!("0x{}", hex::encode([n; 32]))
}

fn event(n: u8, value: &Value) -> Observation {
    Observation {
        source: "chain".parse().expect("name"),
        kind: ObservationKind::Event,
        value: serde_json::value::to_raw_value(value).expect("json"),
        as_of_ms: START_MS,
        identity: Some(format!("eip155:1/{}/0", tx(n))),
        evidence: None,
    }
}

fn minted(amount: &str) -> Value {
    json!({"asset": "bond:a", "event": "mint", "to": "alice", "amount": amount})
}

fn document(json: &str, age_ms: u64) -> Observation {
    Observation {
        source: "rates".parse().expect("name"),
        kind: ObservationKind::HttpJson,
        value: serde_json::value::RawValue::from_string(json.to_owned()).expect("json"),
        as_of_ms: START_MS - age_ms,
        identity: None,
        evidence: None,
    }
}

fn backed(n: u8, amount: &str) -> Value {
    let mut request = bond(&json!([{"kind": "MINT", "to": "alice", "amount": amount,
        "backed_by": {"source": "chain", "event": format!("{}/0", tx(n))}}]));
    request["event_sources"] = json!(["chain"]);
    request
}

fn sourced(pointer: &str, scale: u8) -> Value {
    let amount = json!({"from": "rates", "pointer": pointer, "max_age_s": 60, "scale": scale});
    let mut request = bond(&json!([{"kind": "MINT", "to": "alice", "amount": amount}]));
    request["external_apis"] = json!(["rates"]);
    request
}

fn sourced_term(pointer: &str) -> Value {
    let term = json!({"from": "rates", "pointer": pointer, "max_age_s": 60});
    let mut request = bond(&json!([{"kind": "SET_DATA", "terms": {"rate": term}}]));
    request["external_apis"] = json!(["rates"]);
    request
}

fn one(kind: &Value) -> Value {
    bond(&json!([kind]))
}

/// The codes and pointers with which a world with `bond:a` answers a request.
fn errors(world: &mut World, key: &str, request: &Value, seen: Vec<Observation>) -> Vec<(String, String)> {
    let batch = world.commit_in(vec![collected(key, request, seen)]);
    let [outcome] = batch.body.outcomes.as_slice() else { panic!("one outcome for {request}") };
    assert_eq!(outcome.code.as_ref(), outcome.errors.first().map(|error| &error.code));
    outcome.errors.iter().map(|error| (error.code.clone(), error.pointer.clone())).collect()
}

fn big_terms(count: usize) -> Value {
    (0..count).map(|n| (format!("t{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into()
}

fn big_documents(count: usize) -> Value {
    let document = json!({"sha256": tx(1), "uri": "u", "media_type": "text/plain", "bytes": 1});
    (0..count).map(|n| (format!("d{n}"), document.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// Requests that `World::with_bond` rejects, one cause each.
fn rejected() -> Vec<(Value, Vec<Observation>, Code, &'static str)> {
    let max = u128::MAX.to_string();
    let with = |mut request: Value, field: &str, value: Value| {
        request[field] = value;
        request
    };
    let mint = || one(&json!({"kind": "MINT", "to": "alice", "amount": "1"}));
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(1025));
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
            one(&json!({"kind": "TRANSFER", "from": "bob", "to": "alice", "amount": "1"})),
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
            Code::DependencyNotApplied,
            "/depends_on/0",
        ),
        (backed(1, "5"), vec![], Code::EventNotCollected, "/state_changes/0/backed_by"),
        (backed(1, "5"), vec![event(1, &minted("6"))], Code::EventMismatch, "/state_changes/0/backed_by"),
        (sourced("/a", 0), vec![], Code::ObservationMissing, "/state_changes/0/amount"),
        (
            sourced("/a", 0),
            vec![document(r#"{"a":1}"#, 60_001)],
            Code::ObservationTooOld,
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
    for (index, (request, seen, code, pointer)) in rejected().into_iter().enumerate() {
        let found = errors(&mut world, &format!("k{index}"), &request, seen);
        assert_eq!(found, [(code.name().to_owned(), pointer.to_owned())], "{request}");
        met.insert(code.name());
    }
    assert_eq!(world.engine.position().root, root, "rejections change no state");
    met.extend(codes_of_other_ways(&mut world));
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
    let unreadable = RawInput { stream: InputStream::In, id: "1-0".to_owned(), bytes: b"?".to_vec() };
    let mut expired = Body::Cancel { about: about("e", "acme", &parse(&mint)) };
    if let Body::Collected { about, request, .. } = collected("expired", &mint, vec![]) {
        let about = common::message::About { accepted_ms: Some(1), ..about };
        expired = Body::Collected { about, request, observations: vec![] };
    }
    let parked = RawInput {
        bytes: format!(
            r#"{{"v":9,"rid":"{}","fp":"{}"}}"#,
            super::world::rid("p", "acme"),
            parse(&mint).fingerprint()
        )
        .into(),
        ..unreadable.clone()
    };
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
    world.commit(vec![unreadable, parked]);
    let named: Vec<&str> = many.iter().map(String::as_str).chain(["base", "op", "arb"]).collect();
    world.set_targets(&named);
    world.commit_in(vec![
        collected("setup", &mint, vec![]),
        expired,
        cancel("cancelled", &mint),
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
    let receipt =
        Receipt { seq: 2, target: "op".parse().expect("name"), status: Delivery::Failed, parts: vec![] };
    let batch = world.commit(vec![raw(InputStream::Receipts, Body::Receipt(receipt))]);
    let failed: Vec<_> = batch.statuses.iter().filter_map(|write| write.code.clone()).collect();
    let malformed = r#"{"v":1,"msg":"?","rid":"RID","fp":"FP"}"#
        .replace("RID", &super::world::rid("m", "acme").to_string())
        .replace("FP", &parse(&mint).fingerprint().to_string());
    world.commit(vec![RawInput { stream: InputStream::In, id: "1-0".to_owned(), bytes: malformed.into() }]);
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

/// A state in which the asset's registration was undone; no entry makes one yet.
fn withdrawn(world: &mut World) {
    let record = AssetRecord { status: AssetStatus::Withdrawn, ..world.asset("bond:a").expect("registered") };
    let value = encode(&record);
    world.values.insert("asset/bond:a".to_owned(), value);
    let leaves = world.values.iter().map(|(k, v)| (common::proof::key_hash(k), common::proof::value_hash(v)));
    let mut position = world.engine.position().clone();
    position.root = crate::engine::tree::Tree::from_leaves(leaves.clone()).root();
    world.engine = Engine::restore(world.engine.shard(), position, leaves).expect("restores");
    let burn = one(&json!({"kind": "BURN", "from": "alice", "amount": "1"}));
    let found = errors(world, "withdrawn", &burn, vec![]);
    assert_eq!(found, [("ASSET_WITHDRAWN".to_owned(), "/asset/id".to_owned())]);
}

#[test]
fn one_event_backs_one_change_ever() {
    let mut world = World::with_bond();
    // Through two sources, which see the same event.
    let mirrored = || Observation { source: "mirror".parse().expect("name"), ..event(1, &minted("5")) };
    let mut renamed = backed(1, "5");
    renamed["event_sources"] = json!(["mirror"]);
    renamed["state_changes"][0]["backed_by"]["source"] = json!("mirror");
    let mut twice = backed(1, "5");
    twice["event_sources"] = json!(["chain", "mirror"]);
    twice["state_changes"] = json!([twice["state_changes"][0], renamed["state_changes"][0]]);
    let seen = || vec![event(1, &minted("5"))];
    let used = |index: usize| {
        vec![("EVENT_ALREADY_USED".to_owned(), format!("/state_changes/{index}/backed_by/event"))]
    };
    assert_eq!(
        errors(&mut world, "a", &twice, vec![event(1, &minted("5")), mirrored()]),
        used(1),
        "within a request"
    );
    let batch = world
        .commit_in(vec![collected("b", &backed(1, "5"), seen()), collected("c", &backed(1, "5"), seen())]);
    assert_eq!(batch.body.outcomes[0].code, None, "a rejected request used nothing");
    assert_eq!(batch.body.outcomes[1].code.as_deref(), Some("EVENT_ALREADY_USED"), "within an entry");
    assert_eq!(errors(&mut world, "d", &backed(1, "5"), seen()), used(0), "in a later entry");
    assert_eq!(
        errors(&mut world, "e", &renamed, vec![mirrored()]),
        used(0),
        "under another name of the source"
    );
    assert_eq!(world.balance("bond:a", "alice").units(), 105);
}

#[test]
fn a_mark_taken_away_lets_the_event_back_a_second_change() {
    // The control of the test above: the mark is what keeps it out.
    let mut world = World::with_bond();
    world.commit_in(vec![collected("a", &backed(1, "5"), vec![event(1, &minted("5"))])]);
    let mark = format!("used/eip155:1/{}/0", tx(1));
    assert!(world.values.remove(&mark).is_some());
    let leaves = world.values.iter().map(|(k, v)| (common::proof::key_hash(k), common::proof::value_hash(v)));
    let mut position = world.engine.position().clone();
    position.root = crate::engine::tree::Tree::from_leaves(leaves.clone()).root();
    world.engine = Engine::restore(world.engine.shard(), position, leaves).expect("restores");
    assert!(errors(&mut world, "b", &backed(1, "5"), vec![event(1, &minted("5"))]).is_empty());
    assert_eq!(world.balance("bond:a", "alice").units(), 110);
}

#[test]
fn an_event_backs_only_the_change_it_is_equal_to() {
    let mut world = World::with_bond();
    let right = minted("5");
    let wrong = [
        ("asset", json!("bond:b")),
        ("event", json!("transfer")),
        ("to", json!("bob")),
        ("to", Value::Null),
        ("amount", json!("50")),
        ("amount", json!("half")),
    ];
    for (index, (field, value)) in wrong.into_iter().enumerate() {
        let mut event_value = right.clone();
        event_value[field] = value;
        let found = errors(&mut world, &format!("k{index}"), &backed(1, "5"), vec![event(1, &event_value)]);
        assert_eq!(found[0].0, "EVENT_MISMATCH", "{event_value}");
    }
    let other_source = Observation { source: "else".parse().expect("name"), ..event(1, &right) };
    let logs = Observation { kind: ObservationKind::Logs, ..event(1, &right) };
    let other_place = Observation { identity: Some(format!("eip155:1/{}/10", tx(1))), ..event(1, &right) };
    let no_chain = Observation { identity: Some(format!("/{}/0", tx(1))), ..event(1, &right) };
    let seen = vec![other_source, logs, other_place, no_chain];
    assert_eq!(errors(&mut world, "n", &backed(1, "5"), seen)[0].0, "EVENT_NOT_COLLECTED");
    assert!(errors(&mut world, "y", &backed(1, "5"), vec![event(1, &right)]).is_empty());
}

#[test]
fn a_value_from_a_source_is_taken_digit_by_digit() {
    let mut world = World::with_bond();
    let seen = |age_ms| vec![document(r#"{"a":{"b":[0,12345678901234567.89]}}"#, age_ms)];
    assert!(errors(&mut world, "a", &sourced("/a/b/1", 2), seen(60_000)).is_empty());
    assert_eq!(world.balance("bond:a", "alice").units(), 1_234_567_890_123_456_789 + 100);
    assert!(errors(&mut world, "t", &sourced_term("/a/b/1"), seen(0)).is_empty());
    assert_eq!(world.asset("bond:a").expect("asset").terms["rate"], "12345678901234567.89");
}

#[test]
fn independent_faults_are_listed_together_and_bounded() {
    let mut world = World::with_bond();
    let mut request = sourced("/a", 0);
    request["expected_version"] = json!(9);
    request["target_chains"] = json!(["arb"]);
    let found: Vec<String> =
        errors(&mut world, "a", &request, vec![]).into_iter().map(|(code, _)| code).collect();
    assert_eq!(found, ["VERSION_MISMATCH", "TARGET_NOT_ON_ASSET", "OBSERVATION_MISSING"]);
    let chains: Vec<String> = (0..16).map(|n| format!("x{n}")).collect();
    let mut register = one(&json!({"kind": "REGISTER", "decimals": 0, "chains": chains}));
    register["asset"] = json!({"id": "bond:b"});
    assert_eq!(errors(&mut world, "b", &register, vec![]).len(), ERRORS_MAX);
}
