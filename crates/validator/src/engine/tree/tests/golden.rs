//! Fixed trees with their roots and proofs, for anybody who writes another implementation. `jmt` gives the
//! same; a change here is a change of the format.

use common::hash::Digest;
use common::ids::Shard;
use common::proof::{Membership, StateProof, key_hash};
use serde_json::{Value, json};

use super::jmt_oracle::{Oracle, from_jmt};
use super::{Tree, Write, leaf_writes};

const ALICE: &str = "holding/bond:US91282CLW90/acct:alice";
const BOB: &str = "holding/bond:US91282CLW90/acct:bob";
const CAROL: &str = "holding/bond:US91282CLW90/eip155:1:0x00000000219ab540356cbb839cbe05303d7705fa";
const USED: &str = "used/eip155:1/0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060/0";

/// One write per version, and the root after it. The last one leads back to the state of version 3.
const VERSIONS: [(&str, Option<&str>, &str); 6] = [
    (
        "asset/bond:US91282CLW90",
        Some("asset"),
        "0x908e9bd4c7397fbbc7373d9987411997a9352aa0d1c3064ddf4d295921009567",
    ),
    (ALICE, Some("alice"), "0x0c364dc1f08b0089e9d6012cb011bbdcc78db8302077ef06d921f88331b2b381"),
    (BOB, Some("bob"), "0x54f89b5969c043c0b45a4f8f2fafa993c0840731f8d6a7b3a56ad96c12509289"),
    (CAROL, Some("carol"), "0x05aa280b2eb5c0cda34471dd17628aedeac865d47e7c831e62fbf99b581e3351"),
    (USED, Some(""), "0x8e2c5d18af7e47c9d1721a9a805eb80353ff667b087b1aea019348c2d6948372"),
    (USED, None, "0x05aa280b2eb5c0cda34471dd17628aedeac865d47e7c831e62fbf99b581e3351"),
];

/// The version with all five keys, whose proofs are below.
const FULL: u64 = 4;

const PLACEHOLDER: &str = "0x5350415253455f4d45524b4c455f504c414345484f4c4445525f484153485f5f";

fn bob_is_present() -> Value {
    json!({
        "shard": "financial",
        "seq": 4,
        "root": "0x8e2c5d18af7e47c9d1721a9a805eb80353ff667b087b1aea019348c2d6948372",
        "key": BOB,
        "key_hash": "0xf2c3829cbb9a26bcb71ed3f72c664efce7d5fb2576e14d2449ffa42a8e6194e5",
        "value": "0x626f62",
        "value_hash": "0x81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9",
        "leaf": {
            "key_hash": "0xf2c3829cbb9a26bcb71ed3f72c664efce7d5fb2576e14d2449ffa42a8e6194e5",
            "value_hash": "0x81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9"
        },
        "siblings": [
            "0x55b794f6de8ae5832e11010fc78e4c478d282be3a28b49cce077e4a313d17292",
            PLACEHOLDER,
            PLACEHOLDER,
            PLACEHOLDER,
            "0xc8d7b3d5b3dd0103dd83f0d10f51502af6e58383cb9448aa0863e44b94cc2c2d",
            "0x2aab67b84e23a621ced1219930037198edcacd720201418328defd0b15524f31"
        ]
    })
}

fn absent_beside_a_foreign_leaf() -> Value {
    json!({
        "shard": "financial",
        "seq": 4,
        "root": "0x8e2c5d18af7e47c9d1721a9a805eb80353ff667b087b1aea019348c2d6948372",
        "key": "asset/bond:none",
        "key_hash": "0x68e412d927aec25b748d39d7940b966bb293e1aebcb3d17398bafe600b6af1d2",
        "value": null,
        "value_hash": null,
        "leaf": {
            "key_hash": "0x039d11daad62da9b19bd1121fd5ae65f06399a068fb38a8efa3ba4683be0e889",
            "value_hash": "0x2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"
        },
        "siblings": ["0xb20b39518a218b61ed6528a3a4f46a7b8962dc5435d1152d27cdf7851830441d"]
    })
}

fn absent_in_an_empty_subtree() -> Value {
    json!({
        "shard": "financial",
        "seq": 4,
        "root": "0x8e2c5d18af7e47c9d1721a9a805eb80353ff667b087b1aea019348c2d6948372",
        "key": "asset/bond:0",
        "key_hash": "0xdddbd519cd67cd74e52412542842c83d25e350a3b7337d846da5779aa9c8f2c6",
        "value": null,
        "value_hash": null,
        "leaf": null,
        "siblings": [
            "0x9c0103a2ad9ae0424c334a5539cc04a99d4282e873da4cbd610c9910ab0cd824",
            "0xc8d7b3d5b3dd0103dd83f0d10f51502af6e58383cb9448aa0863e44b94cc2c2d",
            "0x2aab67b84e23a621ced1219930037198edcacd720201418328defd0b15524f31"
        ]
    })
}

/// The tree after version [`FULL`], and all versions in `jmt`.
fn full() -> (Tree, Oracle) {
    let mut oracle = Oracle::default();
    let mut tree = Tree::new();
    let mut full = Tree::new();
    for ((key, value, root), version) in VERSIONS.into_iter().zip(0..) {
        let write: Write = (key_hash(key), value.map(|value| value.as_bytes().to_vec()));
        tree = tree.update(&leaf_writes(std::slice::from_ref(&write))).tree;
        let expected: Digest = root.parse().expect("a digest");
        assert_eq!(tree.root(), expected, "version {version}");
        assert_eq!(oracle.apply(&[write]), expected, "version {version} of jmt");
        if version == FULL {
            full = tree.clone();
        }
    }
    (full, oracle)
}

#[test]
fn every_version_has_its_fixed_root_here_and_in_jmt() {
    assert_eq!(Tree::new().root().to_string(), PLACEHOLDER);
    let _both_checked = full();
}

#[test]
fn the_fixed_proofs_are_given_and_hold_and_jmt_gives_the_same() {
    let (tree, oracle) = full();
    for (json, membership) in [
        (bob_is_present(), Membership::Present),
        (absent_beside_a_foreign_leaf(), Membership::Absent),
        (absent_in_an_empty_subtree(), Membership::Absent),
    ] {
        let proof: StateProof = serde_json::from_value(json.clone()).expect("the proof JSON");
        assert_eq!(proof.verify(), Ok(membership), "{}", proof.key);
        let path = tree.prove(&proof.key_hash);
        assert_eq!(path, from_jmt(&oracle.prove(&proof.key_hash, FULL)), "{}", proof.key);
        let given = StateProof::new(
            Shard::Financial,
            FULL,
            tree.root(),
            proof.key.clone(),
            proof.value.clone(),
            path,
        );
        assert_eq!(serde_json::to_value(given).expect("json"), json);
    }
}
