//! COLLECTED: hands a finished request from `:requests` to `:in`, exactly once.
//!
//! XACK comes first and decides: only the call whose XACK removes the entry from the group's pending list
//! deletes it, adds the message, moves the status and notes what was handed out in `:handed:<source>`. Replies per item: `OK <id in :in>`, `GONE` (somebody
//! finished it before, or this is a repeat).

use super::{BATCH_MAX, COLLECTORS_GROUP, HANDED_MAX, Link, LinkError, Stream, StreamId, bounded};
use crate::ids::{Name, Rid};

/// One finished request.
#[derive(Debug, Clone)]
pub struct Collection<'a> {
    /// Its entry in `:requests`.
    pub id: StreamId,
    pub rid: Rid,
    /// The COLLECTED or FAILED message's exact bytes.
    pub payload: &'a [u8],
    /// State per source, as the record shows it; empty = leave it.
    pub source_state: &'a str,
    /// The observations in the message that name their block: source, and the WITHDRAWN message to be sent if that
    /// block leaves its chain.
    pub handed: &'a [(Name, Vec<u8>)],
}

/// The answer for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Collected {
    /// The message is in `:in` under this id.
    Ok { id: StreamId },
    /// The entry was not pending any more: nothing was written.
    Gone,
}

impl Link {
    /// Hands over up to [`BATCH_MAX`] requests; answers in their order.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn collected(&self, batch: &[Collection<'_>]) -> Result<Vec<Collected>, LinkError> {
        let script = &self.scripts.collected;
        bounded(script.name, "batch", batch.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(Stream::Requests.key(&self.keys)).key(Stream::Input.key(&self.keys));
        invocation.arg(COLLECTORS_GROUP).arg(HANDED_MAX).arg(batch.len());
        for item in batch {
            invocation.key(self.keys.request(item.rid));
            invocation
                .arg(item.id.to_string())
                .arg(item.payload)
                .arg(item.source_state)
                .arg(item.handed.len());
        }
        for (source, withdrawal) in batch.iter().flat_map(|item| item.handed) {
            invocation.key(self.keys.handed(source));
            invocation.arg(withdrawal.as_slice());
        }
        let replies = self.run(script, &invocation).await?.items()?;
        replies
            .into_iter()
            .map(|mut reply| match reply.word() {
                "OK" => Ok(Collected::Ok { id: reply.next()? }),
                "GONE" => Ok(Collected::Gone),
                _ => reply.unknown(),
            })
            .collect()
    }
}
