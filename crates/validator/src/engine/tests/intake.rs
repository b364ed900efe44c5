//! What each message means: duplicates, conflicts, cancels, time, unreadable and misplaced messages.

use common::entry::InputStream;
use common::ids::{Rid, Shard};
use common::message::{Body, Command, Failure};
use common::status::{OutcomeKind, Status};
use serde_json::{Value, json};

use super::world::{START_MS, World, about, bond, cancel, collected, parse, raw, rid, verdict};
use crate::engine::{Batch, Effect, RawInput};

fn mint(amount: u32) -> Value {
    bond(&json!([{"kind": "MINT", "to": "alice", "amount": amount.to_string()}]))
}

fn verdicts(batch: &Batch) -> Vec<String> {
    batch.body.outcomes.iter().map(verdict).collect()
}

fn bytes(text: impl Into<Vec<u8>>) -> RawInput {
    RawInput { stream: InputStream::In, id: format!("{START_MS}-1"), bytes: text.into() }
}

#[test]
fn a_request_is_applied_once_however_often_it_comes() {
    let mut world = World::with_bond();
    let batch = world.commit_in(vec![collected("k", &mint(5), vec![]), collected("k", &mint(5), vec![])]);
    assert_eq!(verdicts(&batch), ["APPLIED 2"]);
    let batch = world.commit_in(vec![collected("k", &mint(5), vec![])]);
    assert!(batch.body.outcomes.is_empty() && batch.changes.decisions.is_empty());
    assert_eq!(world.balance("bond:a", "alice").units(), 105);
}

#[test]
fn a_decided_request_that_comes_again_gets_its_status_back() {
    let mut world = World::with_bond();
    let first = world.commit_in(vec![collected("k", &mint(5), vec![])]);
    let again = world.commit_in(vec![collected("k", &mint(5), vec![])]);
    let [write] = again.statuses.as_slice() else { panic!("one status") };
    assert_eq!((write.rid, write.status, write.seq), (rid("k", "acme"), Status::Committed, first.body.seq));
    assert_eq!(write.tenant.as_ref().map(common::ids::Tenant::as_str), Some("acme"));

    world.commit_in(vec![collected(
        "bad",
        &bond(&json!([{"kind": "BURN", "from": "x", "amount": "1"}])),
        vec![],
    )]);
    let bad = collected("bad", &bond(&json!([{"kind": "BURN", "from": "x", "amount": "1"}])), vec![]);
    let again = world.commit_in(vec![bad]);
    assert_eq!(again.statuses[0].status, Status::Rejected);
    assert_eq!(again.statuses[0].code.as_deref(), Some("INSUFFICIENT_BALANCE"));
}

#[test]
fn an_id_with_another_content_is_refused_and_the_decision_stays() {
    let mut world = World::with_bond();
    // In the same entry, and in a later one.
    let batch = world.commit_in(vec![collected("k", &mint(5), vec![]), collected("k", &mint(6), vec![])]);
    assert_eq!(verdicts(&batch), ["REJECTED IDEMPOTENCY_CONFLICT", "APPLIED 2"]);
    let decided = batch.body.seq;
    let batch = world.commit_in(vec![collected("k", &mint(7), vec![])]);
    assert_eq!(verdicts(&batch), ["REJECTED IDEMPOTENCY_CONFLICT"]);
    assert_eq!(batch.body.outcomes[0].fp, parse(&mint(7)).fingerprint());
    assert!(batch.changes.decisions.is_empty(), "the decision stays");
    // The record, which the refused request has made anew, shows the decision again.
    let [write] = batch.statuses.as_slice() else { panic!("one status") };
    assert_eq!(
        (write.fp, write.replaces),
        (parse(&mint(5)).fingerprint(), Some(parse(&mint(7)).fingerprint()))
    );
    assert_eq!((write.status, write.seq, write.code.as_deref()), (Status::Committed, decided, None));
    assert_eq!(world.decisions[&rid("k", "acme")].fp, parse(&mint(5)).fingerprint());
    assert_eq!(world.balance("bond:a", "alice").units(), 105);
}

