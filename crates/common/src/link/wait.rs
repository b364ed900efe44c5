//! WAIT: notes when to look at an item again, so that waiting holds no worker and survives a hand-over.
//!
//! `:wait:<target>` is item → Unix ms; missing = now. Replies: `OK`, `FENCED`.

use super::{BATCH_MAX, Fence, Item, Link, LinkError, bounded};
use crate::ids::Name;

/// When to look at one item again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitWrite {
    pub item: Item,
    /// Unix ms of Redis; `None` = at once.
    pub until_ms: Option<u64>,
}

/// What WAIT answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum WaitReply {
    Ok,
    Fenced,
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn wait(
        &self,
        fence: &Fence,
        target: &Name,
        writes: &[WaitWrite],
    ) -> Result<WaitReply, LinkError> {
        let script = &self.scripts.wait;
        bounded(script.name, "batch", writes.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(target)).key(self.keys.wait(target));
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        for write in writes {
            invocation.arg(write.item.to_string()).arg(super::optional(write.until_ms));
        }
        let reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(WaitReply::Ok),
            "FENCED" => Ok(WaitReply::Fenced),
            _ => reply.unknown(),
        }
    }
}
