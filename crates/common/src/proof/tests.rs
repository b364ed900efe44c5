//! The check alone, on trees small enough to fold by hand. Proofs of real trees, with `jmt` beside, are
//! tested where the tree is.

use serde_json::{Value, json};

use super::*;

/// A key whose hash begins with the given bits, found by counting.
fn key_with_bits(bits: &str) -> String {
    (0..10_000)
        .map(|n| format!("asset/bond:{n}"))
        .find(|key| {
            bits.bytes().enumerate().all(|(depth, bit)| path_bit(&key_hash(key), depth) == (bit == b'1'))
        })
        .expect("every prefix occurs")
}

fn leaf(key: &str, value: &[u8]) -> Leaf {
    Leaf { key_hash: key_hash(key), value_hash: value_hash(value) }
}

/// Three leaves: `00` left, `01` right of it, `1` on the other side. The proof is that of `01`.
fn present() -> StateProof {
    let [near, own, far] = ["00", "01", "1"].map(key_with_bits);
    let siblings = vec![leaf(&near, b"near").hash(), leaf(&far, b"far").hash()];
    let root = node_hash(
        &node_hash(&leaf(&near, b"near").hash(), &leaf(&own, b"own").hash()),
        &leaf(&far, b"far").hash(),
    );
    let path = MerklePath { leaf: Some(leaf(&own, b"own")), siblings };
    StateProof::new(Shard::Financial, 7, root, own, Some(b"own".to_vec()), path)
}

/// The same tree; the key `10…` is absent because the leaf `1` stands where it would be.
fn absent_by_foreign_leaf() -> StateProof {
    let StateProof { root, .. } = present();
    let [near, own, far] = ["00", "01", "1"].map(key_with_bits);
    let key = (0..1000)
        .map(|n| format!("holding/x:{n}/a"))
        .find(|key| path_bit(&key_hash(key), 0))
        .expect("half of all");
    let left = node_hash(&leaf(&near, b"near").hash(), &leaf(&own, b"own").hash());
    let path = MerklePath { leaf: Some(leaf(&far, b"far")), siblings: vec![left] };
    StateProof::new(Shard::Financial, 7, root, key, None, path)
}

fn absent_by_empty_subtree() -> StateProof {
    let [own, key] = ["01", "1"].map(key_with_bits);
    let other = key_with_bits("00");
    let left = node_hash(&leaf(&other, b"x").hash(), &leaf(&own, b"own").hash());
    let path = MerklePath { leaf: None, siblings: vec![left] };
    StateProof::new(Shard::Gaming, 0, node_hash(&left, &PLACEHOLDER), key, None, path)
}

#[test]
fn a_key_with_its_value_is_present() {
    assert_eq!(present().verify(), Ok(Membership::Present));
}

#[test]
fn a_key_is_absent_beside_a_foreign_leaf_in_an_empty_subtree_and_in_an_empty_tree() {
    assert_eq!(absent_by_foreign_leaf().verify(), Ok(Membership::Absent));
    assert_eq!(absent_by_empty_subtree().verify(), Ok(Membership::Absent));
    let nothing = MerklePath { leaf: None, siblings: vec![] };
    let proof = StateProof::new(Shard::General, 0, PLACEHOLDER, "asset/bond:x".into(), None, nothing);
    assert_eq!(proof.verify(), Ok(Membership::Absent));
}

#[test]
fn an_empty_value_is_a_value() {
    let path = MerklePath { leaf: Some(leaf("used/x", b"")), siblings: vec![] };
    let root = leaf("used/x", b"").hash();
    let proof = StateProof::new(Shard::General, 1, root, "used/x".into(), Some(vec![]), path);
    assert_eq!(proof.verify(), Ok(Membership::Present));
    assert_eq!(serde_json::to_value(&proof).expect("json")["value"], json!("0x"));
}

