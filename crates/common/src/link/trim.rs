//! TRIM: forgets log entries that are fsynced in the leader's archive and read by live standbys.
//!
//! Fenced: only the leader knows what its archive holds. The head entry always stays. Replies: `OK <removed>`,
//! `FENCED`.

use super::{Fence, Link, LinkError};

/// What TRIM answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Trimmed {
    Ok { removed: u64 },
    Fenced,
}

impl Link {
    /// Removes the entries below `seq` from `:log`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn trim_log(&self, fence: &Fence, seq: u64) -> Result<Trimmed, LinkError> {
        let script = &self.scripts.trim;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.head()).key(self.keys.log());
        invocation.arg(fence.epoch).arg(fence.token.as_str()).arg(seq);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Trimmed::Ok { removed: reply.next()? }),
            "FENCED" => Ok(Trimmed::Fenced),
            _ => reply.unknown(),
        }
    }
}
