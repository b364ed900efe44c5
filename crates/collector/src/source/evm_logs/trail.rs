//! The recent blocks of a chain as far as they are known: numbers without a gap, each block the parent of the next.
//!
//! In: blocks as a node shows them. Out: which hash the chain has at a height, and how a branch that a node shows joins
//! what is known. Pure: whoever asks the node stands in [`follow`](super::follow).

use std::collections::VecDeque;

use common::hash::Digest;

/// A block with its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linked {
    pub(super) number: u64,
    pub(super) hash: Digest,
    pub(super) parent: Digest,
}

/// Where a block that was read downwards from a new head belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Place {
    /// Its parent is known: the branch above it joins here.
    Joins,
    /// Its parent has to be looked at.
    Below,
    /// It is below all that is known: there is no common block.
    Lost,
}

#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Oldest first.
    blocks: VecDeque<Linked>,
}

impl Trail {
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn oldest(&self) -> Option<Linked> {
        self.blocks.front().copied()
    }

    pub(super) fn tip(&self) -> Option<Linked> {
        self.blocks.back().copied()
    }

    /// The hash at a height; `None` = not known.
    pub(super) fn hash(&self, number: u64) -> Option<Digest> {
        let offset = number.checked_sub(self.oldest()?.number)?;
        self.blocks.get(usize::try_from(offset).ok()?).map(|block| block.hash)
    }

    /// Forgets all and begins with one block.
    pub(super) fn restart(&mut self, block: Linked) {
        self.blocks = VecDeque::from([block]);
    }

    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }

    pub(super) fn place(&self, block: Linked) -> Place {
        let Some(oldest) = self.oldest() else { return Place::Lost };
        match block.number.checked_sub(1).and_then(|below| self.hash(below)) {
            Some(hash) if hash == block.parent => Place::Joins,
            _ if block.number <= oldest.number => Place::Lost,
            _ => Place::Below,
        }
    }

    /// Takes a branch, newest first, whose last block [`Place::Joins`]. Gives how many blocks it replaces.
    pub(super) fn join(&mut self, branch: Vec<Linked>) -> u64 {
        let Some(first) = branch.last() else { return 0 };
        let before = self.blocks.len();
        self.blocks.retain(|block| block.number < first.number);
        let replaced = before - self.blocks.len();
        self.blocks.extend(branch.into_iter().rev());
        replaced as u64
    }

    /// Takes the parent of the oldest block.
    pub(super) fn extend_back(&mut self, block: Linked) {
        self.blocks.push_front(block);
    }

    /// Forgets the oldest blocks above `most`.
    pub(super) fn shorten(&mut self, most: u64) {
        while self.blocks.len() as u64 > most {
            self.blocks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Block `number` of a fork that left the main chain (0) after block 3.
    fn block(number: u64, fork: u8) -> Linked {
        let hash = |number: u64| Digest::of(&[&number.to_be_bytes(), &[if number > 3 { fork } else { 0 }]]);
        Linked { number, hash: hash(number), parent: hash(number.wrapping_sub(1)) }
    }

    fn trail(numbers: std::ops::RangeInclusive<u64>) -> Trail {
        Trail { blocks: numbers.map(|number| block(number, 0)).collect() }
    }

    #[test]
    fn the_next_block_joins_without_replacing_any() {
        let mut trail = trail(2..=5);
        assert_eq!(trail.place(block(6, 0)), Place::Joins);
        assert_eq!(trail.join(vec![block(6, 0)]), 0);
        assert_eq!((trail.len(), trail.hash(6), trail.hash(7)), (5, Some(block(6, 0).hash), None));
        assert_eq!((trail.hash(1), trail.hash(2)), (None, Some(block(2, 0).hash)));
    }

    #[test]
    fn a_branch_is_followed_down_to_the_common_block_and_replaces_what_is_above() {
        let mut trail = trail(2..=5);
        let branch = [block(6, 1), block(5, 1), block(4, 1)];
        assert_eq!(branch.map(|block| trail.place(block)), [Place::Below, Place::Below, Place::Joins]);
        assert_eq!(trail.join(branch.into()), 2);
        assert_eq!(trail.tip(), Some(block(6, 1)));
        assert_eq!(
            [3, 4, 5].map(|number| trail.hash(number)),
            [block(3, 0), block(4, 1), block(5, 1)].map(|b| Some(b.hash))
        );
        // A shorter branch replaces a longer one.
        assert_eq!(trail.join(vec![block(4, 2)]), 3);
        assert_eq!(trail.tip(), Some(block(4, 2)));
    }

    #[test]
    fn a_branch_that_left_below_all_that_is_known_is_lost() {
        let trail = trail(5..=6);
        assert_eq!([6, 5].map(|number| trail.place(block(number, 1))), [Place::Below, Place::Lost]);
        assert_eq!(Trail::default().place(block(5, 0)), Place::Lost);
        assert_eq!(trail.place(block(0, 0)), Place::Lost);
    }

    #[test]
    fn it_grows_downwards_and_forgets_its_oldest_blocks() {
        let mut trail = trail(3..=5);
        trail.extend_back(block(2, 0));
        assert_eq!((trail.oldest(), trail.hash(5)), (Some(block(2, 0)), Some(block(5, 0).hash)));
        trail.shorten(2);
        assert_eq!((trail.oldest(), trail.len()), (Some(block(4, 0)), 2));
        trail.restart(block(9, 1));
        assert_eq!((trail.oldest(), trail.tip()), (trail.tip(), Some(block(9, 1))));
        trail.clear();
        assert_eq!(trail.tip(), None);
    }
}
