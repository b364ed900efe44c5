//! Dead letters: what stands in `:dlq`, as COMMIT put it there.

use super::{Entry, Link, LinkError, StreamId, reply};

/// One entry of `:dlq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its place in the stream; the ms part is when it was set aside, Redis' time.
    pub id: StreamId,
    /// `validator`, `collector` or `broadcaster`.
    pub stage: String,
    pub code: String,
    pub error: String,
    pub attempts: u64,
    /// The exact bytes of the message.
    pub original: Vec<u8>,
}

impl SetAside {
    fn read(entry: &Entry) -> Result<Self, LinkError> {
        let text = |name: &str| entry.text(name).unwrap_or_default().to_owned();
        Ok(Self {
            id: entry.id,
            stage: text("stage"),
            code: text("code"),
            error: text("error"),
            attempts: reply::parse("XRANGE dlq", entry.text("attempts").unwrap_or_default())?,
            original: entry.field("original").unwrap_or_default().to_vec(),
        })
    }
}

impl Link {
    /// Up to `count` dead letters after an id, oldest first.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn dead_letters_after(&self, id: StreamId, count: usize) -> Result<Vec<SetAside>, LinkError> {
        let entries = self.range(self.keys.dead_letters(), id.next(), count).await?;
        entries.iter().map(SetAside::read).collect()
    }
}
