//! Who has been received: the reader of the shard's notifications.
//!
//! A request is *received* when the entry that committed it is final on the `null` target. `:status` tells both,
//! the commit with its requests and the entry's end, so one connection sees everything when it happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use common::ids::{Rid, Shard};
use common::keys::Keys;
use common::status::Delivery;
use redis::streams::{StreamId, StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands as _, AsyncConnectionConfig};
use tokio::sync::Semaphore;

use super::on_thread;

const BLOCK_MS: usize = 100;
/// Nothing received for so long means that the stack has failed.
pub(super) const STALLED_AFTER: Duration = Duration::from_mins(1);

/// The requests of one run and when each was received.
#[derive(Debug)]
pub(super) struct Board {
    index: BTreeMap<Rid, usize>,
    pub(super) started: Instant,
    /// Microseconds since `started`; 0 = not yet.
    pub(super) received_us: Vec<AtomicU64>,
    received: AtomicU64,
    /// Room for requests between sent and received.
    pub(super) permits: Semaphore,
}

/// How long a backlog took.
#[derive(Debug)]
pub(super) struct Drained {
    /// From the first commit on.
    pub(super) per_second: f64,
}

impl Board {
    pub(super) fn new(rids: Vec<Rid>, in_flight: u32) -> Self {
        Self {
            received_us: rids.iter().map(|_| AtomicU64::new(0)).collect(),
            index: rids.into_iter().enumerate().map(|(index, rid)| (rid, index)).collect(),
            started: Instant::now(),
            received: AtomicU64::new(0),
            permits: Semaphore::new(in_flight as usize),
        }
    }

    pub(super) fn stamp(&self, times: &[AtomicU64], index: usize) {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(time) = times.get(index) {
            // Zero means "not yet".
            time.store(elapsed.max(1), Ordering::Relaxed);
        }
    }

    fn is_complete(&self) -> bool {
        self.received.load(Ordering::Relaxed) >= self.received_us.len() as u64
    }

    fn is_open(&self, index: usize) -> bool {
        self.received_us.get(index).is_some_and(|time| time.load(Ordering::Relaxed) == 0)
    }

    fn receive(&self, index: usize) {
        self.stamp(&self.received_us, index);
        self.received.fetch_add(1, Ordering::Relaxed);
        self.permits.add_permits(1);
    }
}

/// Watches a backlog being drained, from its first commit on. Blocks its thread.
pub(super) fn watch(redis_url: &str, rids: Vec<Rid>) -> anyhow::Result<Drained> {
    let board = Board::new(rids, 0);
    // Nothing of the run can have been committed yet: the validator stands still.
    let after = on_thread(newest(redis_url))?;
    let first = on_thread(read(redis_url, after, &board))?;
    let last = board.received_us.iter().map(|time| time.load(Ordering::Relaxed)).max().unwrap_or(0);
    let seconds = Duration::from_micros(last.saturating_sub(first.at_us)).as_secs_f64();
    // The clock starts when the first entry is committed, so that entry's requests do not count.
    let counted = board.received_us.len().saturating_sub(first.requests);
    Ok(Drained { per_second: super::float(counted as u64) / seconds })
}

/// The first commit that was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct First {
    at_us: u64,
    requests: usize,
}

/// The last id of the notifications: everything after it is of the coming run.
pub(super) async fn newest(redis_url: &str) -> anyhow::Result<String> {
    let mut connection = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    let key = Keys::new(Shard::Financial).status();
    let newest: StreamRangeReply = connection.xrevrange_count(key, "+", "-", 1).await?;
    Ok(newest.ids.first().map_or_else(|| "0-0".to_owned(), |entry| entry.id.clone()))
}

/// Reads notifications until every request of the board is received.
pub(super) async fn read(redis_url: &str, after: String, board: &Board) -> anyhow::Result<First> {
    // A blocking read outlasts the client's standard time-out.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut connection =
        redis::Client::open(redis_url)?.get_multiplexed_async_connection_with_config(&config).await?;
    let key = Keys::new(Shard::Financial).status();
    let options = StreamReadOptions::default().block(BLOCK_MS).count(1_000);
    let (mut after, mut entries) = (after, Entries::default());
    let mut last_seen = Instant::now();
    while !board.is_complete() {
        let reply: Option<StreamReadReply> = connection.xread_options(&[&key], &[&after], &options).await?;
        let ids: Vec<StreamId> =
            reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect();
        for entry in &ids {
            entries.take(entry, board);
        }
        match ids.last() {
            Some(entry) => (after, last_seen) = (entry.id.clone(), Instant::now()),
            None if last_seen.elapsed() > STALLED_AFTER => bail!(
                "{} of {} requests were received, then nothing for {} s",
                board.received.load(Ordering::Relaxed),
                board.received_us.len(),
                STALLED_AFTER.as_secs()
            ),
            None => {}
        }
    }
    Ok(entries.first.unwrap_or_default())
}

/// Entries that are committed and not yet final.
#[derive(Debug, Default)]
struct Entries {
    /// Entry → requests of this run that it committed.
    open: BTreeMap<u64, Vec<usize>>,
    first: Option<First>,
}

impl Entries {
    fn take(&mut self, notification: &StreamId, board: &Board) {
        let Some(seq) = notification.get::<u64>("seq") else { return };
        if let Some(rids) = notification.get::<String>("rids") {
            // The entry that ends a request names it again, when it has been received already.
            let known = rids.split(',').filter_map(|rid| board.index.get(&rid.parse().ok()?).copied());
            let fresh: Vec<usize> = known.filter(|index| board.is_open(*index)).collect();
            if self.first.is_none() && !fresh.is_empty() {
                let at_us = u64::try_from(board.started.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.first = Some(First { at_us, requests: fresh.len() });
            }
            self.open.entry(seq).or_default().extend(fresh);
        } else if notification.get::<String>("state").as_deref() == Some(Delivery::Final.name()) {
            for index in self.open.remove(&seq).unwrap_or_default() {
                board.receive(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn notification(fields: &[(&str, &str)]) -> StreamId {
        let map = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::BulkString(value.as_bytes().to_vec())))
            .collect();
        StreamId { id: "1-0".to_owned(), map, ..StreamId::default() }
    }

    #[test]
    fn a_request_is_received_with_its_entrys_end_and_counted_once() {
        let rids = [Rid::fresh(Shard::Financial), Rid::fresh(Shard::Financial)];
        let board = Board::new(rids.to_vec(), 0);
        let mut entries = Entries::default();
        let both = format!("{},{},{}", rids[0], Rid::fresh(Shard::Financial), rids[1]);
        entries.take(&notification(&[("seq", "7"), ("rids", &both)]), &board);
        entries.take(&notification(&[("seq", "7"), ("target", "sink"), ("state", "relayed")]), &board);
        assert!(!board.is_complete() && board.is_open(0));
        entries.take(&notification(&[("seq", "7"), ("target", "sink"), ("state", "final")]), &board);
        assert!(board.is_complete());
        // The entry that consumed the receipt names them again and is final in its turn.
        entries.take(&notification(&[("seq", "8"), ("rids", &both)]), &board);
        entries.take(&notification(&[("seq", "8"), ("target", "sink"), ("state", "final")]), &board);
        assert_eq!(board.received.load(Ordering::Relaxed), 2);
        assert_eq!(entries.first.map(|first| first.requests), Some(2));
    }
}
