//! The state tree: which value hash each state key holds, under one root.
//!
//! In: batches of leaf writes (`key_hash → value_hash` or removed). Out: the next version of the tree, its
//! root, the writes that undo the batch, and Merkle paths. Hashing rules and the proof check stand in
//! [`common::proof`]; roots and paths equal those of crate `jmt` 0.12.
//!
//! Invariants:
//! - A subtree with one leaf is that leaf, at whatever depth; an empty subtree is no node. So equal
//!   contents give equal nodes, whatever the history (the order of writes, removals, a bulk build).
//! - Nodes never change. A batch copies the paths that it touches and shares the rest, so an old version
//!   stays whole for as long as somebody holds it, and taking one costs a reference count.
//! - No walk is deeper than the 256 bits of a key, the dropping of a tree included.
//!
//! Pure: no I/O, clock, randomness or hash map.

mod history;
mod node;
mod update;

use common::hash::Digest;
use common::proof::{Leaf, MerklePath, path_bit};

pub use self::history::{History, HistoryError, HistoryLimits};
use self::node::Link;
pub use self::update::Update;

/// One write to a leaf: the hash of its new value, or `None` to remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafWrite {
    pub key_hash: Digest,
    pub value_hash: Option<Digest>,
}

/// One version of the tree. A clone is a snapshot: it costs a reference count and never changes.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    top: Link,
}

impl Tree {
    /// The empty tree, whose root is [`common::proof::PLACEHOLDER`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of all these `(key_hash, value_hash)`, in any order, built in one pass. Of several for one
    /// key the last counts.
    #[must_use]
    pub fn from_leaves(leaves: impl IntoIterator<Item = (Digest, Digest)>) -> Self {
        let write = |(key_hash, value_hash)| LeafWrite { key_hash, value_hash: Some(value_hash) };
        update::build(leaves.into_iter().map(write).collect())
    }

    /// The next version, after all `writes` at once. They may come in any order; of several for one key
    /// the last counts. Each node on the way is hashed once, however many writes lie below it.
    pub fn update(&self, writes: &[LeafWrite]) -> Update {
        update::apply(self, writes)
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.top.hash()
    }

    /// The hash of the key's value, if it has one.
    #[must_use]
    pub fn get(&self, key_hash: &Digest) -> Option<Digest> {
        self.descend(key_hash, |_| ()).filter(|leaf| leaf.key_hash == *key_hash).map(|leaf| leaf.value_hash)
    }

    /// The path that proves the key's value, or that it has none: to its own leaf, to the leaf that stands
    /// alone in its place, or to an empty subtree.
    #[must_use]
    pub fn prove(&self, key_hash: &Digest) -> MerklePath {
        let mut siblings = Vec::new();
        let leaf = self.descend(key_hash, |sibling| siblings.push(sibling.hash()));
        siblings.reverse();
        MerklePath { leaf, siblings }
    }

    /// Walks down the key's path to its end and shows each sibling on the way, from the top.
    fn descend<'a>(&'a self, key_hash: &Digest, mut passed: impl FnMut(&'a Link)) -> Option<Leaf> {
        let mut here = &self.top;
        let mut depth = 0;
        while let Link::Internal(node) = here {
            let right = path_bit(key_hash, depth);
            let (next, sibling) = if right { (&node.right, &node.left) } else { (&node.left, &node.right) };
            passed(sibling);
            here = next;
            depth += 1;
        }
        match here {
            Link::Leaf(leaf) => Some(**leaf),
            Link::Empty | Link::Internal(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
