//! Blocks that a look at the chain misses: when one of them counts as gone.
//!
//! In: the blocks that the newest look misses, the newest block it saw, and what each node of the source says of their
//! heights. Out: which are gone. One look at one node is not enough, for nodes lag and fork, and a withdrawal cannot be taken
//! back: a block is gone when two looks in a row that saw different newest blocks miss it, no node has it, and
//! [`NODES_MIN`] nodes, or the only one there is, have another block at its height. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use common::hash::Digest;
use common::observation::BlockRef;

/// So many nodes of a source with several must have another block there.
const NODES_MIN: usize = 2;

/// What one node says of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// It is in its chain.
    Has,
    /// Another block is at its height.
    Another,
    /// It does not answer, or its chain is not that long.
    Silent,
}

/// What all nodes of a source together say of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Finding {
    Gone,
    /// A node has it.
    Disputed,
    /// No node has it, and too few have another one.
    Unheard,
}

/// One voice per node of the source.
pub(super) fn find(voices: &[Voice]) -> Finding {
    let count = |sought| voices.iter().filter(|voice| **voice == sought).count();
    if count(Voice::Has) > 0 {
        return Finding::Disputed;
    }
    let needed = voices.len().clamp(1, NODES_MIN);
    if count(Voice::Another) >= needed { Finding::Gone } else { Finding::Unheard }
}

/// How many blocks are missed and do not count as gone yet, by what they wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Doubts {
    /// For a look that sees another newest block, or for their turn to be asked for.
    pub(crate) second_look: usize,
    /// For the nodes that have them.
    pub(crate) disputed: usize,
    /// For nodes that do not answer.
    pub(crate) unheard: usize,
}

/// The blocks that the last look missed.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// With the newest block that the first look without them saw.
    since: BTreeMap<BlockRef, Digest>,
    /// Up to where the nodes were asked.
    asked: Option<BlockRef>,
}

impl Suspects {
    /// Takes what a look misses whose newest block is `head`. Gives, in turn and at most `most`, those that were missed at
    /// another newest block before.
    pub(super) fn missed(
        &mut self,
        missing: &BTreeSet<BlockRef>,
        head: Digest,
        most: usize,
    ) -> Vec<BlockRef> {
        self.since.retain(|block, _| missing.contains(block));
        let mut again = BTreeSet::new();
        for block in missing {
            let first = *self.since.entry(*block).or_insert(head);
            if first != head {
                again.insert(*block);
            }
        }
        let due = in_turn(&again, self.asked, most);
        self.asked = due.last().copied();
        due
    }

    pub(super) fn clear(&mut self) {
        self.since.clear();
    }
}

/// Up to `most` of `all`: those behind `after` first, then from the beginning.
pub(super) fn in_turn<T: Ord + Copy>(all: &BTreeSet<T>, after: Option<T>, most: usize) -> Vec<T> {
    let Some(after) = after else { return all.iter().take(most).copied().collect() };
    let behind = all.range((Bound::Excluded(after), Bound::Unbounded));
    behind.chain(all.range(..=after)).take(most).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_gone_if_no_node_has_it_and_two_or_the_only_one_have_another() {
        use Voice::{Another, Has, Silent};
        for (voices, expected) in [
            (vec![Another], Finding::Gone),
            (vec![Silent], Finding::Unheard),
            (vec![Has], Finding::Disputed),
            (vec![Another, Another], Finding::Gone),
            (vec![Another, Has], Finding::Disputed),
            // All others are unreachable, or lag behind the block.
            (vec![Another, Silent], Finding::Unheard),
            (vec![Another, Silent, Silent], Finding::Unheard),
            (vec![Another, Silent, Another], Finding::Gone),
            (vec![Another, Another, Has], Finding::Disputed),
            (vec![], Finding::Unheard),
        ] {
            assert_eq!(find(&voices), expected, "{voices:?}");
        }
    }

    fn block(number: u64) -> BlockRef {
        BlockRef { block: number, block_hash: Digest::ZERO }
    }

    fn head(byte: u8) -> Digest {
        Digest([byte; 32])
    }

    #[test]
    fn nodes_are_asked_after_two_looks_in_a_row_at_different_newest_blocks() {
        let mut suspects = Suspects::default();
        let both = BTreeSet::from([block(1), block(2)]);
        let one = BTreeSet::from([block(1)]);
        assert_eq!(suspects.missed(&both, head(1), 9), []);
        assert_eq!(suspects.missed(&both, head(1), 9), [], "the same newest block");
        assert_eq!(suspects.missed(&one, head(2), 9), [block(1)], "block 2 is seen again");
        assert_eq!(suspects.missed(&both, head(3), 9), [block(1)], "block 2 is missed anew");
        assert_eq!(suspects.missed(&both, head(4), 9), [block(2), block(1)], "block 1 was asked for last");
        suspects.clear();
        assert_eq!(suspects.missed(&both, head(5), 9), []);
    }

    #[test]
    fn who_stays_in_doubt_does_not_keep_the_others_from_being_asked_for() {
        let mut suspects = Suspects::default();
        let all: BTreeSet<_> = (1..=5).map(block).collect();
        assert_eq!(suspects.missed(&all, head(1), 2), []);
        let mut look = |byte| suspects.missed(&all, head(byte), 2);
        assert_eq!(look(2), [block(1), block(2)]);
        assert_eq!(look(3), [block(3), block(4)]);
        assert_eq!(look(4), [block(5), block(1)]);
        assert_eq!(look(5), [block(2), block(3)]);
    }
}
