//! Replay finds every difference, a restored engine goes on as if it had never stopped, and a view that is
//! not what the tree says stops the engine.

use common::entry::{Body, EntryKind, InputStream};
use common::hash::Digest;
use common::proof::{key_hash, value_hash};
use serde_json::json;

use super::world::{World, bond, collected, raw};
use crate::engine::{Alone, Divergence, Engine, Fault, inputs_of};

fn transfer(key: &str) -> common::message::Body {
    let change = json!([{"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": "1"}]);
    collected(key, &bond(&change), vec![])
}

type Change = fn(&mut Body);

fn replayed(world: &World, body: &Body) -> Result<(), Divergence> {
    let plan = Engine::read(inputs_of(body));
    let loaded = world.load(&plan);
    world.engine.replay(body, plan, loaded).map(drop)
}

#[test]
fn a_changed_entry_is_named_by_its_first_differing_field() {
    let world = World::with_bond();
    let batch = world.decide(vec![raw(InputStream::In, transfer("a"))]).expect("runs");
    let right = batch.body;
    replayed(&world, &right).expect("replays");
    let changes: [(&str, Change); 9] = [
        ("shard", |body| body.shard = common::ids::Shard::Gaming),
        ("seq", |body| body.seq += 1),
        ("kind", |body| body.kind = EntryKind::Revert),
        ("time_ms", |body| body.time_ms -= 1),
        ("ruleset", |body| body.ruleset += 1),
        ("outcomes", |body| body.outcomes[0].version = Some(9)),
        ("updates", |body| body.updates.clear()),
        ("root", |body| body.root = Digest::ZERO),
        ("aux", |body| body.aux = Digest::ZERO),
    ];
    for (name, change) in changes {
        let mut wrong = right.clone();
        change(&mut wrong);
        match replayed(&world, &wrong) {
            Err(Divergence::Field { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut old = right.clone();
    old.epoch = 0;
    assert!(matches!(replayed(&world, &old), Err(Divergence::Field { field: "epoch", .. })));
}

/// One request that is rejected for two reasons.
fn rejected(world: &World) -> Body {
    let change = json!([{"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": "1"}]);
    let mut request = bond(&change);
    request["expected_version"] = json!(99);
    request["target_chains"] = json!(["arb"]);
    let inputs = vec![raw(InputStream::In, collected("a", &request, vec![]))];
    let body = world.decide(inputs).expect("runs").body;
    assert_eq!(body.outcomes[0].errors.len(), 2, "{body:?}");
    body
}

#[test]
fn the_wording_of_an_error_may_change_with_a_release_but_not_its_place_or_code() {
    let world = World::with_bond();
    let right = rejected(&world);
    let mut reworded = right.clone();
    "said otherwise".clone_into(&mut reworded.outcomes[0].errors[1].detail);
    replayed(&world, &reworded).expect("replays");
    let changes: [Change; 4] = [
        |body| "/elsewhere".clone_into(&mut body.outcomes[0].errors[1].pointer),
        |body| "OTHER".clone_into(&mut body.outcomes[0].errors[1].code),
        |body| body.outcomes[0].errors.truncate(1),
        |body| body.outcomes[0].code = Some("OTHER".to_owned()),
    ];
    for change in changes {
        let mut wrong = right.clone();
        change(&mut wrong);
        let replay = replayed(&world, &wrong);
        assert!(matches!(replay, Err(Divergence::Field { field: "outcomes", .. })), "{replay:?}");
    }
}

#[test]
fn a_request_that_an_older_engine_failed_on_stays_without_effect() {
    let world = World::with_bond();
    let applied = world.decide(vec![raw(InputStream::In, transfer("a"))]).expect("runs").body;
    // The entry as an engine wrote it that failed on what this one can do.
    let plan = Engine::read(inputs_of(&applied));
    let loaded = world.load(&plan);
    let broken = [applied.outcomes[0].rid].into();
    let failed = world.engine.decide(&Alone, plan, loaded, world.stamp(), &broken).expect("runs").body;
    assert_eq!(failed.outcomes[0].code.as_deref(), Some("INTERNAL"));
    assert!(failed.updates.is_empty() && failed.root == world.engine.position().root);
    replayed(&world, &failed).expect("the log's word is taken");
    let otherwise = Body { outcomes: applied.outcomes, ..failed };
    let replay = replayed(&world, &otherwise);
    assert!(matches!(replay, Err(Divergence::Field { field: "updates", .. })), "{replay:?}");
}

#[test]
fn a_restored_engine_goes_on_with_the_same_entries() {
    let mut world = World::with_bond();
    world.commit_in(vec![transfer("a")]);
    let leaves = || world.values.iter().map(|(key, value)| (key_hash(key), value_hash(value)));
    let position = world.engine.position().clone();
    let restored = Engine::restore(world.engine.shard(), position.clone(), leaves(), 0).expect("restores");
    let inputs = || vec![raw(InputStream::In, transfer("b"))];
    let plan = Engine::read(inputs());
    let loaded = world.load(&plan);
    let there = restored.run(plan, loaded, world.stamp()).expect("runs").body;
    let here = world.decide(inputs()).expect("runs").body;
    assert_eq!(serde_json::to_string(&there).expect("json"), serde_json::to_string(&here).expect("json"));
    let fewer = Engine::restore(world.engine.shard(), position, leaves().skip(1), 0);
    assert!(matches!(fewer, Err(Fault::Root { .. })));
}

#[test]
fn running_a_batch_changes_nothing_and_it_is_accepted_once() {
    let mut world = World::with_bond();
    let before = world.engine.position().clone();
    let one = world.decide(vec![raw(InputStream::In, transfer("a"))]).expect("runs");
    let two = world.decide(vec![raw(InputStream::In, transfer("b"))]).expect("runs");
    assert_eq!(*world.engine.position(), before);
    let undo = world.engine.accept(one.next.clone()).expect("follows");
    assert_eq!(undo.len(), one.changes.values.len());
    assert!(world.engine.accept(two.next).is_err(), "made from a head that has moved");
    assert!(world.engine.accept(one.next).is_err(), "accepted already");
    assert_eq!(world.engine.history().at(before.seq).map(crate::engine::tree::Tree::root), Some(before.root));
}

#[test]
fn a_view_that_is_not_what_the_tree_says_stops_the_engine() {
    let mut world = World::with_bond();
    let key = "holding/bond:a/alice".to_owned();
    let right = world.values[&key].clone();
    let mut flipped = right.clone();
    flipped[0] ^= 1;
    for wrong in [None, Some(flipped)] {
        match wrong {
            Some(value) => world.values.insert(key.clone(), value),
            None => world.values.remove(&key),
        };
        let result = world.decide(vec![raw(InputStream::In, transfer("a"))]);
        assert!(matches!(result, Err(Fault::View { key: named }) if named == key));
    }
    world.values.insert(key, right);
    world.decide(vec![raw(InputStream::In, transfer("a"))]).expect("runs");
}
