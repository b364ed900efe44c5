//! `:handed:<source>`: what collectors have handed out of a source that may still be reorganised.
//!
//! COLLECTED adds an entry with each observation that names its block: the WITHDRAWN message to be sent if that block
//! leaves its chain. Every collector reads the stream with a cursor of its own, from the front after a start, and
//! trims what is too old to be reorganised. At most about [`HANDED_MAX`] entries; the oldest go.

use super::{Entry, Link, LinkError, Message, StreamId};
use crate::ids::Name;

/// Most entries of one `:handed:<source>`.
pub const HANDED_MAX: usize = 20_000;

impl Link {
    /// Up to `count` entries after an id, oldest first.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn handed_after(
        &self,
        source: &Name,
        id: StreamId,
        count: usize,
    ) -> Result<Vec<Message>, LinkError> {
        let entries = self.range(self.keys.handed(source), id.next(), count).await?;
        Ok(entries.into_iter().map(Entry::into_message).collect())
    }

    /// The entry with this id; `None` = it is trimmed.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn handed_at(&self, source: &Name, id: StreamId) -> Result<Option<Message>, LinkError> {
        let entries = self.range(self.keys.handed(source), id, 1).await?;
        Ok(entries.into_iter().map(Entry::into_message).find(|entry| entry.id == id))
    }

    /// Forgets the entries below an id. May be repeated, by any collector.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn trim_handed(&self, source: &Name, below: StreamId) -> Result<(), LinkError> {
        let mut command = redis::cmd("XTRIM");
        command.arg(self.keys.handed(source)).arg("MINID").arg(below.to_string());
        self.query("XTRIM handed", &command).await?;
        Ok(())
    }
}
