//! Rollbacks: what is undone, what is refused, what the REVERT reaches, who waits for it; and random traffic against
//! a naive model that forgets the undone request and counts again from nothing.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{AssetUpdate, EntryKind, InputStream};
use common::hash::Digest;
use common::ids::{AssetId, Name, Rid};
use common::keys::asset_key;
use common::message::{Body, Receipt};
use common::proof::key_hash;
use common::revert::{Cover, Reverted};
use common::state::AssetStatus;
use common::status::{Delivery, OutcomeKind, Status};
use serde_json::{Value, json};

use super::script::input;
use super::traffic::{ACCOUNTS, ASSETS, Ask, Change, Random, name};
use super::world::{World, raw, rid, rollback, verdict};
use crate::engine::past::{DEPENDENTS_MAX, WINDOW_BYTES, WINDOW_ENTRIES};
use crate::engine::revert::{WAITING_MAX, check};
use crate::engine::{Alone, Batch, Engine, Search};

/// One entry of these requests.
pub(super) fn entry(world: &mut World, lines: &[&str]) -> Batch {
    world.commit(lines.iter().map(|line| input(line)).collect())
}

pub(super) fn undo(world: &mut World, command: &str, key: &str) -> Batch {
    world.commit(vec![rollback(command, "acme", rid(key, "acme"))])
}

/// What the log says of the command.
fn refusal(batch: &Batch) -> &str {
    assert_eq!(batch.kind(), EntryKind::Batch, "nothing is undone");
    assert!(batch.changes.values.is_empty() && batch.body.updates.is_empty());
    let [outcome] = batch.body.outcomes.as_slice() else { panic!("one outcome") };
    assert_eq!(outcome.outcome, OutcomeKind::Rejected);
    outcome.code.as_deref().expect("a code")
}

pub(super) fn from(batch: &Batch) -> BTreeMap<String, u64> {
    let [update] = batch.body.updates.as_slice() else { panic!("one update") };
    update.from.iter().map(|(chain, from)| (chain.to_string(), *from)).collect()
}

pub(super) fn on(chains: &[(&str, u64)]) -> BTreeMap<String, u64> {
    chains.iter().map(|(chain, from)| ((*chain).to_owned(), *from)).collect()
}

fn balances(world: &World) -> [u128; 4] {
    ACCOUNTS.map(|account| world.balance("bond:a", account).units())
}

/// `bond:a` on `base` and `op`: alice and carol have 100 each.
pub(super) fn world() -> World {
    let mut world = World::new();
    entry(&mut world, &["r: REGISTER base,op | MINT alice 100 | MINT carol 100"]);
    world
}

pub(super) fn receipt(world: &mut World, seq: u64, target: &str, status: Delivery) -> Batch {
    let target = target.parse().expect("name");
    let receipt = Receipt { seq, target, status, parts: vec![] };
    world.commit(vec![raw(InputStream::Receipts, Body::Receipt(receipt))])
}

/// Every delivery that has not been told of.
pub(super) fn open(world: &World) -> Vec<(u64, String)> {
    let of = |(seq, row): (&u64, &crate::engine::Deliveries)| {
        row.open.iter().map(|target| (*seq, target.clone())).collect::<Vec<_>>()
    };
    world.deliveries.iter().flat_map(of).collect()
}

/// Whether all that an entry tells a target is covered by later REVERTs, so that its lane may leave it out.
pub(super) fn is_covered(world: &World, seq: u64, target: &str) -> bool {
    let target: Name = target.parse().expect("name");
    let later = world.log.iter().filter(|body| body.seq > seq).filter_map(Reverted::of);
    let covers: Vec<Cover> = later.flat_map(|reverted| reverted.covers).collect();
    let is_covered = |update: &AssetUpdate| {
        let asset = key_hash(&asset_key(&update.asset));
        let Some(from) = update.from.get(&target) else { return true };
        let mut of = covers.iter().filter(|cover| cover.asset == asset && cover.chain == target);
        of.any(|cover| cover.covers(*from, update.version))
    };
    world.log.iter().filter(|body| body.seq == seq).flat_map(|body| &body.updates).all(is_covered)
}

/// How often a chain was told of an asset from a version other than 0 without having been told of the one before.
fn rejoined(world: &World) -> usize {
    let mut chains: BTreeMap<AssetId, BTreeSet<Name>> = BTreeMap::new();
    let mut count = 0;
    for update in world.log.iter().flat_map(|body| &body.updates) {
        let now: BTreeSet<Name> = update.from.keys().cloned().collect();
        let before = chains.insert(update.asset.clone(), now).unwrap_or_default();
        count += update.from.iter().filter(|(chain, from)| **from > 0 && !before.contains(*chain)).count();
    }
    count
}

fn statuses(batch: &Batch) -> Vec<(Rid, Status)> {
    batch.statuses.iter().map(|write| (write.rid, write.status)).collect()
}

