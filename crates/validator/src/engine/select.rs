//! The intake rule: how much of each stream's front goes into the next batch.
//!
//! In: the sizes of what waits at the front of `:inx`, `:receipts` and `:in`. Out: how many of each, always a
//! whole prefix, because COMMIT frees memory only from the front.
//!
//! - A batch has at most 256 messages, 512 KiB and 768 status writes. A message writes one status; a
//!   receipt as many as requests wait in its entry, at least one.
//! - `:inx` first, at most three quarters of each bound; then `:receipts`, at most half of what is left;
//!   then `:in` up to the bounds. As `:inx` thus leaves at least 576 status writes, a receipt of a full
//!   entry (256 requests) always fits; one of a REVERT, for which up to 768 may wait, goes alone if it does not.
//! - A front message larger than what its stream may fill of an empty batch goes alone, at once: it would
//!   never fit and block its stream. So while anything waits, something is taken.

/// The bounds of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub messages: usize,
    pub bytes: usize,
    pub statuses: usize,
}

pub const BATCH: Bounds = Bounds { messages: 256, bytes: 512 * 1024, statuses: 768 };

/// A waiting message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub bytes: usize,
    /// For a receipt the number of requests that wait in its entry; 1 for other messages.
    pub statuses: usize,
}

/// What waits, per stream, oldest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fronts<'a> {
    pub express: &'a [Waiting],
    pub receipts: &'a [Waiting],
    pub input: &'a [Waiting],
}

/// How many messages of each stream to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Take {
    pub express: usize,
    pub receipts: usize,
    pub input: usize,
}

impl Take {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The intake rule under [`BATCH`].
pub fn select(fronts: &Fronts<'_>) -> Take {
    let alone = |front: &[Waiting], share| front.first().is_some_and(|first| first.exceeds(share));
    if alone(fronts.express, express_share(BATCH)) {
        return Take { express: 1, ..Take::default() };
    }
    if alone(fronts.receipts, receipts_share(BATCH)) {
        return Take { receipts: 1, ..Take::default() };
    }
    if alone(fronts.input, BATCH) {
        return Take { input: 1, ..Take::default() };
    }
    let mut left = BATCH;
    let express = left.take(fronts.express, express_share(left));
    let receipts = left.take(fronts.receipts, receipts_share(left));
    let input = left.take(fronts.input, left);
    Take { express, receipts, input }
}

/// What `:inx` may fill of what is left.
const fn express_share(left: Bounds) -> Bounds {
    left.part(3, 4)
}

/// What `:receipts` may fill of what is left.
const fn receipts_share(left: Bounds) -> Bounds {
    left.part(1, 2)
}

impl Waiting {
    fn exceeds(&self, bounds: Bounds) -> bool {
        self.bytes > bounds.bytes || self.statuses > bounds.statuses
    }
}

impl Bounds {
    const fn part(self, numerator: usize, denominator: usize) -> Self {
        Self {
            messages: self.messages * numerator / denominator,
            bytes: self.bytes * numerator / denominator,
            statuses: self.statuses * numerator / denominator,
        }
    }

    /// Takes the longest prefix that fits `share`, which is within `self`, off `self`.
    fn take(&mut self, front: &[Waiting], mut share: Self) -> usize {
        let mut taken = 0;
        for message in front {
            if share.messages == 0 || message.exceeds(share) {
                break;
            }
            for bounds in [&mut share, self] {
                bounds.messages -= 1;
                bounds.bytes -= message.bytes;
                bounds.statuses -= message.statuses;
            }
            taken += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests;
