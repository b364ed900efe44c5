//! Follows a chain: whether blocks that something was observed in are still its blocks.
//!
//! In: the lowest block anybody asks about, and the nodes' answers. Out: a [`Verdict`] per block. The cursor is the newest
//! block that was looked at; each step reads downwards from the node's newest block until it meets a block that is known,
//! so going on and stepping back after a reorganisation are the same walk. At most `confirmations + reorg_blocks` blocks
//! are kept and read: what is deeper is taken as final. A reorganisation beyond that is an alarm
//! (`oss_source_reorg_too_deep_total`): what was handed out of deeper blocks is not looked at again.
//!
//! Invariant: a verdict rests on blocks that are each the parent of the next, up to one that the node called its newest
//! after the question was known. Nodes are asked in turn, like for observations; a step is one node's.

use std::time::Duration;

use common::ids::Name;
use common::observation::BlockRef;

use super::rpc::{Header, Node};
use super::trail::{Linked, Place, Trail};
use crate::metrics;
use crate::source::SourceFault;

/// What is known of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Verdict {
    /// It is in the chain, and may still leave it.
    Stands,
    /// It is not deep enough in the node's chain to tell.
    Shallow,
    /// Another block is at its height, as deep as an observation has to be.
    Gone,
    /// It is too deep to leave the chain.
    Final,
}

/// The chain of one source, with connections of its own.
#[derive(Debug)]
pub(crate) struct Chain {
    name: Name,
    nodes: Vec<Node>,
    confirmations: u64,
    /// How many blocks are kept: the newest one, and so many below that a reorganisation is followed.
    kept: u64,
    poll: Duration,
    trail: Trail,
    /// The newest block of the node that was asked last.
    head: u64,
}

impl Chain {
    pub(super) fn new(
        name: Name,
        nodes: Vec<Node>,
        confirmations: u64,
        reorg_blocks: u64,
        poll: Duration,
    ) -> Self {
        let kept = confirmations.saturating_add(reorg_blocks);
        Self { name, nodes, confirmations, kept, poll, trail: Trail::default(), head: 0 }
    }

    /// How long to wait between two steps.
    pub(crate) const fn poll(&self) -> Duration {
        self.poll
    }

    /// Nobody asks: the chain is not followed, and what is known of it would grow old.
    pub(crate) fn rest(&mut self) {
        self.trail.clear();
    }

    /// Goes to the chain's newest block, and knows it down to `lowest` or as far as blocks are kept.
    ///
    /// # Errors
    /// No node could be followed; what is known stays, and a later step may go on.
    pub(crate) async fn advance(&mut self, lowest: u64) -> Result<(), SourceFault> {
        let mut fault = None;
        for index in 0..self.nodes.len() {
            match self.advance_on(index, lowest).await {
                Ok(()) => return Ok(()),
                Err(later) => fault = Some(SourceFault::prefer(fault, later)),
            }
        }
        Err(fault.unwrap_or_else(|| SourceFault::unavailable("no node is configured")))
    }

    async fn advance_on(&mut self, index: usize, lowest: u64) -> Result<(), SourceFault> {
        let Self { name, nodes, kept, trail, .. } = self;
        let Some(node) = nodes.get(index) else { return Err(SourceFault::unavailable("no such node")) };
        node.check_chain().await?;
        let newest = linked(node.newest().await?);
        climb(name, node, trail, newest, *kept).await?;
        let floor = lowest.max((newest.number + 1).saturating_sub(*kept));
        while let Some(oldest) = trail.oldest().filter(|oldest| oldest.number > floor) {
            trail.extend_back(below(node, oldest).await?);
        }
        trail.shorten(*kept);
        self.head = newest.number;
        metrics::followed(name, newest.number);
        Ok(())
    }

    /// What the last step has found of a block.
    pub(crate) fn verdict(&self, block: BlockRef) -> Verdict {
        let depth = (self.head + 1).saturating_sub(block.block);
        if depth > self.kept {
            return Verdict::Final;
        }
        if depth < self.confirmations {
            return Verdict::Shallow;
        }
        match self.trail.hash(block.block) {
            Some(hash) if hash == block.block_hash => Verdict::Stands,
            Some(_) => Verdict::Gone,
            None => Verdict::Shallow,
        }
    }
}

/// Makes `newest` a block of the trail.
async fn climb(
    name: &Name,
    node: &Node,
    trail: &mut Trail,
    newest: Linked,
    kept: u64,
) -> Result<(), SourceFault> {
    if trail.hash(newest.number) == Some(newest.hash) {
        // Known, be it that this node is behind another one.
        return Ok(());
    }
    let is_far = |tip: Linked| newest.number.saturating_sub(tip.number) > kept;
    let Some(tip) = trail.tip().filter(|tip| !is_far(*tip)) else {
        trail.restart(newest);
        return Ok(());
    };
    let mut branch = vec![newest];
    let mut lowest = newest;
    loop {
        match trail.place(lowest) {
            Place::Joins => {
                let replaced = trail.join(branch);
                if replaced > 0 {
                    metrics::reorganised(name, replaced, tip.number);
                }
                return Ok(());
            }
            Place::Below => {
                lowest = below(node, lowest).await?;
                branch.push(lowest);
            }
            Place::Lost => {
                let known = trail.len() as u64;
                metrics::reorganised(name, known, tip.number);
                if known >= kept {
                    metrics::reorganised_too_deep(name, kept);
                }
                trail.restart(newest);
                return Ok(());
            }
        }
    }
}

/// The parent of a block.
async fn below(node: &Node, block: Linked) -> Result<Linked, SourceFault> {
    let moved = || SourceFault::unavailable("the chain moved while it was read");
    let number = block.number.checked_sub(1).ok_or_else(moved)?;
    let parent = linked(node.header(number).await?.ok_or_else(moved)?);
    if (parent.number, parent.hash) == (number, block.parent) { Ok(parent) } else { Err(moved()) }
}

const fn linked(header: Header) -> Linked {
    Linked { number: header.number.0, hash: header.hash, parent: header.parent_hash }
}
