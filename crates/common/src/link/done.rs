//! DONE: an entry is finished on a target: its receipt goes to the validator, its work leaves the outbox.
//!
//! Per entry, in one step: message to `:receipts`, XDEL from `:out:<target>`, `:prog`, binds and waits of its
//! items, stored transactions of nonces no item needs any more, a notification. The outbox entry's presence
//! makes it happen once: without it the answer is `DUP`.
//! Checks before the first write: lane lease (`FENCED`), `rw` (`RELOAD`), and every nonce bound to an item is
//! among the nonces the caller named (`RELOAD`: the lane's memory is not what Redis holds). The caller names nonces that the
//! chain has finally used: `used` in `:lane` rises above them.
//! Replies: `OK` and per entry `OK` or `DUP`; `RELOAD`; `FENCED`.

use super::{BATCH_MAX, Fence, Item, Link, LinkError, Progress, RECEIPT_BYTES_MAX, bounded, rewind_field};
use crate::ids::Name;
use crate::status::Delivery;

/// One finished entry.
#[derive(Debug, Clone)]
pub struct DoneEntry<'a> {
    pub seq: u64,
    /// Its state must be a receipt: final, failed or revoked.
    pub progress: &'a Progress,
    /// The RECEIPT message's exact bytes, at most [`RECEIPT_BYTES_MAX`].
    pub receipt: &'a [u8],
    /// All items of the entry, `<seq>/0 …`; empty for targets that bind nothing.
    pub items: &'a [Item],
}

/// A batch of finished entries of one lane.
#[derive(Debug, Clone)]
pub struct Done<'a> {
    pub target: &'a Name,
    /// As in [`super::Bind`].
    pub rewind: u64,
    pub entries: &'a [DoneEntry<'a>],
    /// Every nonce an item of these entries is bound to.
    pub nonces: &'a [u64],
}

/// What DONE answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum DoneReply {
    /// Per entry, in order.
    Ok(Vec<Finished>),
    Reload,
    Fenced,
}

/// The answer for one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Finished {
    Ok,
    Dup,
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn done(&self, fence: &Fence, done: &Done<'_>) -> Result<DoneReply, LinkError> {
        let script = &self.scripts.done;
        bounded(script.name, "batch", done.entries.len(), BATCH_MAX)?;
        bounded(script.name, "nonces", done.nonces.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(done.target)).key(self.keys.head()).key(self.keys.out(done.target));
        invocation.key(self.keys.bind(done.target)).key(self.keys.wait(done.target));
        invocation.key(self.keys.receipts()).key(self.keys.status());
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        invocation.arg(rewind_field(done.target)).arg(done.rewind).arg(done.target.as_str());
        invocation.arg(done.entries.len()).arg(done.nonces.len());
        for entry in done.entries {
            invocation.key(self.keys.progress(entry.seq));
        }
        for nonce in done.nonces {
            invocation.key(self.keys.raw(done.target, *nonce)).arg(*nonce);
        }
        for entry in done.entries {
            let state = entry.progress.state;
            if !state.is_receipt() {
                return Err(not_a_receipt(script.name, state));
            }
            invocation.arg(entry.seq).arg(state.name()).arg(entry.progress.to_string()).arg(entry.receipt);
            bounded(script.name, "receipt", entry.receipt.len(), RECEIPT_BYTES_MAX)?;
            bounded(script.name, "items", entry.items.len(), BATCH_MAX)?;
            invocation.arg(entry.items.len());
            for item in entry.items {
                invocation.arg(item.to_string());
            }
        }
        let reply = self.run(script, &invocation).await?;
        match reply.word() {
            "FENCED" => Ok(DoneReply::Fenced),
            "RELOAD" => Ok(DoneReply::Reload),
            "OK" => {
                let words = reply.texts()?.into_iter().map(|word| match word.as_str() {
                    "OK" => Ok(Finished::Ok),
                    "DUP" => Ok(Finished::Dup),
                    _ => Err(LinkError::Reply { call: script.name, detail: word }),
                });
                words.collect::<Result<_, _>>().map(DoneReply::Ok)
            }
            _ => reply.unknown(),
        }
    }
}

fn not_a_receipt(call: &'static str, state: Delivery) -> LinkError {
    LinkError::NotAReceipt { call, state: state.name() }
}
