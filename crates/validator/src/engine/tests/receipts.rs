//! Receipts, deliveries and target lists.

use common::entry::{EntryKind, InputStream};
use common::message::{Body, Receipt};
use common::status::{Delivery, Status};
use serde_json::json;

use super::world::{World, bond, collected, raw, rid, targets};
use crate::engine::{Batch, Effect, Fault, RawInput};

fn receipt(seq: u64, target: &str, status: Delivery) -> RawInput {
    receipt_on(InputStream::Receipts, seq, target, status)
}

fn receipt_on(stream: InputStream, seq: u64, target: &str, status: Delivery) -> RawInput {
    let target = target.parse().expect("name");
    raw(stream, Body::Receipt(Receipt { seq, target, status, parts: vec![] }))
}

fn statuses(batch: &Batch) -> Vec<(Status, Option<&str>)> {
    batch.statuses.iter().map(|write| (write.status, write.code.as_deref())).collect()
}

/// Entry 3 holds one request that waits for base and op, and one that waits for op alone.
fn waiting() -> World {
    let mut world = World::with_bond();
    let change = json!([{"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": "1"}]);
    let mut named = bond(&change);
    named["target_chains"] = json!(["op"]);
    let batch =
        world.commit_in(vec![collected("all", &bond(&change), vec![]), collected("op", &named, vec![])]);
    assert_eq!(batch.body.seq, 3);
    assert_eq!(statuses(&batch), [(Status::Committed, None), (Status::Committed, None)]);
    world
}

#[test]
fn a_request_completes_with_the_last_target_it_waits_for() {
    let mut world = waiting();
    let batch = world.commit(vec![receipt(3, "op", Delivery::Final)]);
    assert_eq!(batch.statuses.len(), 1);
    assert_eq!((batch.statuses[0].rid, batch.statuses[0].status), (rid("op", "acme"), Status::Completed));
    assert_eq!(batch.statuses[0].seq, 3, "the status names the deciding entry");
    assert_eq!(batch.changes.finals, [("op".parse().expect("name"), 3)].into());

    let batch = world.commit(vec![receipt(3, "base", Delivery::Final)]);
    assert_eq!((batch.statuses[0].rid, batch.statuses[0].status), (rid("all", "acme"), Status::Completed));
    assert_eq!(world.decisions[&rid("all", "acme")].delivered.as_deref(), Some("completed"));
    assert!(!world.deliveries.contains_key(&3), "the row goes with the last target");
}

#[test]
fn two_receipts_of_one_entry_in_one_batch_complete_it() {
    let mut world = waiting();
    let batch = world.commit(vec![receipt(3, "op", Delivery::Final), receipt(3, "base", Delivery::Final)]);
    assert_eq!(statuses(&batch), [(Status::Completed, None), (Status::Completed, None)]);
    assert_eq!(batch.changes.deliveries, [(3, None)].into());
}

#[test]
fn a_repeated_or_unknown_receipt_changes_nothing() {
    let mut world = waiting();
    world.commit(vec![receipt(3, "op", Delivery::Final)]);
    let again = [
        receipt(3, "op", Delivery::Failed),
        receipt(3, "arb", Delivery::Final),
        receipt(99, "op", Delivery::Final),
        receipt(3, "base", Delivery::Sent),
    ];
    for input in again {
        let batch = world.commit(vec![input]);
        assert!(batch.statuses.is_empty() && batch.changes == crate::engine::Changes::default(), "{batch:?}");
    }
}

#[test]
fn a_failed_delivery_fails_the_request_but_not_its_outcome() {
    let mut world = waiting();
    let batch = world.commit(vec![receipt(3, "base", Delivery::Failed)]);
    assert_eq!(statuses(&batch), [(Status::Failed, Some("DELIVERY_FAILED"))]);
    let decision = &world.decisions[&rid("all", "acme")];
    assert_eq!((decision.outcome.as_str(), decision.delivered.as_deref()), ("APPLIED", Some("failed")));
    // What comes later does not end it a second time.
    let batch = world.commit(vec![receipt(3, "op", Delivery::Final)]);
    assert_eq!(batch.statuses.len(), 1);
    assert_eq!(batch.statuses[0].rid, rid("op", "acme"));
}