#[test]
fn a_key_hash_that_is_not_the_keys_is_refused() {
    let mut proof = present();
    proof.key.push('x');
    let computed = key_hash(&proof.key);
    assert_eq!(proof.verify(), Err(ProofError::KeyHash { stated: proof.key_hash, computed }));
}

#[test]
fn a_value_that_does_not_hash_to_the_stated_hash_is_refused() {
    let mut proof = present();
    proof.value = Some(b"more".to_vec());
    let error = ProofError::ValueHash { stated: proof.value_hash, computed: Some(value_hash(b"more")) };
    assert_eq!(proof.verify(), Err(error));
}

#[test]
fn a_value_hash_without_a_value_is_refused() {
    // Without this check a holder could hide a value: the leaf would still fold to the root.
    let mut proof = present();
    proof.value = None;
    assert_eq!(proof.verify(), Err(ProofError::ValueHash { stated: proof.value_hash, computed: None }));
}

#[test]
fn a_value_and_its_hash_that_the_leaf_does_not_carry_are_refused() {
    let mut proof = present();
    proof.value = Some(b"more".to_vec());
    proof.value_hash = Some(value_hash(b"more"));
    let error = ProofError::LeafValueHash { leaf: value_hash(b"own"), value_hash: value_hash(b"more") };
    assert_eq!(proof.verify(), Err(error));
}

#[test]
fn a_value_without_a_leaf_is_refused() {
    // Under a root whose subtree is empty the fold alone would agree.
    let mut proof = absent_by_empty_subtree();
    proof.value = Some(b"own".to_vec());
    proof.value_hash = Some(value_hash(b"own"));
    assert_eq!(proof.verify(), Err(ProofError::LeafMissing));
}

#[test]
fn another_keys_leaf_does_not_prove_a_value() {
    let mut proof = absent_by_foreign_leaf();
    proof.value = Some(b"far".to_vec());
    proof.value_hash = Some(value_hash(b"far"));
    let foreign = proof.leaf.expect("a leaf").key_hash;
    assert_eq!(proof.verify(), Err(ProofError::LeafKeyHash { leaf: foreign, key_hash: proof.key_hash }));
}

#[test]
fn the_keys_own_leaf_does_not_prove_absence() {
    let mut proof = present();
    proof.value = None;
    proof.value_hash = None;
    assert_eq!(proof.verify(), Err(ProofError::LeafIsPresent));
}

#[test]
fn a_foreign_leaf_off_the_keys_path_does_not_prove_absence() {
    // The root is made from the misplaced leaf, so that the fold agrees and only this check refuses.
    let mut proof = absent_by_foreign_leaf();
    proof.leaf = Some(leaf(&key_with_bits("01"), b"own"));
    proof.root = fold(proof.leaf.as_ref(), &proof.siblings, &proof.key_hash);
    assert_eq!(proof.verify(), Err(ProofError::LeafOffPath { shared: 0, needed: 1 }));
}

#[test]
fn flipped_truncated_extended_or_reordered_siblings_lead_to_another_root() {
    let good = present();
    let refused = |siblings: Vec<Digest>| {
        let proof = StateProof { siblings, ..good.clone() };
        assert!(
            matches!(proof.verify(), Err(ProofError::Root { stated, .. }) if stated == good.root),
            "{proof:?}"
        );
    };
    for place in 0..good.siblings.len() {
        for bit in [0, 100, 255] {
            let mut siblings = good.siblings.clone();
            siblings[place].0[bit / 8] ^= 1 << (bit % 8);
            refused(siblings);
        }
    }
    refused(good.siblings[1..].to_vec());
    refused(good.siblings[..1].to_vec());
    refused(good.siblings.iter().copied().chain([PLACEHOLDER]).collect());
    refused(good.siblings.iter().rev().copied().collect());
}

