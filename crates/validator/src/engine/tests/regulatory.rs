//! Authorities: what they may do, what nobody else may, and what stands still meanwhile.

use std::collections::BTreeSet;

use common::entry::{EntryKind, InputStream};
use common::state::{AssetStatus, RegulatoryState};

use super::rollback::{entry, undo};
use super::script::{check, input, request};
use super::world::{World, raw, rid, rollback, verdict};

/// `bond:a` of acme: alice has 100, bob 50.
const SETUP: &str = "r: REGISTER base | MINT alice 100 | MINT bob 50
    --
    ";

/// Outcomes after the setup's.
fn told(script: &str, expected: &[&str]) -> World {
    let all: Vec<&str> = ["r APPLIED 1"].iter().chain(expected).copied().collect();
    check(&format!("{SETUP}{script}"), &all)
}

/// Every code of the regulatory kinds once, at its pointer.
pub(super) fn codes() -> BTreeSet<String> {
    let rows = [
        ("a: UNFREEZE @order 1", "TRANSITION_NOT_ALLOWED", "/state_changes/0/kind"),
        ("b: FREEZE alice 5 @order 1", "", ""),
        ("c: FREEZE alice 5 @order 1", "FROZEN_NOT_RAISED", "/state_changes/0/amount"),
        ("d: UNFREEZE alice 5 @order 1", "FROZEN_NOT_LOWERED", "/state_changes/0/amount"),
        ("e: SEIZE alice @order 1", "", ""),
        ("f: TRANSFER alice bob 1", "HOLDING_BLOCKED", "/state_changes/0/from"),
        ("g: TRANSFER bob alice 1", "HOLDING_BLOCKED", "/state_changes/0/to"),
        ("h: MINT alice 1", "HOLDING_BLOCKED", "/state_changes/0/to"),
        ("i: FREEZE @order 1", "", ""),
        ("j: MINT bob 1", "ASSET_BLOCKED", "/state_changes/0/kind"),
        ("k: CONFISCATE @order 1", "", ""),
        ("l: SET a b", "ASSET_BLOCKED", "/state_changes/0/kind"),
    ];
    let mut world = told("", &[]);
    let mut met = BTreeSet::from(["NOT_AUTHORITY".to_owned()]);
    for (line, code, pointer) in rows {
        let batch = entry(&mut world, &[line]);
        let [outcome] = batch.body.outcomes.as_slice() else { panic!("one outcome") };
        let found =
            outcome.errors.first().map_or(("", ""), |error| (error.code.as_str(), error.pointer.as_str()));
        assert_eq!(found, (code, pointer), "{line}");
        met.extend(outcome.code.clone());
    }
    met
}

#[test]
fn a_frozen_asset_stands_still_until_it_is_released_and_its_data_may_still_be_told() {
    for (stop, go, state) in
        [("FREEZE", "UNFREEZE", AssetStatus::Frozen), ("SEIZE", "RELEASE", AssetStatus::Seized)]
    {
        let world = told(
            &format!(
                "f: {stop} @order 1 @tenant sec
                 --
                 t: TRANSFER alice bob 1
                 m: MINT alice 1
                 b: BURN alice 1
                 s: SET coupon 4
                 c: ADD_CHAIN op"
            ),
            &[
                "f APPLIED 2",
                "t REJECTED ASSET_BLOCKED",
                "m REJECTED ASSET_BLOCKED",
                "b REJECTED ASSET_BLOCKED",
                "s APPLIED 3",
                "c APPLIED 4",
            ],
        );
        assert_eq!(world.asset("bond:a").expect("asset").status, state);
        let mut world = world;
        let batch =
            entry(&mut world, &[&format!("u: {go} @order 2 @tenant sec"), "t2: TRANSFER alice bob 1"]);
        assert!(
            batch.body.outcomes.iter().all(|outcome| outcome.code.is_none()),
            "{stop}: {:?}",
            batch.body.outcomes
        );
    }
}

#[test]
fn a_stopped_holding_gives_nothing_and_gets_nothing_while_the_others_go_on() {
    for stop in ["FREEZE", "SEIZE"] {
        told(
            &format!(
                "f: {stop} alice @order 1
                 t: TRANSFER alice bob 1
                 g: TRANSFER bob alice 1
                 m: MINT alice 1
                 b: BURN alice 1
                 o: TRANSFER bob carol 1"
            ),
            &[
                "f APPLIED 2",
                "t REJECTED HOLDING_BLOCKED",
                "g REJECTED HOLDING_BLOCKED",
                "m REJECTED HOLDING_BLOCKED",
                "b REJECTED HOLDING_BLOCKED",
                "o APPLIED 3",
            ],
        );
    }
}

