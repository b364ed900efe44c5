//! STORE: keeps a signed transaction before its first send; every attempt of a nonce is kept.
//!
//! `:raw:<target>:<nonce>` holds `items` (comma-separated) and per attempt n `a<n>` bytes, `h<n>` hash,
//! `f<n>` fees. A second signing may give other bytes, so an attempt number is taken once: the same bytes
//! again are `OK`, others `TAKEN <hash>` (use the next number). Without items the transaction is a gap filler: its nonce must
//! be below the lane's counter and bound to no item; it is noted as `f/<nonce>` in `:bind`.
//! Replies: `OK`, `TAKEN`, `UNBOUND` (an item is not bound to this nonce, or a filler's nonce was never handed
//! out), `BOUND` (a filler's nonce has items), `STALE`, `RELOAD`, `FENCED`.

use super::{BATCH_MAX, Fence, Item, Link, LinkError, bounded, rewind_field};
use crate::ids::Name;

/// Most attempts kept per nonce.
pub const ATTEMPTS_MAX: u32 = 64;

/// One signed transaction.
#[derive(Debug, Clone)]
pub struct Store<'a> {
    pub target: &'a Name,
    /// As in [`super::Bind`].
    pub control_seq: u64,
    /// As in [`super::Bind`].
    pub rewind: u64,
    pub nonce: u64,
    /// The items the transaction carries; empty = gap filler.
    pub items: &'a [Item],
    /// 1, 2, … up to [`ATTEMPTS_MAX`]: replacements with higher fees.
    pub attempt: u32,
    /// The signed bytes exactly as they are sent.
    pub raw: &'a [u8],
    pub tx_hash: &'a str,
    /// Fee fields in the caller's own form.
    pub fee: &'a str,
}

/// What STORE answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Stored {
    /// Kept: it may be sent.
    Ok,
    /// This attempt number holds another transaction.
    Taken {
        tx_hash: String,
    },
    /// The nonce is not these items'.
    Unbound,
    /// A gap filler for a nonce that has items.
    Bound,
    Stale,
    Reload,
    Fenced,
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn store(&self, fence: &Fence, store: &Store<'_>) -> Result<Stored, LinkError> {
        let script = &self.scripts.store;
        bounded(script.name, "items", store.items.len(), BATCH_MAX)?;
        bounded(script.name, "attempt", store.attempt as usize, ATTEMPTS_MAX as usize)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(store.target)).key(self.keys.head());
        invocation.key(self.keys.bind(store.target)).key(self.keys.raw(store.target, store.nonce));
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        invocation.arg(rewind_field(store.target)).arg(store.rewind).arg(store.control_seq);
        invocation.arg(store.nonce).arg(store.attempt).arg(store.raw).arg(store.tx_hash).arg(store.fee);
        for item in store.items {
            invocation.arg(item.to_string());
        }
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Stored::Ok),
            "TAKEN" => Ok(Stored::Taken { tx_hash: reply.next()? }),
            "UNBOUND" => Ok(Stored::Unbound),
            "BOUND" => Ok(Stored::Bound),
            "STALE" => Ok(Stored::Stale),
            "RELOAD" => Ok(Stored::Reload),
            "FENCED" => Ok(Stored::Fenced),
            _ => reply.unknown(),
        }
    }
}
