//! How many messages or entries to ask Redis for at once.
//!
//! In: what came of the last read. Out: the count of the next one. A read starts small and doubles as long as all of
//! it was wanted; it follows what was used when there was more than that; and it is halved when the reply did
//! not come in time: the same question over the same path would be answered no sooner, however often it is asked.
//! It never falls below one, and one message or entry is bounded.

/// What came of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// No reply within the time a reply may take.
    TooLate,
    /// All of it was wanted.
    Right,
    /// Only so much of it was of use.
    TooMuch { used: usize },
}

/// The count of the next read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadSize {
    count: usize,
    /// What a surplus alone does not go below.
    floor: usize,
    max: usize,
}

impl ReadSize {
    /// `first` for the first read, at most `max` ever; a surplus leads to no less than `floor`.
    pub(crate) const fn new(first: usize, floor: usize, max: usize) -> Self {
        Self { count: first, floor, max }
    }

    pub(crate) const fn count(self) -> usize {
        self.count
    }

    #[must_use]
    pub(crate) fn after(self, came: Came) -> Self {
        let twice = self.count.saturating_mul(2).min(self.max);
        let count = match came {
            Came::TooLate => self.count / 2,
            Came::Right => twice,
            Came::TooMuch { used } => used.saturating_mul(2).max(self.floor).min(twice),
        };
        Self { count: count.max(1), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_grows_while_all_is_wanted_follows_what_is_used_and_is_halved_when_it_comes_too_late() {
        use Came::{Right, TooLate, TooMuch};
        for (count, came, next) in [
            (32, Right, 64),
            (200, Right, 256),
            (256, Right, 256),
            (256, TooMuch { used: 100 }, 200),
            (256, TooMuch { used: 3 }, 16),
            (256, TooMuch { used: 192 }, 256),
            // A surplus of a read that had to be made small does not make it large at once.
            (2, TooMuch { used: 1 }, 4),
            (1, TooMuch { used: 0 }, 2),
            (256, TooLate, 128),
            (16, TooLate, 8),
            (3, TooLate, 1),
            (1, TooLate, 1),
            (1, Right, 2),
        ] {
            assert_eq!(ReadSize::new(count, 16, 256).after(came).count(), next, "{count} {came:?}");
        }
    }

    #[test]
    fn a_path_that_never_answers_in_time_is_asked_for_one_message_in_the_end() {
        let mut size = ReadSize::new(32, 16, 256);
        let counts: Vec<usize> = (0..7)
            .map(|_| {
                size = size.after(Came::TooLate);
                size.count()
            })
            .collect();
        assert_eq!(counts, [16, 8, 4, 2, 1, 1, 1]);
    }
}
