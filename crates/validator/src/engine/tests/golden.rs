//! Golden vectors of `docs/formats.md`: record layouts, history hash, aux, and the first entries of a log.

use std::collections::{BTreeMap, BTreeSet};

use borsh::BorshSerialize;
use common::amount::Amount;
use common::entry::{Entry, InputStream};
use common::hash::Digest;
use common::message::{Body, Receipt};
use common::request::Document;
use common::state::{
    AssetRecord, AssetStatus, ClaimRecord, Held, HoldingRecord, Lot, PaymentRecord, RegulatoryState,
    SnapshotRecord, UsedRecord,
};
use common::status::Delivery;
use serde_json::json;

use super::world::{World, bond, collected, parse, raw, rid};
use crate::engine::waiting::{Cause, Holder, LockRow, Queued, Waiter};
use crate::engine::{Decision, Deliveries, Withdrawal, commit};

fn hex_of(record: &impl BorshSerialize) -> String {
    hex::encode(borsh::to_vec(record).expect("borsh"))
}

fn asset() -> AssetRecord {
    let document = Document {
        sha256: Digest([0x11; 32]),
        uri: "https://x/a".to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: 3,
    };
    AssetRecord {
        class: "bond".to_owned(),
        issuer: "acme".to_owned(),
        decimals: 2,
        supply: Amount::new(100),
        status: AssetStatus::Active,
        chains: vec!["base".to_owned(), "op".to_owned()],
        terms: [("coupon".to_owned(), "4.25".to_owned())].into(),
        documents: [("a".to_owned(), document)].into(),
        version: 7,
        history_hash: Digest([0x22; 32]),
        former_chains: [].into(),
        snapshots: 0,
    }
}

/// One that was applied and is on its targets.
fn decision() -> Decision {
    Decision {
        tenant: "acme".to_owned(),
        fp: Digest([0x33; 32]),
        seq: 9,
        outcome: "APPLIED".to_owned(),
        code: None,
        delivered: Some("completed".to_owned()),
        reverted: None,
    }
}

fn holding() -> HoldingRecord {
    HoldingRecord {
        balance: Amount::new(100),
        frozen: Amount::new(1),
        lots: vec![Lot { acquired_ms: 5, amount: Amount::new(99) }],
        state: RegulatoryState::Active,
        snapshots: vec![],
    }
}

#[test]
fn the_state_of_a_holding_is_behind_it_and_active_is_not_written() {
    let active = borsh::to_vec(&holding()).expect("borsh");
    for (state, byte) in [
        (RegulatoryState::Frozen, 2),
        (RegulatoryState::Seized, 3),
        (RegulatoryState::Restricted, 4),
        (RegulatoryState::Confiscated, 5),
    ] {
        let record = HoldingRecord { state, ..holding() };
        let bytes = borsh::to_vec(&record).expect("borsh");
        assert_eq!(bytes, [active.as_slice(), &[byte]].concat());
        assert_eq!(common::state::decode::<HoldingRecord>(&bytes).expect("reads"), record);
    }
    assert_eq!(common::state::decode::<HoldingRecord>(&active).expect("reads"), holding());
    // One record has one form, and 1 is a withdrawn asset.
    for byte in [0, 1, 6] {
        assert!(
            common::state::decode::<HoldingRecord>(&[active.as_slice(), &[byte]].concat()).is_err(),
            "{byte}"
        );
    }
}

