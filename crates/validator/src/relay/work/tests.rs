use std::collections::BTreeSet;

use common::ids::AssetId;
use common::targets::Tier;

use super::*;

fn target(name: &str, kind: TargetKind) -> Target {
    let evm = kind == TargetKind::Evm;
    Target {
        name: name.parse().expect("name"),
        kind,
        chain_id: evm.then_some(8453),
        contract: evm.then_some(common::bridge::Address([3; 20])),
        tier: evm.then_some(Tier::Finalized),
        set_id: evm.then_some(4),
        retired: false,
    }
}

fn asset(n: usize) -> AssetId {
    format!("bond:A{n}").parse().expect("asset id")
}

/// `count` updates, every second one for `other` only.
fn work(count: usize) -> Work {
    let update = |n: usize| {
        let (name, from) = if n.is_multiple_of(2) { ("base", 3) } else { ("other", 0) };
        AssetUpdate {
            asset: asset(n),
            version: 9,
            state_hash: Digest::of(&[b"state", &n.to_be_bytes()]),
            from: BTreeMap::from([(name.parse().expect("name"), from)]),
        }
    };
    let updates = (0..count).map(update).collect();
    Work { shard: Shard::Gaming, seq: 12, root: Digest::of(&[b"root"]), updates, traces: BTreeMap::new() }
}

fn body_for(work: &Work, target: &Target) -> Option<OutBody> {
    let signer = Signer::from_secret(&[9; 32]).expect("secret");
    let bytes = work.for_target(&Address::of(target), &signer).expect("signs")?;
    Some(serde_json::from_slice(&bytes).expect("an OutBody"))
}

#[test]
fn an_entry_without_an_update_for_the_target_is_nothing_for_it() {
    assert_eq!(body_for(&work(1), &target("other", TargetKind::Null)), None);
    assert_eq!(body_for(&work(0), &target("base", TargetKind::Null)), None);
}

#[test]
fn only_updates_that_name_the_target_leave_in_key_order_in_parts_of_at_most_fifty() {
    let body = body_for(&work(202), &target("base", TargetKind::Evm)).expect("work for base");
    assert_eq!((body.shard, body.seq, body.root), (Shard::Gaming, 12, Digest::of(&[b"root"])));
    let sizes: Vec<usize> = body.parts.iter().map(|part| part.updates.len()).collect();
    assert_eq!(sizes, [50, 50, 1]);
    let assets: Vec<Digest> =
        body.parts.iter().flat_map(|part| &part.updates).map(|update| update.asset).collect();
    let expected: BTreeSet<Digest> = (0..202).step_by(2).map(|n| key_hash(&asset_key(&asset(n)))).collect();
    assert!(assets.iter().eq(expected.iter()), "each once, ascending");
    for (place, part) in (0..).zip(&body.parts) {
        let Header { shard, seq, part: number, parts, set_id, updates_hash: hash, state_root } = part.header;
        assert_eq!((shard, seq, number, parts, set_id), (1, 12, place, 3, 4));
        assert_eq!((hash, state_root), (updates_hash(&part.updates), body.root));
        assert!(part.updates.iter().all(|update| update.from == 3 && update.version == 9));
    }
}

#[test]
fn evm_parts_are_signed_over_their_own_domain_and_null_parts_are_not_signed() {
    let evm = target("base", TargetKind::Evm);
    let body = body_for(&work(1), &evm).expect("work");
    let signer = Signer::from_secret(&[9; 32]).expect("secret");
    let digest = Domain::new(8453, common::bridge::Address([3; 20])).digest(&body.parts[0].header);
    let expected = hex::encode_prefixed(signer.sign(&digest).expect("signs").0);
    assert_eq!(body.parts[0].sig.as_deref(), Some(expected.as_str()));
    let null = body_for(&work(1), &target("base", TargetKind::Null)).expect("work");
    assert_eq!((null.parts[0].sig.as_deref(), null.parts[0].header.set_id), (None, 0));
}

#[test]
fn the_bytes_for_a_target_are_the_same_every_time() {
    let signer = Signer::from_secret(&[9; 32]).expect("secret");
    let address = Address::of(&target("base", TargetKind::Evm));
    let once = work(60).for_target(&address, &signer).expect("signs");
    assert_eq!(once, work(60).for_target(&address, &signer).expect("signs"));
}

#[test]
fn the_traces_of_an_entry_are_its_messages_by_request_and_bounded() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let input = |s, rid: Rid, traceparent: &str| {
        // As the collector writes it: further members around it, none of them read.
        let text =
            format!(r#"{{"v":1,"msg":"COLLECTED","rid":"{rid}"{traceparent},"request":{{"asset":1}}}}"#);
        let m = serde_json::value::RawValue::from_string(text).expect("JSON");
        common::entry::Input { s, id: "1-0".to_owned(), m }
    };
    let traced = format!(r#","traceparent":"{trace}""#);
    let rids: Vec<Rid> = (0..20).map(|_| Rid::fresh(Shard::Gaming)).collect();
    let body = |inputs| Body {
        shard: Shard::Gaming,
        seq: 12,
        epoch: 1,
        node: "validator-1".to_owned(),
        kind: common::entry::EntryKind::Batch,
        time_ms: 1,
        ruleset: 1,
        inputs,
        outcomes: Vec::new(),
        updates: Vec::new(),
        root: Digest::ZERO,
        aux: Digest::ZERO,
    };
    let found = traces(&body(vec![
        input(InputStream::In, rids[0], &traced),
        input(InputStream::In, rids[1], ""),
        input(InputStream::Receipts, rids[2], &traced),
        input(InputStream::Inx, rids[3], &traced),
    ]));
    let expected = [rids[0], rids[3]].map(|rid| (rid.to_string(), trace.to_owned()));
    assert_eq!(found, expected.into());
    let many = rids.iter().map(|rid| input(InputStream::In, *rid, &traced)).collect();
    assert_eq!(traces(&body(many)).len(), TRACES_MAX);
}
