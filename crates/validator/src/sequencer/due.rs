//! Who waits and can go on, or whose time is over.
//!
//! In: the rows of locks and waiters, followed entry by entry, and the time. Out: what the leader feeds in with the next
//! entry ([`Due`]): locks whose time is over, else waiters, each queue in its order, as many as one batch takes. What becomes
//! of them is the engine's to say; here nothing is decided, so what is fed in too early only costs an entry.
//!
//! Everything is found by an index: an entry costs what it changes, and asking while nothing is due costs four looks.
//! What was given comes up again only when its row changes. Messages are not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use common::ids::Rid;

use crate::engine::boundary::Changes;
use crate::engine::select::{BATCH, Fronts, Waiting, select};
use crate::engine::waiting::{Cause, LockRow, Waiter};
use crate::view::{Snapshot, ViewError};

/// What is kept of a waiter.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Brief {
    /// Of its message.
    bytes: usize,
    ends_ms: u64,
    /// The request it waits for.
    awaited: Option<[u8; 16]>,
    /// The time it waits for, Unix ms.
    starts_ms: Option<u64>,
}

impl Brief {
    fn of(waiter: &Waiter) -> Self {
        let (awaited, starts_ms) = match waiter.cause {
            Cause::Dependency { rid } => (Some(rid), None),
            Cause::Time { at_ms } => (None, Some(at_ms)),
            Cause::Lock { .. } => (None, None),
        };
        Self { bytes: waiter.message.len(), ends_ms: waiter.ends_ms(), awaited, starts_ms }
    }

    /// When it is due whatever else happens, Unix ms: what ends at a time is over after it.
    fn moments(&self) -> impl Iterator<Item = u64> {
        self.starts_ms.into_iter().chain([self.ends_ms.saturating_add(1)])
    }
}

/// Whom a moment is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    /// The lock of an asset ends.
    Lock(String),
    Waiter(Rid),
}

/// Locks and waiters as of the last committed entry.
#[derive(Debug, Default)]
pub(super) struct Book {
    locks: BTreeMap<String, LockRow>,
    waiters: BTreeMap<Rid, Brief>,
    /// Who waits for a request.
    awaiting: BTreeMap<[u8; 16], BTreeSet<Rid>>,
    /// From when on something is due, Unix ms.
    moments: BTreeSet<(u64, Of)>,
    /// Assets that are free while somebody waits for them.
    free: BTreeSet<String>,
    /// Assets whose lock is over.
    over: BTreeSet<String>,
    /// Waiters whose time or request has come.
    ready: BTreeSet<Rid>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Locks whose time is over: by asset, who holds it.
    Locks(Vec<(String, Rid)>),
    Waiters(Vec<Rid>),
}

/// How many waiters an entry takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// What a batch takes.
    Batch,
    /// One: a message of those that are due may be what killed the process.
    One,
}

