//! How long a lane waits before it asks a full outbox again: the first delay, doubled up to two seconds.

use std::time::Duration;

const DELAY_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// The delay to wait now; the one after it is twice as long.
    pub(super) fn take(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(DELAY_MAX.max(self.first));
        delay
    }

    /// The outbox took something.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_two_seconds_and_begins_anew_with_progress() {
        let mut backoff = Backoff::new(Duration::from_millis(50));
        let delays: Vec<u128> = (0..8).map(|_| backoff.take().as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.take().as_millis(), 50);
    }
}
