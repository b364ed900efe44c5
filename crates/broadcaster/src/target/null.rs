//! The target that takes everything and sends nothing: measures the path up to it, or stands in for one that takes
//! [`NullSettings::delay_ms`] per part, all of them beside each other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::bridge::Part;
use common::link::{Item, LaneState};

use super::{AdvanceError, Examination, Fitness, Round, Target};
use crate::book::{Book, Stage};
use crate::config::NullSettings;
use crate::desk::Desk;
use crate::receipt;
use crate::target::evm::ChainError;

/// While parts are on their way the outbox is looked at so often.
const PACE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(crate) struct Null {
    delay: Duration,
    /// When each part on its way was taken. A lane that begins anew takes them again.
    taken: BTreeMap<Item, Instant>,
}

impl Null {
    pub(crate) fn new(settings: NullSettings) -> Self {
        Self { delay: Duration::from_millis(settings.delay_ms), taken: BTreeMap::new() }
    }

    /// How much longer a part takes, as of `now`.
    fn left(&mut self, item: Item, now: Instant) -> Duration {
        let taken = *self.taken.entry(item).or_insert(now);
        self.delay.saturating_sub(now.duration_since(taken))
    }
}

impl Target for Null {
    async fn examine(&self) -> Result<Examination, ChainError> {
        Ok(Examination { fitness: Fitness::Fit, balance_wei: None, trouble: None, alarms: Vec::new() })
    }

    fn sender(&self) -> Option<String> {
        None
    }

    fn adopt(&mut self, _state: &LaneState, _book: &mut Book) {
        self.taken.clear();
    }

    fn check(&self, _part: &Part) -> Result<(), String> {
        Ok(())
    }

    async fn advance(&mut self, book: &mut Book, desk: &Desk) -> Result<Round, AdvanceError> {
        if desk.is_paused {
            return Ok(Round::default());
        }
        let ready: Vec<_> = book
            .ready(desk.clock.now_ms())
            .map(|(item, part)| (item, receipt::unsent(item.part, part.updates.len(), desk.skip(part))))
            .collect();
        let (now, mut again_after) = (Instant::now(), None);
        for (item, part) in ready {
            if self.delay.is_zero() || self.left(item, now).is_zero() {
                self.taken.remove(&item);
                book.set(item, Stage::Finished(part));
            } else {
                let left = self.left(item, now).min(PACE);
                again_after = Some(again_after.map_or(left, |before: Duration| before.min(left)));
            }
        }
        Ok(Round { again_after, ..Round::default() })
    }

    fn nonces_of(&self, _seqs: &[u64]) -> Vec<u64> {
        Vec::new()
    }

    fn forget(&mut self, _seqs: &[u64]) {}

    fn binds(&self) -> bool {
        false
    }

    fn in_flight(&self) -> usize {
        self.taken.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_its_delay_from_when_it_was_first_seen_beside_all_others() {
        let mut null = Null::new(NullSettings { delay_ms: 80 });
        let (ms, began) = (Duration::from_millis, Instant::now());
        let item = |seq| Item { seq, part: 0 };
        assert_eq!(null.left(item(1), began), ms(80));
        assert_eq!(null.left(item(2), began + ms(50)), ms(80));
        assert_eq!(null.left(item(1), began + ms(50)), ms(30));
        assert_eq!(null.left(item(1), began + ms(90)), Duration::ZERO);
        assert_eq!(null.in_flight(), 2);
    }
}
