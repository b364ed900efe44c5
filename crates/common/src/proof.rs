//! Proofs against a state root: the hashing rules of the state tree, the proof JSON and its check.
//!
//! In: a [`StateProof`] parsed from JSON, which is a claim by whoever sent it. Out: [`Membership`] or a
//! [`ProofError`] that names the field at fault. Nothing here trusts the prover: every hash is recomputed.
//!
//! The tree is a binary sparse Merkle tree over 256-bit keys, most significant bit first, 0 = left:
//!
//! | node | hash (SHA-256) |
//! |---|---|
//! | empty subtree | the 32 ASCII bytes `SPARSE_MERKLE_PLACEHOLDER_HASH__`, at any depth |
//! | subtree with one leaf | `H("JMT::LeafNode" ‖ key_hash ‖ value_hash)`, at any depth |
//! | any other subtree | `H("JMT::IntrnalNode" ‖ left ‖ right)` (the spelling is the format) |
//!
//! `key_hash = H(key string)`, `value_hash = H(value bytes)`. These are the rules of crate `jmt` 0.12,
//! which is the oracle of the tree's property tests.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::Digest;
use crate::ids::Shard;

/// Hash of an empty subtree.
pub const PLACEHOLDER: Digest = Digest(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");
/// First bytes of the preimage of a leaf's hash.
pub const LEAF_PREFIX: &[u8; 13] = b"JMT::LeafNode";
/// First bytes of the preimage of an interior node's hash.
pub const NODE_PREFIX: &[u8; 16] = b"JMT::IntrnalNode";
/// Bits of a key hash, therefore the most siblings a path can have.
pub const SIBLINGS_MAX: usize = 256;

/// Hash of a leaf.
#[must_use]
pub fn leaf_hash(key_hash: &Digest, value_hash: &Digest) -> Digest {
    Digest::of(&[LEAF_PREFIX, &key_hash.0, &value_hash.0])
}

/// Hash of an interior node.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[NODE_PREFIX, &left.0, &right.0])
}

/// Where a key string (`asset/…`, `holding/…`) stands in the tree.
#[must_use]
pub fn key_hash(key: &str) -> Digest {
    Digest::of(&[key.as_bytes()])
}

/// What a leaf says about the bytes of its value.
#[must_use]
pub fn value_hash(value: &[u8]) -> Digest {
    Digest::of(&[value])
}

/// Bit `depth` of a key hash, counted from the most significant one; true = right. Bits beyond the
/// 256th are false.
#[must_use]
pub fn path_bit(key_hash: &Digest, depth: usize) -> bool {
    let byte = key_hash.0.get(depth / 8).copied().unwrap_or(0);
    byte >> (7 - depth % 8) & 1 == 1
}

/// How many leading bits two key hashes share, 0 to 256.
#[must_use]
pub fn shared_bits(a: &Digest, b: &Digest) -> usize {
    let mut shared = 0;
    for (x, y) in a.0.iter().zip(&b.0) {
        let difference = x ^ y;
        if difference != 0 {
            return shared + difference.leading_zeros() as usize;
        }
        shared += 8;
    }
    shared
}

/// A leaf of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    pub key_hash: Digest,
    pub value_hash: Digest,
}

impl Leaf {
    #[must_use]
    pub fn hash(&self) -> Digest {
        leaf_hash(&self.key_hash, &self.value_hash)
    }
}

/// The way from the place where a key's path ends up to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerklePath {
    /// The leaf at the end of the path: the key's own, a foreign one that stands alone in the subtree
    /// where the key would be, or none if that subtree is empty.
    pub leaf: Option<Leaf>,
    /// Sibling node hashes from the leaf's level up to the root.
    pub siblings: Vec<Digest>,
}

impl MerklePath {
    /// Checks that under `root` the key has exactly this value hash, or none.
    ///
    /// # Errors
    /// The first part of the path that does not hold, named as a field of [`StateProof`].
    pub fn verify(
        &self,
        root: &Digest,
        key: &Digest,
        value: Option<&Digest>,
    ) -> Result<Membership, ProofError> {
        verify_path(root, key, value, self.leaf.as_ref(), &self.siblings)
    }
}

fn verify_path(
    root: &Digest,
    key: &Digest,
    value: Option<&Digest>,
    leaf: Option<&Leaf>,
    siblings: &[Digest],
) -> Result<Membership, ProofError> {
    let needed = siblings.len();
    if needed > SIBLINGS_MAX {
        return Err(ProofError::TooManySiblings { count: needed });
    }
    let membership = match (value, leaf) {
        (Some(_), None) => return Err(ProofError::LeafMissing),
        (Some(_), Some(leaf)) if leaf.key_hash != *key => {
            return Err(ProofError::LeafKeyHash { leaf: leaf.key_hash, key_hash: *key });
        }
        (Some(value), Some(leaf)) if leaf.value_hash != *value => {
            return Err(ProofError::LeafValueHash { leaf: leaf.value_hash, value_hash: *value });
        }
        (Some(_), Some(_)) => Membership::Present,
        (None, None) => Membership::Absent,
        (None, Some(foreign)) => {
            if foreign.key_hash == *key {
                return Err(ProofError::LeafIsPresent);
            }
            let shared = shared_bits(&foreign.key_hash, key);
            if shared < needed {
                return Err(ProofError::LeafOffPath { shared, needed });
            }
            Membership::Absent
        }
    };
    let computed = fold(leaf, siblings, key);
    if *root != computed {
        return Err(ProofError::Root { stated: *root, computed });
    }
    Ok(membership)
}

