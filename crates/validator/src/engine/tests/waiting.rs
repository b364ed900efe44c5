//! Long locks, and requests that wait over entries.

use std::collections::BTreeSet;

use common::entry::InputStream;
use common::ids::Rid;
use serde_json::{Value, json};

use super::world::{START_MS, World, about, bond, cancel, collected, parse, raw, rid, rollback, verdict};
use crate::engine::waiting::{Cause, WAITERS_MAX};
use crate::engine::{Batch, RawInput};
use common::message::{Body, TimedOut};

fn lock(key: &str) -> Body {
    collected(key, &bond(&json!([{"kind": "LOCK", "reason": "a notary", "seconds": 600}])), vec![])
}

fn transfer(amount: &str) -> Value {
    json!({"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": amount})
}

fn moves(key: &str, amount: &str) -> Body {
    collected(key, &bond(&json!([transfer(amount)])), vec![])
}

fn unlock(key: &str, lock: &str) -> Body {
    collected(key, &bond(&json!([{"kind": "UNLOCK", "lock": rid(lock, "acme")}])), vec![])
}

fn depending(key: &str, on: &[&str]) -> Body {
    let mut request = bond(&json!([transfer("1")]));
    request["depends_on"] = on.iter().map(|key| json!(rid(key, "acme"))).collect();
    collected(key, &request, vec![])
}

/// What the leader feeds in again, in this order.
fn again(world: &World, keys: &[&str]) -> Vec<RawInput> {
    let input = |key: &&str| {
        let waiter = &world.waiters[&rid(key, "acme")];
        let (id, bytes) = (waiter.id.clone(), waiter.message.clone());
        RawInput { stream: InputStream::Local, id, bytes }
    };
    keys.iter().map(input).collect()
}

fn verdicts(batch: &Batch) -> Vec<String> {
    batch.body.outcomes.iter().map(verdict).collect()
}

fn queue(world: &World) -> Vec<Rid> {
    let row = world.locks.get("bond:a");
    let queued = row.into_iter().flat_map(|row| &row.queue);
    queued.map(|queued| Rid::from_bytes(queued.rid).expect("a request id")).collect()
}

fn order(key: &str, kind: &str) -> RawInput {
    let mut request = bond(&json!([{"kind": kind}]));
    request["authority"] = json!({"id": "sec", "order": format!("order {key}")});
    raw(InputStream::Inx, collected(key, &request, vec![]))
}

/// The codes that come up here.
pub(super) fn codes() -> BTreeSet<String> {
    let (mut world, mut other) = (World::with_bond(), World::with_bond());
    let twice =
        json!([{"kind": "LOCK", "reason": "a", "seconds": 1}, {"kind": "LOCK", "reason": "b", "seconds": 1}]);
    world.engine.set_waiters(WAITERS_MAX - 66);
    let many = (0..65).map(|n| moves(&format!("m{n}"), "1"));
    let twice = collected("twice", &bond(&twice), vec![]);
    let first = vec![unlock("early", "l"), twice, lock("l"), depending("b", &["never"])];
    world.commit_in(first.into_iter().chain(many).collect());
    world.commit_in(vec![depending("c", &["never"])]);
    world.commit_in(vec![depending("d", &["never"])]);
    let mut later = bond(&json!([transfer("1")]));
    later["effective_at"] = json!("2023-11-14T22:14:20Z");
    let mut too_late = later.clone();
    too_late["effective_at"] = json!("2024-01-01T00:00:00Z");
    other.commit_in(vec![collected("x", &later, vec![]), collected("y", &too_late, vec![])]);
    world.time_ms = START_MS + 300_001;
    let inputs = again(&world, &["b"]);
    world.commit(inputs);
    other.commit_in(vec![lock("l"), moves("t", "1")]);
    other.time_ms = START_MS + 30_001;
    let inputs = again(&other, &["t"]);
    other.commit(inputs);
    let bodies = world.log.iter().chain(&other.log).flat_map(|body| &body.outcomes);
    bodies.flat_map(|outcome| outcome.errors.iter().map(|error| error.code.clone())).collect()
}

