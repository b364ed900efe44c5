//! TRIM_CONTROL: forgets rollbacks in `:ctl` that every target's outbox has passed.
//!
//! Fenced: only the leader knows the targets in use. A REVERT may go when its entry and all before it are relayed to every
//! target and finished there: then its version is on every chain, and what it covers could only be stale. The newest entry
//! stays: a lane that begins reads from the front, and BIND wants to know that it has read up to `head.barrier`. Replies:
//! `OK <removed>`, `FENCED`.

use super::{Fence, Link, LinkError, Trimmed, bounded, watermark_field};
use crate::ids::Name;

/// Most targets of a call.
const TARGETS_MAX: usize = 1_024;

impl Link {
    /// Entries in `:ctl`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn control_len(&self) -> Result<u64, LinkError> {
        const CALL: &str = "XLEN ctl";
        let mut command = redis::cmd("XLEN");
        command.arg(self.keys.control());
        super::reply::parsed(CALL, Some(self.query(CALL, &command).await?))
    }

    /// Removes what all of `targets`, those in use, have passed.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn trim_control(&self, fence: &Fence, targets: &[Name]) -> Result<Trimmed, LinkError> {
        let script = &self.scripts.trim_control;
        bounded(script.name, "targets", targets.len(), TARGETS_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.head()).key(self.keys.control());
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        for target in targets {
            invocation.key(self.keys.out(target)).arg(watermark_field(target));
        }
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Trimmed::Ok { removed: reply.next()? }),
            "FENCED" => Ok(Trimmed::Fenced),
            _ => reply.unknown(),
        }
    }
}
