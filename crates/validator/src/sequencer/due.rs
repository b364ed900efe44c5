//! Who waits and can go on, or whose time is over: what the leader feeds in again.
//!
//! In: the rows of locks and waiters, followed entry by entry, and the time. Out: `local` inputs of the next entry: a
//! TIMEOUT per lock whose time is over, else the messages of waiters, in the order of their queues. What becomes of
//! them is the engine's to say; here nothing is decided, so what is fed in too early only costs an entry.
//!
//! While nothing changes and no time comes up, asking costs two comparisons. Messages stay in the view until they are fed in.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use common::entry::InputStream;
use common::ids::Rid;
use common::link::{Attempted, Fence};
use common::message::{Body, GivenUp, Message, TimedOut};

use super::Runner;
use super::suspect::ATTEMPTS_MAX;
use crate::engine::RawInput;
use crate::engine::boundary::Changes;
use crate::engine::select::BATCH;
use crate::engine::waiting::{Cause, LockRow, Waiter};
use crate::error::Failure;
use crate::pipeline::Intake;
use crate::view::{Snapshot, ViewError};

/// What is kept of a waiter: not its message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Brief {
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
        Self { ends_ms: waiter.ends_ms(), awaited, starts_ms }
    }
}

/// Locks and waiters as of the last committed entry.
#[derive(Debug, Default)]
pub(super) struct Book {
    locks: BTreeMap<String, LockRow>,
    waiters: BTreeMap<Rid, Brief>,
    /// Those whose awaited request is decided.
    ready: BTreeSet<Rid>,
    /// Something has changed since it was last looked at.
    is_new: bool,
    /// When something starts or is over next, Unix ms.
    next_ms: Option<u64>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// Locks whose time is over: by asset, who holds it.
    Locks(Vec<(String, Rid)>),
    Waiters(Vec<Rid>),
}

impl Book {
    /// The book of a view.
    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, ViewError> {
        let mut book = Self { locks: snapshot.locks()?, is_new: true, ..Self::default() };
        snapshot.each_waiter(|rid, waiter| {
            book.waiters.insert(rid, Brief::of(&waiter));
            ControlFlow::Continue(())
        })?;
        for (rid, brief) in &book.waiters {
            if let Some(awaited) = brief.awaited.and_then(|rid| Rid::from_bytes(rid).ok())
                && snapshot.decision(awaited)?.is_some()
            {
                book.ready.insert(*rid);
            }
        }
        Ok(book)
    }

    /// An entry was committed.
    pub(super) fn follow(&mut self, changes: &Changes) {
        if self.waiters.is_empty() && changes.locks.is_empty() && changes.waiters.is_empty() {
            return;
        }
        for (asset, row) in &changes.locks {
            self.is_new = true;
            match row {
                Some(row) => self.locks.insert(asset.clone(), row.clone()),
                None => self.locks.remove(asset),
            };
        }
        for (rid, waiter) in &changes.waiters {
            self.is_new = true;
            self.ready.remove(rid);
            match waiter {
                Some(waiter) => self.waiters.insert(*rid, Brief::of(waiter)),
                None => self.waiters.remove(rid),
            };
        }
        let awaited = |brief: &Brief| brief.awaited.is_some_and(|rid| is_in(changes, rid));
        let ready = self.waiters.iter().filter(|(_, brief)| awaited(brief)).map(|(rid, _)| *rid);
        let ready: Vec<Rid> = ready.collect();
        self.is_new |= !ready.is_empty();
        self.ready.extend(ready);
    }

    /// What is due at `now_ms`; what is given once is not given again before something changes.
    fn due(&mut self, now_ms: u64) -> Option<Due> {
        if !self.is_new && self.next_ms.is_none_or(|next| next > now_ms) {
            return None;
        }
        self.is_new = false;
        let held = self.locks.iter().filter_map(|(asset, row)| Some((asset, row.held.as_ref()?)));
        let over: Vec<(String, Rid)> = held
            .filter(|(_, held)| held.until_ms < now_ms)
            .filter_map(|(asset, held)| Some((asset.clone(), Rid::from_bytes(held.rid).ok()?)))
            .collect();
        let until = self.locks.values().filter_map(|row| row.held.as_ref()).map(|held| held.until_ms);
        let ends = self.waiters.values().map(|brief| brief.ends_ms);
        let starts = self.waiters.values().filter_map(|brief| brief.starts_ms);
        // What ends at a time is over after it.
        let over_at = until.chain(ends).map(|ends| ends.saturating_add(1));
        self.next_ms = over_at.chain(starts).filter(|next| *next > now_ms).min();
        if !over.is_empty() {
            self.is_new = true;
            return Some(Due::Locks(over));
        }
        let free = self.locks.values().filter(|row| row.held.is_none());
        let first = free.flat_map(|row| &row.queue).filter_map(|queued| Rid::from_bytes(queued.rid).ok());
        let is_timely = |brief: &Brief| {
            brief.ends_ms < now_ms || brief.starts_ms.is_some_and(|starts_ms| starts_ms <= now_ms)
        };
        let timely = self.waiters.iter().filter(|(_, brief)| is_timely(brief)).map(|(rid, _)| *rid);
        let mut given = BTreeSet::new();
        let all = first.chain(std::mem::take(&mut self.ready)).chain(timely);
        let due: Vec<Rid> = all.filter(|rid| given.insert(*rid)).collect();
        (!due.is_empty()).then_some(Due::Waiters(due))
    }

