//! Every version has the root and the paths of `jmt`, and each side's verifier accepts the other's proofs.

use common::proof::{Leaf, Membership, MerklePath, PLACEHOLDER, leaf_hash, node_hash, path_bit};
use jmt::mock::MockTreeStore;
use jmt::proof::SparseMerkleProof;
use jmt::{KeyHash, RootHash, Sha256Jmt};
use sha2::Sha256;

use super::*;

/// The same state in `jmt`, all versions kept.
#[derive(Default)]
pub(super) struct Oracle {
    store: MockTreeStore,
    version: u64,
}

impl Oracle {
    /// Applies the writes as the next version, counted from 0.
    pub(super) fn apply(&mut self, writes: &[Write]) -> Digest {
        let last: BTreeMap<_, _> =
            writes.iter().map(|(key, value)| (KeyHash(key.0), value.clone())).collect();
        let (root, batch) =
            Sha256Jmt::new(&self.store).put_value_set(last, self.version).expect("jmt applies");
        self.store.write_tree_update_batch(batch).expect("jmt stores");
        self.version += 1;
        Digest(root.0)
    }

    pub(super) fn prove(&self, key: &Digest, version: u64) -> SparseMerkleProof<Sha256> {
        Sha256Jmt::new(&self.store).get_with_proof(KeyHash(key.0), version).expect("jmt proves").1
    }
}

/// A proof of `jmt` in our form. Its siblings are private nodes with their contents; its borsh form shows
/// them: 0 empty, 1 internal (left, right), 2 leaf (key hash, value hash).
pub(super) fn from_jmt(proof: &SparseMerkleProof<Sha256>) -> MerklePath {
    let bytes = borsh::to_vec(proof).expect("borsh");
    let mut rest = bytes.as_slice();
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count);
        rest = left;
        taken.to_vec()
    };
    let digest = |bytes: Vec<u8>| Digest(bytes.try_into().expect("32 bytes"));
    let leaf = (take(1) == [1]).then(|| Leaf { key_hash: digest(take(32)), value_hash: digest(take(32)) });
    let count = u32::from_le_bytes(take(4).try_into().expect("4 bytes"));
    let siblings = (0..count).map(|_| match take(1)[0] {
        0 => PLACEHOLDER,
        1 => node_hash(&digest(take(32)), &digest(take(32))),
        2 => leaf_hash(&digest(take(32)), &digest(take(32))),
        tag => panic!("unknown sibling kind {tag}"),
    });
    let siblings = siblings.collect();
    assert!(rest.is_empty());
    MerklePath { leaf, siblings }
}

/// Our proof in the form of `jmt`, whose siblings carry their contents: they are looked up in the tree.
pub(super) fn to_jmt(tree: &Tree, key: &Digest) -> SparseMerkleProof<Sha256> {
    let MerklePath { leaf, siblings } = tree.prove(key);
    let mut bytes = vec![u8::from(leaf.is_some())];
    bytes.extend(leaf.iter().flat_map(|leaf| [leaf.key_hash.0, leaf.value_hash.0]).flatten());
    bytes.extend(u32::try_from(siblings.len()).expect("at most 256").to_le_bytes());
    let mut contents = Vec::new();
    let mut here = &tree.top;
    for depth in 0..siblings.len() {
        let Link::Internal(node) = here else { panic!("a sibling without a parent") };
        let (next, sibling) =
            if path_bit(key, depth) { (&node.right, &node.left) } else { (&node.left, &node.right) };
        contents.push(match sibling {
            Link::Empty => vec![0],
            Link::Internal(node) => [&[1][..], &node.left.hash().0, &node.right.hash().0].concat(),
            Link::Leaf(leaf) => [&[2][..], &leaf.key_hash.0, &leaf.value_hash.0].concat(),
        });
        here = next;
    }
    bytes.extend(contents.into_iter().rev().flatten());
    borsh::from_slice(&bytes).expect("the form jmt reads")
}

/// Both verifiers on both proofs of one key under one root.
fn agree(tree: &Tree, theirs: &SparseMerkleProof<Sha256>, key: &Digest, value: Option<&Vec<u8>>) {
    let root = tree.root();
    let ours = tree.prove(key);
    assert_eq!(ours, from_jmt(theirs), "the paths of {key} differ");
    let expected = if value.is_some() { Membership::Present } else { Membership::Absent };
    let hash = value.map(|value| value_hash(value));
    assert_eq!(ours.verify(&root, key, hash.as_ref()), Ok(expected));
    to_jmt(tree, key).verify(RootHash(root.0), KeyHash(key.0), value).expect("jmt accepts our proof");

    // Neither accepts the opposite claim.
    let opposite = if value.is_some() { None } else { Some(b"other".to_vec()) };
    assert!(ours.verify(&root, key, opposite.as_deref().map(value_hash).as_ref()).is_err());
    assert!(to_jmt(tree, key).verify(RootHash(root.0), KeyHash(key.0), opposite).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_version_has_the_root_the_values_and_the_paths_of_jmt(script in scripts(), strangers in vec(any::<[u8; 32]>(), 4)) {
        let mut oracle = Oracle::default();
        let mut model = Model::default();
        let mut tree = Tree::new();
        let mut versions = Vec::new();
        for writes in &script.versions {
            tree = tree.update(&leaf_writes(writes)).tree;
            model.apply(writes);
            prop_assert_eq!(tree.root(), oracle.apply(writes));
            versions.push((tree.clone(), model.clone()));
        }
        // All versions are checked at the end, when the later ones have been built from them.
        let keys: Vec<Digest> = script.keys.iter().copied().chain(strangers.into_iter().map(Digest)).collect();
        for ((tree, model), version) in versions.iter().zip(0..) {
            for key in &keys {
                let value = model.values.get(key);
                prop_assert_eq!(tree.get(key), value.map(|value| value_hash(value)));
                agree(tree, &oracle.prove(key, version), key, value);
            }
        }
    }
}

#[test]
fn a_thousand_keys_written_and_removed_in_large_batches_have_the_roots_of_jmt() {
    let key = |n: u32| Digest::of(&[&n.to_be_bytes()]);
    let mut oracle = Oracle::default();
    let mut tree = Tree::new();
    for round in 0..8_u8 {
        let start = u32::from(round);
        // Each round writes 400 keys from a moving window and removes every third of another one.
        let written = (0..400).map(|n| (key((n * 7 + start * 150) % 1000), Some(vec![round])));
        let removed = (0..300).filter(|n| n % 3 == start % 3).map(|n| (key((n + start * 90) % 1000), None));
        let writes: Vec<Write> = written.chain(removed).collect();
        tree = tree.update(&leaf_writes(&writes)).tree;
        assert_eq!(tree.root(), oracle.apply(&writes), "round {round}");
    }
    let all: Vec<Write> = (0..1000).map(|n| (key(n), None)).collect();
    tree = tree.update(&leaf_writes(&all)).tree;
    assert_eq!(tree.root(), PLACEHOLDER);
    assert_eq!(tree.root(), oracle.apply(&all));
}
