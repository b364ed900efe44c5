//! Corporate actions: who gets how much, once, and from what; how few records that takes; and how they are undone.

use std::collections::{BTreeMap, BTreeSet};

use common::amount::Amount;
use common::entry::EntryKind;
use common::state::{AssetRecord, ClaimRecord, HoldingRecord, PaymentRecord, decode};

use super::rollback::{entry, undo};
use super::script::check;
use super::world::{World, verdict};

const INTEREST: &str = "event/bond:a/2026-04-02/INTEREST_PAYMENT";
const FUND: &str = "holding/bond:a/event/2026-04-02/INTEREST_PAYMENT";

/// `bond:a` of acme: alice has 100, bob 50, the issuer 850.
const SETUP: &str = "r: REGISTER base | MINT alice 100 | MINT bob 50 | MINT issuer 850
    --
    ";

/// Outcomes after the setup's.
fn told(script: &str, expected: &[&str]) -> World {
    let all: Vec<&str> = ["r APPLIED 1"].iter().chain(expected).copied().collect();
    check(&format!("{SETUP}{script}"), &all)
}

/// One entry of one request, which is applied.
fn done(world: &mut World, line: &str) {
    let batch = entry(world, &[line]);
    assert!(
        batch.body.outcomes.iter().all(|outcome| outcome.code.is_none()),
        "{line}: {:?}",
        batch.body.outcomes
    );
}

fn refused(world: &mut World, line: &str) -> String {
    let batch = entry(world, &[line]);
    assert!(batch.changes.values.is_empty(), "{line}");
    let [outcome] = batch.body.outcomes.as_slice() else { panic!("one outcome") };
    verdict(outcome)
}

/// The setup, a snapshot, and interest of a tenth.
fn opened() -> World {
    let mut world = told("", &[]);
    done(&mut world, "s: SNAPSHOT 2026-03-31");
    done(&mut world, "p: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1");
    world
}

fn payment(world: &World, key: &str) -> PaymentRecord {
    decode(&world.values[key]).expect("a payment")
}

fn units(world: &World, account: &str) -> u128 {
    world.balance("bond:a", account).units()
}

fn fund(world: &World) -> u128 {
    world
        .values
        .get(FUND)
        .map_or(0, |value| decode::<HoldingRecord>(value).expect("a holding").balance.units())
}

/// The state but for what every entry changes of an asset.
fn content(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut values = world.values.clone();
    let asset = AssetRecord {
        version: 0,
        history_hash: common::hash::Digest::ZERO,
        ..world.asset("bond:a").expect("registered")
    };
    values.insert("asset/bond:a".to_owned(), common::state::encode(&asset));
    values
}

/// Every code of the corporate kinds once, at its pointer.
pub(super) fn codes() -> BTreeSet<String> {
    let rows = [
        ("a: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1", "SNAPSHOT_UNKNOWN", "record_date"),
        ("b: SNAPSHOT 2026-03-31", "", ""),
        ("c: SNAPSHOT 2026-03-31", "EVENT_EXISTS", "date"),
        ("d: CLAIM INTEREST 2026-04-02 alice", "PAYMENT_UNKNOWN", "date"),
        ("e: INTEREST 2026-04-02 2026-03-31 issuer rate 0.0009", "NOTHING_DUE", "rate"),
        ("f: INTEREST 2026-04-02 2026-03-31 alice amount 101", "INSUFFICIENT_BALANCE", "amount"),
        ("g: INTEREST 2026-04-02 2026-03-31 alice rate 0.101", "INSUFFICIENT_BALANCE", "rate"),
        (
            "h: PRINCIPAL 2026-04-02 2026-03-31 alice rate 340282366920938463463374607431768211455",
            "INSUFFICIENT_BALANCE",
            "rate",
        ),
        ("i: INTEREST 2026-04-02 2026-03-31 issuer amount 19", "", ""),
        ("j: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1", "EVENT_EXISTS", "date"),
        ("k: CLAIM PRINCIPAL 2026-04-02 alice", "PAYMENT_UNKNOWN", "date"),
        ("l: CLAIM INTEREST 2026-04-02 alice", "", ""),
        ("m: CLAIM INTEREST 2026-04-02 alice", "ALREADY_CLAIMED", "account"),
        ("n: CLAIM INTEREST 2026-04-02 bob", "NOTHING_DUE", "account"),
        ("o: CLAIM INTEREST 2026-04-02 nobody", "NOTHING_DUE", "account"),
    ];
    let mut world = told("", &[]);
    let mut met = BTreeSet::from(["SNAPSHOT_CLOSED".to_owned()]);
    for (line, code, field) in rows {
        let batch = entry(&mut world, &[line]);
        let [outcome] = batch.body.outcomes.as_slice() else { panic!("one outcome") };
        let found = outcome.errors.first().map(|error| (error.code.clone(), error.pointer.clone()));
        let wanted = (!code.is_empty()).then(|| (code.to_owned(), format!("/state_changes/0/{field}")));
        assert_eq!(found, wanted, "{line}");
        met.extend(outcome.code.clone());
    }
    met
}

