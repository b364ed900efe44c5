//! The work of the last entries, in memory: what lanes that keep up relay without reading the archive.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Work;

/// Entries kept.
const ENTRIES_MAX: usize = 256;
/// Updates kept in all of them together; one takes about 200 bytes.
const UPDATES_MAX: usize = 65_536;

/// The last entries' work, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    works: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    works: VecDeque<Arc<Work>>,
    updates: usize,
}

impl Recent {
    /// Adds the next entry's work and forgets the oldest beyond the bounds. Work that does not follow the
    /// newest one replaces everything.
    pub(crate) fn push(&self, work: Arc<Work>) {
        let mut kept = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.works.back().is_some_and(|last| last.seq + 1 != work.seq) {
            *kept = Kept::default();
        }
        kept.updates += work.updates.len();
        kept.works.push_back(work);
        while kept.works.len() > ENTRIES_MAX || (kept.updates > UPDATES_MAX && kept.works.len() > 1) {
            let Some(oldest) = kept.works.pop_front() else { return };
            kept.updates -= oldest.updates.len();
        }
    }

    /// The work of an entry, if it is still here.
    #[must_use]
    pub(crate) fn get(&self, seq: u64) -> Option<Arc<Work>> {
        let kept = self.works.lock().unwrap_or_else(PoisonError::into_inner);
        let place = seq.checked_sub(kept.works.front()?.seq)?;
        kept.works.get(usize::try_from(place).ok()?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::hash::Digest;
    use common::ids::Shard;

    fn work(seq: u64) -> Arc<Work> {
        let (updates, traces) = (Vec::new(), std::collections::BTreeMap::new());
        Arc::new(Work { shard: Shard::Financial, seq, root: Digest::ZERO, updates, traces })
    }

    #[test]
    fn the_oldest_entries_are_forgotten_and_the_others_found_by_their_number() {
        let recent = Recent::default();
        let newest = ENTRIES_MAX as u64 + 10;
        (1..=newest).for_each(|seq| recent.push(work(seq)));
        assert_eq!(recent.get(10), None);
        assert_eq!(recent.get(11).map(|work| work.seq), Some(11));
        assert_eq!(recent.get(newest).map(|work| work.seq), Some(newest));
        assert_eq!(recent.get(newest + 1), None);
    }

    #[test]
    fn a_gap_forgets_everything_before_it() {
        let recent = Recent::default();
        recent.push(work(1));
        recent.push(work(5));
        assert_eq!(recent.get(1), None);
        assert_eq!(recent.get(5).map(|work| work.seq), Some(5));
    }
}
