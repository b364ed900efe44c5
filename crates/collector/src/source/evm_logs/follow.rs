//! Follows a chain: whether blocks that something was observed in are still its blocks.
//!
//! In: the blocks anybody asks about, and the nodes' answers. Out: a [`Verdict`] per block. The cursor is the newest
//! block that was looked at; each step reads downwards from the node's newest block until it meets a block that is known,
//! so going on and stepping back after a reorganisation are the same walk, in batches of headers, for a chain may make blocks faster
//! than a node answers. At most `confirmations + reorg_blocks` blocks
//! are kept and read: what is deeper is taken as final. A reorganisation beyond that is an alarm
//! (`oss_source_reorg_too_deep_total`): deeper blocks are looked at once more by their number, and then no longer.
//!
//! Invariant: what a step sees rests on blocks that are each the parent of the next, up to one that the node called its newest
//! after the question was known. Nodes are asked in turn, like for observations; a step is one node's. That a block is gone
//! is no single node's word: all are asked ([`suspects`](super::suspects)).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::hash::Digest;
use common::ids::Name;
use common::observation::BlockRef;
use futures_util::future::join_all;

use super::rpc::{BATCH_MAX, Header, Node};
use super::suspects::{self, Doubts, Finding, Suspects, Voice};
use super::trail::{Linked, Place, Trail};
use crate::metrics;
use crate::source::SourceFault;

/// Most heights that one step asks a node for by their number.
const ASKED_MAX: usize = 256;

/// What is known of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Verdict {
    /// It is in the chain, and may still leave it.
    Stands,
    /// It cannot be told: it is not deep enough in the node's chain, or nobody has confirmed yet that it is gone.
    Unclear,
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
    /// The newest block of the node that was followed last.
    head: Option<Linked>,
    suspects: Suspects,
    doubts: Doubts,
    /// Up to where deep blocks were asked for.
    deep: Option<u64>,
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
        let (trail, suspects, doubts) = (Trail::default(), Suspects::default(), Doubts::default());
        Self { name, nodes, confirmations, kept, poll, trail, head: None, suspects, doubts, deep: None }
    }

    /// How long to wait between two steps.
    pub(crate) const fn poll(&self) -> Duration {
        self.poll
    }

    /// Nobody asks: the chain is not followed, and what is known of it would grow old.
    pub(crate) fn rest(&mut self) {
        self.trail.clear();
        self.suspects.clear();
        self.doubt(Doubts::default());
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
            for block in below(node, oldest, oldest.number - floor).await? {
                trail.extend_back(block);
            }
        }
        trail.shorten(*kept);
        self.head = Some(newest);
        metrics::followed(name, newest.number);
        Ok(())
    }

    /// What is known of each block after the last step. What it misses is gone only if all nodes together say so.
    pub(crate) async fn verdicts(&mut self, blocks: &BTreeSet<BlockRef>) -> BTreeMap<BlockRef, Verdict> {
        let is_deep = |block: &&BlockRef| self.verdict(**block) == Verdict::Final;
        let deep = blocks.iter().filter(is_deep).map(|block| block.block).collect();
        let deep = self.deep_hashes(&deep).await;
        let seen = |block: &BlockRef| (*block, compared(*block, self.verdict(*block), &deep));
        let mut verdicts: BTreeMap<_, _> = blocks.iter().map(seen).collect();
        let missing = verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Gone);
        let missing: BTreeSet<_> = missing.map(|(block, _)| *block).collect();
        let gone = self.confirm(&missing).await;
        verdicts.extend(missing.difference(&gone).map(|block| (*block, Verdict::Unclear)));
        verdicts
    }

    /// The hashes the chain has where something is about to be final, as the first node that answers has them. What cannot
    /// be asked for stays watched.
    async fn deep_hashes(&mut self, numbers: &BTreeSet<u64>) -> BTreeMap<u64, Digest> {
        let numbers = suspects::in_turn(numbers, self.deep, ASKED_MAX);
        self.deep = numbers.last().copied();
        if numbers.is_empty() {
            return BTreeMap::new();
        }
        let (numbers, mut fault) = (numbers.into_iter().collect(), None);
        for node in &self.nodes {
            match node.hashes(&numbers).await {
                Ok(hashes) => return hashes,
                Err(later) => fault = Some(SourceFault::prefer(fault, later)),
            }
        }
        if let Some(fault) = fault {
            metrics::follow_failed(&self.name, &fault);
        }
        BTreeMap::new()
    }

    /// Those of the blocks that the last step misses which are gone.
    async fn confirm(&mut self, missing: &BTreeSet<BlockRef>) -> BTreeSet<BlockRef> {
        let Some(head) = self.head else { return BTreeSet::new() };
        let due = self.suspects.missed(missing, head.hash, ASKED_MAX);
        let mut doubts = Doubts { second_look: missing.len() - due.len(), ..Doubts::default() };
        let mut gone = BTreeSet::new();
        if !due.is_empty() {
            let numbers = due.iter().map(|block| block.block).collect();
            let answers = join_all(self.nodes.iter().map(|node| node.hashes(&numbers))).await;
            for block in due {
                let voices: Vec<_> =
                    answers.iter().map(|answer| voice(block, answer.as_ref().ok())).collect();
                match suspects::find(&voices) {
                    Finding::Gone => drop(gone.insert(block)),
                    Finding::Disputed => doubts.disputed += 1,
                    Finding::Unheard => doubts.unheard += 1,
                }
            }
        }
        self.doubt(doubts);
        gone
    }

    fn doubt(&mut self, doubts: Doubts) {
        metrics::unconfirmed(&self.name, doubts, doubts != self.doubts);
        self.doubts = doubts;
    }

    /// What the last step alone has seen of a block.
    fn verdict(&self, block: BlockRef) -> Verdict {
        let depth = self.head.map_or(0, |head| head.number + 1).saturating_sub(block.block);
        if depth > self.kept {
            return Verdict::Final;
        }
        if depth < self.confirmations {
            return Verdict::Unclear;
        }
        match self.trail.hash(block.block) {
            Some(hash) if hash == block.block_hash => Verdict::Stands,
            Some(_) => Verdict::Gone,
            None => Verdict::Unclear,
        }
    }
}

