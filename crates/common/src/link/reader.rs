//! A blocking reader of streams on a connection of its own (XREAD), without a group.
//!
//! What it returns is complete from the given cursors on, but a cursor is a hint: after an error the
//! connection is made anew and the caller starts from the front (inputs, outbox) or from what it stored
//! (`:ctl`, `:log`). Every (re)connect is followed by a barrier write.

use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;

use super::{Entry, Link, LinkError, Stream, StreamId, reply};
use crate::ids::Name;

/// A stream that can be followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Feed {
    Messages(Stream),
    Log,
    Out(Name),
    Control,
    Status,
}

/// Where to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Only what is added while the call waits; entries between two such calls are missed, so go on with
    /// [`ReadFrom::After`] the last id seen.
    New,
    After(StreamId),
}

/// A dedicated connection for blocking reads of one shard.
#[derive(Debug)]
pub struct Reader {
    link: Link,
    block: Duration,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    /// A reader that waits up to `block` (1 to 2 s are usual). Connects at its first read.
    #[must_use]
    pub fn reader(&self, block: Duration) -> Reader {
        Reader { link: self.clone(), block, connection: None }
    }

    fn feed_key(&self, feed: &Feed) -> String {
        match feed {
            Feed::Messages(stream) => stream.key(&self.keys),
            Feed::Log => self.keys.log(),
            Feed::Out(target) => self.keys.out(target),
            Feed::Control => self.keys.control(),
            Feed::Status => self.keys.status(),
        }
    }
}

impl Reader {
    /// Waits until one of the feeds has entries after its cursor and returns up to `count` of each; empty
    /// at the time-out. Cancelling the call loses nothing: the next one makes a new connection.
    ///
    /// # Errors
    /// See [`LinkError`]; the next call connects again.
    pub async fn read(
        &mut self,
        feeds: &[(Feed, ReadFrom)],
        count: usize,
    ) -> Result<Vec<(Feed, Vec<Entry>)>, LinkError> {
        self.read_within(feeds, count, self.block).await
    }

    /// As [`Self::read`], waiting only up to `block`; a longer one than the reader's counts as that, which its
    /// connection is made for.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_within(
        &mut self,
        feeds: &[(Feed, ReadFrom)],
        count: usize,
        block: Duration,
    ) -> Result<Vec<(Feed, Vec<Entry>)>, LinkError> {
        const CALL: &str = "XREAD";
        let mut command = redis::cmd("XREAD");
        // BLOCK 0 would wait for ever.
        let block_ms = block.min(self.block).as_millis().max(1);
        command
            .arg("COUNT")
            .arg(count)
            .arg("BLOCK")
            .arg(u64::try_from(block_ms).unwrap_or(u64::MAX))
            .arg("STREAMS");
        let keys: Vec<String> = feeds.iter().map(|(feed, _)| self.link.feed_key(feed)).collect();
        command.arg(&keys);
        for (_, from) in feeds {
            match from {
                ReadFrom::New => command.arg("$"),
                ReadFrom::After(id) => command.arg(id.to_string()),
            };
        }
        let mut connection = self.take_connection().await?;
        let value: Value = command
            .query_async(&mut connection)
            .await
            .map_err(|source| LinkError::Redis { call: CALL, source })?;
        self.connection = Some(connection);
        let mut read = Vec::new();
        for (key, entries) in streams(CALL, value)? {
            if let Some(index) = keys.iter().position(|known| *known == key)
                && let Some((feed, _)) = feeds.get(index)
            {
                read.push((feed.clone(), entries));
            }
        }
        Ok(read)
    }

    /// Taking it out means that a failed or cancelled read leaves no connection behind.
    async fn take_connection(&mut self) -> Result<MultiplexedConnection, LinkError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let connection = self.link.commands.address().dedicated(self.block).await?;
        self.link.barrier().await?;
        Ok(connection)
    }
}

/// The reply of XREAD and XREADGROUP: per stream its key and entries; nil at the time-out.
pub(super) fn streams(call: &'static str, value: Value) -> Result<Vec<(String, Vec<Entry>)>, LinkError> {
    let mut streams = Vec::new();
    for stream in reply::array(call, value)? {
        let mut parts = reply::array(call, stream)?.into_iter();
        let key = reply::text(call, parts.next())?;
        streams.push((key, Entry::list(call, parts.next().unwrap_or_default())?));
    }
    Ok(streams)
}
