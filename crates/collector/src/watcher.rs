//! The actor that follows `:status` of one shard, and the table of those who wait for a request.
//!
//! In: notifications of COMMIT, PROGRESS and DONE, read from where the stream ends at the start, on a connection of
//! its own. Out: wake-ups, and for those who stream what they follow ([`Live`]).
//! A notification is a hint: a waiter registers first, then reads the record, and reads it again every
//! [`REREAD`], so a lost one costs that long and never the answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Actor, ActorFutureExt as _, AsyncContext, Context, WrapFuture as _};
use common::ids::Rid;
use common::link::{Disposition, Entry, Feed, Link, LinkError, Notification, ReadFrom, Reader, StreamId};
use common::supervise::Lifeline;
use tokio::sync::Notify;

use crate::feed::{self, Live, Recent, Told, What};
use crate::generation::Generation;
use crate::metrics;

/// How often a waiter reads its record without being woken.
pub(crate) const REREAD: Duration = Duration::from_secs(2);
const READ_BLOCK: Duration = Duration::from_secs(2);
const READ_COUNT: usize = 256;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Those who wait, by request and by log entry. Shared between the HTTP threads and the watchers.
#[derive(Debug, Clone)]
pub(crate) struct Waiters {
    table: Arc<Mutex<Table>>,
    closed: Arc<AtomicBool>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    by_rid: BTreeMap<(Rid, u64), Arc<Notify>>,
    /// Entries of a shard whose delivery somebody follows.
    by_seq: BTreeMap<(u8, u64, u64), Arc<Notify>>,
}

/// One who waits. Dropping it leaves the table.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiters: Waiters,
    rid: Rid,
    number: u64,
    seq: Option<u64>,
    notify: Arc<Notify>,
}

impl Waiters {
    pub(crate) fn new(limit: usize) -> Self {
        Self { table: Arc::default(), closed: Arc::default(), limit }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all waiting: everybody is answered with what there is now.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let table = self.lock();
        table.by_rid.values().for_each(|notify| notify.notify_one());
    }

    /// Whether nobody is to wait any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Joins the table; beyond its bound the waiter is left to its re-reads.
    pub(crate) fn register(&self, rid: Rid) -> Waiter {
        let notify = Arc::new(Notify::new());
        let mut table = self.lock();
        table.next += 1;
        let number = table.next;
        if table.by_rid.len() < self.limit {
            table.by_rid.insert((rid, number), Arc::clone(&notify));
        }
        drop(table);
        Waiter { waiters: self.clone(), rid, number, seq: None, notify }
    }

    /// Wakes those whom the entries of `:status` name; answers how many of these were looked into. They name
    /// every request of every COMMIT, which is not worth reading while nobody waits. Who joins the table
    /// afterwards reads the record itself.
    fn wake_all(&self, shard: u8, entries: &[Entry]) -> usize {
        if self.is_empty() {
            return 0;
        }
        let notifications = entries.iter().filter_map(Notification::read);
        notifications.map(|notification| self.wake(shard, &notification)).count()
    }

    fn is_empty(&self) -> bool {
        let table = self.lock();
        table.by_rid.is_empty() && table.by_seq.is_empty()
    }

