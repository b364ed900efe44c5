//! One list out of several that are each newest first. Pure: says which of them to read on, and takes what is read.

use std::collections::VecDeque;

use common::ids::Shard;
use common::link::Indexed;

/// The accepted requests of some shards, merged as they are read.
#[derive(Debug)]
pub(super) struct Merge {
    lists: Vec<List>,
}

#[derive(Debug)]
struct List {
    shard: Shard,
    read: VecDeque<Indexed>,
    /// Where to read on.
    before: Option<Indexed>,
    is_at_end: bool,
}

impl Merge {
    pub(super) fn new(shards: &[Shard], before: Option<Indexed>) -> Self {
        let list = |shard: &Shard| List { shard: *shard, read: VecDeque::new(), before, is_at_end: false };
        Self { lists: shards.iter().map(list).collect() }
    }

    /// The lists that must be read before more can be taken, and from where.
    pub(super) fn unread(&self) -> Vec<(Shard, Option<Indexed>)> {
        let unread = self.lists.iter().filter(|list| list.is_unread());
        unread.map(|list| (list.shard, list.before)).collect()
    }

    /// Takes note of what was read; fewer than `asked` means that there is no more.
    pub(super) fn add(&mut self, shard: Shard, read: Vec<Indexed>, asked: usize) {
        if let Some(list) = self.lists.iter_mut().find(|list| list.shard == shard) {
            list.is_at_end = read.len() < asked;
            list.before = read.last().copied().or(list.before);
            list.read.extend(read);
        }
    }

    /// The newest ones, at most `max`, as far as nothing unread may lie between.
    pub(super) fn take(&mut self, max: usize) -> Vec<Indexed> {
        let mut taken = Vec::new();
        while taken.len() < max && !self.lists.iter().any(List::is_unread) {
            let newest = self.lists.iter_mut().max_by_key(|list| list.read.front().copied());
            match newest.and_then(|list| list.read.pop_front()) {
                Some(member) => taken.push(member),
                None => break,
            }
        }
        taken
    }

    /// Whether there may be more to take.
    pub(super) fn has_more(&self) -> bool {
        self.lists.iter().any(|list| !list.read.is_empty() || !list.is_at_end)
    }
}

impl List {
    fn is_unread(&self) -> bool {
        self.read.is_empty() && !self.is_at_end
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{Rid, Shard};
    use common::link::Indexed;

    use super::Merge;

    fn at(at_ms: u64, shard: Shard) -> Indexed {
        let mut bytes = [0; 16];
        bytes[15] = shard.number();
        Indexed { at_ms, rid: Rid::from_bytes(bytes).expect("a rid") }
    }

    fn times(taken: &[Indexed]) -> Vec<u64> {
        taken.iter().map(|member| member.at_ms).collect()
    }

    #[test]
    fn the_newest_of_all_lists_come_first_and_never_past_what_is_unread() {
        let (one, two) = (Shard::Financial, Shard::Gaming);
        let mut merge = Merge::new(&[one, two], None);
        assert_eq!(merge.unread(), [(one, None), (two, None)]);
        assert_eq!(times(&merge.take(9)), [0; 0], "nothing is read");
        merge.add(one, vec![at(9, one), at(5, one)], 2);
        merge.add(two, vec![at(8, two), at(3, two)], 2);
        assert_eq!(times(&merge.take(1)), [9]);
        // 3 of the second list may lie behind something unread of the first.
        assert_eq!(times(&merge.take(9)), [8, 5]);
        assert_eq!(merge.unread(), [(one, Some(at(5, one)))]);
        merge.add(one, vec![at(4, one)], 2);
        assert_eq!(times(&merge.take(9)), [4, 3]);
        assert_eq!((merge.unread(), merge.has_more()), (vec![(two, Some(at(3, two)))], true));
        merge.add(two, Vec::new(), 2);
        assert_eq!((times(&merge.take(9)), merge.has_more()), (vec![], false));
    }
}
