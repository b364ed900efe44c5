//! REBIND: frees items from a nonce that something else has used up, so that BIND may give them another.
//!
//! Safe only when all of this is known at the target's finality tier: the chain's next nonce is above this
//! one (passed as `chain_next_final`, checked: `PENDING` else), and no stored attempt of the nonce applied
//! the items (it was replaced by a gap filler, or mined with the items' batch passed over). Freeing too
//! early cannot apply anything twice on chain (`from ≤ current < version`), but it wastes a transaction.
//! Without items it forgets a mined gap filler. The stored attempts go when no item needs the nonce.
//! `used` in `:lane` (all nonces below are finally used) rises to `chain_next_final`.
//! Items bound to another nonce meanwhile are left alone, which makes a repeat harmless.
//! Replies: `OK <freed>`, `PENDING`, `RELOAD`, `FENCED`.

use super::{BATCH_MAX, Fence, Item, Link, LinkError, bounded, rewind_field};
use crate::ids::Name;

/// What is freed from which nonce.
#[derive(Debug, Clone)]
pub struct Rebind<'a> {
    pub target: &'a Name,
    /// As in [`super::Bind`].
    pub rewind: u64,
    pub nonce: u64,
    /// The sender's next nonce at the target's finality tier.
    pub chain_next_final: u64,
    pub items: &'a [Item],
}

/// What REBIND answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Rebound {
    /// So many items are free now.
    Ok {
        freed: u64,
    },
    /// The nonce is not used up yet.
    Pending,
    Reload,
    Fenced,
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn rebind(&self, fence: &Fence, rebind: &Rebind<'_>) -> Result<Rebound, LinkError> {
        let script = &self.scripts.rebind;
        bounded(script.name, "items", rebind.items.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(rebind.target)).key(self.keys.head());
        invocation.key(self.keys.bind(rebind.target)).key(self.keys.raw(rebind.target, rebind.nonce));
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        invocation.arg(rewind_field(rebind.target)).arg(rebind.rewind);
        invocation.arg(rebind.nonce).arg(rebind.chain_next_final);
        for item in rebind.items {
            invocation.arg(item.to_string());
        }
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Rebound::Ok { freed: reply.next()? }),
            "PENDING" => Ok(Rebound::Pending),
            "RELOAD" => Ok(Rebound::Reload),
            "FENCED" => Ok(Rebound::Fenced),
            _ => reply.unknown(),
        }
    }
}
