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
