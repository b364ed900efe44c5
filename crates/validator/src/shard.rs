//! What the parts of this process share about one shard.
//!
//! The sequencer alone moves the engine and, through its writer, the view; relay, lease, trim and HTTP read. Parts hear of
//! changes through watches, which keep the last value only, so nothing here can grow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use common::hash::Digest;
use common::ids::{Name, Shard};
use common::link::{FullStream, Link};
use tokio::sync::watch;

use crate::engine::Engine;
use crate::lease::{Lead, Tenure};
use crate::record_ttl::RecordTtl;
use crate::relay::{Orders, Recent};
use crate::view::View;

/// A process that follows the log answers reads for this long after it was last seen at the log's head: it looks
/// once a second, and one that cannot reach Redis must not go on answering from the past.
const FOLLOWING_MAX: Duration = Duration::from_secs(5);

/// Where the shard stands, as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The last entry in the view.
    pub(crate) seq: u64,
    pub(crate) digest: Digest,
    pub(crate) root: Digest,
    pub(crate) aux: Digest,
    /// Log time of the last entry, Unix ms.
    pub(crate) time_ms: u64,
    /// Its epoch.
    pub(crate) epoch: u64,
    /// The epoch under which this process leads and has caught up with the log.
    pub(crate) leading: Option<u64>,
}

/// Figures of the last batches, for people.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stats {
    /// Entries committed since this process started.
    pub(crate) entries: u64,
    /// Messages consumed since this process started.
    pub(crate) messages: u64,
    pub(crate) last_batch: usize,
    /// Exponentially weighted mean of messages per entry.
    pub(crate) mean_batch: f64,
    /// The entry whose COMMIT is on its way.
    pub(crate) in_flight: Option<u64>,
    /// Intake stands still until an operator empties this stream.
    pub(crate) blocked_by: Option<FullStream>,
    /// How often each target's outbox was found full.
    pub(crate) full: BTreeMap<String, u64>,
    /// Requests per second, averaged over minutes.
    pub(crate) rate: f64,
}

/// Whoever holds it may write to the folder of the shard's checkpoints.
pub(crate) type CheckpointTurn = tokio::sync::OwnedMutexGuard<()>;

/// One shard in this process.
#[derive(Debug)]
pub(crate) struct ShardState {
    pub(crate) shard: Shard,
    pub(crate) link: Link,
    pub(crate) view: View,
    /// Under which URL other validators reach this process; empty = not at all.
    pub(crate) url: String,
    pub(crate) recent: Recent,
    checkpoints: Arc<tokio::sync::Mutex<()>>,
    engine: RwLock<Engine>,
    standing: watch::Sender<Standing>,
    tenure: watch::Sender<Tenure>,
    orders: watch::Sender<Option<Orders>>,
    ready_to_lead: AtomicBool,
    /// When the log's head was asked for that this process has then reached.
    at_head: Mutex<Option<Instant>>,
    epoch_floor: AtomicU64,
    record_ttl_ms: AtomicU64,
    stats: Mutex<Stats>,
}

impl ShardState {
    /// A shard before replay: nothing is known of it yet.
    #[must_use]
    pub(crate) fn new(link: Link, view: View) -> Self {
        let shard = view.shard();
        let engine = Engine::genesis(shard);
        let standing = standing_of(&engine, Digest::ZERO);
        Self {
            shard,
            link,
            view,
            url: String::new(),
            recent: Recent::default(),
            checkpoints: Arc::default(),
            engine: RwLock::new(engine),
            standing: watch::Sender::new(standing),
            tenure: watch::Sender::new(Tenure::Waiting { holder: None }),
            orders: watch::Sender::new(None),
            ready_to_lead: AtomicBool::new(false),
            at_head: Mutex::default(),
            epoch_floor: AtomicU64::new(0),
            record_ttl_ms: AtomicU64::new(RecordTtl::default().ttl_ms()),
            stats: Mutex::default(),
        }
    }

