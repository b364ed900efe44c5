//! Long locks, and requests that wait: state outside the tree.
//!
//! A LOCK holds its asset beyond its entry, until UNLOCK names it or its time is over. Who wants to change the asset
//! meanwhile is HELD: its message has left its stream, and a [`Waiter`] keeps it. So is who depends on a request that is
//! not decided. Nothing waits inside a batch, and nothing holds a worker.
//!
//! - The asset's queue ([`LockRow`]) is first in, first out; orders of authorities go before all others. While somebody
//!   is in it, nobody passes.
//! - A waiter takes its turn again when the leader feeds its message in once more, as a `local` input: because it can go
//!   on now, or because its time is over. Which of the two, and whether at all, the engine decides; so only an entry
//!   grants a lock, and only an entry ends a wait.
//! - An asset is held by the request that locked it, not by a process: none of these rows rests on who leads.

use borsh::{BorshDeserialize, BorshSerialize};
use common::hash::Digest;
use common::ids::{Rid, Shard};

use super::footprint::SlotId;
use super::work::Work;

/// Waiters of a shard, at most. Who would be one more is refused.
pub const WAITERS_MAX: u64 = 10_000;
/// Links of a chain of requests, each waiting for the next, that are looked at for a cycle.
pub const CHAIN_MAX: usize = 64;

/// Table `locks`, by asset: who holds it and who waits for it. A row without either goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LockRow {
    pub held: Option<Holder>,
    /// In the order in which they take their turn; authorities' orders first.
    pub queue: Vec<Queued>,
}

/// Who holds an asset.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Holder {
    /// The request with the LOCK.
    pub rid: [u8; 16],
    pub tenant: String,
    /// For people, as the LOCK gave it.
    pub reason: String,
    /// Its entry, and that one's log time, Unix ms.
    pub since: u64,
    pub since_ms: u64,
    /// Log time from which on an entry may end it, Unix ms.
    pub until_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Queued {
    pub rid: [u8; 16],
    /// An order of an authority.
    pub is_order: bool,
}

/// Table `waiters`, by request: one that was taken from its stream and is not decided.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Waiter {
    pub tenant: String,
    pub fp: Digest,
    /// The asset it changes.
    pub asset: String,
    /// An order of an authority.
    pub is_order: bool,
    /// Its message: stream id and exact bytes, as its first input had them.
    pub id: String,
    pub message: Vec<u8>,
    /// The entry that took it up, and that one's log time, Unix ms.
    pub since: u64,
    pub since_ms: u64,
    /// Log time after which it expires whatever it waits for, Unix ms.
    pub deadline_ms: u64,
    pub cause: Cause,
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Cause {
    /// Its asset is held, or others are before it. From `until_ms` on (log time, Unix ms) it is refused.
    Lock { until_ms: u64 },
    /// A request that it depends on is not decided.
    Dependency { rid: [u8; 16] },
    /// Its `effective_at`, Unix ms of log time.
    Time { at_ms: u64 },
}

impl Waiter {
    /// The log time after which feeding it in ends it, Unix ms.
    #[must_use]
    pub fn ends_ms(&self) -> u64 {
        match self.cause {
            Cause::Lock { until_ms } => self.deadline_ms.min(until_ms),
            Cause::Dependency { .. } | Cause::Time { .. } => self.deadline_ms,
        }
    }
}

/// How long requests of a shard wait for a lock, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub lock_wait_ms: u64,
    /// Requests in an asset's queue, at most; as many orders of authorities beside them.
    pub queue_max: usize,
}

impl Patience {
    /// By what trades there: games wait for a moment, deeds for a notary.
    #[must_use]
    pub const fn of(shard: Shard) -> Self {
        let (seconds, queue_max) = match shard {
            Shard::Financial => (30, 64),
            Shard::Gaming => (1, 16),
            Shard::RealEstate => (600, 64),
            Shard::General => (10, 64),
        };
        Self { lock_wait_ms: seconds * 1000, queue_max }
    }
}

/// What an asset's lock means for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Free,
    /// It waits, or goes on waiting.
    Queued,
    /// It would wait, and too many do.
    Full,
}

impl LockRow {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `unlocks`: the request frees the lock of this id.
    pub(super) fn access(&self, rid: Rid, is_order: bool, unlocks: Option<Rid>, queue_max: usize) -> Access {
        let own = |held: &Holder| unlocks.is_some_and(|lock| held.rid == *lock.as_bytes());
        let is_first = self.queue.first().is_none_or(|first| first.rid == *rid.as_bytes());
        match &self.held {
            Some(held) if own(held) => Access::Free,
            None if is_first => Access::Free,
            _ if self.has(rid) => Access::Queued,
            _ if self.queue.iter().filter(|queued| queued.is_order == is_order).count() >= queue_max => {
                Access::Full
            }
            _ => Access::Queued,
        }
    }