/// The root that a path leads to when it is walked up along the key's bits.
fn fold(leaf: Option<&Leaf>, siblings: &[Digest], key_hash: &Digest) -> Digest {
    let start = leaf.map_or(PLACEHOLDER, Leaf::hash);
    let depths = (0..siblings.len()).rev();
    siblings.iter().zip(depths).fold(start, |below, (sibling, depth)| {
        if path_bit(key_hash, depth) { node_hash(sibling, &below) } else { node_hash(&below, sibling) }
    })
}

/// A checked claim: what the root says about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Membership {
    /// The key holds exactly the value of the proof.
    Present,
    /// The key has no value.
    Absent,
}

/// The proof JSON of the API, unchecked. `root` is the prover's: after [`StateProof::verify`] compare it
/// with a root from elsewhere (a chain, the log), else the proof says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    pub shard: Shard,
    /// The log entry after which `root` is the state root.
    pub seq: u64,
    pub root: Digest,
    /// The key string, as in `common::keys`.
    pub key: String,
    pub key_hash: Digest,
    /// The value's bytes (0x-hex in JSON); `null` claims that the key has no value.
    #[serde(with = "optional_hex")]
    pub value: Option<Vec<u8>>,
    #[serde(deserialize_with = "required")]
    pub value_hash: Option<Digest>,
    #[serde(deserialize_with = "required")]
    pub leaf: Option<Leaf>,
    /// From the leaf's level up to the root.
    pub siblings: Vec<Digest>,
}

/// Why a proof does not hold. Always the prover's fault and final: reject, a retry gives the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("siblings: {count} of them, a path has at most {SIBLINGS_MAX}")]
    TooManySiblings { count: usize },
    #[error("key_hash: stated {stated}, the key's is {computed}")]
    KeyHash { stated: Digest, computed: Digest },
    #[error("value_hash: stated {stated:?}, the value's is {computed:?}")]
    ValueHash { stated: Option<Digest>, computed: Option<Digest> },
    #[error("leaf: missing, but a value is claimed")]
    LeafMissing,
    #[error("leaf.key_hash: {leaf} is not the key's {key_hash}")]
    LeafKeyHash { leaf: Digest, key_hash: Digest },
    #[error("leaf.value_hash: {leaf} is not the value's {value_hash}")]
    LeafValueHash { leaf: Digest, value_hash: Digest },
    #[error("leaf.key_hash: is the key's own, but its absence is claimed")]
    LeafIsPresent,
    #[error("leaf.key_hash: shares {shared} bits with the key's path, {needed} are needed")]
    LeafOffPath { shared: usize, needed: usize },
    #[error("root: stated {stated}, the path leads to {computed}")]
    Root { stated: Digest, computed: Digest },
}

impl ProofError {
    /// JSON pointer of the field at fault.
    #[must_use]
    pub const fn pointer(&self) -> &'static str {
        match self {
            Self::TooManySiblings { .. } => "/siblings",
            Self::KeyHash { .. } => "/key_hash",
            Self::ValueHash { .. } => "/value_hash",
            Self::LeafMissing => "/leaf",
            Self::LeafKeyHash { .. } | Self::LeafIsPresent | Self::LeafOffPath { .. } => "/leaf/key_hash",
            Self::LeafValueHash { .. } => "/leaf/value_hash",
            Self::Root { .. } => "/root",
        }
    }
}

impl StateProof {
    /// The proof that `path` gives for `key` under `root`; `value` is `None` for absence.
    #[must_use]
    pub fn new(
        shard: Shard,
        seq: u64,
        root: Digest,
        key: String,
        value: Option<Vec<u8>>,
        path: MerklePath,
    ) -> Self {
        let key_hash = key_hash(&key);
        let value_hash = value.as_deref().map(value_hash);
        let MerklePath { leaf, siblings } = path;
        Self { shard, seq, root, key, key_hash, value, value_hash, leaf, siblings }
    }

    /// Checks everything the proof states, by itself.
    ///
    /// # Errors
    /// The first field that does not hold.
    pub fn verify(&self) -> Result<Membership, ProofError> {
        let computed = key_hash(&self.key);
        if self.key_hash != computed {
            return Err(ProofError::KeyHash { stated: self.key_hash, computed });
        }
        let computed = self.value.as_deref().map(value_hash);
        if self.value_hash != computed {
            return Err(ProofError::ValueHash { stated: self.value_hash, computed });
        }
        verify_path(&self.root, &self.key_hash, computed.as_ref(), self.leaf.as_ref(), &self.siblings)
    }
}

/// Reads a field that may be `null` but must be there: serde's own default would take a missing field for
/// `null`, and a cut proof for a claim of absence.
fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Bytes as `0x` and an even number of hex digits, or `null`.
mod optional_hex {
    use serde::de::Error;

    use super::{Cow, Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over the field's own type")]
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(hex::encode_prefixed).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(text) = Option::<Cow<'de, str>>::deserialize(deserializer)? else { return Ok(None) };
        // The decoder would skip a second prefix by itself, so the digits are looked at first.
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let bytes = digits.and_then(|digits| hex::decode(digits).ok());
        bytes.map(Some).ok_or_else(|| D::Error::custom("expected 0x and an even number of hex digits"))
    }
}

#[cfg(test)]
mod tests;
