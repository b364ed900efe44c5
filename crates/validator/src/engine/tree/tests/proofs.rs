//! Proofs of real trees as the API gives them, and what becomes of them when somebody meddles.

use common::ids::Shard;
use common::proof::{Leaf, Membership, ProofError, StateProof, key_hash};

use super::*;

/// A state key and what it holds in the end.
type Entry = (String, Option<Vec<u8>>);

/// Keys as the state has them, values by version; some keys are written and removed again.
fn state(size: usize) -> (Tree, Vec<Entry>) {
    let entries: Vec<Entry> = (0..size)
        .map(|n| {
            (format!("holding/bond:US91282CLW90/acct:{n}"), (n % 4 != 3).then(|| n.to_be_bytes().to_vec()))
        })
        .collect();
    let all = entries.iter().map(|(key, _)| (key_hash(key), value_hash(b"first")));
    let tree = Tree::from_leaves(all);
    let writes: Vec<Write> = entries.iter().map(|(key, value)| (key_hash(key), value.clone())).collect();
    (tree.update(&leaf_writes(&writes)).tree, entries)
}

fn proof(tree: &Tree, key: &str, value: Option<&[u8]>) -> StateProof {
    let path = tree.prove(&key_hash(key));
    StateProof::new(Shard::Financial, 12, tree.root(), key.to_owned(), value.map(<[u8]>::to_vec), path)
}

#[test]
fn present_removed_and_unknown_keys_are_proved() {
    for size in [0, 1, 2, 5, 50, 300] {
        let (tree, entries) = state(size);
        for (key, value) in &entries {
            let expected = if value.is_some() { Membership::Present } else { Membership::Absent };
            assert_eq!(proof(&tree, key, value.as_deref()).verify(), Ok(expected), "{key} of {size}");
        }
        for n in 0..50 {
            assert_eq!(proof(&tree, &format!("asset/bond:{n}"), None).verify(), Ok(Membership::Absent));
        }
    }
}

#[test]
fn both_kinds_of_absence_occur_and_a_proof_of_one_is_none_of_the_other() {
    let (tree, _) = state(50);
    let (mut empty, mut foreign) = (0, 0);
    for n in 0..200 {
        let mut proof = proof(&tree, &format!("asset/bond:{n}"), None);
        match proof.leaf.take() {
            None => {
                empty += 1;
                proof.leaf = Some(Leaf { key_hash: Digest([0xaa; 32]), value_hash: Digest([1; 32]) });
            }
            Some(_) => foreign += 1,
        }
        assert!(proof.verify().is_err());
    }
    assert!(empty > 10 && foreign > 10, "{empty} empty, {foreign} foreign");
}

#[test]
fn a_proof_with_any_part_changed_is_refused_for_that_part() {
    let (tree, entries) = state(300);
    for (key, value) in entries.iter().take(40) {
        let good = proof(&tree, key, value.as_deref());
        let count = good.siblings.len();
        let root = |proof: StateProof| {
            assert!(matches!(proof.verify(), Err(ProofError::Root { .. })), "{proof:?}");
        };
        for place in 0..count {
            let mut bad = good.clone();
            bad.siblings[place].0[place % 32] ^= 1;
            root(bad);
        }
        root(StateProof { siblings: good.siblings[1..].to_vec(), ..good.clone() });
        root(StateProof { siblings: good.siblings[..count - 1].to_vec(), ..good.clone() });
        root(StateProof { root: Tree::new().root(), ..good.clone() });

        let outside = StateProof { key: "asset/bond:outside".into(), ..good.clone() };
        assert!(matches!(outside.verify(), Err(ProofError::KeyHash { .. })));
        let mut rehashed = outside;
        rehashed.key_hash = key_hash(&rehashed.key);
        let error = rehashed.verify().expect_err("another key's path");
        match value {
            Some(_) => assert!(matches!(error, ProofError::LeafKeyHash { .. })),
            None => assert!(matches!(error, ProofError::LeafOffPath { .. } | ProofError::Root { .. })),
        }
        let mut other_value = good.clone();
        other_value.value = Some(b"other".to_vec());
        assert!(matches!(other_value.verify(), Err(ProofError::ValueHash { .. })));
        other_value.value_hash = Some(value_hash(b"other"));
        let error = other_value.verify().expect_err("another value");
        assert!(matches!(
            error,
            ProofError::LeafValueHash { .. } | ProofError::LeafMissing | ProofError::LeafKeyHash { .. }
        ));
    }
}

#[test]
fn a_proof_holds_under_its_own_version_only() {
    let (tree, entries) = state(50);
    let (key, value) = &entries[0];
    let next = tree.update(&leaf_writes(&[(key_hash(&entries[1].0), Some(b"moved".to_vec()))])).tree;
    let old = proof(&tree, key, value.as_deref());
    assert_eq!(old.verify(), Ok(Membership::Present));
    let moved = StateProof { root: next.root(), ..old };
    assert!(matches!(moved.verify(), Err(ProofError::Root { .. })));
}
