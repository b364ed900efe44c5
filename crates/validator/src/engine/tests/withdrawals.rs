//! Observations withdrawn before and after their request was decided.

use common::entry::InputStream;
use common::hash::Digest;
use common::ids::Rid;
use common::message::{About, Body, Receipt, Withdrawn};
use common::status::{Delivery, OutcomeKind, Status};
use serde_json::{Value, json};

use super::evidence::{backed, event, minted, tx};
use super::world::{START_MS, World, about, bond, cancel, collected, parse, raw, rid, verdict};
use crate::engine::{Batch, Engine, Withdrawal};

const POINTER: &str = "/state_changes/0/backed_by/event";

fn withdrawn(block: u8) -> Withdrawn {
    Withdrawn {
        source: "chain".parse().expect("name"),
        identity: Some(format!("eip155:1/{}/0", tx(7))),
        block: u64::from(block),
        block_hash: Digest([block; 32]),
        pointer: POINTER.to_owned(),
    }
}

/// What request `key` rests on was seen in `block`, which is gone.
pub(super) fn gone(key: &str, request: &Value, block: u8) -> Body {
    Body::Withdrawn { about: about(key, "acme", &parse(request)), withdrawn: withdrawn(block) }
}

fn request() -> Value {
    backed(7, "5")
}

fn seen(key: &str) -> Body {
    collected(key, &request(), vec![event(7, &minted("5"))])
}

fn verdicts(batch: &Batch) -> Vec<String> {
    batch.body.outcomes.iter().map(verdict).collect()
}

fn alice(world: &World) -> u128 {
    world.balance("bond:a", "alice").units()
}

fn told(world: &World, rid: Rid) -> Vec<(Digest, u64)> {
    let list = world.withdrawals.get(&rid).map_or(&[][..], Vec::as_slice);
    list.iter().map(|withdrawal| (withdrawal.block_hash, withdrawal.seq)).collect()
}

#[test]
fn an_undecided_request_is_rejected_wherever_its_message_stands_and_its_event_stays_unused() {
    let orders: [fn(&mut World) -> Batch; 4] = [
        // Behind it in one entry, before it in one entry as `:inx` is taken first, and in an entry before it.
        |world| world.commit_in(vec![seen("k"), gone("k", &request(), 1)]),
        |world| {
            let inx = raw(InputStream::Inx, gone("k", &request(), 1));
            world.commit(vec![inx, raw(InputStream::In, seen("k"))])
        },
        |world| {
            let batch = world.commit(vec![raw(InputStream::Inx, gone("k", &request(), 1))]);
            assert!(world.commit_in(vec![seen("k")]).body.outcomes.is_empty());
            batch
        },
        // Twice is like once.
        |world| world.commit_in(vec![seen("k"), gone("k", &request(), 1), gone("k", &request(), 1)]),
    ];
    for order in orders {
        let mut world = World::with_bond();
        let root = world.engine.position().root;
        let batch = order(&mut world);
        assert_eq!(verdicts(&batch), ["REJECTED OBSERVATION_WITHDRAWN"]);
        let [error] = batch.body.outcomes[0].errors.as_slice() else { panic!("one error") };
        assert_eq!(error.pointer, POINTER);
        assert!(error.detail.contains("source chain: eip155:1/") && error.detail.contains("block 1 0x0101"));
        let [write] = batch.statuses.as_slice() else { panic!("one status") };
        assert_eq!((write.status, write.withdrawn), (Status::Rejected, None));
        assert_eq!((world.engine.position().root, told(&world, rid("k", "acme"))), (root, vec![]));
        // The event came back in another block: whoever asks again may use it, once.
        assert_eq!(verdicts(&world.commit_in(vec![seen("again")])), ["APPLIED 2"]);
        assert_eq!(verdicts(&world.commit_in(vec![seen("and-again")])), ["REJECTED EVENT_ALREADY_USED"]);
        assert_eq!(alice(&world), 105);
    }
}

#[test]
fn an_applied_request_stays_applied_and_is_told_once() {
    let mut world = World::with_bond();
    let rid = rid("k", "acme");
    let applied = world.commit_in(vec![seen("k")]);
    assert_eq!(applied.statuses[0].withdrawn, None);
    let (root, decision) = (world.engine.position().root, world.decisions[&rid].clone());
    let batch = world.commit(vec![raw(InputStream::Inx, gone("k", &request(), 1))]);
    assert!(batch.body.outcomes.is_empty() && batch.body.updates.is_empty());
    let first = batch.body.seq;
    let [write] = batch.statuses.as_slice() else { panic!("one status") };
    assert_eq!((write.rid, write.status, write.outcome), (rid, Status::Committed, OutcomeKind::Applied));
    assert_eq!((write.seq, write.withdrawn), (applied.body.seq, Some(first)));
    assert_eq!((world.engine.position().root, &world.decisions[&rid]), (root, &decision));
    let expected = Withdrawal {
        source: "chain".to_owned(),
        identity: withdrawn(1).identity,
        block: 1,
        block_hash: Digest([1; 32]),
        pointer: POINTER.to_owned(),
        seq: first,
        time_ms: START_MS,
    };
    assert_eq!(world.withdrawals[&rid], [expected]);
    // Another collector says so too, and the same collector again after a restart.
    let again = world.commit_in(vec![gone("k", &request(), 1), gone("k", &request(), 1)]);
    assert!(again.statuses.is_empty() && again.changes.withdrawals.is_empty());
    // It came back in another block, which went too.
    let second = world.commit_in(vec![gone("k", &request(), 2)]).body.seq;
    assert_eq!(told(&world, rid), [(Digest([1; 32]), first), (Digest([2; 32]), second)]);
    // The event stays used: in whatever block it comes back, it backs nothing else.
    assert_eq!(verdicts(&world.commit_in(vec![seen("other")])), ["REJECTED EVENT_ALREADY_USED"]);
    assert_eq!(alice(&world), 105);
}