/// The verdict on a block that is too deep to leave the chain, after it was compared: it may have left while nobody
/// looked. `deep` are the hashes that the chain has at such heights; without one it is looked at again.
fn compared(block: BlockRef, verdict: Verdict, deep: &BTreeMap<u64, Digest>) -> Verdict {
    match (verdict, deep.get(&block.block)) {
        (Verdict::Final, Some(hash)) if *hash != block.block_hash => Verdict::Gone,
        (Verdict::Final, None) => Verdict::Unclear,
        _ => verdict,
    }
}

/// What a node says of a block by the hashes it has; `None` = it did not answer.
fn voice(block: BlockRef, hashes: Option<&BTreeMap<u64, Digest>>) -> Voice {
    match hashes.and_then(|hashes| hashes.get(&block.block)) {
        Some(hash) if *hash == block.block_hash => Voice::Has,
        Some(_) => Voice::Another,
        None => Voice::Silent,
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
    let (mut branch, mut lowest) = (vec![newest], newest);
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
                // Down to above the tip; a branch that does not join there is followed as far as it goes.
                let gap = lowest.number.saturating_sub(tip.number.saturating_add(1));
                let count = if gap == 0 { BATCH_MAX as u64 } else { gap };
                for block in below(node, lowest, count).await? {
                    branch.push(block);
                    lowest = block;
                    if trail.place(block) != Place::Below {
                        break;
                    }
                }
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

/// Blocks below one, newest first, each the parent of the one before: at least one, at most `count` and a batch.
async fn below(node: &Node, block: Linked, count: u64) -> Result<Vec<Linked>, SourceFault> {
    let moved = || SourceFault::unavailable("the chain moved while it was read");
    let lowest = block.number.saturating_sub(count.clamp(1, BATCH_MAX as u64));
    let numbers: Vec<u64> = (lowest..block.number).rev().collect();
    let (mut blocks, mut above) = (Vec::with_capacity(numbers.len()), block);
    for header in node.headers(&numbers).await?.into_iter().map_while(|header| header.map(linked)) {
        // The node may have gone to another branch in the middle of a batch.
        if header.hash != above.parent {
            break;
        }
        blocks.push(header);
        above = header;
    }
    if blocks.is_empty() { Err(moved()) } else { Ok(blocks) }
}

const fn linked(header: Header) -> Linked {
    Linked { number: header.number.0, hash: header.hash, parent: header.parent_hash }
}

#[cfg(test)]
mod tests;
