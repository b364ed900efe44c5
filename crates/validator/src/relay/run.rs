//! A run of prepared entries: built once, kept until the outbox has taken all of it.

use std::collections::VecDeque;

/// Payloads of `first, first + 1, …`; `None` = nothing in that entry for the target.
#[derive(Debug, Default)]
pub(super) struct Run {
    first: u64,
    payloads: VecDeque<Option<Vec<u8>>>,
}

impl Run {
    pub(super) fn new(first: u64, payloads: Vec<Option<Vec<u8>>>) -> Self {
        Self { first, payloads: payloads.into() }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Whether it is what comes after this watermark.
    pub(super) fn follows(&self, watermark: u64) -> bool {
        !self.payloads.is_empty() && self.first == watermark + 1
    }

    /// The payloads of the next call, at most `max`.
    pub(super) fn entries(&self, max: usize) -> Vec<Option<&[u8]>> {
        self.payloads.iter().take(max).map(Option::as_deref).collect()
    }

    /// Drops what is relayed, everything up to the watermark.
    pub(super) fn relayed(&mut self, watermark: u64) {
        while self.first <= watermark && self.payloads.pop_front().is_some() {
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_relayed_goes_and_the_rest_stays_as_it_was_prepared() {
        let mut run = Run::new(5, vec![Some(b"5".to_vec()), None, Some(b"7".to_vec())]);
        assert!(run.follows(4) && !run.follows(5) && !run.follows(3));
        assert_eq!(run.entries(1), [Some(&b"5"[..])]);
        run.relayed(4);
        assert_eq!(run.entries(9), [Some(&b"5"[..]), None, Some(&b"7"[..])]);
        run.relayed(6);
        assert_eq!((run.first(), run.entries(9)), (7, vec![Some(&b"7"[..])]));
        run.relayed(7);
        assert!(!run.follows(7), "nothing is left");
    }
}
