//! UNPARK: the first leader that knows a parked message's version moves it back to `:in`.
//!
//! With its fields goes the id under which it came first, so its time of acceptance does not move. Fenced. An id that is no longer in `:parked` was moved before. Replies: `OK` and per item `OK <id in :in>`
//! or `GONE`; `FENCED`.

use super::{BATCH_MAX, Fence, Link, LinkError, StreamId, bounded};

/// What UNPARK answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Unparked {
    /// Per id: its new id in `:in`, `None` if it was moved before.
    Ok(Vec<Option<StreamId>>),
    Fenced,
}

impl Link {
    /// Moves up to [`BATCH_MAX`] parked messages.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn unpark(&self, fence: &Fence, ids: &[StreamId]) -> Result<Unparked, LinkError> {
        let script = &self.scripts.unpark;
        bounded(script.name, "batch", ids.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.parked()).key(self.keys.input());
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        for id in ids {
            invocation.arg(id.to_string());
        }
        let reply = self.run(script, &invocation).await?;
        match reply.word() {
            "FENCED" => Ok(Unparked::Fenced),
            "OK" => {
                let moved = reply.items()?.into_iter().map(|mut item| match item.word() {
                    "OK" => item.next().map(Some),
                    "GONE" => Ok(None),
                    _ => item.unknown(),
                });
                moved.collect::<Result<_, _>>().map(Unparked::Ok)
            }
            _ => reply.unknown(),
        }
    }
}
