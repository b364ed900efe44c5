//! What `:status` still holds: where it ends, and what came after a place, as long as nothing of it is trimmed.

use redis::Value;

use super::{Entry, Link, LinkError, StreamId, reply};

/// Entries of `:status` that its writers always keep (`MAXLEN ~ 1000`).
const KEPT: u64 = 1_000;

impl Link {
    /// The last notification there is; [`StreamId::ZERO`] = none.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn status_end(&self) -> Result<StreamId, LinkError> {
        const CALL: &str = "XREVRANGE status";
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.keys.status()).arg("+").arg("-").arg("COUNT").arg(1);
        let last = Entry::list(CALL, self.query(CALL, &command).await?)?;
        Ok(last.first().map_or(StreamId::ZERO, |entry| entry.id))
    }

    /// All notifications after a place. `None`: they are more than `max`, some may be trimmed, or the place is
    /// none of this stream's.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn status_after(&self, id: StreamId, max: usize) -> Result<Option<Vec<Entry>>, LinkError> {
        const CALL: &str = "XRANGE status";
        let key = self.keys.status();
        let mut pipeline = redis::pipe();
        pipeline.cmd("XLEN").arg(&key);
        pipeline.cmd("XRANGE").arg(&key).arg("-").arg("+").arg("COUNT").arg(1);
        pipeline.cmd("XREVRANGE").arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
        let after = id.next().to_string();
        pipeline.cmd("XRANGE").arg(&key).arg(after).arg("+").arg("COUNT").arg(max.saturating_add(1));
        let mut values = self.commands.query_all(&self.keys, CALL, &pipeline).await?.into_iter();
        let mut next = || values.next().unwrap_or(Value::Nil);
        let length: u64 = reply::parsed(CALL, Some(next()))?;
        let first = Entry::list(CALL, next())?.first().map(|entry| entry.id);
        let last = Entry::list(CALL, next())?.first().map_or(StreamId::ZERO, |entry| entry.id);
        let entries = Entry::list(CALL, next())?;
        // A stream that has never been longer than what is kept has never been trimmed.
        let is_whole = length < KEPT || first.is_some_and(|first| first <= id);
        Ok((is_whole && id <= last && entries.len() <= max).then_some(entries))
    }
}
