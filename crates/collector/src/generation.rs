//! The generation of each shard's data set: `:gen` as it was at the first connect.
//!
//! In: polls of `:gen`. Out: readiness part `redis`, and the end of the process with exit code 4 when a
//! generation changes or vanishes: Redis was wiped or restored, and what was answered from it may be gone.
//! Nothing is submitted or collected before every shard's generation is known.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::admin::Readiness;
use common::exit;
use common::ids::Shard;
use common::link::{Commands, Disposition, Link, LinkError};
use common::supervise::halt;
use tokio::sync::watch;

const POLL_INTERVAL: Duration = Duration::from_millis(500);
const PART: &str = "redis";

/// What is known of the generations. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    first: Arc<Mutex<BTreeMap<Shard, String>>>,
    known: Arc<watch::Sender<bool>>,
}

/// Redis holds another data set than at the first connect.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard}: the generation was {first}, now it is {now:?}: Redis was wiped or restored")]
struct Changed {
    shard: Shard,
    first: String,
    now: Option<String>,
}

impl Generation {
    pub(crate) fn new() -> Self {
        Self { first: Arc::default(), known: Arc::new(watch::Sender::new(false)) }
    }

    /// Whether every shard's generation is known.
    pub(crate) fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Resolves once every shard's generation is known.
    pub(crate) async fn known(&self) {
        // The sender lives in `self`, so waiting ends only with the value.
        drop(self.known.subscribe().wait_for(|known| *known).await);
    }

    /// Takes note of a shard's generation as it is now.
    fn compare(&self, shard: Shard, now: Option<String>) -> Result<(), Changed> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match (first.get(&shard), now) {
            (None, None) => {}
            (None, Some(now)) => {
                first.insert(shard, now);
            }
            (Some(first), Some(now)) if *first == now => {}
            (Some(first), now) => return Err(Changed { shard, first: first.clone(), now }),
        }
        if first.len() == Shard::ALL.len() {
            self.known.send_replace(true);
        }
        Ok(())
    }

    /// Polls for ever and reports readiness. Ends only by ending the process.
    pub(crate) async fn watch(self, commands: Commands, readiness: Readiness) -> Infallible {
        loop {
            match self.poll(&commands).await {
                Ok(()) if self.is_known() => readiness.set(PART, Ok("reachable, generation known")),
                Ok(()) => readiness.set(PART, Err("not initialised yet: no validator has written :gen")),
                Err(error) => readiness.set(PART, Err(&error.to_string())),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn poll(&self, commands: &Commands) -> Result<(), LinkError> {
        for shard in Shard::ALL {
            let now = commands.shard(shard).generation().await?;
            self.compare(shard, now).unwrap_or_else(|changed| halt(exit::DATA_LOSS, &changed));
        }
        Ok(())
    }

    /// Ends the process because of an error no retry can mend: with exit code 4 if the reason is that Redis
    /// holds another data set, else as an essential part's end.
    pub(crate) async fn halt(&self, link: &Link, error: &LinkError) -> ! {
        debug_assert!(matches!(error.disposition(), Disposition::Reject | Disposition::Halt));
        if let Ok(now) = link.generation().await
            && let Err(changed) = self.compare(link.shard(), now)
        {
            halt(exit::DATA_LOSS, &changed)
        }
        tracing::error!(shard = %link.shard(), error = ?error, "A call to Redis failed for good");
        halt(exit::ESSENTIAL, error)
    }
}

#[cfg(test)]
mod tests {
    use common::ids::Shard;

    use super::Generation;

    #[test]
    fn every_shard_must_be_known_and_a_changed_or_lost_generation_is_noticed() {
        let generation = Generation::new();
        for shard in Shard::ALL {
            assert!(!generation.is_known());
            assert_eq!(generation.compare(shard, None), Ok(()));
            assert_eq!(generation.compare(shard, Some("a".to_owned())), Ok(()));
        }
        assert!(generation.is_known());
        assert_eq!(generation.compare(Shard::Gaming, Some("a".to_owned())), Ok(()));
        assert!(generation.compare(Shard::Gaming, Some("b".to_owned())).is_err());
        assert!(generation.compare(Shard::Gaming, None).is_err());
    }
}
