//! BIND: gives items of the outbox a chain nonce, for ever the same one, before anything is signed.
//!
//! Checks in this order: lane lease (`FENCED`) → `rw:<target>` is what the lane read (`RELOAD`: read the
//! outbox again) → the lane has read the last REVERT in `:ctl` (`STALE`: read it, set skip bits, come again) →
//! every item's entry is still in the outbox (`GONE`) → no item is bound yet (`BOUND` with each item's nonce
//! or none, nothing is written). Then `nonce = max(counter, chain_next)`, one for all items. A repeat after
//! a lost reply answers `BOUND` with that one nonce for all.

use super::{BATCH_MAX, Fence, Item, Link, LinkError, bounded, rewind_field};
use crate::ids::Name;

/// What the lane shows and wants.
#[derive(Debug, Clone)]
pub struct Bind<'a> {
    pub target: &'a Name,
    /// Seq of the last REVERT the lane has read in `:ctl`; 0 = none.
    pub control_seq: u64,
    /// The `rw` value the lane read before it read the outbox; 0 = none.
    pub rewind: u64,
    /// The items that share the nonce, up to [`BATCH_MAX`].
    pub items: &'a [Item],
    /// The sender's next nonce on the chain, pending ones included.
    pub chain_next: u64,
}

/// What BIND answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Bound {
    /// All items are now bound to this nonce.
    Ok {
        nonce: u64,
    },
    /// Some were bound before; per item its nonce, if it has one. Nothing was written.
    Bound {
        nonces: Vec<Option<u64>>,
    },
    /// The lane has not read the last REVERT.
    Stale,
    /// The outbox was rewound.
    Reload,
    /// An item's entry is not in the outbox: it is done.
    Gone,
    Fenced,
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn bind(&self, fence: &Fence, bind: &Bind<'_>) -> Result<Bound, LinkError> {
        let script = &self.scripts.bind;
        bounded(script.name, "items", bind.items.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(bind.target)).key(self.keys.head());
        invocation.key(self.keys.bind(bind.target)).key(self.keys.out(bind.target));
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        invocation.arg(rewind_field(bind.target)).arg(bind.rewind).arg(bind.control_seq).arg(bind.chain_next);
        for item in bind.items {
            invocation.arg(item.to_string());
        }
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Bound::Ok { nonce: reply.next()? }),
            "BOUND" => (0..bind.items.len())
                .map(|_| reply.next_optional())
                .collect::<Result<_, _>>()
                .map(|nonces| Bound::Bound { nonces }),
            "STALE" => Ok(Bound::Stale),
            "RELOAD" => Ok(Bound::Reload),
            "GONE" => Ok(Bound::Gone),
            "FENCED" => Ok(Bound::Fenced),
            _ => reply.unknown(),
        }
    }
}