#[test]
fn a_claim_pays_what_was_held_at_the_snapshot_and_not_what_is_held_now() {
    let mut world = told(
        "s: SNAPSHOT 2026-03-31
         t: TRANSFER alice bob 100
         u: TRANSFER issuer carol 40
         p: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1
         --
         v: TRANSFER bob dave 150
         a: CLAIM INTEREST 2026-04-02 alice
         b: CLAIM INTEREST 2026-04-02 bob
         c: CLAIM INTEREST 2026-04-02 carol
         d: CLAIM INTEREST 2026-04-02 dave
         i: CLAIM INTEREST 2026-04-02 issuer",
        &[
            "s APPLIED 2",
            "t APPLIED 3",
            "u APPLIED 4",
            "p APPLIED 5",
            "v APPLIED 6",
            "a APPLIED 7",
            "b APPLIED 8",
            "c REJECTED NOTHING_DUE",
            "d REJECTED NOTHING_DUE",
            "i APPLIED 9",
        ],
    );
    assert_eq!(["alice", "bob", "carol", "dave"].map(|a| units(&world, a)), [10, 5, 40, 150]);
    assert_eq!(units(&world, "issuer"), 850 - 40 - 100 + 85);
    let record = payment(&world, INTEREST);
    assert_eq!((record.snapshot, record.cash_asset.as_str()), (1, "bond:a"));
    assert_eq!((record.supply.units(), record.funded.units(), record.paid.units()), (1000, 100, 100));
    assert_eq!(fund(&world), 0);
    let mark: ClaimRecord = decode(&world.values[&format!("{INTEREST}/bob")]).expect("a claim");
    assert_eq!((mark.held.units(), mark.amount.units()), (50, 5));
    // What was paid is a holding like any other.
    done(&mut world, "w: TRANSFER alice bob 10");
}

#[test]
fn an_account_is_paid_once_also_in_one_request_and_in_one_entry() {
    let mut world = opened();
    let twice = "a: CLAIM INTEREST 2026-04-02 alice | CLAIM INTEREST 2026-04-02 alice";
    assert_eq!(refused(&mut world, twice), "REJECTED ALREADY_CLAIMED");
    let batch =
        entry(&mut world, &["b: CLAIM INTEREST 2026-04-02 alice", "c: CLAIM INTEREST 2026-04-02 alice"]);
    let said: Vec<String> = batch.body.outcomes.iter().map(verdict).collect();
    assert_eq!(said, ["APPLIED 4", "REJECTED ALREADY_CLAIMED"]);
    // Not even after it has given everything away.
    done(&mut world, "t: TRANSFER alice bob 110");
    assert_eq!(refused(&mut world, "d: CLAIM INTEREST 2026-04-02 alice"), "REJECTED ALREADY_CLAIMED");
    assert_eq!((units(&world, "alice"), fund(&world)), (0, 90));
}

#[test]
fn interest_and_principal_of_one_day_are_two_payments() {
    let mut world = opened();
    done(&mut world, "q: PRINCIPAL 2026-04-02 2026-03-31 issuer amount 200");
    for line in ["a: CLAIM INTEREST 2026-04-02 alice", "b: CLAIM PRINCIPAL 2026-04-02 alice"] {
        done(&mut world, line);
    }
    assert_eq!(units(&world, "alice"), 100 + 10 + 20);
    assert_eq!(payment(&world, "event/bond:a/2026-04-02/PRINCIPAL_REPAYMENT").paid.units(), 20);
}

#[test]
fn a_payment_touches_as_many_records_for_a_thousand_holders_as_for_one() {
    let mut world = told("", &[]);
    for n in 0..32 {
        let line: Vec<String> = (0..32).map(|m| format!("TRANSFER issuer h{n}.{m} 1")).collect();
        if n < 20 {
            done(&mut world, &format!("t{n}: {}", line.join(" | ")));
        }
    }
    for (line, written) in [
        ("s: SNAPSHOT 2026-03-31", 2),
        ("p: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1", 4),
        ("q: PRINCIPAL 2026-04-02 2026-03-31 issuer amount 9", 4),
        // The asset, the payment, its fund, the holding, the mark.
        ("c: CLAIM INTEREST 2026-04-02 alice", 5),
    ] {
        let batch = entry(&mut world, &[line]);
        assert_eq!(batch.body.outcomes[0].code, None, "{line}");
        assert_eq!(batch.changes.values.len(), written, "{line}");
    }
}