    fn wake(&self, shard: u8, notification: &Notification) {
        let table = self.lock();
        match notification {
            Notification::Committed { rids, .. } => {
                for rid in rids {
                    let waiting = table.by_rid.range((*rid, 0)..=(*rid, u64::MAX));
                    waiting.for_each(|(_, notify)| notify.notify_one());
                }
            }
            Notification::Delivery { seq, .. } => {
                let waiting = table.by_seq.range((shard, *seq, 0)..=(shard, *seq, u64::MAX));
                waiting.for_each(|(_, notify)| notify.notify_one());
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let table = self.lock();
        table.by_rid.len() + table.by_seq.len()
    }
}

impl Waiter {
    /// Also be woken by the delivery of log entry `seq`. True the first time: read the record again, as
    /// its delivery may have moved before.
    pub(crate) fn follow(&mut self, seq: u64) -> bool {
        if self.seq.is_some() {
            return false;
        }
        self.seq = Some(seq);
        let key = (self.rid.shard().number(), seq, self.number);
        let mut table = self.waiters.lock();
        if table.by_seq.len() < self.waiters.limit {
            table.by_seq.insert(key, Arc::clone(&self.notify));
        }
        true
    }

    /// Resolves at the next notification, or after [`REREAD`]. One that came since the last call counts.
    pub(crate) async fn woken(&self) {
        drop(tokio::time::timeout(REREAD, self.notify.notified()).await);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut table = self.waiters.lock();
        table.by_rid.remove(&(self.rid, self.number));
        if let Some(seq) = self.seq {
            table.by_seq.remove(&(self.rid.shard().number(), seq, self.number));
        }
    }
}

/// Those who want to hear of changes: who waits for one request, and who streams.
#[derive(Debug, Clone)]
pub(crate) struct Audience {
    pub(crate) waiters: Waiters,
    pub(crate) live: Live,
}

impl Audience {
    /// Ends all waiting and all streams.
    pub(crate) fn close(&self) {
        self.waiters.close();
        self.live.close();
    }
}

#[derive(Debug)]
pub(crate) struct StatusWatcher {
    follower: Option<Follower>,
    generation: Generation,
    _lifeline: Lifeline,
}

/// What reads, and tells what it has read.
#[derive(Debug)]
struct Follower {
    link: Link,
    audience: Audience,
    reader: Reader,
    recent: Recent,
    cursor: Option<StreamId>,
    /// The last read failed: more may be trimmed than is read until the next one.
    is_cut_off: bool,
}

impl StatusWatcher {
    /// Starts the actor on the current thread.
    pub(crate) fn start(link: Link, generation: Generation, audience: Audience, lifeline: Lifeline) {
        let reader = link.reader(READ_BLOCK);
        let follower =
            Follower { link, audience, reader, recent: Recent::default(), cursor: None, is_cut_off: false };
        let follower = Some(follower);
        Actor::start(Self { follower, generation, _lifeline: lifeline });
    }

    fn read(&mut self, ctx: &mut Context<Self>) {
        let Some(mut follower) = self.follower.take() else { return };
        let read = async move {
            let read = follower.round().await;
            (follower, read)
        };
        ctx.spawn(read.into_actor(self).map(|(mut follower, read), watcher, ctx| match read {
            Ok(()) => {
                watcher.follower = Some(follower);
                watcher.read(ctx);
            }
            Err(error) => {
                follower.is_cut_off = true;
                watcher.on_error(&follower.link, error, ctx);
                watcher.follower = Some(follower);
            }
        }));
    }

    fn on_error(&mut self, link: &Link, error: LinkError, ctx: &mut Context<Self>) {
        match error.disposition() {
            Disposition::Retry | Disposition::Backpressure => {
                metrics::link_failed(link.shard(), "XREAD status", &error);
                ctx.run_later(RETRY_PAUSE, Self::read);
            }
            Disposition::Reject | Disposition::Halt => {
                let (link, generation) = (link.clone(), self.generation.clone());
                ctx.spawn(async move { generation.halt(&link, &error).await }.into_actor(self));
            }
        }
    }
}

impl Follower {
    /// Reads on once. Who waits is woken first; whom it concerns is only found out for those who stream.
    async fn round(&mut self) -> Result<(), LinkError> {
        let from = match self.cursor {
            Some(cursor) => cursor,
            None => *self.cursor.insert(self.link.status_end().await?),
        };
        let read = self.reader.read(&[(Feed::Status, ReadFrom::After(from))], READ_COUNT).await?;
        let entries: Vec<Entry> = read.into_iter().flat_map(|(_, entries)| entries).collect();
        self.cursor = Some(entries.last().map_or(from, |entry| entry.id));
        self.audience.waiters.wake_all(self.link.shard().number(), &entries);
        if std::mem::take(&mut self.is_cut_off) {
            self.gap();
        }
        if self.audience.live.is_followed() {
            match feed::attribute(&self.link, &entries, &mut self.recent).await {
                Ok(told) => told.into_iter().for_each(|told| self.audience.live.tell(told)),
                Err(error) => {
                    metrics::link_failed(self.link.shard(), "attribute", &error);
                    self.gap();
                }
            }
        }
        Ok(())
    }

    fn gap(&self) {
        let id = self.cursor.unwrap_or(StreamId::ZERO);
        self.audience.live.tell(Told { shard: self.link.shard(), id, what: What::Gap });
    }
}

impl Actor for StatusWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.read(ctx);
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{Rid, Shard};
    use common::link::{Entry, Notification, StreamId};
    use futures_util::FutureExt as _;

    use super::Waiters;

    fn is_woken(waiter: &super::Waiter) -> bool {
        waiter.notify.notified().now_or_never().is_some()
    }

    #[test]
    fn a_notification_wakes_those_it_names_even_if_it_comes_before_they_wait() {
        let waiters = Waiters::new(10);
        let (one, other) = (Rid::fresh(Shard::Gaming), Rid::fresh(Shard::Gaming));
        let (first, second, third) = (waiters.register(one), waiters.register(one), waiters.register(other));
        waiters.wake(1, &Notification::Committed { seq: 1, rids: vec![one] });
        assert!(is_woken(&first) && is_woken(&second) && !is_woken(&third));
        assert!(!is_woken(&first), "one notification wakes once");
    }

    #[test]
    fn a_delivery_wakes_those_who_follow_its_entry_in_its_shard() {
        let waiters = Waiters::new(10);
        let mut waiter = waiters.register(Rid::fresh(Shard::Gaming));
        assert!(waiter.follow(7) && !waiter.follow(7));
        let delivery = |seq| Notification::Delivery {
            seq,
            target: "base".parse().unwrap(),
            state: common::status::Delivery::Final,
        };
        waiters.wake(1, &delivery(8));
        waiters.wake(0, &delivery(7));
        assert!(!is_woken(&waiter));
        waiters.wake(1, &delivery(7));
        assert!(is_woken(&waiter));
    }

    #[test]
    fn notifications_are_read_only_while_somebody_waits() {
        let waiters = Waiters::new(10);
        let rid = Rid::fresh(Shard::Gaming);
        let field = |name: &str, value: String| (name.to_owned(), value.into_bytes());
        let fields = vec![field("seq", "7".to_owned()), field("rids", rid.to_string())];
        let entries = [Entry { id: StreamId::new(1, 0), fields }];
        assert_eq!(waiters.wake_all(1, &entries), 0);
        let waiter = waiters.register(rid);
        assert_eq!(waiters.wake_all(1, &entries), 1);
        assert!(is_woken(&waiter));
    }

    #[test]
    fn the_table_is_bounded_and_empty_when_everybody_has_left() {
        let waiters = Waiters::new(1);
        let rid = Rid::fresh(Shard::General);
        let (mut first, second) = (waiters.register(rid), waiters.register(rid));
        assert!(first.follow(1));
        assert_eq!(waiters.len(), 2);
        drop((first, second));
        assert_eq!(waiters.len(), 0);
    }
}