#[test]
fn a_request_amid_others_is_undone_by_a_new_version_with_the_old_content() {
    let mut world = world();
    entry(&mut world, &["t: TRANSFER alice bob 30"]);
    entry(&mut world, &["u: TRANSFER carol dave 5"]);
    assert_eq!(balances(&world), [70, 30, 95, 5]);
    let before = world.asset("bond:a").expect("registered");
    let batch = undo(&mut world, "undo", "t");
    assert_eq!(balances(&world), [100, 0, 95, 5]);
    assert!(!world.values.contains_key("holding/bond:a/bob"), "what it had made is gone");
    assert_eq!(batch.kind(), EntryKind::Revert);
    let told: Vec<_> = batch.body.outcomes.iter().map(|o| (o.rid, verdict(o))).collect();
    let (command, undone) = (rid("undo", "acme"), rid("t", "acme"));
    assert_eq!(told, [(command, "APPLIED 4".to_owned()), (undone, "REVERTED ROLLED_BACK".to_owned())]);
    // The oldest logged update that carries it came from version 1.
    assert_eq!(from(&batch), on(&[("base", 1), ("op", 1)]));
    let after = world.asset("bond:a").expect("registered");
    assert_eq!((after.version, batch.body.updates[0].version), (4, 4));
    let history = Digest::of(&[b"oss/revert/1", undone.as_bytes()]);
    assert_eq!(after.history_hash, Digest::of(&[&before.history_hash.0, &history.0]));
    assert_eq!(batch.body.updates[0].state_hash, common::proof::value_hash(&world.values["asset/bond:a"]));
    let decision = &world.decisions[&undone];
    assert_eq!((decision.outcome.as_str(), decision.seq, decision.reverted), ("REVERTED", 3, Some(5)));
    let write = batch.statuses.iter().find(|write| write.rid == undone).expect("a status");
    assert_eq!((write.status, write.outcome, write.seq), (Status::RolledBack, OutcomeKind::Reverted, 3));
    assert_eq!(write.errors, r#"[{"pointer":"","code":"ROLLED_BACK","detail":"undone by entry 5"}]"#);
    let again = undo(&mut world, "again", "t");
    assert_eq!(refusal(&again), "ALREADY_ROLLED_BACK");
    assert_eq!(statuses(&undo(&mut world, "undo", "t")), [(command, Status::Committed)], "the same command");
}

#[test]
fn within_an_entry_the_value_before_the_request_is_restored_and_not_that_before_the_entry() {
    let mut world = world();
    entry(
        &mut world,
        &["a: TRANSFER alice bob 30", "b: TRANSFER bob dave 10", "c: SET x 1", "d: SET x 2 | SET y 3"],
    );
    undo(&mut world, "undo-d", "d");
    assert_eq!(world.asset("bond:a").expect("asset").terms, [("x".to_owned(), "1".to_owned())].into());
    undo(&mut world, "undo-c", "c");
    assert!(world.asset("bond:a").expect("asset").terms.is_empty());
    assert_eq!(balances(&world), [70, 20, 100, 10]);
    undo(&mut world, "undo-b", "b");
    assert_eq!(balances(&world), [70, 30, 100, 0]);
    undo(&mut world, "undo-a", "a");
    assert_eq!(balances(&world), [100, 0, 100, 0]);
    assert_eq!(world.asset("bond:a").expect("asset").version, 9);
}

#[test]
fn each_kind_is_undone_in_its_own_way() {
    let mut world = world();
    entry(&mut world, &["s: SET coupon 4"]);
    entry(&mut world, &["m: MINT bob 7"]);
    undo(&mut world, "undo-m", "m");
    let asset = world.asset("bond:a").expect("asset");
    assert_eq!((asset.supply.units(), balances(&world)), (200, [100, 0, 100, 0]));
    assert_eq!(asset.terms["coupon"], "4");

    entry(&mut world, &["c: ADD_CHAIN arb"]);
    let batch = undo(&mut world, "undo-c", "c");
    assert_eq!(world.asset("bond:a").expect("asset").chains, ["base", "op"]);
    assert_eq!(from(&batch), on(&[("arb", 0), ("base", 4), ("op", 4)]), "the chain it leaves is told too");
    let later = entry(&mut world, &["t: TRANSFER alice bob 1"]);
    assert_eq!(from(&later), on(&[("base", 6), ("op", 6)]));

    for (command, key) in [("undo-t", "t"), ("undo-s", "s"), ("undo-r", "r")] {
        assert_eq!(undo(&mut world, command, key).kind(), EntryKind::Revert, "{key}");
    }
    let asset = world.asset("bond:a").expect("the leaf stays");
    assert_eq!((asset.status, asset.supply.units(), asset.version), (AssetStatus::Withdrawn, 0, 10));
    assert_eq!(asset.chains, ["base", "op"]);
    assert_eq!(balances(&world), [0; 4]);
    let batch = entry(&mut world, &["again: REGISTER base"]);
    assert_eq!(verdict(&batch.body.outcomes[0]), "REJECTED ASSET_WITHDRAWN");
}

#[test]
fn what_later_requests_rest_on_is_not_undone_and_they_are_told() {
    for (what, later, dependents) in [
        ("another account", "u: TRANSFER carol dave 5", &[][..]),
        ("another asset", "u: REGISTER base @asset bond:b", &[]),
        ("it was refused", "u: TRANSFER alice carol 500", &[]),
        ("its source", "u: TRANSFER alice carol 5", &["u"]),
        ("its destination grows", "u: MINT bob 5", &["u"]),
        ("a version that it counts in", "u: TRANSFER carol dave 5 @version 2", &["u"]),
        ("it is named", "u: TRANSFER carol dave 5 @after t", &["u"]),
        ("it is named of another asset", "u: REGISTER base @asset bond:b @after t", &["u"]),
    ] {
        for same_entry in [true, false] {
            let mut world = world();
            if same_entry {
                entry(&mut world, &["t: TRANSFER alice bob 30", later]);
            } else {
                entry(&mut world, &["t: TRANSFER alice bob 30"]);
                entry(&mut world, &[later]);
            }
            let batch = undo(&mut world, "undo", "t");
            if dependents.is_empty() {
                assert_eq!(batch.kind(), EntryKind::Revert, "{what}, {same_entry}");
            } else {
                assert_eq!(refusal(&batch), "HAS_DEPENDENTS", "{what}, {same_entry}");
                let expected: Vec<Rid> = dependents.iter().map(|key| rid(key, "acme")).collect();
                assert_eq!(batch.body.outcomes[0].dependents, expected, "{what}, {same_entry}");
                // Once they are undone themselves nothing rests on it.
                assert_eq!(undo(&mut world, "undo-u", "u").kind(), EntryKind::Revert, "{what}");
                assert_eq!(undo(&mut world, "undo-2", "t").kind(), EntryKind::Revert, "{what}");
                assert_eq!(balances(&world), [100, 0, 100, 0], "{what}");
            }
        }
    }
}

#[test]
fn of_many_dependents_the_first_are_told_and_none_is_overlooked() {
    let mut world = world();
    entry(&mut world, &["t: TRANSFER alice bob 100"]);
    let lines: Vec<String> = (0..=DEPENDENTS_MAX).map(|n| format!("u{n}: TRANSFER bob dave 1")).collect();
    entry(&mut world, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let batch = undo(&mut world, "undo", "t");
    assert_eq!(refusal(&batch), "HAS_DEPENDENTS");
    assert_eq!(batch.body.outcomes[0].dependents.len(), DEPENDENTS_MAX);
    assert_eq!(batch.body.outcomes[0].dependents[0], rid("u0", "acme"));
    for n in (1..=DEPENDENTS_MAX).rev() {
        assert_eq!(undo(&mut world, &format!("undo-{n}"), &format!("u{n}")).kind(), EntryKind::Revert);
    }
    let batch = undo(&mut world, "undo-t", "t");
    assert_eq!(batch.body.outcomes[0].dependents, [rid("u0", "acme")]);
}

/// Every code that a rollback is refused with, or leaves.
pub(super) fn codes() -> BTreeSet<String> {
    let mut world = world();
    entry(&mut world, &["b: BURN alice 1", "x: BURN dave 1", "t: TRANSFER alice bob 1"]);
    for (command, key) in [("1", "never"), ("2", "x"), ("3", "b"), ("4", "r"), ("5", "t"), ("6", "t")] {
        undo(&mut world, command, key);
    }
    crowd(&mut world, WAITING_MAX);
    undo(&mut world, "7", "crowded");
    let said = world.log.iter().flat_map(|body| &body.outcomes).filter_map(|outcome| outcome.code.clone());
    said.chain([code_far_back(&world)]).collect()
}

/// What is said of a request whose entry is further back than a rollback looks.
fn code_far_back(world: &World) -> String {
    let rid = rid("b", "acme");
    let decision = world.decisions.get(&rid);
    let search = Search::begin(rid, decision, 4 + WINDOW_ENTRIES).expect("it was applied");
    check("acme", decision, Some(&search.end())).expect_err("too far back").reason().0
}

#[test]
fn what_cannot_be_undone_is_refused_with_its_reason() {
    let mut world = world();
    entry(&mut world, &["b: BURN alice 1", "x: BURN dave 1", "o: REGISTER base @asset bond:o @tenant other"]);
    let rewind = common::message::Command::Rewind { target: "base".parse().expect("name") };
    let about = super::world::about(
        "rewind",
        "acme",
        &super::world::parse(&super::world::bond(&json!([
            {"kind": "MINT", "to": "alice", "amount": "1"}
        ]))),
    );
    world.commit(vec![raw(InputStream::Inx, Body::Command { about, command: rewind })]);
    for (command, tenant, key, code) in [
        ("1", "acme", rid("never", "acme"), "NOT_DECIDED"),
        ("2", "acme", rid("o", "other"), "NOT_DECIDED"),
        ("3", "acme", rid("x", "acme"), "NOT_APPLIED"),
        ("4", "acme", rid("b", "acme"), "NOT_REVERSIBLE"),
        ("5", "acme", rid("rewind", "acme"), "NOT_REVERSIBLE"),
        ("6", "other", rid("r", "acme"), "NOT_DECIDED"),
    ] {
        let batch = world.commit(vec![rollback(command, tenant, key)]);
        assert_eq!(refusal(&batch), code, "{command}");
    }
    // A rollback of a rollback is a command too.
    entry(&mut world, &["t: TRANSFER alice bob 1"]);
    undo(&mut world, "undo", "t");
    assert_eq!(refusal(&undo(&mut world, "undo-undo", "undo")), "NOT_REVERSIBLE");
}

#[test]
fn a_rollback_belongs_on_the_express_stream_and_in_an_entry_of_its_own() {
    let mut world = world();
    entry(&mut world, &["t: TRANSFER alice bob 1"]);
    let elsewhere =
        crate::engine::RawInput { stream: InputStream::In, ..rollback("undo", "acme", rid("t", "acme")) };
    let batch = world.commit(vec![elsewhere]);
    assert_eq!((batch.dead.len(), batch.kind()), (1, EntryKind::Batch));
    let both = vec![rollback("undo", "acme", rid("t", "acme")), input("u: SET a b")];
    let fault = world.decide(both).expect_err("not alone");
    assert!(matches!(fault, crate::engine::Fault::RollbackNotAlone { others: 1 }), "{fault:?}");
}

#[test]
fn a_search_goes_back_so_far_and_so_many_bytes_and_no_further() {
    let mut world = world();
    entry(&mut world, &["t: TRANSFER alice bob 1"]);
    let (rid, decision) = (rid("t", "acme"), world.decisions[&rid("t", "acme")].clone());
    let found = |next_seq: u64, padding: usize| {
        let mut search = Search::begin(rid, Some(&decision), next_seq).expect("it was applied");
        assert_eq!(search.first(), 3);
        let mut body = world.log[2].clone();
        let used = crate::engine::past::bytes_of(&body);
        let pad = vec![b' '; padding.saturating_sub(used + 2)];
        let text = [b"\"", pad.as_slice(), b"\""].concat();
        body.inputs.push(common::entry::Input::new(InputStream::In, "1-1".to_owned(), &text));
        let _: std::ops::ControlFlow<()> = search.take(&body);
        !search.end().keys().is_empty()
    };
    assert!(found(3 + WINDOW_ENTRIES, 0));
    assert!(!found(4 + WINDOW_ENTRIES, 0), "an entry further back");
    assert!(found(4, WINDOW_BYTES));
    assert!(!found(4, WINDOW_BYTES + 1), "a byte more");
    let other = Search::begin(rid, Some(&decision), 9).map(|mut search| {
        let _: std::ops::ControlFlow<()> = search.take(&world.log[1]);
        search.end().keys().is_empty()
    });
    assert_eq!(other, Some(true), "its own entry is not there");
}

#[test]
fn a_command_that_is_too_far_back_is_too_old_like_a_request() {
    let mut world = world();
    entry(&mut world, &["t: TRANSFER alice bob 1"]);
    undo(&mut world, "undo", "t");
    let (rid, decision) = (rid("undo", "acme"), world.decisions[&rid("undo", "acme")].clone());
    for (padding, code) in [(0, "NOT_REVERSIBLE"), (WINDOW_BYTES, "ROLLBACK_TOO_OLD")] {
        let mut search = Search::begin(rid, Some(&decision), 5).expect("it was applied");
        let _: std::ops::ControlFlow<()> = search.take(&world.log[3]);
        let mut later = world.log[2].clone();
        let text = [b"\"", vec![b' '; padding].as_slice(), b"\""].concat();
        later.inputs.push(common::entry::Input::new(InputStream::In, "1-1".to_owned(), &text));
        let _: std::ops::ControlFlow<()> = search.take(&later);
        let refusal = check("acme", Some(&decision), Some(&search.end())).expect_err("a command");
        assert_eq!(refusal.reason().0, code);
    }
}

#[test]
fn a_rollback_that_an_older_engine_failed_on_stays_without_effect() {
    let mut world = world();
    entry(&mut world, &["t: TRANSFER alice bob 1"]);
    let plan = || Engine::read(vec![rollback("undo", "acme", rid("t", "acme"))]);
    let broken = [rid("undo", "acme")].into();
    let failed =
        world.engine.decide(&Alone, plan(), world.load(&plan()), world.stamp(), &broken).expect("runs");
    assert_eq!(refusal(&failed), "INTERNAL");
    world.engine.replay(&failed.body, plan(), world.load(&plan())).expect("the log's word is taken");
    assert_eq!(undo(&mut world, "undo", "t").kind(), EntryKind::Revert, "this one can do it");
}

#[test]
fn on_a_retired_chain_nothing_is_opened_and_nobody_waits_for_it() {
    for (used, retired, open) in
        [(&["base", "arb"][..], &["op"][..], &["base"][..]), (&["arb"], &["base", "op"], &[])]
    {
        let mut world = world();
        let covered = entry(&mut world, &["t: TRANSFER alice bob 1", "u: TRANSFER carol dave 1"]).body.seq;
        world.retire(used, retired);
        let batch = undo(&mut world, "undo", "t");
        assert_eq!(from(&batch), on(&[("base", 1), ("op", 1)]), "whoever reads the log is told");
        let row = world.deliveries.get(&batch.body.seq);
        let expected: BTreeSet<String> = open.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(row.map(|row| row.open.clone()).unwrap_or_default(), expected);
        let waits = |row: &crate::engine::Deliveries| row.waiting.contains_key(rid("t", "acme").as_bytes());
        assert!(!world.deliveries.get(&covered).is_some_and(waits), "what is undone waits for nothing");
        // As the leader does with what was open when the target was retired.
        for (seq, target) in self::open(&world) {
            let status = if retired.contains(&target.as_str()) { Delivery::Failed } else { Delivery::Final };
            receipt(&mut world, seq, &target, status);
        }
        assert!(world.deliveries.is_empty(), "{:?}", world.deliveries);
        let delivered = |key| world.decisions[&rid(key, "acme")].delivered.clone();
        assert_eq!(delivered("undo").as_deref(), Some("completed"));
        assert_eq!(delivered("t"), None);
    }
}

#[test]
fn an_event_stays_used_when_the_request_that_it_backed_is_undone() {
    let mut world = world();
    let ask = |key, to| Ask {
        key,
        asset: "bond:a",
        tenant: "acme",
        changes: vec![Change::Mint(to, 5, Some(1))],
        expected: None,
        on_arb: false,
        after: vec![],
        accepted_ms: world.time_ms,
    };
    let (first, second) = (ask(1, "bob"), ask(2, "bob"));
    world.commit(vec![first.message()]);
    let batch = world.commit(vec![rollback("undo", "acme", name(1, "acme"))]);
    assert_eq!(batch.kind(), EntryKind::Revert);
    assert_eq!(world.balance("bond:a", "bob").units(), 0);
    let batch = world.commit(vec![second.message()]);
    assert_eq!(verdict(&batch.body.outcomes[0]), "REJECTED EVENT_ALREADY_USED");
}

#[test]
fn a_revert_reaches_back_as_far_as_anything_that_carries_what_it_undoes() {
    let mut world = world();
    // Versions: r 1, a 2, b 3, c 4 (in one entry), then a REVERT of c from 1.
    entry(&mut world, &["a: TRANSFER alice bob 1", "b: TRANSFER carol dave 1", "c: SET x 1"]);
    let batch = undo(&mut world, "undo-c", "c");
    assert_eq!(from(&batch), on(&[("base", 1), ("op", 1)]));
    // d is version 6, arb joins with 7 by an update that carries everything.
    entry(&mut world, &["d: TRANSFER alice bob 2"]);
    entry(&mut world, &["e: ADD_CHAIN arb"]);
    let batch = undo(&mut world, "undo-d", "d");
    assert_eq!(from(&batch), on(&[("arb", 0), ("base", 5), ("op", 5)]));
    // b is carried by its own entry, by the REVERT of c and, on arb, by all of it.
    let batch = undo(&mut world, "undo-b", "b");
    assert_eq!(from(&batch), on(&[("arb", 0), ("base", 1), ("op", 1)]));
    // f comes after a REVERT that goes below it: only its own update carries it.
    entry(&mut world, &["f: TRANSFER carol dave 3"]);
    let batch = undo(&mut world, "undo-f", "f");
    assert_eq!(from(&batch), on(&[("arb", 9), ("base", 9), ("op", 9)]));
    // The REVERT of a, which is older than others that went lower: theirs counts.
    let batch = undo(&mut world, "undo-a", "a");
    assert_eq!(from(&batch), on(&[("arb", 0), ("base", 1), ("op", 1)]));
}

#[test]
fn who_waits_for_a_covered_delivery_waits_for_the_revert_and_the_undone_one_for_nothing() {
    let mut world = world();
    for target in ["base", "op"] {
        receipt(&mut world, 2, target, Delivery::Final);
    }
    let batch = entry(
        &mut world,
        &["t: TRANSFER alice bob 30", "u: TRANSFER carol dave 5", "o: REGISTER base @asset bond:o"],
    );
    let covered = batch.body.seq;
    receipt(&mut world, covered, "op", Delivery::Final);
    let revert = undo(&mut world, "undo", "t").body.seq;
    let waits = |world: &World, seq: u64, key: &str| {
        world.deliveries.get(&seq).and_then(|row| row.waiting.get(rid(key, "acme").as_bytes())).cloned()
    };
    let set = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>());
    assert_eq!(waits(&world, covered, "t"), None);
    assert_eq!(waits(&world, covered, "u"), None);
    assert_eq!(waits(&world, covered, "o"), set(&["base"]), "of another asset");
    assert_eq!(waits(&world, revert, "t"), None);
    assert_eq!(waits(&world, revert, "u"), set(&["base"]), "op has told of it before");
    assert_eq!(waits(&world, revert, "undo"), set(&["base", "op"]));
    // The covered update is skipped; bond:o's is applied.
    let batch = receipt(&mut world, covered, "base", Delivery::Final);
    assert_eq!(statuses(&batch), [(rid("o", "acme"), Status::Completed)]);
    assert!(!world.deliveries.contains_key(&covered));
    // A REVERT of a REVERT's waiting: all of them go on to the newest.
    let last = undo(&mut world, "undo-u", "u").body.seq;
    assert_eq!(waits(&world, revert, "undo"), None);
    assert_eq!(waits(&world, last, "undo"), set(&["base", "op"]));
    let batch = receipt(&mut world, revert, "base", Delivery::Revoked);
    assert!(batch.statuses.is_empty());
    receipt(&mut world, revert, "op", Delivery::Revoked);
    receipt(&mut world, last, "base", Delivery::Final);
    let batch = receipt(&mut world, last, "op", Delivery::Final);
    let mut ended = statuses(&batch);
    ended.sort_unstable_by_key(|(rid, _)| *rid);
    let mut expected =
        [(rid("undo", "acme"), Status::Completed), (rid("undo-u", "acme"), Status::Completed)].to_vec();
    expected.sort_unstable_by_key(|(rid, _)| *rid);
    assert_eq!(ended, expected);
    assert!(world.deliveries.is_empty(), "{:?}", world.deliveries);
    assert_eq!(world.decisions[&rid("t", "acme")].delivered, None);
}

/// A request `crowded`, and so many others of its asset after it, all of which wait for deliveries.
fn crowd(world: &mut World, others: usize) {
    entry(world, &["rich: MINT carol 1000"]);
    entry(world, &["crowded: TRANSFER alice bob 30"]);
    let lines: Vec<String> = (0..others).map(|n| format!("c{n}: TRANSFER carol dave 1")).collect();
    for lines in lines.chunks(250) {
        entry(world, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn more_waiting_requests_than_one_receipt_may_end_are_not_moved_until_some_are_delivered() {
    for (others, is_undone) in [(WAITING_MAX - 1, true), (WAITING_MAX, false)] {
        let mut world = world();
        crowd(&mut world, others);
        // With the command that is one more.
        let batch = undo(&mut world, "undo", "crowded");
        let revert = if is_undone {
            batch
        } else {
            assert_eq!(refusal(&batch), "ROLLBACK_TOO_LARGE");
            // A single delivered entry is enough.
            let seq = batch.body.seq - 1;
            for target in ["base", "op"] {
                receipt(&mut world, seq, target, Delivery::Final);
            }
            undo(&mut world, "undo-2", "crowded")
        };
        assert_eq!(revert.kind(), EntryKind::Revert, "{others}");
        let waiting = world.deliveries[&revert.body.seq].waiting.len();
        assert!(waiting == WAITING_MAX || !is_undone, "{waiting}");
        // One receipt may end them all, and is taken even beside a full express stream.
        receipt(&mut world, revert.body.seq, "base", Delivery::Final);
        let batch = receipt(&mut world, revert.body.seq, "op", Delivery::Final);
        assert_eq!(batch.statuses.len(), waiting);
    }
}

/// What a naive ledger says after the applied requests that were not undone, in the order of the log.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ledger {
    balances: BTreeMap<(&'static str, &'static str), i128>,
    terms: BTreeMap<&'static str, String>,
    on_arb: BTreeSet<&'static str>,
    active: BTreeSet<&'static str>,
}

impl Ledger {
    fn of<'a>(asks: impl Iterator<Item = &'a Ask>) -> Self {
        let mut ledger = Self::default();
        for ask in asks {
            for change in &ask.changes {
                let mut add = |account, amount: i128| {
                    *ledger.balances.entry((ask.asset, account)).or_default() += amount;
                };
                match change {
                    Change::Register => drop(ledger.active.insert(ask.asset)),
                    Change::AddChain => drop(ledger.on_arb.insert(ask.asset)),
                    Change::Set(value) => drop(ledger.terms.insert(ask.asset, value.to_string())),
                    Change::Mint(to, amount, _) => add(to, i128::from(*amount)),
                    Change::Burn(from, amount) => add(from, -i128::from(*amount)),
                    Change::Transfer(from, to, amount) => {
                        add(from, -i128::from(*amount));
                        add(to, i128::from(*amount));
                    }
                    _ => panic!("none here"),
                }
            }
        }
        ledger.balances.retain(|_, balance| *balance != 0);
        ledger
    }

    fn in_world(world: &World) -> Self {
        let mut ledger = Self::default();
        for asset in ASSETS {
            let Some(record) = world.asset(asset) else { continue };
            if record.status == AssetStatus::Active {
                ledger.active.insert(asset);
                ledger.terms.extend(record.terms.get("t").map(|value| (asset, value.clone())));
                ledger.on_arb.extend(record.chains.contains(&"arb".to_owned()).then_some(asset));
            }
            for account in ACCOUNTS {
                let units = i128::try_from(world.balance(asset, account).units()).expect("small");
                ledger.balances.extend((units != 0).then_some(((asset, account), units)));
            }
        }
        ledger
    }
}

/// The rule of dependence, in the words of the model.
fn rests_on(later: &Ask, earlier: &Ask) -> bool {
    let accounts = |ask: &Ask| -> BTreeSet<&str> {
        let of = |change: &Change| match change {
            Change::Mint(account, _, _) | Change::Burn(account, _) => vec![*account],
            Change::Transfer(from, to, _) => vec![*from, *to],
            _ => vec![],
        };
        ask.changes.iter().flat_map(of).collect()
    };
    let writes_asset = earlier.changes.iter().any(|change| !matches!(change, Change::Transfer(..)));
    let meet = !accounts(later).is_disjoint(&accounts(earlier));
    let same_asset = later.asset == earlier.asset;
    later.after.contains(&earlier.key) || same_asset && (writes_asset || meet || later.expected.is_some())
}

#[derive(Debug, Default)]
struct Seen {
    undone: u32,
    with_dependents: u32,
    final_ones: u32,
    revoked: u32,
    rejoined: usize,
}

/// Random requests and rollbacks over one log.
struct Traffic {
    random: Random,
    world: World,
    /// Applied and not undone, in the order of the log.
    applied: Vec<Ask>,
    asked: u64,
    commands: u64,
    seed: u64,
}

impl Traffic {
    /// Every asset is registered, every account has some of it.
    fn new(seed: u64) -> Self {
        let (random, world) = (Random(seed), World::new());
        let mut traffic = Self { random, world, applied: Vec::new(), asked: 0, commands: 0, seed };
        for asset in ASSETS {
            let mints = ACCOUNTS.map(|account| Change::Mint(account, 500, None));
            let ask = Ask {
                key: traffic.asked,
                asset,
                tenant: "acme",
                changes: [Change::Register].into_iter().chain(mints).collect(),
                expected: None,
                on_arb: false,
                after: vec![],
                accepted_ms: traffic.world.time_ms,
            };
            traffic.asked += 1;
            traffic.applied.push(ask);
        }
        traffic.world.commit(traffic.applied.iter().map(Ask::message).collect());
        traffic
    }

    /// A request that rests less on others than the traffic of the other model; most move what is there.
    fn ask(&mut self) -> Ask {
        let Self { random, world, .. } = self;
        let version = |asset: &str| world.asset(asset).map_or(0, |asset| asset.version);
        let mut ask = Ask::random(random, self.asked, world.time_ms, version);
        ask.expected = ask.expected.filter(|_| random.chance(30));
        ask.on_arb = false;
        ask.after.retain(|_| random.chance(30));
        if random.chance(70) {
            let pairs = [("alice", "bob"), ("bob", "alice"), ("carol", "dave"), ("dave", "carol")];
            let (from, to) = random.pick(&pairs);
            ask.changes = vec![Change::Transfer(from, to, 1 + random.below(20))];
        } else if random.chance(60) {
            ask.changes = vec![Change::AddChain];
        }
        self.asked += 1;
        ask
    }

    fn entry(&mut self) {
        let asks: Vec<Ask> = (0..=self.random.below(5)).map(|_| self.ask()).collect();
        let batch = self.world.commit(asks.iter().map(Ask::message).collect());
        for outcome in batch.body.outcomes.iter().filter(|o| o.outcome == OutcomeKind::Applied) {
            self.applied.extend(asks.iter().find(|ask| name(ask.key, "acme") == outcome.rid).cloned());
        }
    }

    /// Tries to undo one of the last, or the last that brought a chain; whether it is, and why not, must be as the model says.
    fn undo(&mut self, seen: &mut Seen) {
        if self.applied.is_empty() {
            return;
        }
        let back = self.random.below((self.applied.len() as u64).min(5));
        let mut place = self.applied.len() - 1 - usize::try_from(back).expect("small");
        let joins = |ask: &Ask| matches!(ask.changes[..], [Change::AddChain]);
        if self.random.chance(25) {
            // A chain that is taken away can come back.
            place = self.applied.iter().rposition(joins).unwrap_or(place);
        }
        let (ask, seed) = (self.applied[place].clone(), self.seed);
        self.commands += 1;
        let command = rollback(&format!("undo{}", self.commands), ask.tenant, name(ask.key, "acme"));
        let batch = self.world.commit(vec![command]);
        let later = self.applied[place + 1..].iter().filter(|later| rests_on(later, &ask));
        let dependents: Vec<Rid> = later.map(|later| name(later.key, "acme")).collect();
        let burns = ask.changes.iter().any(|change| matches!(change, Change::Burn(..)));
        if burns {
            assert_eq!(refusal(&batch), "NOT_REVERSIBLE", "seed {seed}: {ask:?}");
            seen.final_ones += 1;
        } else if dependents.is_empty() {
            assert_eq!(batch.kind(), EntryKind::Revert, "seed {seed}: {ask:?}");
            self.applied.remove(place);
            seen.undone += 1;
        } else {
            assert_eq!(refusal(&batch), "HAS_DEPENDENTS", "seed {seed}: {ask:?}");
            let told = dependents.get(..DEPENDENTS_MAX).unwrap_or(&dependents);
            assert_eq!(batch.body.outcomes[0].dependents, told, "seed {seed}");
            seen.with_dependents += 1;
        }
        let counted = Ledger::of(self.applied.iter());
        assert_eq!(Ledger::in_world(&self.world), counted, "seed {seed}: {ask:?}");
    }

    /// Receipts of about so many percent of what is open. What is covered was mostly not bound yet and is revoked; now and
    /// then an operator gives a delivery up.
    fn deliver(&mut self, percent: u64, seen: &mut Seen) {
        for (seq, target) in open(&self.world) {
            if !self.random.chance(percent) {
                continue;
            }
            let status = if is_covered(&self.world, seq, &target) && self.random.chance(80) {
                seen.revoked += 1;
                Delivery::Revoked
            } else if self.random.chance(2) {
                Delivery::Failed
            } else {
                Delivery::Final
            };
            receipt(&mut self.world, seq, &target, status);
        }
    }
}

fn traffic(seed: u64, entries: u64, seen: &mut Seen) {
    let mut traffic = Traffic::new(seed);
    for _ in 0..entries {
        traffic.entry();
        for _ in 0..traffic.random.below(4) {
            traffic.undo(seen);
        }
        if traffic.random.chance(30) {
            traffic.deliver(50, seen);
        }
    }
    traffic.deliver(100, seen);
    let world = traffic.world;
    assert!(world.deliveries.is_empty(), "seed {seed}: every delivery ends");
    let waiting = world.decisions.values().filter(|d| d.outcome == "APPLIED" && d.delivered.is_none());
    assert_eq!(waiting.count(), 0, "seed {seed}: every request that stands ends");
    let undone = world.decisions.values().filter(|d| d.outcome == "REVERTED" && d.delivered.is_some());
    assert_eq!(undone.count(), 0, "seed {seed}: what is undone is not delivered");
    seen.rejoined += rejoined(&world);
}

#[test]
fn random_rollbacks_give_what_counting_again_without_the_undone_gives() {
    let mut seen = Seen::default();
    for seed in 1..=10 {
        traffic(seed, 40, &mut seen);
    }
    assert!(seen.undone > 200, "{seen:?}");
    assert!(seen.with_dependents > 50 && seen.final_ones > 10, "{seen:?}");
    assert!(seen.revoked > 100 && seen.rejoined > 10, "{seen:?}");
}

#[test]
fn the_entry_of_a_rollback_is_fixed() {
    let mut world = world();
    entry(&mut world, &["t: TRANSFER alice bob 30"]);
    let batch = undo(&mut world, "undo", "t");
    let body: Value = serde_json::to_value(&batch.body).expect("json");
    assert_eq!(
        body["outcomes"],
        json!([
            {"rid": rid("undo", "acme"), "fp": Digest::of(&[b"rollback", rid("t", "acme").as_bytes()]),
             "outcome": "APPLIED", "version": 3},
            {"rid": rid("t", "acme"), "fp": world.decisions[&rid("t", "acme")].fp,
             "outcome": "REVERTED", "code": "ROLLED_BACK"},
        ])
    );
    assert_eq!(body["kind"], "REVERT");
    assert_eq!(
        [batch.body.root, batch.body.aux].map(|digest| digest.to_string()),
        [
            "0x11f309d29394583a16ed784fc2c929c64b85c02af74082021445baa38f3aec5b",
            "0x1da0b55f996a728687bee46a3b3ff3cc3794c5264e051b07b769610f89c8984d",
        ]
    );
}