#[test]
fn a_part_is_frozen_by_an_absolute_figure_that_only_rises_until_it_is_lowered() {
    let world = told(
        "f: FREEZE alice 80 @order 1
         t: TRANSFER alice bob 21
         u: TRANSFER alice bob 20
         less: FREEZE alice 80 @order 2
         more: UNFREEZE alice 80 @order 3
         above: FREEZE alice 200 @order 4
         in: TRANSFER bob alice 70
         v: TRANSFER alice bob 1
         down: UNFREEZE alice 0 @order 5
         w: TRANSFER alice bob 150",
        &[
            "f APPLIED 2",
            "t REJECTED INSUFFICIENT_BALANCE",
            "u APPLIED 3",
            "less REJECTED FROZEN_NOT_RAISED",
            "more REJECTED FROZEN_NOT_LOWERED",
            "above APPLIED 4",
            "in APPLIED 5",
            "v REJECTED INSUFFICIENT_BALANCE",
            "down APPLIED 6",
            "w APPLIED 7",
        ],
    );
    assert!(!world.values.contains_key("holding/bond:a/alice"), "nothing is left of it");
}

#[test]
fn a_forced_move_takes_what_is_frozen_last_and_goes_to_whom_may_receive() {
    let world = told(
        "f: FREEZE alice 80 @order 1
         l: LIQUIDATE alice bob 50 @order 2
         --
         s: SEIZE alice @order 3
         e: RECOVER alice carol 30 @order 4
         much: RECOVER alice carol 21 @order 5
         g: FREEZE bob @order 6
         no: LIQUIDATE alice bob 1 @order 7",
        &[
            "f APPLIED 2",
            "l APPLIED 3",
            "s APPLIED 4",
            "e APPLIED 5",
            "much REJECTED INSUFFICIENT_BALANCE",
            "g APPLIED 6",
            "no REJECTED HOLDING_BLOCKED",
        ],
    );
    // 20 were free; of the 80 frozen the first move took 30, the second one 30 more.
    let alice = world.holding("bond:a", "alice");
    assert_eq!((alice.balance.units(), alice.frozen.units(), alice.state), (20, 20, RegulatoryState::Seized));
    assert_eq!(
        (world.holding("bond:a", "bob").balance.units(), world.holding("bond:a", "carol").balance.units()),
        (100, 30)
    );
}

#[test]
fn confiscation_is_for_ever_of_a_holding_and_of_an_asset() {
    let world = told(
        "f: FREEZE alice 80 @order 1
         c: CONFISCATE alice state @order 2
         again: CONFISCATE alice state @order 3
         t: TRANSFER bob alice 1
         u: UNFREEZE alice @order 4
         p: FREEZE alice 1 @order 5
         l: RECOVER alice bob 1 @order 6
         a: CONFISCATE @order 7
         s: SET coupon 4
         g: FREEZE bob @order 8",
        &[
            "f APPLIED 2",
            "c APPLIED 3",
            "again REJECTED TRANSITION_NOT_ALLOWED",
            "t REJECTED HOLDING_BLOCKED",
            "u REJECTED TRANSITION_NOT_ALLOWED",
            "p REJECTED HOLDING_BLOCKED",
            "l REJECTED INSUFFICIENT_BALANCE",
            "a APPLIED 4",
            "s REJECTED ASSET_BLOCKED",
            "g REJECTED ASSET_BLOCKED",
        ],
    );
    let alice = world.holding("bond:a", "alice");
    assert_eq!(
        (alice.balance.units(), alice.frozen.units(), alice.state),
        (0, 0, RegulatoryState::Confiscated)
    );
    assert_eq!(world.holding("bond:a", "state").balance.units(), 100);
    assert_eq!(world.asset("bond:a").expect("asset").status, AssetStatus::Confiscated);
}

#[test]
fn a_step_that_the_machine_does_not_have_is_refused_and_restricted_stops_nothing_by_itself() {
    told(
        "u: UNFREEZE @order 1
         s: RELEASE bob @order 2
         x: RESTRICT @order 3
         t: TRANSFER alice bob 1
         y: SEIZE @order 4
         z: UNRESTRICT @order 5
         h: RESTRICT alice @order 6
         v: TRANSFER alice bob 1",
        &[
            "u REJECTED TRANSITION_NOT_ALLOWED",
            "s REJECTED TRANSITION_NOT_ALLOWED",
            "x APPLIED 2",
            "t APPLIED 3",
            "y REJECTED TRANSITION_NOT_ALLOWED",
            "z APPLIED 4",
            "h APPLIED 5",
            "v APPLIED 6",
        ],
    );
}