#[test]
fn the_mark_stays_when_the_request_is_written_again_and_when_it_completes() {
    let mut world = World::with_bond();
    let seq = world.commit_in(vec![seen("k")]).body.seq;
    let first = world.commit_in(vec![gone("k", &request(), 1)]).body.seq;
    let again = world.commit_in(vec![seen("k")]);
    assert_eq!(again.statuses[0].withdrawn, Some(first));
    let receipt = |target: &str| {
        let target = target.parse().expect("name");
        raw(
            InputStream::Receipts,
            Body::Receipt(Receipt { seq, target, status: Delivery::Final, parts: vec![] }),
        )
    };
    let batch = world.commit(vec![receipt("base"), receipt("op")]);
    let [write] = batch.statuses.as_slice() else { panic!("one status") };
    assert_eq!((write.status, write.withdrawn), (Status::Completed, Some(first)));
}

#[test]
fn who_rested_on_nothing_is_told_nothing() {
    let mut world = World::with_bond();
    world.commit_in(vec![seen("k"), cancel("cancelled", &request()), seen("too-late")]);
    let with = |change: fn(&mut About)| {
        let mut about = about("k", "acme", &parse(&request()));
        change(&mut about);
        Body::Withdrawn { about, withdrawn: withdrawn(1) }
    };
    for body in [
        // Not applied, another tenant's, of another content.
        gone("cancelled", &request(), 1),
        gone("too-late", &request(), 1),
        with(|about| about.tenant = "other".parse().expect("tenant")),
        with(|about| about.fp = Digest([9; 32])),
    ] {
        let batch = world.commit_in(vec![body]);
        assert!(batch.body.outcomes.is_empty() && batch.statuses.is_empty() && batch.dead.is_empty());
        assert!(world.withdrawals.is_empty());
    }
    // Of a request that waits in the same batch, with another content.
    let waiting = bond(&json!([{"kind": "MINT", "to": "alice", "amount": "1"}]));
    let batch = world.commit_in(vec![collected("w", &waiting, vec![]), gone("w", &request(), 1)]);
    assert_eq!(verdicts(&batch), ["APPLIED 3"]);
    // Where collectors do not write.
    let batch = world.commit(vec![raw(InputStream::Receipts, gone("k", &request(), 1))]);
    assert_eq!((batch.dead.len(), world.withdrawals.len()), (1, 0));
}

#[test]
fn what_is_kept_of_one_request_is_bounded() {
    let mut world = World::with_bond();
    world.commit_in(vec![seen("k")]);
    world.commit_in((0..200).map(|block| gone("k", &request(), block)).collect());
    assert_eq!(told(&world, rid("k", "acme")).len(), 64);
}

#[test]
fn that_a_request_was_told_is_in_the_running_hash_and_nothing_else_changes_it() {
    let aux = |bodies: Vec<Body>| {
        let mut world = World::with_bond();
        world.commit_in(vec![seen("k")]);
        world.commit_in(bodies).body.aux
    };
    let silent = aux(vec![seen("k")]);
    assert_eq!(aux(vec![gone("unknown-to-all", &request(), 1), seen("k")]), {
        // A refusal is a decision, and is there as one.
        aux(vec![gone("unknown-to-all", &request(), 2), seen("k")])
    });
    assert_ne!(aux(vec![gone("k", &request(), 1)]), silent);
    assert_ne!(aux(vec![gone("k", &request(), 1)]), aux(vec![gone("k", &request(), 2)]));
}

#[test]
fn a_replay_that_forgets_a_withdrawal_is_noticed() {
    let mut world = World::with_bond();
    world.commit_in(vec![seen("k")]);
    world.commit_in(vec![gone("k", &request(), 1)]);
    let inputs = vec![raw(InputStream::In, gone("k", &request(), 1))];
    let body = world.decide(inputs.clone()).expect("runs").body;
    let plan = Engine::read(inputs);
    let mut loaded = world.load(&plan);
    loaded.withdrawals.clear();
    let error = world.engine.replay(&body, plan, loaded).expect_err("told twice");
    assert!(error.to_string().contains("field aux differs"), "{error}");
}
