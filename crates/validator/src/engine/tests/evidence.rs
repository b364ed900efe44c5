//! Events that back changes and values taken from observations, in all their faults.

use common::observation::{Observation, ObservationKind};
use common::proof::{key_hash, value_hash};
use serde_json::{Value, json};

use super::world::{START_MS, World, bond, collected};
use crate::engine::Engine;
use crate::engine::codes::ERRORS_MAX;
use crate::engine::tree::Tree;

pub(super) fn tx(n: u8) -> String {
    format!("0x{}", hex::encode([n; 32]))
}

pub(super) fn event(n: u8, value: &Value) -> Observation {
    Observation {
        source: "chain".parse().expect("name"),
        kind: ObservationKind::Event,
        value: serde_json::value::to_raw_value(value).expect("json"),
        as_of_ms: START_MS,
        identity: Some(format!("eip155:1/{}/0", tx(n))),
        evidence: None,
    }
}

pub(super) fn minted(amount: &str) -> Value {
    json!({"asset": "bond:a", "event": "mint", "to": "alice", "amount": amount})
}

pub(super) fn document(json: &str, age_ms: u64) -> Observation {
    Observation {
        source: "rates".parse().expect("name"),
        kind: ObservationKind::HttpJson,
        value: serde_json::value::RawValue::from_string(json.to_owned()).expect("json"),
        as_of_ms: START_MS - age_ms,
        identity: None,
        evidence: None,
    }
}

pub(super) fn backed(n: u8, amount: &str) -> Value {
    let mut request = bond(&json!([{"kind": "MINT", "to": "alice", "amount": amount,
        "backed_by": {"source": "chain", "event": format!("{}/0", tx(n))}}]));
    request["event_sources"] = json!(["chain"]);
    request
}

pub(super) fn sourced(pointer: &str, scale: u8) -> Value {
    let amount = json!({"from": "rates", "pointer": pointer, "max_age_s": 60, "scale": scale});
    let mut request = bond(&json!([{"kind": "MINT", "to": "alice", "amount": amount}]));
    request["external_apis"] = json!(["rates"]);
    request
}

pub(super) fn sourced_term(pointer: &str) -> Value {
    let term = json!({"from": "rates", "pointer": pointer, "max_age_s": 60});
    let mut request = bond(&json!([{"kind": "SET_DATA", "terms": {"rate": term}}]));
    request["external_apis"] = json!(["rates"]);
    request
}

pub(super) fn one(kind: &Value) -> Value {
    bond(&json!([kind]))
}

/// The codes and pointers with which a world with `bond:a` answers a request.
pub(super) fn errors(
    world: &mut World,
    key: &str,
    request: &Value,
    seen: Vec<Observation>,
) -> Vec<(String, String)> {
    let batch = world.commit_in(vec![collected(key, request, seen)]);
    let [outcome] = batch.body.outcomes.as_slice() else { panic!("one outcome for {request}") };
    assert_eq!(outcome.code.as_ref(), outcome.errors.first().map(|error| &error.code));
    outcome.errors.iter().map(|error| (error.code.clone(), error.pointer.clone())).collect()
}

/// Puts an engine at the same position over values that were changed by hand.
pub(super) fn reopen(world: &mut World) {
    let leaves = world.values.iter().map(|(key, value)| (key_hash(key), value_hash(value)));
    let mut position = world.engine.position().clone();
    position.root = Tree::from_leaves(leaves.clone()).root();
    world.engine = Engine::restore(world.engine.shard(), position, leaves, 0).expect("restores");
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
    reopen(&mut world);
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
fn an_observation_from_the_future_is_refused_and_a_clock_that_is_a_minute_fast_is_not() {
    let mut world = World::with_bond();
    let at =
        |observation: Observation, ahead_ms| Observation { as_of_ms: START_MS + ahead_ms, ..observation };
    let value = |ahead_ms| vec![at(document(r#"{"a":"5"}"#, 0), ahead_ms)];
    let proof = |ahead_ms| vec![at(event(1, &minted("5")), ahead_ms)];
    let refused = |pointer: &str| vec![("OBSERVATION_FROM_FUTURE".to_owned(), pointer.to_owned())];
    world.time_ms = START_MS;
    for (index, request, late, in_time, pointer) in [
        (0, sourced("/a", 0), value(60_001), value(60_000), "/state_changes/0/amount"),
        (1, sourced_term("/a"), value(60_001), value(60_000), "/state_changes/0/terms/rate"),
        (2, backed(1, "5"), proof(60_001), proof(60_000), "/state_changes/0/backed_by"),
    ] {
        assert_eq!(errors(&mut world, &format!("late{index}"), &request, late), refused(pointer));
        assert_eq!(errors(&mut world, &format!("in-time{index}"), &request, in_time), [], "{pointer}");
    }
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
