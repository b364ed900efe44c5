//! A chain that a rollback takes an asset from, and that it comes back to.

use common::status::Delivery;

use super::rollback::{entry, from, is_covered, on, open, receipt, undo, world};
use super::world::{World, rid};

/// Lanes leave out what is covered and deliver the rest, in this order of the open deliveries.
fn deliver(world: &mut World, backwards: bool) {
    let mut open = open(world);
    if backwards {
        open.reverse();
    }
    for (seq, target) in open {
        let status = if is_covered(world, seq, &target) { Delivery::Revoked } else { Delivery::Final };
        receipt(world, seq, &target, status);
    }
}

fn former(world: &World) -> Vec<(String, u64)> {
    world.asset("bond:a").expect("registered").former_chains.into_iter().collect()
}

#[test]
fn it_goes_on_from_the_last_version_that_it_was_told_and_nobody_waits_for_ever() {
    for backwards in [false, true] {
        let mut world = world();
        entry(&mut world, &["t: TRANSFER alice bob 30", "c: ADD_CHAIN arb"]);
        let away = undo(&mut world, "undo-c", "c");
        assert_eq!(from(&away), on(&[("arb", 0), ("base", 1), ("op", 1)]));
        assert_eq!(former(&world), [("arb".to_owned(), 4)]);
        let meanwhile = entry(&mut world, &["u: TRANSFER carol dave 1"]);
        assert_eq!(from(&meanwhile), on(&[("base", 4), ("op", 4)]));
        let back = entry(&mut world, &["again: ADD_CHAIN arb"]);
        assert_eq!(from(&back), on(&[("arb", 4), ("base", 5), ("op", 5)]));
        assert_eq!(former(&world), []);
        let away_again = undo(&mut world, "undo-again", "again");
        assert_eq!(from(&away_again), on(&[("arb", 4), ("base", 5), ("op", 5)]));
        assert_eq!(former(&world), [("arb".to_owned(), 7)]);

        // What `t` waits for on arb is the first REVERT, which nothing covers.
        let waits = &world.deliveries[&away.body.seq].waiting[rid("t", "acme").as_bytes()];
        assert!(waits.contains("arb"));
        assert!(!is_covered(&world, away.body.seq, "arb") && is_covered(&world, back.body.seq, "arb"));
        deliver(&mut world, backwards);
        assert!(world.deliveries.is_empty(), "{backwards}: {:?}", world.deliveries);
        for key in ["r", "t", "u", "undo-c", "undo-again"] {
            let decision = &world.decisions[&rid(key, "acme")];
            assert_eq!(decision.delivered.as_deref(), Some("completed"), "{backwards}: {key}");
        }
    }
}

#[test]
fn what_it_was_told_stays_known_when_something_from_before_it_came_is_undone() {
    let mut world = world();
    entry(&mut world, &["s: SET x 1"]);
    entry(&mut world, &["c: ADD_CHAIN arb"]);
    undo(&mut world, "undo-c", "c");
    // The record that comes back knew nothing of arb.
    let batch = undo(&mut world, "undo-s", "s");
    assert_eq!(from(&batch), on(&[("base", 1), ("op", 1)]), "arb is told no more");
    assert_eq!(former(&world), [("arb".to_owned(), 4)]);
    let back = entry(&mut world, &["again: ADD_CHAIN arb"]);
    assert_eq!(from(&back)["arb"], 4);
}
