//! Table tests: a few lines of script in, outcomes out.
//!
//! A line is one request: `<key>: <change> | <change> …` with options `@asset <id>`, `@tenant <name>`,
//! `@after <key,…>`, `@version <n>`, `@on <target,…>`, `@order <reference>` (of an authority: it comes on the express stream)
//! behind it; `--` ends an entry. The result lists `<key>
//! <outcome>` in the order of the log, an APPLIED with its version.

use std::collections::BTreeMap;

use common::entry::InputStream;
use common::ids::Rid;
use common::message;
use serde_json::{Map, Value, json};

use super::world::{World, about, parse, raw, rid, verdict};
use crate::engine::RawInput;

fn change(text: &str) -> Value {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["REGISTER", chains] => {
            json!({"kind": "REGISTER", "decimals": 0, "chains": chains.split(',').collect::<Vec<_>>()})
        }
        ["ADD_CHAIN", chain] => json!({"kind": "ADD_CHAIN", "chain": chain}),
        ["MINT", to, amount] => json!({"kind": "MINT", "to": to, "amount": amount}),
        ["BURN", from, amount] => json!({"kind": "BURN", "from": from, "amount": amount}),
        ["TRANSFER", from, to, amount] => {
            json!({"kind": "TRANSFER", "from": from, "to": to, "amount": amount})
        }
        ["SET", key, value] => json!({"kind": "SET_DATA", "terms": {*key: value}}),
        ["SNAPSHOT", date] => json!({"kind": "RECORD_SNAPSHOT", "date": date}),
        ["CLAIM", event, date, account] => {
            json!({"kind": "CLAIM", "event": payment(event), "date": date, "account": account})
        }
        [kind @ ("INTEREST" | "PRINCIPAL"), date, record_date, from, due @ ("rate" | "amount"), figure] => {
            json!({"kind": payment(kind), "date": date, "record_date": record_date, "cash_asset": "bond:a",
                "from": from, *due: figure})
        }
        ["CONFISCATE", account, to] => json!({"kind": "CONFISCATE", "account": account, "to": to}),
        [kind @ ("LIQUIDATE" | "RECOVER"), from, to, amount] => {
            json!({"kind": kind, "from": from, "to": to, "amount": amount})
        }
        [kind @ ("FREEZE" | "UNFREEZE"), account, amount] => {
            json!({"kind": kind, "account": account, "amount": amount})
        }
        [kind, account] => json!({"kind": kind, "account": account}),
        [kind] => json!({ "kind": kind }),
        _ => panic!("not a change: {text}"),
    }
}

fn payment(word: &str) -> &str {
    if word == "INTEREST" { "INTEREST_PAYMENT" } else { "PRINCIPAL_REPAYMENT" }
}

pub(super) fn request(line: &str) -> (String, message::Body) {
    let (key, rest) = line.split_once(':').expect("a key");
    let mut parts = rest.split('@');
    let changes: Vec<Value> = parts.next().unwrap_or_default().split('|').map(change).collect();
    let (mut tenant, mut fields) = ("acme", Map::new());
    fields.insert("asset".to_owned(), json!({"id": "bond:a"}));
    fields.insert("state_changes".to_owned(), Value::Array(changes));
    for option in parts {
        let (name, value) = option.trim().split_once(' ').expect("an option");
        let list = || value.split(',').collect::<Vec<_>>();
        match name {
            "asset" => drop(fields.insert("asset".to_owned(), json!({"id": value}))),
            "tenant" => tenant = value,
            "after" => {
                let rids: Vec<String> = list().iter().map(|key| rid(key, "acme").to_string()).collect();
                fields.insert("depends_on".to_owned(), json!(rids));
            }
            "version" => {
                fields.insert("expected_version".to_owned(), json!(value.parse::<u64>().expect("number")));
            }
            "on" => drop(fields.insert("target_chains".to_owned(), json!(list()))),
            "order" => drop(fields.insert("authority".to_owned(), json!({"id": "sec", "order": value}))),
            _ => panic!("not an option: {option}"),
        }
    }
    let request = parse(&Value::Object(fields));
    let about = about(key, tenant, &request);
    (key.to_owned(), message::Body::Collected { about, request: Box::new(request), observations: vec![] })
}