#[test]
fn records_have_the_documented_bytes() {
    let holding = holding();
    let rid = *rid("demo-1", "acme").as_bytes();
    let used = UsedRecord { rid, seq: 9 };
    let decision = decision();
    let waited: BTreeSet<String> = ["op".to_owned()].into();
    let deliveries = Deliveries { open: waited.clone(), waiting: BTreeMap::from([(rid, waited)]) };
    assert_eq!(
        hex_of(&asset()),
        concat!(
            "04000000626f6e640400000061636d6502640000000000000000000000000000000002000000040000006261",
            "7365020000006f700100000006000000636f75706f6e04000000342e32350100000001000000611111111111",
            "1111111111111111111111111111111111111111111111111111110b00000068747470733a2f2f782f610a00",
            "0000746578742f706c61696e0300000000000000070000000000000022222222222222222222222222222222",
            "22222222222222222222222222222222",
        )
    );
    assert_eq!(
        hex_of(&holding),
        concat!(
            "6400000000000000000000000000000001000000000000000000000000000000010000000500000000000000",
            "63000000000000000000000000000000",
        )
    );
    assert_eq!(hex_of(&used), "bf70c58218e48359aee59cb4d6f46e000900000000000000");
    assert_eq!(
        hex_of(&decision),
        concat!(
            "0400000061636d65333333333333333333333333333333333333333333333333333333333333333309000000",
            "00000000070000004150504c494544000109000000636f6d706c65746564",
        )
    );
    assert_eq!(
        hex_of(&deliveries),
        "01000000020000006f7001000000bf70c58218e48359aee59cb4d6f46e0001000000020000006f70"
    );
}

#[test]
fn the_chains_that_an_asset_has_left_are_behind_its_record_and_no_other_form_is_read() {
    let staying = borsh::to_vec(&asset()).expect("borsh");
    let former = AssetRecord { former_chains: [("arb".to_owned(), 4)].into(), ..asset() };
    let bytes = borsh::to_vec(&former).expect("borsh");
    let (record, behind) = bytes.split_at(staying.len());
    assert_eq!(record, staying);
    assert_eq!(hex::encode(behind), "01000000030000006172620400000000000000");
    assert_eq!(common::state::decode::<AssetRecord>(&bytes).expect("reads"), former);
    assert_eq!(common::state::decode::<AssetRecord>(&staying).expect("reads"), asset());
    for tail in [&[0][..], &[0, 0, 0, 0], &behind[..behind.len() - 1], &[behind, &[0]].concat()] {
        let bytes = [&staying, tail].concat();
        assert!(common::state::decode::<AssetRecord>(&bytes).is_err(), "{tail:?}");
    }
}

#[test]
fn a_decision_that_was_undone_names_the_entry() {
    let reverted = Decision {
        outcome: "REVERTED".to_owned(),
        code: Some("ROLLED_BACK".to_owned()),
        delivered: None,
        reverted: Some(12),
        ..decision()
    };
    assert_eq!(
        hex_of(&reverted),
        concat!(
            "0400000061636d65333333333333333333333333333333333333333333333333333333333333333309000000",
            "000000000800000052455645525445440",
            "10b000000524f4c4c45445f4241434b000c00000000000000",
        )
    );
    assert_eq!(
        borsh::from_slice::<Decision>(&borsh::to_vec(&reverted).expect("borsh")).expect("reads"),
        reverted
    );
}

#[test]
fn a_withdrawal_has_the_documented_bytes() {
    let withdrawal = Withdrawal {
        source: "chain".to_owned(),
        identity: Some("eip155:1/0xab/0".to_owned()),
        block: 3,
        block_hash: Digest([0x44; 32]),
        pointer: "/event_sources/0".to_owned(),
        seq: 9,
        time_ms: 5,
    };
    assert_eq!(
        hex_of(&withdrawal),
        concat!(
            "05000000636861696e010f0000006569703135353a312f307861622f30030000000000000044444444444444",
            "44444444444444444444444444444444444444444444444444100000002f6576656e745f736f75726365732f",
            "3009000000000000000500000000000000",
        )
    );
}

