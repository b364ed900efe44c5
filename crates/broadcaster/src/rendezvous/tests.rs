use std::collections::BTreeMap;

use common::ids::{Name, Shard};

use super::owner;

fn lanes() -> Vec<(Shard, Name)> {
    let names = (0..25).map(|n| format!("chain-{n}").parse::<Name>().expect("well formed"));
    names.flat_map(|name| Shard::ALL.map(|shard| (shard, name.clone()))).collect()
}

#[test]
fn nobody_drives_without_members() {
    assert_eq!(owner([], Shard::Gaming, &"base".parse().expect("well formed")), None);
}

#[test]
fn the_order_of_members_does_not_matter() {
    for (shard, target) in lanes() {
        assert_eq!(owner(["a", "b", "c"], shard, &target), owner(["c", "a", "b"], shard, &target));
    }
}

#[test]
fn lanes_spread_over_all_members() {
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    for (shard, target) in lanes() {
        *shares.entry(owner(["a", "b", "c", "d"], shard, &target).expect("members")).or_default() += 1;
    }
    assert_eq!(shares.len(), 4);
    assert!(shares.values().all(|share| (10..=40).contains(share)), "100 lanes over 4: {shares:?}");
}

#[test]
fn only_the_lanes_of_a_member_that_leaves_move() {
    for (shard, target) in lanes() {
        let before = owner(["a", "b", "c"], shard, &target);
        let after = owner(["a", "c"], shard, &target);
        if before != Some("b") {
            assert_eq!(before, after);
        }
    }
}
