//! Replay finds every difference, a restored engine goes on as if it had never stopped, and a view that is
//! not what the tree says stops the engine.

use common::entry::{Body, EntryKind, InputStream};
use common::hash::Digest;
use common::proof::{key_hash, value_hash};
use serde_json::json;

use super::world::{World, bond, collected, raw};
use crate::engine::{Divergence, Engine, Fault, inputs_of};

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

#[test]
fn a_restored_engine_goes_on_with_the_same_entries() {
    let mut world = World::with_bond();
    world.commit_in(vec![transfer("a")]);
    let leaves = || world.values.iter().map(|(key, value)| (key_hash(key), value_hash(value)));
    let position = world.engine.position().clone();
    let restored = Engine::restore(world.engine.shard(), position.clone(), leaves()).expect("restores");
    let inputs = || vec![raw(InputStream::In, transfer("b"))];
    let plan = Engine::read(inputs());
    let loaded = world.load(&plan);
    let there = restored.run(plan, loaded, world.stamp()).expect("runs").body;
    let here = world.decide(inputs()).expect("runs").body;
    assert_eq!(serde_json::to_string(&there).expect("json"), serde_json::to_string(&here).expect("json"));
    let fewer = Engine::restore(world.engine.shard(), position, leaves().skip(1));
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
