//! Reading `:requests` as a member of the collectors' group, and taking over from dead members.
//!
//! Delivery is at least once: an entry stays pending until COLLECTED acknowledges it. After every
//! (re)connect the member's own pending entries come first, including those it is still working on (the
//! caller knows them by id), then new ones. Entries idle for long are claimed from their member. The delivery
//! count tells poison: it rises by every take-over, from another member or from an earlier process of the
//! same name, and by nothing else; it survives a restart of Redis.

use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;

use super::history::History;
use super::reader::streams;
use super::{BATCH_MAX, COLLECTORS_GROUP, Entry, Link, LinkError, Message, Stream, StreamId, bounded, reply};

/// The member's reader: one dedicated connection.
#[derive(Debug)]
pub struct GroupReader {
    link: Link,
    block: Duration,
    connection: Option<MultiplexedConnection>,
    history: History,
}

/// An entry given out for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub message: Message,
    /// How often it was delivered or claimed, this time included.
    pub deliveries: u64,
}

/// What one claim found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Where the next claim goes on; [`StreamId::ZERO`] = through, start over.
    pub next: StreamId,
    pub entries: Vec<Delivered>,
}

impl Link {
    /// A group reader under the instance's name that waits up to `block` for new entries.
    #[must_use]
    pub fn group_reader(&self, block: Duration) -> GroupReader {
        GroupReader { link: self.clone(), block, connection: None, history: History::new() }
    }

    /// Takes over up to `count` entries that were idle for `min_idle`, from `start` on.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn claim_idle(
        &self,
        min_idle: Duration,
        start: StreamId,
        count: usize,
    ) -> Result<Claimed, LinkError> {
        const CALL: &str = "XAUTOCLAIM";
        bounded(CALL, "count", count, BATCH_MAX)?;
        let key = Stream::Requests.key(&self.keys);
        let mut command = redis::cmd(CALL);
        command.arg(&key).arg(COLLECTORS_GROUP).arg(self.commands.instance().as_str());
        command.arg(u64::try_from(min_idle.as_millis()).unwrap_or(u64::MAX)).arg(start.to_string());
        command.arg("COUNT").arg(count);
        let mut parts = reply::array(CALL, self.query(CALL, &command).await?)?.into_iter();
        let next = reply::parsed(CALL, parts.next())?;
        let entries = Entry::list(CALL, parts.next().unwrap_or_default())?;
        let counts = self.delivery_counts(&key, entries.iter().map(|entry| entry.id)).await?;
        let delivered = entries.into_iter().zip(counts);
        let entries =
            delivered.map(|(entry, deliveries)| Delivered { message: entry.into_message(), deliveries });
        Ok(Claimed { next, entries: entries.collect() })
    }

    /// Says that this instance still works on these entries, so that nobody claims them.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn renew(&self, ids: &[StreamId]) -> Result<(), LinkError> {
        const CALL: &str = "XCLAIM";
        if ids.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd(CALL);
        command
            .arg(Stream::Requests.key(&self.keys))
            .arg(COLLECTORS_GROUP)
            .arg(self.commands.instance().as_str());
        command.arg(0);
        for id in ids {
            command.arg(id.to_string());
        }
        self.query(CALL, command.arg("JUSTID")).await.map(drop)
    }

    /// How often each of these pending entries was delivered or taken over; 0 = acknowledged meanwhile.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn deliveries(&self, ids: &[StreamId]) -> Result<Vec<u64>, LinkError> {
        self.delivery_counts(&Stream::Requests.key(&self.keys), ids.iter().copied()).await
    }

    /// XAUTOCLAIM does not answer the counts it raises.
    async fn delivery_counts(
        &self,
        key: &str,
        ids: impl ExactSizeIterator<Item = StreamId>,
    ) -> Result<Vec<u64>, LinkError> {
        const CALL: &str = "XPENDING";
        if ids.len() == 0 {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            let id = id.to_string();
            pipeline.cmd(CALL).arg(key).arg(COLLECTORS_GROUP).arg(&id).arg(&id).arg(1);
        }
        let values = self.commands.query_all(&self.keys, CALL, &pipeline).await?;
        values.into_iter().map(|value| delivery_count(CALL, value)).collect()
    }
}

/// `[[id, consumer, idle ms, deliveries]]`; empty = acknowledged meanwhile.
fn delivery_count(call: &'static str, value: Value) -> Result<u64, LinkError> {
    match reply::array(call, value)?.into_iter().next() {
        None => Ok(0),
        Some(row) => reply::parsed(call, reply::array(call, row)?.into_iter().nth(3)),
    }
}

impl GroupReader {
    /// Whether entries that an earlier process of this name has left may still come. Claiming idle ones
    /// waits until then, or they would count twice.
    #[must_use]
    pub fn is_inheriting(&self) -> bool {
        self.history.is_first()
    }

    /// The next up to `count` requests: own pending ones first, then new ones; empty at the time-out.
    /// Cancelling the call loses nothing: what was delivered meanwhile is pending and comes first again.
    ///
    /// # Errors
    /// See [`LinkError`]; the next call connects again.
    pub async fn next(&mut self, count: usize) -> Result<Vec<Delivered>, LinkError> {
        bounded("XREADGROUP", "count", count, BATCH_MAX)?;
        if self.connection.is_none() {
            let connection = self.link.commands.address().dedicated(self.block).await?;
            self.link.barrier().await?;
            self.connection = Some(connection);
            self.history.again();
        }
        let own = self.history.next(&self.link, count).await?;
        if !own.is_empty() {
            return Ok(own);
        }
        let entries = self.read_new(count).await?;
        let delivered =
            entries.into_iter().map(|entry| Delivered { message: entry.into_message(), deliveries: 1 });
        Ok(delivered.collect())
    }

    async fn read_new(&mut self, count: usize) -> Result<Vec<Entry>, LinkError> {
        const CALL: &str = "XREADGROUP";
        let mut command = redis::cmd(CALL);
        command.arg("GROUP").arg(COLLECTORS_GROUP).arg(self.link.commands.instance().as_str());
        let block_ms = u64::try_from(self.block.as_millis().max(1)).unwrap_or(u64::MAX);
        command.arg("COUNT").arg(count).arg("BLOCK").arg(block_ms);
        command.arg("STREAMS").arg(Stream::Requests.key(&self.link.keys)).arg(">");
        // Taken out so that a failed or cancelled read leaves no connection with a waiter behind.
        let Some(mut connection) = self.connection.take() else { return Ok(Vec::new()) };
        let value = command
            .query_async(&mut connection)
            .await
            .map_err(|source| LinkError::Redis { call: CALL, source })?;
        self.connection = Some(connection);
        Ok(streams(CALL, value)?.into_iter().flat_map(|(_, entries)| entries).collect())
    }
}