#[test]
fn every_snapshot_keeps_its_own_holdings() {
    let mut world = told("", &[]);
    for line in [
        "s1: SNAPSHOT 2026-01-31",
        "t1: TRANSFER alice bob 10",
        "s2: SNAPSHOT 2026-02-28",
        "s3: SNAPSHOT 2026-03-31",
        "t2: TRANSFER alice bob 20",
        "s4: SNAPSHOT 2026-04-30",
        // As it was before: nothing to remember of this change.
        "t3: TRANSFER bob alice 20",
    ] {
        done(&mut world, line);
    }
    let held = |world: &World, account: &str| {
        [1, 2, 3, 4, 5].map(|n| world.holding("bond:a", account).held_at(n).units())
    };
    assert_eq!(held(&world, "alice"), [100, 90, 90, 70, 90]);
    assert_eq!(held(&world, "bob"), [50, 60, 60, 80, 60]);
    for (n, (record_date, due)) in
        [("2026-01-31", 100), ("2026-02-28", 90), ("2026-03-31", 90), ("2026-04-30", 70)]
            .into_iter()
            .enumerate()
    {
        let before = units(&world, "alice");
        done(&mut world, &format!("p{n}: INTEREST 2026-05-0{} {record_date} issuer rate 0.1", n + 1));
        done(&mut world, &format!("c{n}: CLAIM INTEREST 2026-05-0{} alice", n + 1));
        assert_eq!(units(&world, "alice") - before, due / 10, "{record_date}");
    }
}

#[test]
fn parts_are_rounded_down_and_what_is_left_over_stays_in_the_fund() {
    for (due, parts, left) in
        [("rate 0.019", [1, 0, 16], 2), ("amount 19", [1, 0, 16], 2), ("amount 29", [2, 1, 24], 2)]
    {
        let mut world = told("", &[]);
        done(&mut world, "s: SNAPSHOT 2026-03-31");
        done(&mut world, &format!("p: INTEREST 2026-04-02 2026-03-31 issuer {due}"));
        let mut got = Vec::new();
        for (n, account) in ["alice", "bob", "issuer"].into_iter().enumerate() {
            let before = units(&world, account);
            entry(&mut world, &[&format!("c{n}: CLAIM INTEREST 2026-04-02 {account}")]);
            got.push(units(&world, account) - before);
        }
        assert_eq!((got.as_slice(), fund(&world)), (parts.as_slice(), left), "{due}");
        let record = payment(&world, INTEREST);
        assert_eq!(record.funded.units() - record.paid.units(), left, "{due}");
    }
}

#[test]
fn a_stopped_asset_and_a_stopped_holding_neither_pay_nor_are_paid() {
    let mut world = opened();
    done(&mut world, "f: FREEZE @order 1");
    assert_eq!(refused(&mut world, "a: CLAIM INTEREST 2026-04-02 alice"), "REJECTED ASSET_BLOCKED");
    let pay = "PRINCIPAL 2026-04-02 2026-03-31 issuer amount 9";
    assert_eq!(refused(&mut world, &format!("b: {pay}")), "REJECTED ASSET_BLOCKED");
    // Nothing moves by it.
    done(&mut world, "s2: SNAPSHOT 2026-04-30");
    done(&mut world, "g: UNFREEZE @order 2");
    for (n, (stop, go)) in [("FREEZE", "UNFREEZE"), ("SEIZE", "RELEASE")].into_iter().enumerate() {
        done(&mut world, &format!("h{n}: {stop} alice @order 3"));
        let claim = format!("c{n}: CLAIM INTEREST 2026-04-02 alice");
        assert_eq!(refused(&mut world, &claim), "REJECTED HOLDING_BLOCKED", "{stop}");
        done(&mut world, &format!("i{n}: {go} alice @order 4"));
    }
    done(&mut world, "j: FREEZE issuer @order 5");
    assert_eq!(refused(&mut world, &format!("k: {pay}")), "REJECTED HOLDING_BLOCKED");
    done(&mut world, "l: UNFREEZE issuer @order 6");
    done(&mut world, "m: FREEZE issuer 750 @order 7");
    assert_eq!(refused(&mut world, &format!("n: {pay}")), "REJECTED INSUFFICIENT_BALANCE");
    done(&mut world, "d: CLAIM INTEREST 2026-04-02 alice");
}

