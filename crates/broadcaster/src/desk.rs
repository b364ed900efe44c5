//! The lane's fenced writes: what a target may record while it works, each behind one call.
//!
//! In: decisions of a target. Out: the journal in Redis (`:bind`, `:raw`, `:wait`, `:prog`, receipts). A reply that
//! means "your memory is not what Redis holds" comes back as an [`Interrupt`]; the lane then throws its
//! memory away and reads again. Crash points `broadcaster.bind`, `.store`, `.done` lie right after each step.

use std::sync::Arc;
use std::time::Instant;

use common::bridge::Part;
use common::crash_point;
use common::ids::Name;
use common::link::{
    BATCH_MAX, Bind, Bound, Done, DoneEntry, DoneReply, Fence, Item, Link, LinkError, ProgressReply,
    ProgressWrite, Rebind, Rebound, Store, Stored, WaitReply, WaitWrite,
};

use crate::book::Book;
use crate::covers::Covers;
use crate::receipt::Finished;

/// Why a lane cannot go on with what it has in memory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupt {
    /// Another replica drives the lane.
    #[error("the lane's lease is lost")]
    Fenced,
    /// The outbox was rewound, or memory and Redis differ.
    #[error("the outbox has to be read again")]
    Reload,
    /// A rollback has to be read first.
    #[error("a rollback has to be read first")]
    Stale,
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Redis' clock, as of the lease, carried on by this machine's monotonic one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    base_ms: u64,
    taken: Instant,
}

impl Clock {
    pub(crate) fn new(base_ms: u64) -> Self {
        Self { base_ms, taken: Instant::now() }
    }