#[test]
fn only_the_express_stream_brings_orders_and_only_they_reach_what_another_tenant_issued() {
    let mut world = told("other: SET coupon 4 @tenant sec", &["other REJECTED NOT_ISSUER"]);
    let (_, body) = request("f: FREEZE @order 1 @tenant sec");
    let batch = world.commit(vec![raw(InputStream::In, body)]);
    assert_eq!(verdict(&batch.body.outcomes[0]), "REJECTED NOT_AUTHORITY");
    let batch = world.commit(vec![input("g: FREEZE @order 1 @tenant sec")]);
    assert_eq!(verdict(&batch.body.outcomes[0]), "APPLIED 2");
}

#[test]
fn a_stopped_asset_is_not_moved_by_a_rollback_and_orders_are_undone_by_orders() {
    let mut world = told("t: TRANSFER alice bob 5", &["t APPLIED 2"]);
    let orders = ["a: FREEZE", "b: UNFREEZE", "c: FREEZE alice 7", "d: RECOVER alice carol 1", "e: SEIZE"];
    for line in orders {
        entry(&mut world, &[&format!("{line} @order 1 @tenant sec")]);
        let key = &line[..1];
        let refused = world.commit(vec![rollback(&format!("undo-{key}"), "sec", rid(key, "sec"))]);
        assert_eq!(verdict(&refused.body.outcomes[0]), "REJECTED NOT_REVERSIBLE", "{line}");
    }
    let refused = undo(&mut world, "undo-t", "t");
    assert_eq!(verdict(&refused.body.outcomes[0]), "REJECTED HAS_DEPENDENTS");
    let mut world = told("t: TRANSFER alice bob 5", &["t APPLIED 2"]);
    entry(&mut world, &["f: FREEZE @order 1 @tenant sec"]);
    let refused = undo(&mut world, "undo-t", "t");
    assert_eq!(verdict(&refused.body.outcomes[0]), "REJECTED ASSET_BLOCKED");
    entry(&mut world, &["g: UNFREEZE @order 2 @tenant sec"]);
    assert_eq!(undo(&mut world, "undo-t-again", "t").kind(), EntryKind::Revert);
}

#[test]
fn units_that_were_frozen_as_they_came_in_do_not_leave_by_a_rollback() {
    for line in ["t: TRANSFER bob alice 50", "t: MINT alice 50"] {
        let mut world = told("", &[]);
        entry(&mut world, &["f: FREEZE alice 120 @order 1 @tenant sec"]);
        entry(&mut world, &[line]);
        let refused = undo(&mut world, "undo-t", "t");
        assert_eq!(verdict(&refused.body.outcomes[0]), "REJECTED HOLDING_BLOCKED", "{line}");
        assert_eq!(world.balance("bond:a", "alice").units(), 150);
    }
    let mut world = told("", &[]);
    entry(&mut world, &["f: FREEZE alice 100 @order 1 @tenant sec"]);
    entry(&mut world, &["t: TRANSFER bob alice 50"]);
    assert_eq!(undo(&mut world, "undo-t", "t").kind(), EntryKind::Revert, "as many are free");
}

#[test]
fn nothing_moves_behind_a_confiscation_in_one_request_and_a_figure_goes_with_the_holding() {
    drop(told("c: CONFISCATE | RECOVER alice bob 40 @order 1", &["c REJECTED ASSET_BLOCKED"]));
    let world = told(
        "f: FREEZE alice 200 @order 1\n--\nc: CONFISCATE alice state @order 2",
        &["f APPLIED 2", "c APPLIED 3"],
    );
    assert_eq!(world.holding("bond:a", "alice").frozen.units(), 0);
}

#[test]
fn an_order_is_not_cancelled() {
    let mut world = told("", &[]);
    let (_, body) = request("f: FREEZE @order 1");
    let common::message::Body::Collected { about, .. } = &body else { panic!("a request") };
    let cancel = common::message::Body::Cancel { about: about.clone() };
    let batch = world.commit(vec![raw(InputStream::Inx, body.clone()), raw(InputStream::Inx, cancel)]);
    assert_eq!(verdict(&batch.body.outcomes[0]), "APPLIED 2");
}