    /// The same, told to others under `url`.
    #[must_use]
    pub(crate) fn at(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    /// For reading. Hold it briefly: the sequencer waits for it to move on.
    pub(crate) fn engine(&self) -> RwLockReadGuard<'_, Engine> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn engine_mut(&self) -> RwLockWriteGuard<'_, Engine> {
        self.engine.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows where the shard stands.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Where the shard stands now.
    pub(crate) fn now(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Publishes the engine's position, which the view has reached. `digest` is that of its last entry.
    pub(crate) fn moved(&self, digest: Digest) {
        self.reached(&self.stands(digest));
    }

    /// Where the engine stands. `digest` is that of its last entry.
    pub(crate) fn stands(&self, digest: Digest) -> Standing {
        standing_of(&self.engine(), digest)
    }

    /// The view has got that far.
    pub(crate) fn reached(&self, moved: &Standing) {
        self.epoch_floor.fetch_max(moved.epoch, Ordering::SeqCst);
        self.standing.send_modify(|standing| {
            *standing = Standing { leading: standing.leading, ..moved.clone() };
        });
    }

    pub(crate) fn set_leading(&self, epoch: Option<u64>) {
        self.standing.send_modify(|standing| standing.leading = epoch);
    }

    /// This process leads, has caught up and still holds the lease, which nobody else can have taken since:
    /// its answers are current.
    pub(crate) fn is_leading(&self) -> bool {
        is_current(self.standing.borrow().leading, &self.tenure.borrow())
    }

    /// All of the log is here that there was when its head was asked for.
    pub(crate) fn reached_head_of(&self, asked: Instant) {
        *self.at_head.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    /// This process was at the log's head a moment ago. What it shows is what the log says up to its own head, but
    /// more may have been committed since.
    pub(crate) fn is_following(&self) -> bool {
        is_recent(*self.at_head.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn tenure(&self) -> Tenure {
        self.tenure.borrow().clone()
    }

    pub(crate) fn watch_tenure(&self) -> watch::Receiver<Tenure> {
        self.tenure.subscribe()
    }

    pub(crate) fn lead(&self, lead: Lead) {
        self.epoch_floor.fetch_max(lead.fence.epoch, Ordering::SeqCst);
        self.tenure.send_replace(Tenure::Leading(lead));
    }

    pub(crate) fn depose(&self, holder: Option<String>) {
        self.tenure.send_replace(Tenure::Waiting { holder });
    }

    pub(crate) fn order(&self, orders: Option<Orders>) {
        self.orders.send_replace(orders);
    }

    pub(crate) fn watch_orders(&self) -> watch::Receiver<Option<Orders>> {
        self.orders.subscribe()
    }

    /// The lease may be taken: the log is replayed as far as it was there.
    pub(crate) fn is_ready_to_lead(&self) -> bool {
        self.ready_to_lead.load(Ordering::SeqCst)
    }

    pub(crate) fn set_ready_to_lead(&self, ready: bool) {
        self.ready_to_lead.store(ready, Ordering::SeqCst);
    }

    /// The highest epoch known here.
    pub(crate) fn epoch_floor(&self) -> u64 {
        self.epoch_floor.load(Ordering::SeqCst)
    }

    /// How long records live from `committed` on, ms.
    pub(crate) fn record_ttl_ms(&self) -> u64 {
        self.record_ttl_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_record_ttl(&self, ttl: RecordTtl) {
        self.record_ttl_ms.store(ttl.ttl_ms(), Ordering::Relaxed);
        self.stat(|stats| stats.rate = ttl.rate());
    }

    /// Waits until nobody else writes to the folder of checkpoints.
    pub(crate) async fn checkpoint_turn(&self) -> CheckpointTurn {
        Arc::clone(&self.checkpoints).lock_owned().await
    }

    /// The same at once; `None` = somebody writes.
    pub(crate) fn try_checkpoint_turn(&self) -> Option<CheckpointTurn> {
        Arc::clone(&self.checkpoints).try_lock_owned().ok()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn stat(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn note_full(&self, target: &Name) {
        crate::metrics::outbox_full(self.shard, target);
        // Only configured targets have a lane, so the map is as small as the targets file.
        self.stat(|stats| *stats.full.entry(target.to_string()).or_default() += 1);
    }
}

fn standing_of(engine: &Engine, digest: Digest) -> Standing {
    let position = engine.position();
    Standing {
        seq: position.seq,
        digest,
        root: position.root,
        aux: position.aux,
        time_ms: position.time_ms,
        epoch: position.epoch,
        leading: None,
    }
}

fn is_recent(at_head: Option<Instant>) -> bool {
    at_head.is_some_and(|at_head| at_head.elapsed() < FOLLOWING_MAX)
}

/// Caught up under the very lease that is held now. One that was lost and taken again may have been another's
/// in between, whose entries are then still to be read.
fn is_current(caught_up_under: Option<u64>, tenure: &Tenure) -> bool {
    let held = tenure.lead().filter(|lead| lead.is_held());
    held.is_some_and(|lead| caught_up_under == Some(lead.fence.epoch))
}

#[cfg(test)]
pub(crate) mod bed;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use common::link::{Fence, Token};

    use super::*;

    #[test]
    fn a_process_that_was_not_at_the_head_for_a_while_or_never_does_not_follow() {
        let ago = |past| Instant::now().checked_sub(past).expect("the machine is up for seconds");
        assert!(is_recent(Some(Instant::now())));
        assert!(is_recent(Some(ago(FOLLOWING_MAX / 2))));
        assert!(!is_recent(Some(ago(FOLLOWING_MAX))));
        assert!(!is_recent(None));
    }

    #[test]
    fn answers_are_current_only_under_the_very_lease_under_which_the_log_was_read() {
        let leading = |epoch, ttl| {
            let fence = Fence { epoch, token: Token::random() };
            Tenure::Leading(Lead { fence, renewed: Instant::now(), ttl })
        };
        let long = Duration::from_mins(10);
        assert!(is_current(Some(3), &leading(3, long)));
        assert!(!is_current(None, &leading(3, long)), "it has still to catch up");
        assert!(!is_current(Some(3), &Tenure::Waiting { holder: None }));
        assert!(!is_current(Some(3), &leading(3, Duration::ZERO)), "the lease has run out");
        assert!(!is_current(Some(3), &leading(5, long)), "another one led under epoch 4");
    }
}