#[test]
fn what_a_confiscated_holding_had_at_a_snapshot_is_paid_to_nobody() {
    let mut world = opened();
    done(&mut world, "f: CONFISCATE alice state @order 1");
    assert_eq!(refused(&mut world, "a: CLAIM INTEREST 2026-04-02 alice"), "REJECTED HOLDING_BLOCKED");
    assert_eq!(refused(&mut world, "b: CLAIM INTEREST 2026-04-02 state"), "REJECTED NOTHING_DUE");
    assert_eq!(units(&world, "state"), 100);
}

#[test]
fn only_the_issuer_asks_for_corporate_actions() {
    let mut world = opened();
    for (n, line) in [
        "SNAPSHOT 2026-05-31",
        "INTEREST 2026-05-02 2026-03-31 issuer rate 0.1",
        "PRINCIPAL 2026-05-02 2026-03-31 issuer rate 0.1",
        "CLAIM INTEREST 2026-04-02 alice",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            refused(&mut world, &format!("x{n}: {line} @tenant other")),
            "REJECTED NOT_ISSUER",
            "{line}"
        );
    }
}

#[test]
fn every_corporate_action_is_undone_to_what_was_before_it() {
    let mut world = told("", &[]);
    for line in [
        "s: SNAPSHOT 2026-03-31",
        "p: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1",
        "q: PRINCIPAL 2026-04-02 2026-03-31 issuer amount 99",
        "c: CLAIM INTEREST 2026-04-02 alice",
        "t: TRANSFER alice bob 30",
    ] {
        let before = content(&world);
        done(&mut world, line);
        let key = &line[..1];
        let batch = undo(&mut world, &format!("undo-{key}"), key);
        assert_eq!(batch.kind(), EntryKind::Revert, "{line}: {:?}", batch.body.outcomes);
        assert_eq!(content(&world), before, "{line}");
        done(&mut world, &format!("again-{line}"));
    }
    // It was undone, so it is due again; and undone in one entry with what came before it there.
    let before = content(&world);
    entry(
        &mut world,
        &["d: CLAIM INTEREST 2026-04-02 bob", "e: CLAIM PRINCIPAL 2026-04-02 bob", "f: TRANSFER bob dave 1"],
    );
    for key in ["f", "e", "d"] {
        assert_eq!(undo(&mut world, &format!("undo-{key}"), key).kind(), EntryKind::Revert, "{key}");
    }
    assert_eq!(content(&world), before);
}

#[test]
fn a_move_behind_a_snapshot_of_its_entry_is_undone_with_what_was_kept_for_it() {
    let mut world = told("", &[]);
    entry(
        &mut world,
        &[
            "s: SNAPSHOT 2026-03-31",
            "t: TRANSFER alice bob 1",
            "u: TRANSFER alice carol 2",
            "v: TRANSFER issuer carol 5",
        ],
    );
    let kept = |world: &World| {
        ["alice", "bob", "carol", "issuer"].map(|account| {
            let holding = world.holding("bond:a", account);
            (holding.balance.units(), holding.held_at(1).units(), holding.snapshots.len())
        })
    };
    assert_eq!(kept(&world), [(97, 100, 1), (51, 50, 1), (7, 0, 1), (845, 850, 1)]);
    assert_eq!(undo(&mut world, "undo-v", "v").kind(), EntryKind::Revert);
    assert_eq!(kept(&world), [(97, 100, 1), (51, 50, 1), (2, 0, 1), (850, 850, 0)]);
    assert_eq!(undo(&mut world, "undo-u", "u").kind(), EntryKind::Revert);
    assert_eq!(kept(&world), [(99, 100, 1), (51, 50, 1), (0, 0, 0), (850, 850, 0)]);
    assert_eq!(undo(&mut world, "undo-t", "t").kind(), EntryKind::Revert);
    assert_eq!(kept(&world), [(100, 100, 0), (50, 50, 0), (0, 0, 0), (850, 850, 0)]);
    assert_eq!(undo(&mut world, "undo-s", "s").kind(), EntryKind::Revert);
    assert_eq!(world.asset("bond:a").expect("registered").snapshots, 0);
    done(&mut world, "w: SNAPSHOT 2026-03-31");
}

