//! The versions of the tree after the last entries of the log, for proofs against older roots.
//!
//! In: one [`Update`] per entry, in log order; at a start also undo records, newest first. Out: the tree
//! after a given entry. Two bounds hold at every moment, and the oldest versions go first:
//! the number of versions, and the nodes that only older versions hold. The second one is the memory: an
//! entry of k keys in a tree of n keeps about k · (log2(n / k) + 3) nodes of 96 bytes alive. What is no
//! longer here can be had from undo records: merged with the oldest write of a key first, one
//! [`Tree::update`] of the oldest version kept gives the wanted one.

use std::collections::VecDeque;

use common::hash::Digest;

use super::{LeafWrite, Tree, Update};

/// How much [`History`] keeps beside the newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Versions, the newest among them; 0 counts as 1.
    pub versions_max: usize,
    /// Nodes that the newest version does not share; one takes about 96 bytes.
    pub nodes_max: usize,
}

/// The versions after the entries `oldest_seq ..= newest_seq`, without a gap.
#[derive(Debug, Clone)]
pub struct History {
    limits: HistoryLimits,
    newest_seq: u64,
    newest: Tree,
    /// The version after entry `newest_seq - 1 - i` stands at place `i`.
    older: VecDeque<Older>,
    nodes: usize,
}

#[derive(Debug, Clone)]
struct Older {
    tree: Tree,
    /// Nodes of this version that the next one does not share. No later version shares them either, so
    /// they are freed when this one goes as the oldest.
    nodes: usize,
}

/// An update that is not the next one, or an undo record that does not lead back: the caller has lost count, or its
/// records are damaged. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("entry {seq} does not follow the newest version's entry {newest}")]
    NotNext { seq: u64, newest: u64 },
    #[error("the update of entry {seq} starts from root {base}, the newest version has {newest}")]
    OtherBase { seq: u64, base: Digest, newest: Digest },
    #[error("the undo record gives root {computed} for entry {seq}, which states {stated}")]
    OtherRoot { seq: u64, stated: Digest, computed: Digest },
}

impl History {
    /// A history of one version: the tree after entry `seq` (0 = before the first entry).
    #[must_use]
    pub fn new(seq: u64, tree: Tree, limits: HistoryLimits) -> Self {
        Self { limits, newest_seq: seq, newest: tree, older: VecDeque::new(), nodes: 0 }
    }

    /// Adds the version after entry `seq`, drops the oldest beyond the limits and returns the undo record.
    /// Dropping frees each node once, so over time it costs no more than making them did.
    ///
    /// # Errors
    /// `seq` is not the next entry, or the update was not made from the newest version.
    pub fn push(&mut self, seq: u64, update: Update) -> Result<Vec<LeafWrite>, HistoryError> {
        if self.newest_seq.checked_add(1) != Some(seq) {
            return Err(HistoryError::NotNext { seq, newest: self.newest_seq });
        }
        let Update { tree, undo, base, retired, .. } = update;
        if !base.top.is(&self.newest.top) {
            return Err(HistoryError::OtherBase { seq, base: base.root(), newest: self.newest.root() });
        }
        self.older.push_front(Older { tree: std::mem::replace(&mut self.newest, tree), nodes: retired });
        self.newest_seq = seq;
        self.nodes += retired;
        self.shrink();
        Ok(undo)
    }

    /// Adds the version before the oldest one, from the undo record of the oldest one's entry. `root` is what the
    /// log states for it. Returns its entry, or `None` if there is no room for it.
    ///
    /// # Errors
    /// The undo record gives another root.
    pub fn extend_back(&mut self, undo: &[LeafWrite], root: Digest) -> Result<Option<u64>, HistoryError> {
        let Some(seq) = self.oldest_seq().checked_sub(1) else { return Ok(None) };
        let versions = self.older.len() + 2;
        if versions > self.limits.versions_max {
            return Ok(None);
        }
        let update = self.oldest().update(undo);
        let computed = update.tree.root();
        if computed != root {
            return Err(HistoryError::OtherRoot { seq, stated: root, computed });
        }
        if self.nodes + update.created > self.limits.nodes_max {
            return Ok(None);
        }
        self.nodes += update.created;
        self.older.push_back(Older { tree: update.tree, nodes: update.created });
        Ok(Some(seq))
    }

    /// The tree after entry `seq`, or `None` if it is not kept (any more).
    #[must_use]
    pub fn at(&self, seq: u64) -> Option<&Tree> {
        let age = self.newest_seq.checked_sub(seq)?;
        match age.checked_sub(1) {
            None => Some(&self.newest),
            Some(place) => self.older.get(usize::try_from(place).ok()?).map(|older| &older.tree),
        }
    }

    #[must_use]
    pub fn newest(&self) -> &Tree {
        &self.newest
    }

    /// The oldest version kept, from which undo records lead further back.
    #[must_use]
    pub fn oldest(&self) -> &Tree {
        self.older.back().map_or(&self.newest, |older| &older.tree)
    }

    #[must_use]
    pub fn newest_seq(&self) -> u64 {
        self.newest_seq
    }

    #[must_use]
    pub fn oldest_seq(&self) -> u64 {
        self.newest_seq - self.older.len() as u64
    }

    /// Nodes that only the older versions hold; for a gauge.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    fn shrink(&mut self) {
        while self.older.len() + 1 > self.limits.versions_max || self.nodes > self.limits.nodes_max {
            let Some(dropped) = self.older.pop_back() else { return };
            self.nodes -= dropped.nodes;
        }
    }
}
