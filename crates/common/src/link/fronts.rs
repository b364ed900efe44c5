//! Fronts: what waits in the validator's three inputs, with Redis' time, in one round trip.

use super::reply;
use super::{Entry, Link, LinkError, Message, Stream, StreamId};

/// The front of each input and the moment it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fronts {
    /// Redis TIME, Unix ms.
    pub now_ms: u64,
    pub express: Vec<Message>,
    pub receipts: Vec<Message>,
    pub input: Vec<Message>,
}

impl Link {
    /// Up to `count` messages from the front of `:inx`, `:receipts` and `:in`. All of them are uncommitted,
    /// as COMMIT deletes what it consumes.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn fronts(&self, count: usize) -> Result<Fronts, LinkError> {
        const CALL: &str = "fronts";
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        for stream in [Stream::Express, Stream::Receipts, Stream::Input] {
            let range = pipeline.cmd("XRANGE").arg(stream.key(&self.keys));
            range.arg(StreamId::ZERO.next().to_string()).arg("+").arg("COUNT").arg(count);
        }
        let mut values = self.commands.query_all(&self.keys, CALL, &pipeline).await?.into_iter();
        let mut time = reply::array(CALL, values.next().unwrap_or_default())?.into_iter();
        let seconds: u64 = reply::parsed(CALL, time.next())?;
        let micros: u64 = reply::parsed(CALL, time.next())?;
        let mut front = || {
            let entries = Entry::list(CALL, values.next().unwrap_or_default())?;
            Ok::<Vec<Message>, LinkError>(entries.into_iter().map(Entry::into_message).collect())
        };
        let (express, receipts, input) = (front()?, front()?, front()?);
        Ok(Fronts {
            now_ms: seconds.saturating_mul(1_000).saturating_add(micros / 1_000),
            express,
            receipts,
            input,
        })
    }
}
