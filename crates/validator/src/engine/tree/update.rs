//! A batch of writes applied in one walk.
//!
//! In: a version and writes. Out: [`Update`]. The walk goes down only where writes lead and comes back up
//! joining the sides, so every new node is made and hashed once, and writes that change nothing make none.

use common::hash::Digest;
use common::proof::path_bit;

use super::node::Link;
use super::{LeafWrite, Tree};

/// What a batch of writes leads to.
#[derive(Debug, Clone)]
#[must_use]
pub struct Update {
    /// The version after the batch.
    pub tree: Tree,
    /// The undo record: applied to `tree`, these writes give the version before the batch. One per leaf
    /// that changed, ordered by key hash; writes that changed nothing are not in it.
    pub undo: Vec<LeafWrite>,
    pub(super) base: Tree,
    /// Nodes of the version before that `tree` no longer shares.
    pub(super) retired: usize,
    /// Nodes of `tree` that the version before did not have.
    pub(super) created: usize,
}

/// A tree of these writes alone.
pub(super) fn build(mut writes: Vec<LeafWrite>) -> Tree {
    normalize(&mut writes);
    Tree { top: Walk::default().apply(&Link::Empty, 0, &writes) }
}

pub(super) fn apply(base: &Tree, writes: &[LeafWrite]) -> Update {
    let mut writes = writes.to_vec();
    normalize(&mut writes);
    let mut walk = Walk { undo: Some(Vec::with_capacity(writes.len())), ..Walk::default() };
    let tree = Tree { top: walk.apply(&base.top, 0, &writes) };
    let Walk { undo, retired, created } = walk;
    Update { tree, undo: undo.unwrap_or_default(), base: base.clone(), retired, created }
}

/// Orders the writes by key and keeps the last of each key: the walk ends only if keys are unique.
fn normalize(writes: &mut Vec<LeafWrite>) {
    writes.sort_by_key(|write| write.key_hash);
    writes.dedup_by(|later, kept| {
        let same = later.key_hash == kept.key_hash;
        if same {
            *kept = *later;
        }
        same
    });
}

#[derive(Default)]
struct Walk {
    /// `None` if nobody asks for it.
    undo: Option<Vec<LeafWrite>>,
    retired: usize,
    created: usize,
}

impl Walk {
    /// The subtree at `depth` that was `link` and has had `writes`, all of which lie in it.
    fn apply(&mut self, link: &Link, depth: usize, writes: &[LeafWrite]) -> Link {
        match (link, writes) {
            (_, []) => link.clone(),
            (Link::Empty, [write]) => self.write_leaf(link, None, *write),
            (Link::Leaf(leaf), [write]) if leaf.key_hash == write.key_hash => {
                self.write_leaf(link, Some(leaf.value_hash), *write)
            }
            _ => self.apply_below(link, depth, writes),
        }
    }

    /// `link` is the write's own leaf with value hash `before`, or empty.
    fn write_leaf(&mut self, link: &Link, before: Option<Digest>, write: LeafWrite) -> Link {
        let LeafWrite { key_hash, value_hash: after } = write;
        if before == after {
            return link.clone();
        }
        if let Some(undo) = &mut self.undo {
            undo.push(LeafWrite { key_hash, value_hash: before });
        }
        self.retired += usize::from(before.is_some());
        self.created += usize::from(after.is_some());
        after.map_or(Link::Empty, |value_hash| Link::leaf(key_hash, value_hash))
    }

    /// Splits the writes by their next bit. A leaf that other keys meet is first taken as the subtree of
    /// one leaf that it stands for; joining moves it up again if those keys stay absent.
    fn apply_below(&mut self, link: &Link, depth: usize, writes: &[LeafWrite]) -> Link {
        static EMPTY: Link = Link::Empty;
        let (left, right) = match link {
            Link::Internal(node) => (&node.left, &node.right),
            Link::Leaf(leaf) if path_bit(&leaf.key_hash, depth) => (&EMPTY, link),
            Link::Leaf(_) => (link, &EMPTY),
            Link::Empty => (&EMPTY, &EMPTY),
        };
        let middle = writes.partition_point(|write| !path_bit(&write.key_hash, depth));
        let (to_left, to_right) = writes.split_at(middle);
        let new_left = self.apply(left, depth + 1, to_left);
        let new_right = self.apply(right, depth + 1, to_right);
        if let Link::Internal(_) = link {
            if new_left.is(left) && new_right.is(right) {
                return link.clone();
            }
            self.retired += 1;
        }
        let joined = Link::join(new_left, new_right);
        self.created += usize::from(matches!(joined, Link::Internal(_)));
        joined
    }
}
