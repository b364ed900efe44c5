//! How fast a shard decides: what the time to live of ended requests' records rests on.

use std::time::{Duration, Instant};

use crate::record_ttl::RecordTtl;
use crate::shard::ShardState;

/// How often the commit rate is measured.
const EVERY: Duration = Duration::from_secs(1);

/// Counts decided requests.
#[derive(Debug)]
pub(super) struct Rate {
    ttl: RecordTtl,
    since: Instant,
    requests: usize,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self { ttl: RecordTtl::default(), since: Instant::now(), requests: 0 }
    }

    /// An entry of so many messages was made; none: it is idle.
    pub(super) fn count(&mut self, requests: usize, shard: &ShardState) {
        self.requests += requests;
        if requests > 0 {
            shard.stat(|stats| {
                stats.entries += 1;
                stats.messages += requests as u64;
                stats.last_batch = requests;
                let size = f64::from(u32::try_from(requests).unwrap_or(u32::MAX));
                stats.mean_batch += (size - stats.mean_batch) / if stats.entries < 16 { 2.0 } else { 16.0 };
            });
        }
        let elapsed = self.since.elapsed();
        if elapsed >= EVERY {
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            self.ttl.observe(std::mem::take(&mut self.requests), elapsed_ms);
            self.since = Instant::now();
            shard.set_record_ttl(self.ttl);
        }
    }
}
