//! Sends requests and notes what was acknowledged.
//!
//! A request whose answer is unknown (nobody answered, or the connection broke) or refused for now (503) is sent again
//! with the same key until it has a 2xx: what a careful client does. Any other answer is an error of the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::hash::Digest;
use common::ids::Rid;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::Planned;
use crate::stack::Api;

/// Shorter than the server's hint, so that a recovered server meets its load at once.
const AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("request {key} was answered {status}: {body}")]
    Refused { key: String, status: u16, body: String },
    #[error("request {key} was acknowledged as {said}, its id is {rid}")]
    OtherId { key: String, rid: Rid, said: String },
    #[error("request {key} was not acknowledged within {seconds} s")]
    TimedOut { key: String, seconds: u64 },
    #[error("a sender's task ended")]
    Task(#[from] tokio::task::JoinError),
}

/// A request the collector said yes to.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub rid: Rid,
    pub fp: Digest,
    /// How often it was sent.
    pub sent: u32,
    pub doomed: Option<&'static str>,
}

impl Acknowledged {
    /// Notes a request that was answered 2xx at once.
    #[must_use]
    pub fn once(planned: &Planned) -> Self {
        let Planned { rid, fp, doomed, .. } = *planned;
        Self { rid, fp, sent: 1, doomed }
    }
}

/// A client that repeats.
#[derive(Debug, Clone)]
pub struct Client {
    api: Api,
    patience: Duration,
    acknowledged: Arc<AtomicU64>,
}

impl Client {
    /// `patience` bounds the repetitions of one request.
    #[must_use]
    pub fn new(api: Api, patience: Duration) -> Self {
        Self { api, patience, acknowledged: Arc::default() }
    }

    /// How many requests have been acknowledged; other tasks watch it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Sends one request until it is acknowledged.
    ///
    /// # Errors
    /// It is refused for good, or not acknowledged in time.
    pub async fn send(&self, planned: &Planned) -> Result<Acknowledged, LoadError> {
        let started = Instant::now();
        let mut sent = 0;
        while started.elapsed() < self.patience {
            sent += 1;
            match self.api.submit(&planned.key, &planned.body, None).await {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    if answer.text("/id") != planned.rid.to_string() {
                        let said = answer.body.to_string();
                        return Err(LoadError::OtherId { key: planned.key.clone(), rid: planned.rid, said });
                    }
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    let Planned { rid, fp, doomed, .. } = *planned;
                    return Ok(Acknowledged { rid, fp, sent, doomed });
                }
                // Refused for now, or what a proxy says when nobody knows what became of it.
                Ok(answer) if matches!(answer.status, 502..=504) => {}
                Ok(answer) => {
                    let (status, body) = (answer.status, answer.body.to_string());
                    return Err(LoadError::Refused { key: planned.key.clone(), status, body });
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(LoadError::TimedOut { key: planned.key.clone(), seconds: self.patience.as_secs() })
    }

    /// Sends all, `senders` at a time, in their order.
    ///
    /// # Errors
    /// The first request that failed.
    pub async fn send_all(
        &self,
        requests: Vec<Planned>,
        senders: usize,
    ) -> Result<Vec<Acknowledged>, LoadError> {
        let total = requests.len();
        let queue = Arc::new(Mutex::new(requests.into_iter()));
        let mut tasks: JoinSet<Result<Vec<Acknowledged>, LoadError>> = JoinSet::new();
        for _ in 0..senders {
            let (client, queue) = (self.clone(), Arc::clone(&queue));
            tasks.spawn(async move {
                let mut acknowledged = Vec::new();
                loop {
                    let Some(planned) = queue.lock().await.next() else { return Ok(acknowledged) };
                    acknowledged.push(client.send(&planned).await?);
                }
            });
        }
        let mut all = Vec::with_capacity(total);
        while let Some(ended) = tasks.join_next().await {
            all.extend(ended??);
        }
        Ok(all)
    }
}
