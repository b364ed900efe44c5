//! What `:status` holds: where it ends, and what came after a place, if nothing of that can be trimmed.

use redis::Value;

use super::{Entry, Link, LinkError, StreamId, bounded};

/// Entries of `:status` that its writers always keep (`MAXLEN ~ 1000`).
const STATUS_KEPT: usize = 1_000;

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

    /// All notifications after a place. `None`: there are more than `max`, or the place is none of this stream's.
    /// With a `max` below the 1,000 that the stream's writers always keep, nothing in between can be trimmed.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn status_after(&self, id: StreamId, max: usize) -> Result<Option<Vec<Entry>>, LinkError> {
        const CALL: &str = "XRANGE status";
        bounded(CALL, "max", max, STATUS_KEPT - 1)?;
        let key = self.keys.status();
        let mut pipeline = redis::pipe();
        pipeline.cmd("XREVRANGE").arg(&key).arg("+").arg("-").arg("COUNT").arg(1);
        let after = id.next().to_string();
        pipeline.cmd("XRANGE").arg(&key).arg(after).arg("+").arg("COUNT").arg(max + 1);
        let mut values = self.commands.query_all(&self.keys, CALL, &pipeline).await?.into_iter();
        let mut next = || Entry::list(CALL, values.next().unwrap_or(Value::Nil));
        let last = next()?.first().map_or(StreamId::ZERO, |entry| entry.id);
        let entries = next()?;
        Ok((id <= last && entries.len() <= max).then_some(entries))
    }
}