#[test]
fn a_revoked_delivery_leaves_the_requests_waiting() {
    let mut world = waiting();
    let batch = world.commit(vec![receipt(3, "base", Delivery::Revoked), receipt(3, "op", Delivery::Final)]);
    assert_eq!(statuses(&batch), [(Status::Completed, None)]);
    assert!(world.deliveries[&3].waiting.contains_key(rid("all", "acme").as_bytes()));
}

#[test]
fn a_receipt_counts_only_where_broadcasters_or_the_leader_write() {
    let mut world = waiting();
    for stream in [InputStream::In, InputStream::Inx] {
        let batch = world.commit(vec![receipt_on(stream, 3, "op", Delivery::Final)]);
        assert_eq!(batch.dead.len(), 1, "a forged receipt is set aside");
        assert!(batch.changes.deliveries.is_empty());
    }
}

#[test]
fn a_retired_target_fails_who_waits_for_it_and_is_not_waited_for_any_more() {
    let mut world = waiting();
    let batch = world.retire(&["base", "arb"], &["op"]);
    assert_eq!(batch.kind(), EntryKind::Targets);
    assert_eq!(batch.effects, [Effect::StopTarget { target: "op".parse().expect("name") }]);
    // Earlier requests: the leader ends the waiting, entry by entry.
    let batch = world.commit(vec![receipt_on(InputStream::Local, 3, "op", Delivery::Failed)]);
    assert_eq!(statuses(&batch), [(Status::Failed, Some("DELIVERY_FAILED")); 2]);
    // Later ones do not name it.
    let change = json!([{"kind": "MINT", "to": "bob", "amount": "1"}]);
    let mut only_op = bond(&change);
    only_op["target_chains"] = json!(["op"]);
    let batch =
        world.commit_in(vec![collected("x", &bond(&change), vec![]), collected("y", &only_op, vec![])]);
    let row = &world.deliveries[&batch.body.seq];
    assert_eq!(row.open, ["base".to_owned()].into());
    assert_eq!(row.waiting.values().collect::<Vec<_>>(), [&["base".to_owned()].into()]);
    assert!(statuses(&batch).contains(&(Status::Completed, None)), "nothing to wait for: completed at once");
}

#[test]
fn what_a_retired_target_still_answers_counts_as_what_it_is() {
    for (answer, status, code) in [
        (Delivery::Final, Status::Completed, None),
        (Delivery::Revoked, Status::Failed, Some("DELIVERY_FAILED")),
    ] {
        let mut world = waiting();
        world.retire(&["base", "arb"], &["op"]);
        let batch = world.commit(vec![receipt(3, "op", answer)]);
        assert!(statuses(&batch).contains(&(status, code)), "{answer:?}: {batch:?}");
        assert!(world.deliveries[&3].waiting.values().all(|waited| !waited.contains("op")));
    }
}

#[test]
fn a_list_that_does_not_follow_is_refused_whole() {
    let mut world = waiting();
    let list = |targets| vec![raw(InputStream::Local, Body::Targets(targets))];
    let missing = world.decide(list(targets(&["base", "arb"])));
    assert!(matches!(missing, Err(Fault::Targets(_))), "{missing:?}");
    world.retire(&["base", "arb"], &["op"]);
    let revived = world.decide(list(targets(&["base", "op", "arb"])));
    assert!(matches!(revived, Err(Fault::Targets(_))), "{revived:?}");
}

#[test]
fn a_target_list_is_an_entry_of_its_own_from_the_leader_alone() {
    let mut world = World::empty();
    let batch = world.set_targets(&["op", "base"]);
    let started = ["base", "op"].map(|name| Effect::StartTarget { target: name.parse().expect("name") });
    assert_eq!(batch.effects, started);
    let list = || Body::Targets(targets(&["base"]));
    let change = json!([{"kind": "MINT", "to": "bob", "amount": "1"}]);
    let mixed =
        vec![raw(InputStream::Local, list()), raw(InputStream::In, collected("x", &bond(&change), vec![]))];
    assert!(matches!(world.decide(mixed), Err(Fault::TargetsNotAlone { others: 1 })));
    let batch = world.commit(vec![raw(InputStream::In, list())]);
    assert_eq!((batch.kind(), batch.dead.len()), (EntryKind::Batch, 1));
    assert_eq!(world.engine.position().targets, targets(&["op", "base"]));
}