#[test]
fn more_siblings_than_a_key_has_bits_are_refused_even_if_they_fold_to_the_root() {
    let mut proof = present();
    proof.siblings = vec![PLACEHOLDER; SIBLINGS_MAX + 1];
    proof.root = fold(proof.leaf.as_ref(), &proof.siblings, &proof.key_hash);
    assert_eq!(proof.verify(), Err(ProofError::TooManySiblings { count: 257 }));
    proof.siblings.pop();
    proof.root = fold(proof.leaf.as_ref(), &proof.siblings, &proof.key_hash);
    assert_eq!(proof.verify(), Ok(Membership::Present));
}

#[test]
fn an_error_names_the_field_at_fault() {
    let digest = PLACEHOLDER;
    assert_eq!(ProofError::Root { stated: digest, computed: digest }.pointer(), "/root");
    assert_eq!(ProofError::LeafOffPath { shared: 0, needed: 1 }.pointer(), "/leaf/key_hash");
    assert_eq!(ProofError::TooManySiblings { count: 300 }.pointer(), "/siblings");
}

#[test]
fn bits_are_counted_from_the_most_significant_one() {
    let mut digest = Digest([0; 32]);
    digest.0[0] = 0b0100_0000;
    digest.0[31] = 1;
    let set: Vec<usize> = (0..300).filter(|depth| path_bit(&digest, *depth)).collect();
    assert_eq!(set, [1, 255]);
    let mut other = digest;
    assert_eq!(shared_bits(&digest, &other), 256);
    other.0[31] = 0;
    assert_eq!(shared_bits(&digest, &other), 255);
    other.0[1] = 0b0001_0000;
    assert_eq!(shared_bits(&digest, &other), 11);
}

#[test]
fn the_json_form_is_read_back_and_holds_the_documented_fields() {
    for proof in [present(), absent_by_foreign_leaf(), absent_by_empty_subtree()] {
        let json = serde_json::to_value(&proof).expect("json");
        let fields: Vec<_> = json.as_object().expect("object").keys().map(String::as_str).collect();
        let mut documented =
            ["shard", "seq", "root", "key", "key_hash", "value", "value_hash", "leaf", "siblings"];
        documented.sort_unstable();
        let mut fields = fields;
        fields.sort_unstable();
        assert_eq!(fields, documented);
        assert_eq!(serde_json::from_value::<StateProof>(json).expect("parses"), proof);
    }
    let json = serde_json::to_value(present()).expect("json");
    assert_eq!(json["shard"], "financial");
    assert_eq!(json["value"], "0x6f776e");
    assert_eq!(json["value_hash"], format!("0x{}", hex::encode(value_hash(b"own").0)));
    assert_eq!(serde_json::to_value(absent_by_foreign_leaf()).expect("json")["value"], Value::Null);
}

#[test]
fn unknown_missing_and_malformed_fields_are_refused() {
    let good = serde_json::to_value(present()).expect("json");
    let refused = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut json = good.clone();
        change(json.as_object_mut().expect("object"));
        assert!(serde_json::from_value::<StateProof>(json.clone()).is_err(), "{json}");
    };
    refused(&|json| drop(json.insert("extra".into(), json!(1))));
    for field in ["shard", "seq", "root", "key", "key_hash", "value", "value_hash", "leaf", "siblings"] {
        refused(&|json| drop(json.remove(field)));
    }
    for value in ["6f776e", "0x6f7", "0x0x6f77", "0xzz", ""] {
        refused(&|json| drop(json.insert("value".into(), json!(value))));
    }
    refused(&|json| drop(json.insert("root".into(), json!("0x00"))));
    refused(&|json| drop(json.insert("leaf".into(), json!({"key_hash": PLACEHOLDER}))));
    let wide_leaf = json!({"key_hash": PLACEHOLDER, "value_hash": PLACEHOLDER, "extra": 1});
    refused(&|json| drop(json.insert("leaf".into(), wide_leaf.clone())));
    refused(&|json| drop(json.insert("seq".into(), json!(-1))));
}