#[test]
fn a_lock_holds_its_asset_until_its_unlock_and_who_waited_goes_on_by_arrival() {
    let mut world = World::with_bond();
    let batch = world.commit_in(vec![lock("l"), moves("t1", "60"), moves("t2", "60")]);
    assert_eq!(verdicts(&batch), ["APPLIED 2", "HELD ASSET_LOCKED", "HELD ASSET_LOCKED"]);
    let queued: Vec<&str> = batch.statuses.iter().map(|write| write.status.name()).collect();
    assert_eq!(queued.iter().filter(|status| **status == "queued").count(), 2);
    assert_eq!(queue(&world), [rid("t1", "acme"), rid("t2", "acme")]);
    // The holder's own request passes with all it does; the others still wait, and so does who comes then.
    let changes = json!([transfer("10"), {"kind": "UNLOCK", "lock": rid("l", "acme")}]);
    let batch = world.commit_in(vec![collected("u", &bond(&changes), vec![]), moves("t3", "1")]);
    assert_eq!(verdicts(&batch), ["APPLIED 3", "HELD ASSET_LOCKED"]);
    let inputs = again(&world, &["t1", "t2", "t3"]);
    let batch = world.commit(inputs);
    assert_eq!(verdicts(&batch), ["APPLIED 4", "REJECTED INSUFFICIENT_BALANCE", "APPLIED 5"]);
    assert_eq!((world.locks.len(), world.waiters.len()), (0, 0));
}