#[test]
fn a_decision_taken_away_lets_an_id_take_effect_twice() {
    // The control of the tests above: the table of decisions is what keeps a second effect out.
    let mut world = World::with_bond();
    world.commit_in(vec![collected("k", &mint(5), vec![])]);
    assert!(world.decisions.remove(&rid("k", "acme")).is_some());
    for again in [mint(5), mint(7)] {
        let batch = world.decide(vec![raw(InputStream::In, collected("k", &again, vec![]))]).expect("runs");
        assert_eq!(verdicts(&batch), ["APPLIED 3"]);
    }
}

#[test]
fn a_cancel_wins_over_a_request_of_its_entry_and_over_one_still_to_come() {
    let mut world = World::with_bond();
    let express = raw(InputStream::Inx, cancel("k", &mint(5)));
    let batch = world.commit(vec![express.clone(), raw(InputStream::In, collected("k", &mint(5), vec![]))]);
    assert_eq!(verdicts(&batch), ["CANCELLED CANCELLED"]);
    let batch = world.commit_in(vec![collected("l", &mint(5), vec![]), cancel("l", &mint(5))]);
    assert_eq!(verdicts(&batch), ["CANCELLED CANCELLED"]);
    let batch = world.commit(vec![raw(InputStream::Inx, cancel("m", &mint(5)))]);
    assert_eq!(verdicts(&batch), ["CANCELLED CANCELLED"]);
    let batch = world.commit_in(vec![collected("m", &mint(5), vec![])]);
    assert!(batch.body.outcomes.is_empty());
    assert_eq!(batch.statuses[0].status, Status::Cancelled);
    assert_eq!(world.balance("bond:a", "alice").units(), 100);
}

#[test]
fn a_cancel_comes_too_late_for_a_decided_request() {
    let mut world = World::with_bond();
    world.commit_in(vec![collected("k", &mint(5), vec![])]);
    let batch = world.commit(vec![raw(InputStream::Inx, cancel("k", &mint(5)))]);
    assert!(batch.body.outcomes.is_empty() && batch.statuses.is_empty());
}

#[test]
fn a_cancel_of_another_tenant_does_nothing_to_a_request() {
    let mut world = World::with_bond();
    let mut foreign = about("k", "acme", &parse(&mint(5)));
    foreign.tenant = "other".parse().expect("tenant");
    let batch = world.commit_in(vec![collected("k", &mint(5), vec![]), Body::Cancel { about: foreign }]);
    assert_eq!(verdicts(&batch), ["APPLIED 2"]);
}

#[test]
fn a_request_expires_in_log_time_counted_from_its_acceptance() {
    let mut world = World::with_bond();
    let mut short = mint(5);
    short["ttl_seconds"] = json!(10);
    world.time_ms = START_MS + 10_000;
    let batch = world.commit_in(vec![collected("in-time", &short, vec![])]);
    assert_eq!(verdicts(&batch), ["APPLIED 2"]);
    world.time_ms = START_MS + 10_001;
    let batch = world.commit_in(vec![collected("late", &short, vec![])]);
    assert_eq!(verdicts(&batch), ["EXPIRED TTL_EXPIRED"]);
    // A stamp that falls back does not turn time back.
    world.time_ms = START_MS;
    let batch = world.commit_in(vec![collected("still-late", &short, vec![])]);
    assert_eq!(batch.body.time_ms, START_MS + 10_001);
    assert_eq!(verdicts(&batch), ["EXPIRED TTL_EXPIRED"]);
    // The message's own time of acceptance counts before its stream id.
    let Body::Collected { mut about, request, observations } = collected("own", &short, vec![]) else {
        panic!("collected")
    };
    about.accepted_ms = Some(START_MS + 5_000);
    let batch = world.commit_in(vec![Body::Collected { about, request, observations }]);
    assert_eq!(verdicts(&batch), ["APPLIED 3"]);
}

#[test]
fn a_failed_collection_ends_the_request_with_its_code() {
    let mut world = World::with_bond();
    let failure = Failure {
        code: "SOURCE_UNAVAILABLE".to_owned(),
        source: None,
        detail: "x".repeat(5000),
        pointer: Some("/event_sources/0".to_owned()),
    };
    let body = Body::Failed { about: about("k", "acme", &parse(&mint(5))), failure };
    let batch = world.commit_in(vec![body.clone(), collected("k", &mint(5), vec![])]);
    assert_eq!(verdicts(&batch), ["FAILED SOURCE_UNAVAILABLE"]);
    assert_eq!(batch.statuses[0].status, Status::Failed);
    assert_eq!(batch.body.outcomes[0].errors[0].detail.len(), 256);
}