impl Book {
    /// The book of a view.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, ViewError> {
        let mut book = Self::default();
        for (asset, row) in snapshot.locks()? {
            book.set_lock(&asset, Some(&row));
        }
        snapshot.each_waiter(|rid, waiter| {
            book.set_waiter(rid, Some(&waiter));
            ControlFlow::Continue(())
        })?;
        let awaited: Vec<[u8; 16]> = book.awaiting.keys().copied().collect();
        for awaited in awaited {
            if let Ok(rid) = Rid::from_bytes(awaited)
                && snapshot.decision(rid)?.is_some()
            {
                book.is_decided(rid);
            }
        }
        Ok(book)
    }

    /// An entry was committed.
    pub(super) fn follow(&mut self, changes: &Changes) {
        for (asset, row) in &changes.locks {
            self.set_lock(asset, row.as_ref());
        }
        for (rid, waiter) in &changes.waiters {
            self.set_waiter(*rid, waiter.as_ref());
        }
        if !self.awaiting.is_empty() {
            changes.decisions.keys().for_each(|rid| self.is_decided(*rid));
        }
    }

    fn is_decided(&mut self, rid: Rid) {
        self.ready.extend(self.awaiting.get(rid.as_bytes()).into_iter().flatten());
    }

    fn set_lock(&mut self, asset: &str, row: Option<&LockRow>) {
        let before = self.locks.remove(asset).and_then(|row| row.held);
        if let Some(held) = before {
            self.moments.remove(&(held.until_ms.saturating_add(1), Of::Lock(asset.to_owned())));
        }
        self.free.remove(asset);
        self.over.remove(asset);
        let Some(row) = row else { return };
        match &row.held {
            Some(held) => {
                self.moments.insert((held.until_ms.saturating_add(1), Of::Lock(asset.to_owned())));
            }
            None if !row.queue.is_empty() => {
                self.free.insert(asset.to_owned());
            }
            None => {}
        }
        self.locks.insert(asset.to_owned(), row.clone());
    }

    fn set_waiter(&mut self, rid: Rid, waiter: Option<&Waiter>) {
        self.ready.remove(&rid);
        if let Some(before) = self.waiters.remove(&rid) {
            for moment in before.moments() {
                self.moments.remove(&(moment, Of::Waiter(rid)));
            }
            if let Some(awaited) = before.awaited
                && let Some(others) = self.awaiting.get_mut(&awaited)
            {
                others.remove(&rid);
                if others.is_empty() {
                    self.awaiting.remove(&awaited);
                }
            }
        }
        let Some(brief) = waiter.map(Brief::of) else { return };
        self.moments.extend(brief.moments().map(|moment| (moment, Of::Waiter(rid))));
        if let Some(awaited) = brief.awaited {
            self.awaiting.entry(awaited).or_default().insert(rid);
        }
        self.waiters.insert(rid, brief);
    }

    /// Whether something is due at `now_ms`.
    pub(super) fn is_any_due(&self, now_ms: u64) -> bool {
        let is_moment = self.moments.first().is_some_and(|(moment, _)| *moment <= now_ms);
        is_moment || !(self.free.is_empty() && self.over.is_empty() && self.ready.is_empty())
    }

    /// What goes into the next entry at `now_ms`.
    pub(super) fn due(&mut self, now_ms: u64, share: Share) -> Option<Due> {
        while let Some((moment, _)) = self.moments.first()
            && *moment <= now_ms
        {
            match self.moments.pop_first() {
                Some((_, Of::Lock(asset))) => drop(self.over.insert(asset)),
                Some((_, Of::Waiter(rid))) => drop(self.ready.insert(rid)),
                None => {}
            }
        }
        if !self.over.is_empty() {
            return Some(Due::Locks(self.locks_over()));
        }
        let rids = self.waiters_due(share);
        (!rids.is_empty()).then_some(Due::Waiters(rids))
    }

    fn locks_over(&mut self) -> Vec<(String, Rid)> {
        let assets: Vec<String> = self.over.iter().take(BATCH.messages).cloned().collect();
        for asset in &assets {
            self.over.remove(asset);
        }
        let holder = |asset: String| {
            let held = self.locks.get(&asset)?.held.as_ref()?;
            let rid = Rid::from_bytes(held.rid).ok()?;
            Some((asset, rid))
        };
        assets.into_iter().filter_map(holder).collect()
    }

    /// As many as one entry takes. An asset of which somebody was given comes up again when its row has changed.
    fn waiters_due(&mut self, share: Share) -> Vec<Rid> {
        let (mut rids, mut sizes, mut met) = (Vec::new(), Vec::new(), BTreeSet::new());
        let queues = self.free.iter().filter_map(|asset| self.locks.get(asset));
        let first = queues.flat_map(|row| &row.queue).filter_map(|queued| Rid::from_bytes(queued.rid).ok());
        // More than one entry takes is not looked at.
        for rid in first.chain(self.ready.iter().copied()).filter(|rid| met.insert(*rid)).take(BATCH.messages)
        {
            rids.push(rid);
            let bytes = self.waiters.get(&rid).map_or(0, |brief| brief.bytes);
            sizes.push(Waiting { bytes, statuses: 1 });
        }
        let fits = match share {
            Share::Batch => select(&Fronts { input: &sizes, ..Fronts::default() }).input,
            Share::One => 1,
        };
        rids.truncate(fits);
        for rid in &rids {
            self.ready.remove(rid);
        }
        let taken: BTreeSet<[u8; 16]> = rids.iter().map(|rid| *rid.as_bytes()).collect();
        let is_untouched =
            |row: &LockRow| row.queue.first().is_some_and(|queued| !taken.contains(&queued.rid));
        self.free.retain(|asset| self.locks.get(asset).is_some_and(is_untouched));
        rids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::waiting::{Holder, Queued};

    impl Book {
        fn due_of(&mut self, now_ms: u64) -> Option<Due> {
            let is_any = self.is_any_due(now_ms);
            let due = self.due(now_ms, Share::Batch);
            assert_eq!(is_any, due.is_some());
            due
        }
    }

    fn rid(n: u8) -> Rid {
        let bytes = [0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, n, 0];
        Rid::from_bytes(bytes).expect("a request id")
    }

    fn held(until_ms: u64) -> Holder {
        let (tenant, reason) = ("acme".to_owned(), "x".to_owned());
        Holder { rid: *rid(9).as_bytes(), tenant, reason, since: 1, since_ms: 1, until_ms }
    }

    fn row(held: Option<Holder>, queue: &[u8]) -> LockRow {
        let queued = |n: &u8| Queued { rid: *rid(*n).as_bytes(), is_order: false };
        LockRow { held, queue: queue.iter().map(queued).collect() }
    }

    fn waiter(cause: Cause, deadline_ms: u64) -> Waiter {
        Waiter {
            tenant: "acme".to_owned(),
            fp: common::hash::Digest::ZERO,
            asset: "bond:a".to_owned(),
            is_order: false,
            id: "1-0".to_owned(),
            message: Vec::new(),
            since: 1,
            since_ms: 1,
            deadline_ms,
            cause,
        }
    }

    fn changes(lock: Option<LockRow>, waiters: Vec<(u8, Option<Waiter>)>) -> Changes {
        let mut changes = Changes::default();
        changes.locks.extend(lock.map(|row| ("bond:a".to_owned(), (!row.is_empty()).then_some(row))));
        changes.waiters.extend(waiters.into_iter().map(|(n, waiter)| (rid(n), waiter)));
        changes
    }

    #[test]
    fn a_queue_is_due_when_the_lock_ends_in_its_order_and_once() {
        let mut book = Book::default();
        let lock = || Cause::Lock { until_ms: 1_000 };
        let waiters = vec![(2, Some(waiter(lock(), 2_000))), (1, Some(waiter(lock(), 2_000)))];
        book.follow(&changes(Some(row(Some(held(500)), &[2, 1])), waiters));
        assert_eq!(book.due_of(10), None);
        assert_eq!(book.due_of(500), None, "its time is not over");
        assert_eq!(book.due_of(501), Some(Due::Locks(vec![("bond:a".to_owned(), rid(9))])));
        book.follow(&changes(Some(row(None, &[2, 1])), Vec::new()));
        assert_eq!(book.due_of(502), Some(Due::Waiters(vec![rid(2), rid(1)])));
        assert_eq!(book.due_of(503), None, "given once");
        // The first one has gone on.
        book.follow(&changes(Some(row(None, &[1])), vec![(2, None)]));
        assert_eq!(book.due_of(504), Some(Due::Waiters(vec![rid(1)])));
    }

    #[test]
    fn who_waits_for_a_time_is_due_when_it_comes() {
        let mut book = Book::default();
        book.follow(&changes(None, vec![(1, Some(waiter(Cause::Time { at_ms: 70 }, 100)))]));
        assert_eq!((book.due_of(1), book.due_of(69)), (None, None));
        assert_eq!(book.due_of(70), Some(Due::Waiters(vec![rid(1)])));
    }

    #[test]
    fn who_waits_for_a_request_is_due_when_it_is_decided_or_when_the_time_is_over() {
        let mut book = Book::default();
        let awaits = Cause::Dependency { rid: *rid(7).as_bytes() };
        book.follow(&changes(None, vec![(1, Some(waiter(awaits.clone(), 100)))]));
        book.follow(&changes(None, vec![(2, Some(waiter(awaits, 50)))]));
        assert_eq!(book.due_of(50), None);
        assert_eq!(book.due_of(51), Some(Due::Waiters(vec![rid(2)])));
        book.follow(&changes(None, vec![(2, None)]));
        assert_eq!(book.due_of(60), None);
        let mut decided = Changes::default();
        let decision = crate::engine::Decision {
            tenant: "acme".to_owned(),
            fp: common::hash::Digest::ZERO,
            seq: 3,
            outcome: "APPLIED".to_owned(),
            code: None,
            delivered: None,
            reverted: None,
        };
        decided.decisions.insert(rid(7), decision);
        book.follow(&decided);
        assert_eq!(book.due_of(61), Some(Due::Waiters(vec![rid(1)])));
    }

    #[test]
    fn an_entry_takes_what_a_batch_takes_and_under_suspicion_one_and_nobody_is_forgotten() {
        let mut book = Book::default();
        let big = |n: u8| {
            let message = vec![b'x'; 300 * 1024];
            (n, Some(Waiter { message, ..waiter(Cause::Time { at_ms: 5 }, 100) }))
        };
        book.follow(&changes(None, vec![big(1), big(2), big(3)]));
        assert_eq!(book.due(5, Share::Batch), Some(Due::Waiters(vec![rid(1)])), "two would be too much");
        book.follow(&changes(None, vec![(1, None)]));
        assert_eq!(book.due(5, Share::One), Some(Due::Waiters(vec![rid(2)])));
        assert_eq!(book.due(5, Share::Batch), Some(Due::Waiters(vec![rid(3)])));
        assert_eq!(book.due_of(5), None);
        assert_eq!(book.due_of(101), Some(Due::Waiters(vec![rid(2)])), "their time is over");
        assert_eq!(book.due_of(101), Some(Due::Waiters(vec![rid(3)])));
    }

    #[test]
    fn a_row_that_goes_leaves_nothing_behind() {
        let mut book = Book::default();
        let awaits = Cause::Dependency { rid: *rid(7).as_bytes() };
        let both = vec![(1, Some(waiter(awaits, 100))), (2, Some(waiter(Cause::Time { at_ms: 5 }, 100)))];
        book.follow(&changes(Some(row(Some(held(500)), &[])), both));
        book.follow(&changes(Some(LockRow::default()), vec![(1, None), (2, None)]));
        assert!(book.locks.is_empty() && book.waiters.is_empty());
        assert!(book.awaiting.is_empty() && book.moments.is_empty());
        assert_eq!(book.due_of(u64::MAX), None);
    }
}