#[test]
fn what_others_rest_on_is_not_undone() {
    let mut world = opened();
    done(&mut world, "c: CLAIM INTEREST 2026-04-02 alice");
    done(&mut world, "d: CLAIM INTEREST 2026-04-02 bob");
    for (key, dependents) in [("s", 3), ("p", 2), ("c", 1)] {
        let batch = undo(&mut world, &format!("undo-{key}"), key);
        assert_eq!(verdict(&batch.body.outcomes[0]), "REJECTED HAS_DEPENDENTS", "{key}");
        assert_eq!(batch.body.outcomes[0].dependents.len(), dependents, "{key}");
    }
    done(&mut world, "f: FREEZE bob 55 @order 1");
    let batch = undo(&mut world, "undo-d", "d");
    assert_eq!(verdict(&batch.body.outcomes[0]), "REJECTED HAS_DEPENDENTS");
}

#[test]
fn a_transfer_from_before_a_snapshot_that_is_undone_after_it_does_not_count_there() {
    let mut world = told("t: TRANSFER alice bob 40", &["t APPLIED 2"]);
    done(&mut world, "s: SNAPSHOT 2026-03-31");
    done(&mut world, "p: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1");
    assert_eq!(undo(&mut world, "undo-t", "t").kind(), EntryKind::Revert);
    for account in ["alice", "bob", "issuer"] {
        done(&mut world, &format!("c-{account}: CLAIM INTEREST 2026-04-02 {account}"));
    }
    assert_eq!((units(&world, "alice"), units(&world, "bob"), fund(&world)), (110, 55, 0));
    // Once one of the two has claimed, the transfer stays.
    let mut world = told("t: TRANSFER alice bob 40", &["t APPLIED 2"]);
    done(&mut world, "s: SNAPSHOT 2026-03-31");
    done(&mut world, "p: INTEREST 2026-04-02 2026-03-31 issuer rate 0.1");
    done(&mut world, "c: CLAIM INTEREST 2026-04-02 alice");
    let batch = undo(&mut world, "undo-t", "t");
    assert_eq!(verdict(&batch.body.outcomes[0]), "REJECTED HAS_DEPENDENTS");
}

#[test]
fn a_holding_that_comes_and_goes_after_a_snapshot_leaves_nothing_behind() {
    let mut world = opened();
    done(&mut world, "t: TRANSFER alice eve 40");
    assert_eq!(world.holding("bond:a", "eve").snapshots.len(), 1, "it held nothing then");
    done(&mut world, "u: TRANSFER eve alice 40");
    assert!(!world.values.contains_key("holding/bond:a/eve"));
    assert_eq!(world.holding("bond:a", "alice").snapshots, []);
    // One that goes for good is still known by what it held.
    done(&mut world, "v: TRANSFER bob alice 50");
    assert_eq!(world.holding("bond:a", "bob").held_at(1), Amount::new(50));
}

#[test]
fn the_last_thirty_two_snapshots_are_kept_and_older_ones_are_closed() {
    let mut world = opened();
    for n in 1..=31 {
        done(&mut world, &format!("t{n}: TRANSFER alice bob 1"));
        done(&mut world, &format!("s{n}: SNAPSHOT 2026-05-{n:02}"));
    }
    done(&mut world, "c: CLAIM INTEREST 2026-04-02 bob");
    assert_eq!(
        world.holding("bond:a", "bob").balance.units(),
        50 + 31 + 5,
        "for the 50 of the first snapshot"
    );
    done(&mut world, "last: SNAPSHOT 2026-06-01");
    assert_eq!(refused(&mut world, "d: CLAIM INTEREST 2026-04-02 alice"), "REJECTED SNAPSHOT_CLOSED");
    let late = "e: PRINCIPAL 2026-06-02 2026-03-31 issuer amount 9";
    assert_eq!(refused(&mut world, late), "REJECTED SNAPSHOT_CLOSED");
    done(&mut world, "u: TRANSFER alice bob 1");
    // The claim was bob's one change between the last two.
    for (account, kept) in [("alice", 31), ("bob", 32)] {
        let holding = world.holding("bond:a", account);
        assert_eq!(holding.snapshots.len(), kept, "{account}");
        assert_eq!(holding.snapshots[0].snapshot, 2, "{account}");
    }
    done(&mut world, "p2: PRINCIPAL 2026-06-02 2026-05-01 issuer rate 0.1");
    done(&mut world, "c2: CLAIM PRINCIPAL 2026-06-02 alice");
    let mark: ClaimRecord =
        decode(&world.values["event/bond:a/2026-06-02/PRINCIPAL_REPAYMENT/alice"]).expect("a claim");
    assert_eq!(mark.held.units(), 99);
}
