//! The nodes of the tree and the one rule that joins two subtrees.
//!
//! A link is 16 bytes, a node with its reference counts 80: an allocator in steps of 16 takes 96 for it.
//! A tree of n random keys has n leaves and about 1.44 n internal nodes, hence some 235 bytes per key. A
//! leaf's hash is not kept: it costs one hash where a leaf is a sibling, and would cost 32 bytes per key.

use std::sync::Arc;

use common::hash::Digest;
use common::proof::{Leaf, PLACEHOLDER, node_hash};

/// A subtree.
#[derive(Debug, Clone, Default)]
pub(super) enum Link {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    Internal(Arc<Internal>),
}

/// A subtree with at least two leaves below it. One of its sides may be empty.
#[derive(Debug)]
pub(super) struct Internal {
    hash: Digest,
    pub(super) left: Link,
    pub(super) right: Link,
}

impl Link {
    pub(super) fn leaf(key_hash: Digest, value_hash: Digest) -> Self {
        Self::Leaf(Arc::new(Leaf { key_hash, value_hash }))
    }

    /// The subtree that has these two sides. A leaf beside nothing moves up, so that a removal leaves no
    /// trace of what was there.
    pub(super) fn join(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (leaf @ Self::Leaf(_), Self::Empty) | (Self::Empty, leaf @ Self::Leaf(_)) => leaf,
            (left, right) => {
                let hash = node_hash(&left.hash(), &right.hash());
                Self::Internal(Arc::new(Internal { hash, left, right }))
            }
        }
    }

    pub(super) fn hash(&self) -> Digest {
        match self {
            Self::Empty => PLACEHOLDER,
            Self::Leaf(leaf) => leaf.hash(),
            Self::Internal(node) => node.hash,
        }
    }

    /// Whether both are the same node in memory; cheaper than comparing hashes.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Leaf(a), Self::Leaf(b)) => Arc::ptr_eq(a, b),
            (Self::Internal(a), Self::Internal(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}
