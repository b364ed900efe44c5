//! How long to wait before the next try: exponential, capped, spread out.

/// The bounds of a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) min_ms: u64,
    pub(crate) max_ms: u64,
}

impl Backoff {
    /// The delay after `failures` failures in a row (1 = the first): doubles up to the cap, less up to a
    /// quarter by `seed`, so that what failed together does not come again together.
    pub(crate) fn delay_ms(self, failures: u32, seed: u64) -> u64 {
        let doubled =
            self.min_ms.saturating_mul(1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX));
        let delay = doubled.clamp(self.min_ms.min(self.max_ms), self.max_ms);
        // A multiplicative hash spreads neighbouring seeds.
        let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        delay - (delay / 4).saturating_mul(spread) / u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    const BACKOFF: Backoff = Backoff { min_ms: 200, max_ms: 10_000 };

    #[test]
    fn delays_double_up_to_the_cap_and_lose_at_most_a_quarter() {
        for (failures, full) in
            [(1, 200), (2, 400), (3, 800), (6, 6_400), (7, 10_000), (64, 10_000), (u32::MAX, 10_000)]
        {
            for seed in 0..50 {
                let delay = BACKOFF.delay_ms(failures, seed);
                assert!((full * 3 / 4..=full).contains(&delay), "{failures} failures, seed {seed}: {delay}");
            }
        }
    }

    #[test]
    fn neighbouring_seeds_wait_differently() {
        let delays: std::collections::BTreeSet<u64> = (0..20).map(|seed| BACKOFF.delay_ms(6, seed)).collect();
        assert!(delays.len() > 10, "{delays:?}");
    }
}
