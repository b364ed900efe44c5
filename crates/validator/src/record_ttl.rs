//! How long status records live from `committed` on: so that about 200,000 of them are kept, whatever the rate.

/// Records that are kept at a steady rate.
const RECORDS: f64 = 200_000.0;
const TTL_MIN_MS: u64 = 15 * 60 * 1_000;
const TTL_MAX_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Time over which the rate is averaged.
const HALF_LIFE_S: f64 = 60.0;

/// An exponentially weighted rate of commits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RecordTtl {
    per_second: f64,
}

impl RecordTtl {
    /// Counts `records` over the `elapsed_ms` since the last call.
    pub(crate) fn observe(&mut self, records: usize, elapsed_ms: u64) {
        let elapsed_s = to_f64(elapsed_ms.max(1)) / 1_000.0;
        let weight = 1.0 - 0.5_f64.powf(elapsed_s / HALF_LIFE_S);
        let rate = to_f64(records as u64) / elapsed_s;
        self.per_second += weight * (rate - self.per_second);
    }

    /// Requests per second.
    #[must_use]
    pub(crate) fn rate(&self) -> f64 {
        self.per_second
    }

    /// clamp(200,000 / rate, 15 min, 7 days), ms.
    #[must_use]
    pub(crate) fn ttl_ms(&self) -> u64 {
        if self.per_second <= 0.0 {
            return TTL_MAX_MS;
        }
        let seconds = RECORDS / self.per_second;
        if seconds >= to_f64(TTL_MAX_MS) / 1_000.0 {
            return TTL_MAX_MS;
        }
        // Below seven days, so it fits and is not negative.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded two lines above"
        )]
        let ms = (seconds * 1_000.0) as u64;
        ms.clamp(TTL_MIN_MS, TTL_MAX_MS)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_shard_keeps_records_for_seven_days_and_a_busy_one_for_fifteen_minutes() {
        let mut ttl = RecordTtl::default();
        assert_eq!(ttl.ttl_ms(), TTL_MAX_MS);
        for _ in 0..600 {
            ttl.observe(5_000, 1_000);
        }
        assert!((ttl.rate() - 5_000.0).abs() < 10.0, "{}", ttl.rate());
        assert_eq!(ttl.ttl_ms(), TTL_MIN_MS);
    }

    #[test]
    fn between_the_bounds_the_time_is_that_of_200_000_records() {
        let mut ttl = RecordTtl::default();
        for _ in 0..100_000 {
            ttl.observe(10, 1_000);
        }
        let expected = 20_000_000;
        assert!(ttl.ttl_ms().abs_diff(expected) < expected / 100, "{}", ttl.ttl_ms());
    }
}