#[test]
fn an_unknown_version_is_parked_and_decides_nothing() {
    let mut world = World::with_bond();
    let about = about("k", "acme", &parse(&mint(5)));
    let named = format!(r#"{{"v":2,"rid":"{}","fp":"{}","new":[]}}"#, about.rid, about.fp);
    let batch = world.commit(vec![bytes(named), bytes(r#"{"v":7}"#)]);
    assert_eq!(batch.parked, [0, 1]);
    assert_eq!(verdicts(&batch), ["PARKED UNKNOWN_VERSION"]);
    assert!(batch.changes.decisions.is_empty() && batch.statuses.is_empty() && batch.dead.is_empty());
    let batch = world.commit_in(vec![collected("k", &mint(5), vec![])]);
    assert_eq!(verdicts(&batch), ["APPLIED 2"]);
}

#[test]
fn what_cannot_be_read_is_set_aside_and_ends_the_request_it_names() {
    let mut world = World::with_bond();
    let about = about("k", "acme", &parse(&mint(5)));
    let named =
        format!(r#"{{"v":1,"msg":"COLLECTED","rid":"{}","fp":"{}","request":{{}}}}"#, about.rid, about.fp);
    let batch = world.commit(vec![bytes(b"\xff\x00".to_vec()), bytes("[]"), bytes(named.clone())]);
    assert_eq!(batch.dead.iter().map(|dead| dead.input).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(batch.dead.iter().all(|dead| dead.code == "MALFORMED"));
    assert_eq!(verdicts(&batch), ["REJECTED MALFORMED"]);
    // A good message of the same request speaks for it.
    let other = super::world::about("l", "acme", &parse(&mint(5)));
    let named = format!(r#"{{"v":1,"msg":"?","rid":"{}","fp":"{}"}}"#, other.rid, other.fp);
    let batch = world.commit(vec![raw(InputStream::In, collected("l", &mint(5), vec![])), bytes(named)]);
    assert_eq!(verdicts(&batch), ["APPLIED 2"]);
    assert_eq!(batch.dead.len(), 1);
}

#[test]
fn a_request_of_another_shard_is_set_aside_without_a_word_about_it() {
    let mut world = World::with_bond();
    let Body::Collected { mut about, request, observations } = collected("k", &mint(5), vec![]) else {
        panic!("collected")
    };
    let (tenant, key) = ("acme".parse().expect("tenant"), "k".parse().expect("key"));
    about.rid = Rid::from_key(&tenant, &key, Shard::Gaming);
    let batch = world.commit_in(vec![Body::Collected { about, request, observations }]);
    assert!(batch.body.outcomes.is_empty());
    assert_eq!(batch.dead.len(), 1);
    // Its own shard's id, but an asset of another shard.
    let foreign = json!({"asset": {"id": "game_item:x"},
        "state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}]});
    let batch = world.commit_in(vec![collected("l", &foreign, vec![])]);
    assert_eq!(verdicts(&batch), ["REJECTED MALFORMED"]);
}

#[test]
fn a_rewind_of_a_target_of_the_log_is_an_effect() {
    let mut world = World::with_bond();
    let command = |key: &str, target: &str| {
        let command = Command::Rewind { target: target.parse().expect("name") };
        raw(InputStream::Inx, Body::Command { about: about(key, "acme", &parse(&mint(5))), command })
    };
    let batch = world.commit(vec![command("c", "op"), command("c", "op"), command("d", "nowhere")]);
    assert_eq!(batch.effects, [Effect::Rewind { target: "op".parse().expect("name") }]);
    assert_eq!(verdicts(&batch), ["APPLIED 0", "REJECTED UNKNOWN_TARGET"]);
    assert_eq!(batch.body.outcomes[0].outcome, OutcomeKind::Applied);
    assert!(batch.statuses.iter().any(|write| write.status == Status::Completed));
}