#[test]
fn a_history_hash_is_of_the_changes_with_their_values() {
    let request = parse(&bond(&json!([{"kind": "MINT", "to": "alice", "amount": "100"}])));
    let json = serde_json::to_string(&request.state_changes).expect("json");
    assert_eq!(json, r#"[{"kind":"MINT","to":"alice","amount":"100"}]"#);
    let hash = commit::history_hash(Digest::ZERO, &request.state_changes);
    assert_eq!(hash, Digest::of(&[&[0; 32], &Digest::of(&[json.as_bytes()]).0]));
    let undone = super::super::revert::history_hash(
        Digest::ZERO,
        "bf70c582-18e4-8359-aee5-9cb4d6f46e00".parse().expect("a rid"),
    );
    assert_eq!(undone.to_string(), "0x171a6df208f0240c5cbd9f11f41e87150deb3f33a2a9997ca16159d3d0ef6749");
    assert_eq!(hash.to_string(), "0x62ab5346627344c7d0b99fe30aa140928f47be7e48efc57c6f13c613d94899bd");
}

#[test]
fn the_first_entries_of_a_log_have_these_digests() {
    let mut world = World::with_bond();
    let change = json!([{"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": "30"}]);
    world.commit_in(vec![collected("t", &bond(&change), vec![])]);
    let receipt =
        Receipt { seq: 3, target: "op".parse().expect("name"), status: Delivery::Final, parts: vec![] };
    world.commit(vec![raw(InputStream::Receipts, Body::Receipt(receipt))]);
    let mut prev = Digest::ZERO;
    let mut told = Vec::new();
    for body in &world.log {
        let entry = Entry::seal(prev, body);
        prev = entry.digest;
        told.push([body.root, body.aux, entry.digest].map(|digest| digest.to_string()));
    }
    // Root, aux, digest of each entry.
    let expected = [
        [
            "0x5350415253455f4d45524b4c455f504c414345484f4c4445525f484153485f5f",
            "0x8abb3a2921e867b64182f8abdf19bc95eca41c0de6b252eb8e07d5d4055f4c31",
            "0xdf2ea031dc6e1b3eb4a6263b1fde23b9f7191e8f0e29df073e353f80042869ec",
        ],
        [
            "0x917d91e10824f058a7c6e029d7089076e9f9151117ce95dcf5938bc800a579ff",
            "0x76fba6390248a121eb3fe95ad9711123c0c6eba9046cd95866436576a007ba3f",
            "0xbe3bd1598b5749296d849fbc06ee04f3f3eb14ae0d1f493766bda072bbd4c5a0",
        ],
        [
            "0x77a4d225c5788e6c45b35cf38b40c98c9c1ac62e37a8e92bea67027bf3618682",
            "0x60074cc20dd11960218a34606c6c8f6e6ce8332677592120f3fcc35ec4eae809",
            "0x64b71c0b4c77c2d51b5bdb4ec8c225f09bccf21113603ff23329965f50dd07a3",
        ],
        [
            "0x77a4d225c5788e6c45b35cf38b40c98c9c1ac62e37a8e92bea67027bf3618682",
            "0x185dff23aaac224a20dbca76c9347173a8d02b48cac1079f34dfda355b98b96f",
            "0x999d2a3615ade381b9a462c9ddfdc04470f8255811ccfd9e04537330b7da91c3",
        ],
    ];
    assert_eq!(told, expected);
}

#[test]
fn locks_and_waiters_have_the_documented_bytes() {
    let rid = [0xaa; 16];
    let held = Holder {
        rid,
        tenant: "acme".to_owned(),
        reason: "a notary".to_owned(),
        since: 9,
        since_ms: 5,
        until_ms: 6,
    };
    let row = LockRow { held: Some(held), queue: vec![Queued { rid: [0xbb; 16], is_order: true }] };
    let waiter = Waiter {
        tenant: "acme".to_owned(),
        fp: Digest([0x33; 32]),
        asset: "bond:a".to_owned(),
        is_order: false,
        id: "1-0".to_owned(),
        message: b"{}".to_vec(),
        since: 9,
        since_ms: 5,
        deadline_ms: 7,
        cause: Cause::Lock { until_ms: 6 },
    };
    let awaits = Waiter { cause: Cause::Dependency { rid }, ..waiter.clone() };
    assert_eq!(
        hex_of(&row),
        concat!(
            "01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0400000061636d650800000061206e6f7461727909000000000000",
            "000500000000000000060000000000000001000000bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb01",
        )
    );
    let start = concat!(
        "0400000061636d65333333333333333333333333333333333333333333333333333333333333333306000000",
        "626f6e643a610003000000312d30020000007b7d090000000000000005000000000000000700000000000000",
    );
    assert_eq!(hex_of(&waiter), format!("{start}000600000000000000"));
    assert_eq!(hex_of(&awaits), format!("{start}01{}", "aa".repeat(16)));
}

fn payment() -> PaymentRecord {
    PaymentRecord {
        snapshot: 2,
        supply: Amount::new(1000),
        cash_asset: "bond:a".to_owned(),
        rate: Some("0.0425".parse().expect("a rate")),
        funded: Amount::new(42),
        paid: Amount::new(4),
    }
}

#[test]
fn the_records_of_corporate_actions_have_the_documented_bytes() {
    let snapshot = SnapshotRecord { number: 2, supply: Amount::new(1000) };
    let claim = ClaimRecord { held: Amount::new(100), amount: Amount::new(4) };
    let in_proportion = PaymentRecord { rate: None, ..payment() };
    assert_eq!(hex_of(&snapshot), "0200000000000000e8030000000000000000000000000000");
    assert_eq!(
        hex_of(&payment()),
        concat!(
            "0200000000000000e803000000000000000000000000000006000000626f6e643a6101a90100000000000000",
            "00000000000000042a00000000000000000000000000000004000000000000000000000000000000",
        )
    );
    assert_eq!(
        hex_of(&in_proportion),
        concat!(
            "0200000000000000e803000000000000000000000000000006000000626f6e643a61002a0000000000000000",
            "0000000000000004000000000000000000000000000000",
        )
    );
    assert_eq!(hex_of(&claim), "6400000000000000000000000000000004000000000000000000000000000000");
}

#[test]
fn what_snapshots_add_to_a_record_is_behind_it_with_the_fields_before_it() {
    let tails =
        |record: &[u8], plain: &[u8]| hex::encode(record.strip_prefix(plain).expect("what came before"));
    let plain = borsh::to_vec(&asset()).expect("borsh");
    let recorded = AssetRecord { snapshots: 2, ..asset() };
    let bytes = borsh::to_vec(&recorded).expect("borsh");
    assert_eq!(tails(&bytes, &plain), "000000000200000000000000");
    assert_eq!(common::state::decode::<AssetRecord>(&bytes).expect("reads"), recorded);
    let left = AssetRecord { former_chains: [("arb".to_owned(), 4)].into(), ..recorded };
    let bytes = borsh::to_vec(&left).expect("borsh");
    assert_eq!(tails(&bytes, &plain), "010000000300000061726204000000000000000200000000000000");
    assert_eq!(common::state::decode::<AssetRecord>(&bytes).expect("reads"), left);
    let zero = [plain.as_slice(), &[0; 12]].concat();
    assert!(common::state::decode::<AssetRecord>(&zero).is_err(), "one record has one form");

    let plain = borsh::to_vec(&holding()).expect("borsh");
    let kept = HoldingRecord { snapshots: vec![Held { snapshot: 2, balance: Amount::new(70) }], ..holding() };
    let bytes = borsh::to_vec(&kept).expect("borsh");
    assert_eq!(
        tails(&bytes, &plain),
        concat!("00", "01000000", "0200000000000000", "46000000000000000000000000000000")
    );
    assert_eq!(common::state::decode::<HoldingRecord>(&bytes).expect("reads"), kept);
    let seized = HoldingRecord { state: RegulatoryState::Seized, ..kept };
    let bytes = borsh::to_vec(&seized).expect("borsh");
    assert_eq!(common::state::decode::<HoldingRecord>(&bytes).expect("reads"), seized);
    for empty in [&[0, 0, 0, 0, 0][..], &[3, 0, 0, 0, 0]] {
        assert!(common::state::decode::<HoldingRecord>(&[&plain, empty].concat()).is_err(), "{empty:?}");
    }
}