/// A request where it comes in.
pub(super) fn input(line: &str) -> RawInput {
    let (_, body) = request(line);
    let message::Body::Collected { request, .. } = &body else { panic!("a request") };
    raw(if request.is_regulatory() { InputStream::Inx } else { InputStream::In }, body)
}

/// Runs a script and gives its outcomes, and the world after it.
fn run(script: &str) -> (Vec<String>, World) {
    let mut world = World::new();
    let mut keys: BTreeMap<Rid, String> = BTreeMap::new();
    let mut results = Vec::new();
    for entry in script.split("--") {
        let lines = entry.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut inputs = Vec::new();
        for line in lines {
            let (key, body) = request(line);
            if let message::Body::Collected { about, .. } = &body {
                keys.insert(about.rid, key);
            }
            inputs.push(input(line));
        }
        let batch = world.commit(inputs);
        results.extend(batch.body.outcomes.iter().map(|o| format!("{} {}", keys[&o.rid], verdict(o))));
    }
    (results, world)
}

pub(super) fn check(script: &str, expected: &[&str]) -> World {
    let (results, world) = run(script);
    assert_eq!(results, expected, "{script}");
    world
}

#[test]
fn an_asset_lives_from_registration_to_burn() {
    let world = check(
        "r: REGISTER base,op
         m: MINT alice 100
         t: TRANSFER alice bob 30
         --
         b: BURN alice 70
         s: SET coupon 4.25
         c: ADD_CHAIN arb",
        &["r APPLIED 1", "m APPLIED 2", "t APPLIED 3", "b APPLIED 4", "s APPLIED 5", "c APPLIED 6"],
    );
    let asset = world.asset("bond:a").expect("registered");
    assert_eq!((asset.supply.units(), asset.version), (30, 6));
    assert_eq!(asset.chains, ["arb", "base", "op"]);
    assert_eq!(asset.terms["coupon"], "4.25");
    assert_eq!(world.balance("bond:a", "bob").units(), 30);
    // An empty holding has no leaf.
    assert!(!world.values.contains_key("holding/bond:a/alice"));
}

#[test]
fn requests_of_one_entry_see_each_other_in_order_of_arrival() {
    check(
        "r: REGISTER base
         t: TRANSFER alice bob 5
         m: MINT alice 5
         u: TRANSFER alice bob 5
         v: TRANSFER alice bob 5",
        &[
            "r APPLIED 1",
            "t REJECTED INSUFFICIENT_BALANCE",
            "m APPLIED 2",
            "u APPLIED 3",
            "v REJECTED INSUFFICIENT_BALANCE",
        ],
    );
}

#[test]
fn a_dependency_of_the_same_entry_goes_first() {
    check(
        "r: REGISTER base
         t: TRANSFER alice bob 5 @after m
         m: MINT alice 5",
        &["r APPLIED 1", "m APPLIED 2", "t APPLIED 3"],
    );
}

#[test]
fn a_dependency_must_have_been_applied() {
    check(
        "r: REGISTER base
         m: MINT alice 5 @after never
         n: MINT alice 5 @after bad
         bad: BURN alice 5
         --
         o: MINT alice 5 @after r
         p: MINT alice 5 @after bad
         q: MINT alice 5 @after p",
        &[
            "r APPLIED 1",
            "m HELD DEPENDENCY_PENDING",
            "bad REJECTED INSUFFICIENT_BALANCE",
            "n REJECTED DEPENDENCY_REJECTED",
            "o APPLIED 2",
            "p REJECTED DEPENDENCY_REJECTED",
            "q REJECTED DEPENDENCY_REJECTED",
        ],
    );
}

#[test]
fn a_request_of_another_tenant_is_no_dependency_and_nothing_is_told_of_it() {
    check(
        "r: REGISTER base
         x: REGISTER base @asset bond:x @tenant other
         y: MINT bob 1 @asset bond:x @tenant other @after r
         --
         z: MINT bob 1 @asset bond:x @tenant other @after r
         bad: BURN alice 5
         --
         w: MINT bob 1 @asset bond:x @tenant other @after bad
         own: MINT alice 5 @after r",
        &[
            "r APPLIED 1",
            "x APPLIED 1",
            "y HELD DEPENDENCY_PENDING",
            "z HELD DEPENDENCY_PENDING",
            "bad REJECTED INSUFFICIENT_BALANCE",
            "w HELD DEPENDENCY_PENDING",
            "own APPLIED 2",
        ],
    );
}

