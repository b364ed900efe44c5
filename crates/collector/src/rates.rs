//! How often one key may submit and read: a token bucket each (GCRA), per process.
//!
//! A rate of 0 in the settings is none. Keys are those of the key file, so the table is as large as that. A refusal
//! is 429 and says when the next request has room.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use common::auth::KeyRing;
use common::problem::Problem;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::config::LimitSettings;

/// What a key's requests are counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// A submission, each line of a batch.
    Submit,
    /// Everything else.
    Read,
}

impl Use {
    const fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
        }
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The rates of all keys. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    limiters: Arc<BTreeMap<(String, Use), Limiter>>,
    clock: DefaultClock,
}

/// What is left to a key, as the headers `RateLimit-Policy` and `RateLimit` say it
/// (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    spent_on: Use,
    burst: u32,
    left: u32,
    /// How long one takes to come back.
    interval: Duration,
}

impl Standing {
    /// `"submit";q=<burst>;w=<seconds in which a whole burst comes back>`
    pub(crate) fn policy(&self) -> String {
        let window = seconds(self.interval * self.burst);
        format!("\"{}\";q={};w={window}", self.spent_on.name(), self.burst)
    }

    /// `"submit";r=<left>;t=<seconds until the whole burst is there again>`
    pub(crate) fn left(&self) -> String {
        let missing = self.burst.saturating_sub(self.left);
        let until_full = seconds(self.interval * missing);
        format!("\"{}\";r={};t={until_full}", self.spent_on.name(), self.left)
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl Rates {
    pub(crate) fn new(keys: &KeyRing, limits: &LimitSettings) -> Self {
        let quotas = [
            (Use::Submit, quota(limits.submits_per_minute, limits.submits_burst)),
            (Use::Read, quota(limits.reads_per_minute, limits.reads_burst)),
        ];
        let limiters = keys.ids().flat_map(|id| {
            quotas.iter().filter_map(move |(spent_on, quota)| {
                let limiter = RateLimiter::direct((*quota)?);
                Some(((id.to_owned(), *spent_on), limiter.with_middleware()))
            })
        });
        Self { limiters: Arc::new(limiters.collect()), clock: DefaultClock::default() }
    }

    /// Counts one; `None` without a rate.
    ///
    /// # Errors
    /// What is left, which is nothing, and the problem for the client.
    pub(crate) fn spend(&self, key_id: &str, spent_on: Use) -> Result<Option<Standing>, (Standing, Problem)> {
        let Some(limiter) = self.limiters.get(&(key_id.to_owned(), spent_on)) else { return Ok(None) };
        let standing = |quota: Quota, left| Standing {
            spent_on,
            burst: quota.burst_size().get(),
            left,
            interval: quota.replenish_interval(),
        };
        match limiter.check() {
            Ok(snapshot) => Ok(Some(standing(snapshot.quota(), snapshot.remaining_burst_capacity()))),
            Err(until) => {
                let wait = seconds(until.wait_time_from(self.clock.now())).max(1);
                let title = "The key is used too often";
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", title)
                    .detail(format!("the rate for {} of this key is used up", spent_on.name()))
                    .retry_after(u32::try_from(wait).unwrap_or(u32::MAX));
                Err((standing(until.quota(), 0), problem))
            }
        }
    }
}

/// `None` for a rate of 0.
fn quota(per_minute: u32, burst: u32) -> Option<Quota> {
    let burst = NonZeroU32::new(burst)?;
    Some(Quota::per_minute(NonZeroU32::new(per_minute)?).allow_burst(burst))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Standing, Use};

    #[test]
    fn the_headers_say_quota_window_rest_and_when_it_is_whole_again() {
        let standing =
            Standing { spent_on: Use::Submit, burst: 10, left: 7, interval: Duration::from_millis(1_500) };
        assert_eq!(standing.policy(), "\"submit\";q=10;w=15");
        assert_eq!(standing.left(), "\"submit\";r=7;t=5");
    }
}
