//! START: gives a new target its watermark, the TARGETS entry that named it.
//!
//! Fenced. Until then RELAY answers `GAP` for the target. Replies: `OK`, `DUP <watermark>` (it has one and
//! keeps it), `FENCED`.

use super::{Fence, Link, LinkError, watermark_field};
use crate::ids::Name;

/// What START answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Started {
    Ok,
    /// The target was started before and stands here.
    Dup {
        watermark: u64,
    },
    Fenced,
}

impl Link {
    /// Sets the watermark of `target` to `seq` unless it has one: its first entry is `seq + 1`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn start_target(&self, fence: &Fence, target: &Name, seq: u64) -> Result<Started, LinkError> {
        let script = &self.scripts.start;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.head());
        invocation.arg(fence.epoch).arg(fence.token.as_str()).arg(watermark_field(target)).arg(seq);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Started::Ok),
            "DUP" => Ok(Started::Dup { watermark: reply.next()? }),
            "FENCED" => Ok(Started::Fenced),
            _ => reply.unknown(),
        }
    }
}