    /// Something may be due at once.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Those that were given and did not fit.
    fn give_back(&mut self, rids: &[Rid]) {
        let awaiting = |rid: &&Rid| self.waiters.get(rid).is_some_and(|brief| brief.awaited.is_some());
        let back: Vec<Rid> = rids.iter().filter(awaiting).copied().collect();
        self.ready.extend(back);
        self.is_new |= !rids.is_empty();
    }
}

fn is_in(changes: &Changes, rid: [u8; 16]) -> bool {
    Rid::from_bytes(rid).is_ok_and(|rid| changes.decisions.contains_key(&rid))
}

/// What comes of asking who is due.
#[derive(Debug)]
pub(super) enum Fed {
    Take(Box<Intake>),
    Nothing,
    /// The lease is another's.
    Fenced,
}

impl Runner {
    /// Who is due goes before what is new: it came before.
    pub(super) async fn due(&mut self, fence: &Fence) -> Result<Fed, Failure> {
        let Some(due) = self.book.due(self.now_ms) else { return Ok(Fed::Nothing) };
        self.writer.join().await?;
        let mut intake = Intake { now_ms: self.now_ms, ..Intake::default() };
        match due {
            Due::Locks(over) => {
                for (asset, lock) in over.into_iter().take(BATCH.messages) {
                    let Ok(asset) = asset.parse() else { continue };
                    intake.inputs.push(self.fact(Body::TimedOut(TimedOut { asset, lock })));
                }
            }
            Due::Waiters(rids) => {
                let snapshot = self.shard.view.snapshot()?;
                let (mut taken, mut bytes) = (0, 0);
                for rid in &rids {
                    let Some(waiter) = snapshot.waiter(*rid)? else {
                        taken += 1;
                        continue;
                    };
                    bytes += waiter.message.len();
                    if intake.inputs.len() == BATCH.messages
                        || (bytes > BATCH.bytes && !intake.inputs.is_empty())
                    {
                        break;
                    }
                    taken += 1;
                    let Waiter { id, message, .. } = waiter;
                    intake.inputs.push(RawInput { stream: InputStream::Local, id, bytes: message });
                    if self.suspect.is_some() {
                        if self.count(fence, *rid, &mut intake).await?.is_fenced() {
                            return Ok(Fed::Fenced);
                        }
                        // One at a time: the one that killed the process may be among them.
                        break;
                    }
                }
                self.book.give_back(rids.get(taken..).unwrap_or_default());
            }
        }
        Ok(if intake.inputs.is_empty() { Fed::Nothing } else { Fed::Take(Box::new(intake)) })
    }

    /// Counts the attempt before the message is touched, as of every message under suspicion.
    async fn count(&self, fence: &Fence, rid: Rid, intake: &mut Intake) -> Result<Counted, Failure> {
        let key = format!("waiters/{rid}");
        let link = &self.shard.link;
        let counted =
            crate::retry::until_known("count an attempt", async || link.attempt(fence, &key).await).await?;
        let Attempted::Ok { count } = counted else { return Ok(Counted::Fenced) };
        intake.attempted.push(key);
        if count >= ATTEMPTS_MAX
            && let Some(id) = intake.inputs.last().map(|input| input.id.clone())
        {
            let fact = GivenUp { s: InputStream::Local, id, attempts: count };
            intake.inputs.insert(0, self.fact(Body::GivenUp(fact)));
            intake.is_untouched = true;
        }
        Ok(Counted::Ok)
    }

    fn fact(&self, body: Body) -> RawInput {
        let message = Message { id: self.duties.node.to_string(), traceparent: None, body };
        RawInput { stream: InputStream::Local, id: String::new(), bytes: message.encode() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Ok,
    Fenced,
}

impl Counted {
    fn is_fenced(self) -> bool {
        self == Self::Fenced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::waiting::{Holder, Queued};

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
        assert_eq!(book.due(10), None);
        assert_eq!(book.due(500), None, "its time is not over");
        assert_eq!(book.due(501), Some(Due::Locks(vec![("bond:a".to_owned(), rid(9))])));
        book.follow(&changes(Some(row(None, &[2, 1])), Vec::new()));
        assert_eq!(book.due(502), Some(Due::Waiters(vec![rid(2), rid(1)])));
        assert_eq!(book.due(503), None, "given once");
        book.give_back(&[rid(1)]);
        assert!(book.due(504).is_some());
    }

    #[test]
    fn who_waits_for_a_time_is_due_when_it_comes() {
        let mut book = Book::default();
        book.follow(&changes(None, vec![(1, Some(waiter(Cause::Time { at_ms: 70 }, 100)))]));
        assert_eq!((book.due(1), book.due(69)), (None, None));
        assert_eq!(book.due(70), Some(Due::Waiters(vec![rid(1)])));
    }

    #[test]
    fn who_waits_for_a_request_is_due_when_it_is_decided_or_when_the_time_is_over() {
        let mut book = Book::default();
        let awaits = Cause::Dependency { rid: *rid(7).as_bytes() };
        book.follow(&changes(None, vec![(1, Some(waiter(awaits.clone(), 100)))]));
        book.follow(&changes(None, vec![(2, Some(waiter(awaits, 50)))]));
        assert_eq!(book.due(50), None);
        assert_eq!(book.due(51), Some(Due::Waiters(vec![rid(2)])));
        book.follow(&changes(None, vec![(2, None)]));
        assert_eq!(book.due(60), None);
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
        assert_eq!(book.due(61), Some(Due::Waiters(vec![rid(1)])));
    }
}