#[test]
fn a_cycle_rejects_its_youngest_member_and_what_hangs_on_it() {
    check(
        "r: REGISTER base
         a: MINT alice 1 @after b
         b: MINT alice 1 @after c
         c: MINT alice 1 @after a
         d: MINT alice 1 @after d
         e: MINT alice 1",
        &[
            "r APPLIED 1",
            "e APPLIED 2",
            "d REJECTED ORDERING_CYCLE",
            "c REJECTED ORDERING_CYCLE",
            "b REJECTED DEPENDENCY_REJECTED",
            "a REJECTED DEPENDENCY_REJECTED",
        ],
    );
}

#[test]
fn an_expected_version_counts_the_requests_before_it_in_the_same_entry() {
    check(
        "r: REGISTER base @version 0
         m: MINT alice 9 @version 1
         x: MINT alice 9 @version 1
         t: TRANSFER alice bob 1
         u: TRANSFER alice bob 1 @version 3
         --
         v: TRANSFER alice bob 1 @version 4
         w: TRANSFER alice bob 1 @version 4",
        &[
            "r APPLIED 1",
            "m APPLIED 2",
            "x REJECTED VERSION_MISMATCH",
            "t APPLIED 3",
            "u APPLIED 4",
            "v APPLIED 5",
            "w REJECTED VERSION_MISMATCH",
        ],
    );
}

#[test]
fn nothing_leaks_from_a_request_whose_last_change_fails() {
    let whole = "r: REGISTER base | MINT alice 10
                 m: MINT bob 5 | SET a b | ADD_CHAIN op | TRANSFER alice bob 10 | BURN bob 99
                 t: TRANSFER alice bob 10";
    let without = "r: REGISTER base | MINT alice 10
                   t: TRANSFER alice bob 10";
    let (results, world) = run(whole);
    assert_eq!(results, ["r APPLIED 1", "m REJECTED INSUFFICIENT_BALANCE", "t APPLIED 2"]);
    let (_, clean) = run(without);
    assert_eq!(world.values, clean.values);
    assert_eq!(world.engine.position().root, clean.engine.position().root);
}

#[test]
fn only_the_tenant_that_registered_an_asset_changes_it() {
    check(
        "r: REGISTER base
         m: MINT alice 1 @tenant other
         r2: REGISTER base @tenant other",
        &["r APPLIED 1", "m REJECTED NOT_ISSUER", "r2 REJECTED NOT_ISSUER"],
    );
}

#[test]
fn an_update_expects_the_version_before_the_entry_and_nothing_of_a_new_chain() {
    let mut world =
        check("r: REGISTER base | MINT alice 5\nt: TRANSFER alice bob 1", &["r APPLIED 1", "t APPLIED 2"]);
    let update = &world.log[1].updates[0];
    assert_eq!((update.version, update.from.clone()), (2, [("base".parse().expect("name"), 0)].into()));

    let inputs = ["u: TRANSFER alice bob 1", "c: ADD_CHAIN op", "v: TRANSFER alice bob 1"];
    let batch = world.commit(inputs.iter().map(|line| raw(InputStream::In, request(line).1)).collect());
    let [update] = batch.body.updates.as_slice() else { panic!("one update per asset and entry") };
    assert_eq!(update.version, 5);
    let expected = [("base".parse().expect("name"), 2), ("op".parse().expect("name"), 0)];
    assert_eq!(update.from, expected.into());
    let stored = common::proof::value_hash(&world.values["asset/bond:a"]);
    assert_eq!(update.state_hash, stored);
}

#[test]
fn an_entry_of_rejections_changes_nothing_but_aux() {
    let mut world = World::with_bond();
    let (root, aux) = (world.engine.position().root, world.engine.position().aux);
    let batch = world.commit(vec![raw(InputStream::In, request("x: BURN bob 1").1)]);
    assert!(batch.body.updates.is_empty() && batch.changes.values.is_empty());
    assert_eq!(batch.body.root, root);
    assert_ne!(batch.body.aux, aux);
}