    /// Unix ms.
    pub(crate) fn now_ms(&self) -> u64 {
        self.base_ms.saturating_add(u64::try_from(self.taken.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// What a lane's owner shows with its writes.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(crate) link: Link,
    pub(crate) target: Name,
    pub(crate) fence: Fence,
    /// `rw:<target>` as read before the outbox.
    pub(crate) rewind: u64,
    pub(crate) covers: Arc<Covers>,
    pub(crate) clock: Clock,
    /// An operator holds the lane back: nothing new is bound.
    pub(crate) is_paused: bool,
}

impl Desk {
    /// Bits of the part's updates that a rollback has taken back.
    pub(crate) fn skip(&self, part: &Part) -> u64 {
        self.covers.skip(&self.target, part)
    }

    /// Binds items to one nonce; answers it. A repeat after a lost reply answers the same one.
    pub(crate) async fn bind(&self, items: &[Item], chain_next: u64) -> Result<u64, Interrupt> {
        let bind = Bind {
            target: &self.target,
            control_seq: self.covers.seq(),
            rewind: self.rewind,
            items,
            chain_next,
        };
        let bound = self.link.bind(&self.fence, &bind).await?;
        crash_point!("broadcaster.bind");
        match bound {
            Bound::Ok { nonce } => Ok(nonce),
            Bound::Bound { .. } | Bound::Reload | Bound::Gone => Err(Interrupt::Reload),
            Bound::Stale => Err(Interrupt::Stale),
            Bound::Fenced => Err(Interrupt::Fenced),
        }
    }

    /// Keeps signed bytes; after `Ok` they may be sent.
    pub(crate) async fn store(&self, signed: &SignedAttempt<'_>) -> Result<(), Interrupt> {
        let store = Store {
            target: &self.target,
            control_seq: self.covers.seq(),
            rewind: self.rewind,
            nonce: signed.nonce,
            items: signed.items,
            attempt: signed.attempt,
            raw: signed.raw,
            tx_hash: signed.tx_hash,
            fee: signed.fee,
        };
        let stored = self.link.store(&self.fence, &store).await?;
        crash_point!("broadcaster.store");
        match stored {
            Stored::Ok => Ok(()),
            Stored::Taken { .. } | Stored::Unbound | Stored::Bound | Stored::Reload => Err(Interrupt::Reload),
            Stored::Stale => Err(Interrupt::Stale),
            Stored::Fenced => Err(Interrupt::Fenced),
        }
    }

    /// Frees items of a nonce the chain has finally used up; without items forgets a gap filler.
    pub(crate) async fn rebind(&self, nonce: u64, next_final: u64, items: &[Item]) -> Result<(), Interrupt> {
        let rebind =
            Rebind { target: &self.target, rewind: self.rewind, nonce, chain_next_final: next_final, items };
        match self.link.rebind(&self.fence, &rebind).await? {
            Rebound::Ok { .. } => Ok(()),
            // The caller has seen the nonce used up at the tier, so only a stale memory leads here.
            Rebound::Pending | Rebound::Reload => Err(Interrupt::Reload),
            Rebound::Fenced => Err(Interrupt::Fenced),
        }
    }

    /// Notes when items may be looked at again.
    pub(crate) async fn wait(&self, waits: &[(Item, u64)]) -> Result<(), Interrupt> {
        let writes: Vec<WaitWrite> =
            waits.iter().map(|(item, until)| WaitWrite { item: *item, until_ms: Some(*until) }).collect();
        for batch in writes.chunks(BATCH_MAX) {
            match self.link.wait(&self.fence, &self.target, batch).await? {
                WaitReply::Ok => {}
                WaitReply::Fenced => return Err(Interrupt::Fenced),
            }
        }
        Ok(())
    }

    /// Tells clients what the book says and they have not been told, in one batch.
    pub(crate) async fn progress(&self, book: &mut Book) -> Result<(), Interrupt> {
        let news = book.news(BATCH_MAX);
        if news.is_empty() {
            return Ok(());
        }
        let writes: Vec<ProgressWrite> = news
            .iter()
            .map(|(seq, progress)| ProgressWrite { seq: *seq, progress: progress.clone() })
            .collect();
        match self.link.set_progress(&self.fence, &self.target, &writes).await? {
            ProgressReply::Ok(_) => {}
            ProgressReply::Fenced => return Err(Interrupt::Fenced),
        }
        for (seq, progress) in news {
            book.told(seq, progress);
        }
        Ok(())
    }

    /// Finishes entries: receipts to the validator, work out of the outbox. `binds` = whether the target
    /// binds items; `nonces` = every nonce an item of these entries is bound to.
    pub(crate) async fn done(&self, batch: &[FinishedEntry], nonces: &[u64]) -> Result<(), Interrupt> {
        let entries: Vec<DoneEntry<'_>> = batch
            .iter()
            .map(|entry| DoneEntry {
                seq: entry.seq,
                progress: &entry.finished.progress,
                receipt: &entry.finished.message,
                items: &entry.items,
            })
            .collect();
        let done = Done { target: &self.target, rewind: self.rewind, entries: &entries, nonces };
        let reply = self.link.done(&self.fence, &done).await?;
        crash_point!("broadcaster.done");
        match reply {
            // DUP: an earlier call whose reply was lost has done it.
            DoneReply::Ok(_) => Ok(()),
            DoneReply::Reload => Err(Interrupt::Reload),
            DoneReply::Fenced => Err(Interrupt::Fenced),
        }
    }
}

/// One signed transaction on its way into the journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignedAttempt<'a> {
    pub(crate) nonce: u64,
    /// Empty = gap filler.
    pub(crate) items: &'a [Item],
    /// 1, 2, …
    pub(crate) attempt: u32,
    pub(crate) raw: &'a [u8],
    pub(crate) tx_hash: &'a str,
    pub(crate) fee: &'a str,
}

/// One entry ready for DONE.
#[derive(Debug, Clone)]
pub(crate) struct FinishedEntry {
    pub(crate) seq: u64,
    pub(crate) finished: Finished,
    /// Empty for targets that bind nothing.
    pub(crate) items: Vec<Item>,
}
