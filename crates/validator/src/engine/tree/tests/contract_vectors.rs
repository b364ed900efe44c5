//! The vectors that the contracts' own tests check `proveState` with: the same tree, paths and answers here.

use common::proof::{Leaf, Membership, MerklePath, key_hash};
use serde::Deserialize;

use super::{Digest, Tree, value_hash};

#[derive(Deserialize)]
struct Vectors {
    leaves: Vec<VectorLeaf>,
    root: Digest,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VectorLeaf {
    key: String,
    value: String,
    key_hash: Digest,
    value_hash: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    /// `present`, `absent` or `invalid`.
    expect: String,
    root: Digest,
    key: String,
    key_hash: Digest,
    /// Zero in both leaf fields: the path ends at an empty place.
    leaf_key_hash: Digest,
    leaf_value_hash: Digest,
    siblings: Vec<Digest>,
}

impl Case {
    fn path(&self) -> MerklePath {
        let leaf = Leaf { key_hash: self.leaf_key_hash, value_hash: self.leaf_value_hash };
        let empty = Leaf { key_hash: Digest::ZERO, value_hash: Digest::ZERO };
        MerklePath { leaf: (leaf != empty).then_some(leaf), siblings: self.siblings.clone() }
    }

    /// What the check here says. The contract's caller reads the value hash from the leaf.
    fn answer(&self) -> &'static str {
        let value = (self.leaf_key_hash == self.key_hash).then_some(&self.leaf_value_hash);
        match self.path().verify(&self.root, &self.key_hash, value) {
            Ok(Membership::Present) => "present",
            Ok(Membership::Absent) => "absent",
            Err(_) => "invalid",
        }
    }
}

fn vectors() -> Vectors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/test/vectors/state_proofs.json");
    let json = std::fs::read_to_string(path).expect("the contracts' vectors");
    serde_json::from_str(&json).expect("their form")
}

#[test]
fn the_contracts_cases_have_the_same_answers_here() {
    let Vectors { cases, .. } = vectors();
    for case in &cases {
        assert_eq!(case.answer(), case.expect, "{}", case.name);
    }
    for kind in ["present", "absent", "invalid"] {
        assert!(cases.iter().any(|case| case.expect == kind), "no case is {kind}");
    }
}

#[test]
fn the_contracts_tree_has_the_same_root_and_paths_here() {
    let Vectors { leaves, root, cases } = vectors();
    for leaf in &leaves {
        assert_eq!(key_hash(&leaf.key), leaf.key_hash);
        assert_eq!(value_hash(leaf.value.as_bytes()), leaf.value_hash);
    }
    let tree = Tree::from_leaves(leaves.iter().map(|leaf| (leaf.key_hash, leaf.value_hash)));
    assert_eq!(tree.root(), root);
    let mut compared = 0;
    for case in cases.iter().filter(|case| case.root == root && case.expect != "invalid") {
        assert_eq!(key_hash(&case.key), case.key_hash, "{}", case.name);
        assert_eq!(tree.prove(&case.key_hash), case.path(), "{}", case.name);
        compared += 1;
    }
    assert!(compared >= leaves.len(), "{compared} paths compared");
}