#[test]
fn while_somebody_waits_nobody_passes_and_what_is_fed_in_too_early_waits_on() {
    let mut world = World::with_bond();
    world.commit_in(vec![lock("l"), moves("t1", "1"), moves("t2", "1")]);
    let inputs = again(&world, &["t1"]);
    assert!(verdicts(&world.commit(inputs)).is_empty(), "it is held still");
    world.commit_in(vec![unlock("u", "l")]);
    let inputs = again(&world, &["t2"]);
    assert!(verdicts(&world.commit(inputs)).is_empty(), "it is not its turn");
    assert_eq!(queue(&world), [rid("t1", "acme"), rid("t2", "acme")]);
    // A lock taken by the first of the queue holds those behind it.
    world.commit_in(vec![lock("l2")]);
    let inputs = again(&world, &["t1", "t2", "l2"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["APPLIED 4", "APPLIED 5", "APPLIED 6"]);
    assert_eq!(world.locks["bond:a"].held.as_ref().map(|held| held.since), Some(world.log.len() as u64));
}

#[test]
fn whoever_may_not_change_the_asset_does_not_wait_for_it_and_a_queue_has_an_end() {
    let mut world = World::with_bond();
    world.commit_in(vec![lock("l")]);
    let request = parse(&bond(&json!([transfer("1")])));
    let foreign = Body::Collected {
        about: about("x", "other", &request),
        request: Box::new(request),
        observations: vec![],
    };
    assert_eq!(verdicts(&world.commit_in(vec![foreign])), ["REJECTED NOT_ISSUER"]);
    let many = (0..65).map(|n| moves(&format!("m{n}"), "1")).collect();
    let batch = world.commit_in(many);
    assert_eq!(verdicts(&batch)[63..], ["HELD ASSET_LOCKED", "REJECTED LOCK_QUEUE_FULL"]);
    assert_eq!(queue(&world).len(), 64);
    // Orders have room of their own, and go first.
    let batch = world.commit(vec![order("f", "FREEZE")]);
    assert_eq!(verdicts(&batch), ["HELD ASSET_LOCKED"]);
    assert_eq!(queue(&world)[0], rid("f", "acme"));
    world.commit_in(vec![unlock("u", "l")]);
    let inputs = again(&world, &["f", "m0"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["APPLIED 4", "REJECTED ASSET_BLOCKED"]);
}

#[test]
fn who_waits_too_long_is_refused_and_one_whose_own_time_is_over_expires() {
    let mut world = World::with_bond();
    let mut brief = bond(&json!([transfer("1")]));
    brief["ttl_seconds"] = json!(5);
    let brief = collected("brief", &brief, vec![]);
    world.commit_in(vec![lock("l"), brief, moves("t1", "1"), moves("t2", "1")]);
    world.commit(vec![order("f", "FREEZE")]);
    world.time_ms = START_MS + 5_001;
    let inputs = again(&world, &["brief", "t1"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["EXPIRED TTL_EXPIRED"]);
    world.time_ms = START_MS + 30_000;
    let inputs = again(&world, &["t1"]);
    assert!(verdicts(&world.commit(inputs)).is_empty(), "not a millisecond too early");
    world.time_ms += 1;
    let inputs = again(&world, &["t1"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["REJECTED LOCK_TIMEOUT"]);
    let inputs = again(&world, &["f"]);
    assert!(verdicts(&world.commit(inputs)).is_empty(), "an order waits as long as it may");
    assert_eq!(queue(&world), [rid("f", "acme"), rid("t2", "acme")]);
}

#[test]
fn a_lock_ends_by_an_entry_after_its_time_and_by_none_before() {
    let mut world = World::with_bond();
    world.commit_in(vec![lock("l"), moves("t", "1")]);
    let over = |lock: &str| {
        let fact = TimedOut { asset: "bond:a".parse().expect("an asset id"), lock: rid(lock, "acme") };
        raw(InputStream::Local, Body::TimedOut(fact))
    };
    let holder = |world: &World| world.locks["bond:a"].held.is_some();
    world.time_ms = START_MS + 600_000;
    world.commit(vec![over("l")]);
    assert!(holder(&world), "its time is not over");
    world.time_ms += 1;
    world.commit(vec![over("other")]);
    assert!(holder(&world), "another lock is meant");
    world.commit(vec![over("l")]);
    assert!(!holder(&world));
    // Only the leader says so.
    let fact = TimedOut { asset: "bond:a".parse().expect("an asset id"), lock: rid("l", "acme") };
    assert_eq!(world.commit_in(vec![Body::TimedOut(fact)]).dead.len(), 1);
}

#[test]
fn a_lock_is_for_who_names_it_and_once_in_a_request() {
    let mut world = World::with_bond();
    let twice =
        json!([{"kind": "LOCK", "reason": "a", "seconds": 1}, {"kind": "LOCK", "reason": "b", "seconds": 1}]);
    let batch = world.commit_in(vec![
        collected("twice", &bond(&twice), vec![]),
        unlock("early", "l"),
        lock("l"),
        unlock("wrong", "other"),
    ]);
    let expected = ["REJECTED ALREADY_LOCKED", "REJECTED LOCK_NOT_HELD", "APPLIED 2", "HELD ASSET_LOCKED"];
    assert_eq!(verdicts(&batch), expected);
    let end = json!({"kind": "UNLOCK", "lock": rid("l", "acme")});
    let more = json!([end, {"kind": "LOCK", "reason": "c", "seconds": 1}]);
    let batch = world.commit_in(vec![collected("more", &bond(&more), vec![])]);
    assert_eq!(verdicts(&batch), ["REJECTED ALREADY_LOCKED"], "who waits goes on first");
    let mut free = World::with_bond();
    let own = json!([{"kind": "LOCK", "reason": "c", "seconds": 1}, end]);
    let batch = free.commit_in(vec![collected("own", &bond(&own), vec![])]);
    assert_eq!(verdicts(&batch), ["REJECTED LOCK_NOT_HELD"], "it is its own by then");
    // What others have waited for is not undone, and nothing is undone under a lock.
    let batch = world.commit(vec![rollback("r", "acme", rid("l", "acme"))]);
    assert_eq!(verdicts(&batch), ["REJECTED NOT_REVERSIBLE"]);
    let mut world = World::with_bond();
    world.commit_in(vec![moves("t", "1")]);
    world.commit_in(vec![lock("l")]);
    let batch = world.commit(vec![rollback("r", "acme", rid("t", "acme"))]);
    assert_eq!(verdicts(&batch), ["REJECTED ASSET_LOCKED"]);
    world.commit_in(vec![unlock("u", "l")]);
    let batch = world.commit(vec![rollback("r2", "acme", rid("t", "acme"))]);
    assert_eq!(batch.body.outcomes[0].outcome.name(), "APPLIED");
}

#[test]
fn a_request_that_went_on_after_waiting_can_be_rolled_back() {
    let mut world = World::with_bond();
    world.commit_in(vec![lock("l"), moves("t", "10")]);
    world.commit_in(vec![unlock("u", "l")]);
    let inputs = again(&world, &["t"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["APPLIED 4"]);
    let batch = world.commit(vec![rollback("r", "acme", rid("t", "acme"))]);
    assert_eq!(batch.body.outcomes[0].outcome.name(), "APPLIED", "{:?}", batch.body.outcomes);
    assert_eq!(world.balance("bond:a", "bob").units(), 0);
}

#[test]
fn a_waiter_is_cancelled_by_its_tenant_and_an_order_is_not() {
    let mut world = World::with_bond();
    world.commit_in(vec![lock("l"), moves("t1", "1"), moves("t2", "1")]);
    world.commit(vec![order("f", "FREEZE")]);
    let request = bond(&json!([transfer("1")]));
    assert_eq!(verdicts(&world.commit_in(vec![cancel("t1", &request)])), ["CANCELLED CANCELLED"]);
    assert_eq!(queue(&world), [rid("f", "acme"), rid("t2", "acme")]);
    let mut freeze = bond(&json!([{"kind": "FREEZE"}]));
    freeze["authority"] = json!({"id": "sec", "order": "order f"});
    assert!(verdicts(&world.commit_in(vec![cancel("f", &freeze)])).is_empty());
    assert!(verdicts(&world.commit_in(vec![cancel("t2", &bond(&json!([transfer("2")])))])).is_empty());
    assert_eq!(queue(&world).len(), 2, "of another content");
}

#[test]
fn a_message_that_comes_again_while_its_request_waits_is_dropped_and_another_content_refused() {
    let mut world = World::with_bond();
    world.commit_in(vec![lock("l"), moves("t", "1")]);
    let batch = world.commit_in(vec![moves("t", "1")]);
    assert!(batch.body.outcomes.is_empty());
    assert_eq!(batch.statuses[0].status.name(), "queued");
    let batch = world.commit_in(vec![moves("t", "2")]);
    assert_eq!(verdicts(&batch), ["REJECTED IDEMPOTENCY_CONFLICT"]);
    assert_eq!(queue(&world), [rid("t", "acme")]);
    // What does not wait, or is not what waits, is not fed in.
    world.commit_in(vec![unlock("u", "l")]);
    let other = raw(InputStream::Local, moves("t", "2"));
    let unknown = raw(InputStream::Local, moves("new", "1"));
    assert!(world.commit(vec![other, unknown]).body.outcomes.is_empty());
    let inputs = again(&world, &["t"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["APPLIED 4"]);
}

#[test]
fn a_dependency_is_waited_for_over_entries_and_refused_with_it() {
    let mut world = World::with_bond();
    let batch = world.commit_in(vec![depending("b", &["a"]), depending("c", &["b"])]);
    assert_eq!(verdicts(&batch), ["HELD DEPENDENCY_PENDING", "HELD DEPENDENCY_PENDING"]);
    // Others of the asset do not wait for it.
    assert_eq!(verdicts(&world.commit_in(vec![moves("free", "1")])), ["APPLIED 2"]);
    world.commit_in(vec![moves("a", "1")]);
    let inputs = again(&world, &["c", "b"]);
    let batch = world.commit(inputs);
    assert_eq!(verdicts(&batch), ["APPLIED 4", "APPLIED 5"]);
    assert_eq!(batch.body.outcomes[0].rid, rid("b", "acme"));
    world.commit_in(vec![depending("e", &["d"])]);
    world.commit_in(vec![moves("d", "1000")]);
    let inputs = again(&world, &["e"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["REJECTED DEPENDENCY_REJECTED"]);
    assert!(world.waiters.is_empty());
}

#[test]
fn what_waits_for_a_request_that_never_comes_expires_and_says_for_which() {
    let mut world = World::with_bond();
    world.commit_in(vec![depending("b", &["never"])]);
    world.time_ms = START_MS + 300_001;
    let inputs = again(&world, &["b"]);
    let batch = world.commit(inputs);
    assert_eq!(verdicts(&batch), ["EXPIRED TTL_EXPIRED"]);
    let pointers: Vec<&str> = batch.body.outcomes[0].errors.iter().map(|e| e.pointer.as_str()).collect();
    assert_eq!(pointers, ["/ttl_seconds", "/depends_on/0"]);
}

#[test]
fn a_cycle_over_entries_rejects_the_one_that_closes_it() {
    let mut world = World::with_bond();
    world.commit_in(vec![depending("a", &["b"])]);
    world.commit_in(vec![depending("b", &["c"])]);
    let batch = world.commit_in(vec![depending("c", &["a"])]);
    assert_eq!(verdicts(&batch), ["REJECTED ORDERING_CYCLE"]);
    let names = &batch.body.outcomes[0].errors[0].detail;
    assert!(["c", "a", "b"].iter().all(|key| names.contains(&rid(key, "acme").to_string())), "{names}");
    let inputs = again(&world, &["b", "a"]);
    let batch = world.commit(inputs);
    assert_eq!(verdicts(&batch), ["REJECTED DEPENDENCY_REJECTED", "REJECTED DEPENDENCY_REJECTED"]);
}

#[test]
fn a_dependency_and_a_lock_are_waited_for_one_after_the_other() {
    let mut world = World::with_bond();
    world.commit_in(vec![depending("b", &["l"]), lock("l")]);
    assert!(matches!(world.waiters[&rid("b", "acme")].cause, Cause::Lock { .. }), "the lock came first");
    let mut world = World::with_bond();
    world.commit_in(vec![depending("b", &["l"])]);
    world.commit_in(vec![lock("l")]);
    let inputs = again(&world, &["b"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["HELD ASSET_LOCKED"]);
    assert_eq!(queue(&world), [rid("b", "acme")]);
}

#[test]
fn what_takes_effect_later_waits_for_its_time_and_one_that_would_have_expired_is_refused() {
    let mut world = World::with_bond();
    let at = |ms: u64| {
        let mut request = bond(&json!([transfer("1")]));
        let timestamp = jiff::Timestamp::from_millisecond(i64::try_from(ms).expect("small"));
        request["effective_at"] = json!(timestamp.expect("a time").to_string());
        request
    };
    let soon = collected("soon", &at(START_MS + 60_000), vec![]);
    let late = collected("late", &at(START_MS + 300_001), vec![]);
    let past = collected("past", &at(START_MS), vec![]);
    let batch = world.commit_in(vec![soon, late, past]);
    assert_eq!(verdicts(&batch), ["HELD NOT_EFFECTIVE_YET", "REJECTED EFFECTIVE_TOO_LATE", "APPLIED 2"]);
    world.time_ms = START_MS + 59_999;
    let inputs = again(&world, &["soon"]);
    assert!(verdicts(&world.commit(inputs)).is_empty());
    world.time_ms += 1;
    let inputs = again(&world, &["soon"]);
    assert_eq!(verdicts(&world.commit(inputs)), ["APPLIED 3"]);
}

#[test]
fn a_shard_has_room_for_so_many_waiters_and_no_more() {
    let mut world = World::with_bond();
    let waits = |n: usize| depending(&format!("w{n}"), &["never"]);
    world.engine.set_waiters(WAITERS_MAX - 1);
    let batch = world.commit_in(vec![waits(0), waits(1), moves("t", "1")]);
    assert_eq!(verdicts(&batch), ["HELD DEPENDENCY_PENDING", "REJECTED WAITERS_FULL", "APPLIED 2"]);
    world.commit_in(vec![lock("l")]);
    assert_eq!(verdicts(&world.commit(vec![order("f", "FREEZE")])), ["HELD ASSET_LOCKED"]);
}
