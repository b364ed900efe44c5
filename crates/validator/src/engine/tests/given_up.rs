//! A message over which the process died: named by a GIVEN_UP fact, it is set aside unread.

use common::entry::InputStream;
use common::message::{Body, GivenUp};
use serde_json::{Value, json};

use super::world::{START_MS, World, bond, collected, raw, rid, verdict};
use crate::engine::{Batch, RawInput};

fn mint(amount: u32) -> Value {
    bond(&json!([{"kind": "MINT", "to": "alice", "amount": amount.to_string()}]))
}

fn fact(stream: InputStream, s: InputStream, id: &str) -> RawInput {
    let body = Body::GivenUp(GivenUp { s, id: id.to_owned(), attempts: 3 });
    RawInput { stream, ..raw(InputStream::Local, body) }
}

fn message(key: &str, amount: u32, id: &str) -> RawInput {
    RawInput { id: id.to_owned(), ..raw(InputStream::In, collected(key, &mint(amount), vec![])) }
}

fn id(n: u64) -> String {
    format!("{START_MS}-{n}")
}

fn verdicts(batch: &Batch) -> Vec<String> {
    batch.body.outcomes.iter().map(verdict).collect()
}

#[test]
fn a_message_that_is_given_up_is_a_dead_letter_and_its_request_is_rejected_without_effect() {
    let mut world = World::with_bond();
    let local = fact(InputStream::Local, InputStream::In, &id(1));
    // The world replays every entry that it commits.
    let batch = world.commit(vec![local, message("k", 5, &id(1)), message("l", 7, &id(2))]);
    assert_eq!(verdicts(&batch), ["REJECTED CRASH", "APPLIED 2"]);
    let [dead] = batch.dead.as_slice() else { panic!("one dead letter: {:?}", batch.dead) };
    assert_eq!((dead.input, dead.code, dead.attempts), (1, "CRASH", 3));
    assert_eq!(world.balance("bond:a", "alice").units(), 107);
    let decision = &world.decisions[&rid("k", "acme")];
    assert_eq!((decision.tenant.as_str(), decision.code.as_deref()), ("acme", Some("CRASH")));
    // A key works for ever: the request that comes again finds how it ended.
    let again = world.commit(vec![message("k", 5, &id(3))]);
    assert!(again.body.outcomes.is_empty());
    assert_eq!(again.statuses[0].code.as_deref(), Some("CRASH"));
}

#[test]
fn nothing_of_a_message_that_is_given_up_is_read_as_a_message() {
    let mut world = World::with_bond();
    for bytes in ["", "[[[[", "{\"v\":9}", "{\"v\":1,\"msg\":\"TARGETS\"}"] {
        let local = fact(InputStream::Local, InputStream::Receipts, &id(1));
        let poison = RawInput { stream: InputStream::Receipts, id: id(1), bytes: bytes.into() };
        let batch = world.commit(vec![local, poison]);
        assert!(batch.body.outcomes.is_empty() && batch.parked.is_empty(), "{bytes}");
        assert_eq!((batch.dead.len(), batch.dead[0].code), (1, "CRASH"), "{bytes}");
    }
}

#[test]
fn a_decision_that_was_made_stays_when_another_message_about_it_is_given_up() {
    let mut world = World::with_bond();
    world.commit(vec![message("k", 5, &id(1))]);
    let local = fact(InputStream::Local, InputStream::In, &id(2));
    let batch = world.commit(vec![local, message("k", 5, &id(2))]);
    assert!(batch.body.outcomes.is_empty() && batch.changes.decisions.is_empty());
    assert_eq!(batch.dead.len(), 1);
}

#[test]
fn only_the_leader_itself_can_give_a_message_up() {
    let mut world = World::with_bond();
    let forged = RawInput { id: id(1), ..fact(InputStream::In, InputStream::In, &id(2)) };
    let batch = world.commit(vec![forged, message("k", 5, &id(2))]);
    assert_eq!(verdicts(&batch), ["APPLIED 2"]);
    assert_eq!((batch.dead.len(), batch.dead[0].code, batch.dead[0].attempts), (1, "MALFORMED", 1));
}

#[test]
fn a_fact_that_names_another_message_gives_nothing_up() {
    let mut world = World::with_bond();
    for (s, other) in [(InputStream::Inx, id(1)), (InputStream::In, id(9))] {
        let local = fact(InputStream::Local, s, &other);
        let batch = world.commit(vec![local, message(&format!("{s:?}"), 5, &id(1))]);
        assert!(batch.dead.is_empty() && verdicts(&batch)[0].starts_with("APPLIED"), "{s:?}");
    }
}