    pub(super) fn has(&self, rid: Rid) -> bool {
        self.queue.iter().any(|queued| queued.rid == *rid.as_bytes())
    }

    /// Behind those of its kind.
    pub(super) fn enqueue(&mut self, rid: Rid, is_order: bool) {
        let behind = |queued: &&Queued| queued.is_order || !is_order;
        let place = self.queue.iter().take_while(behind).count();
        self.queue.insert(place, Queued { rid: *rid.as_bytes(), is_order });
    }

    pub(super) fn leave(&mut self, rid: Rid) {
        self.queue.retain(|queued| queued.rid != *rid.as_bytes());
    }
}

/// Rows of locks and waiters for a batch: see [`Loaded`](super::Loaded). `rids` are those whose decision is asked for too;
/// the closures look up one row each.
///
/// # Errors
/// Those of the closures.
pub fn load<E>(
    loaded: &mut super::Loaded,
    needs: &super::Needs,
    rids: impl IntoIterator<Item = Rid>,
    waiter: impl Fn(Rid) -> Result<Option<Waiter>, E>,
    lock: impl Fn(&str) -> Result<Option<LockRow>, E>,
) -> Result<(), E> {
    for rid in rids {
        let mut next = Some(rid);
        for _ in 0..=CHAIN_MAX {
            let Some(rid) = next.take().filter(|rid| !loaded.waiters.contains_key(rid)) else { break };
            let Some(row) = waiter(rid)? else { break };
            if let Cause::Dependency { rid } = row.cause {
                next = Rid::from_bytes(rid).ok();
            }
            loaded.waiters.insert(rid, row);
        }
    }
    let queued = loaded.waiters.values().filter(|waiter| matches!(waiter.cause, Cause::Lock { .. }));
    let assets = needs.locks.iter().cloned().chain(queued.map(|waiter| waiter.asset.clone()));
    let undone = loaded.past.as_ref().and_then(super::Past::asset).map(str::to_owned);
    for asset in assets.chain(undone).collect::<std::collections::BTreeSet<_>>() {
        if let Some(row) = lock(&asset)? {
            loaded.locks.insert(asset, row);
        }
    }
    Ok(())
}

/// What ends before anybody takes a turn: waits, each of a request for the lock in a slot, and locks whose time is over,
/// each with who holds it.
pub(super) fn settle(work: &mut Work, ended: &[(Rid, SlotId)], overdue: &[(Rid, SlotId)], time_ms: u64) {
    for (rid, slot) in ended {
        if work.lock(*slot).is_some_and(|row| row.has(*rid)) {
            work.change_lock(*slot, |row| row.leave(*rid));
        }
    }
    for (lock, slot) in overdue {
        let is_over = |held: &Holder| held.rid == *lock.as_bytes() && held.until_ms < time_ms;
        if work.lock(*slot).and_then(|row| row.held.as_ref()).is_some_and(is_over) {
            work.change_lock(*slot, |row| row.held = None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rid(n: u8) -> Rid {
        let bytes = [0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, n, 0];
        Rid::from_bytes(bytes).expect("a request id")
    }

    fn names(row: &LockRow) -> Vec<u8> {
        row.queue.iter().map(|queued| queued.rid[14]).collect()
    }

    #[test]
    fn orders_go_before_all_others_and_each_kind_by_arrival() {
        let mut row = LockRow::default();
        for (n, is_order) in [(1, false), (2, true), (3, false), (4, true)] {
            row.enqueue(rid(n), is_order);
        }
        assert_eq!(names(&row), [2, 4, 1, 3]);
        row.leave(rid(4));
        assert_eq!(names(&row), [2, 1, 3]);
    }

    #[test]
    fn while_somebody_waits_nobody_passes_and_each_kind_has_its_own_bound() {
        let mut row = LockRow::default();
        assert_eq!(row.access(rid(1), false, None, 1), Access::Free);
        row.enqueue(rid(1), false);
        assert_eq!(row.access(rid(1), false, None, 1), Access::Free, "its turn");
        assert_eq!(row.access(rid(2), false, None, 1), Access::Full);
        assert_eq!(row.access(rid(3), true, None, 1), Access::Queued);
    }
}
