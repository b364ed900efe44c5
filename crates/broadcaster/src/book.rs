//! What a lane has in hand: the outbox entries it read and how far each of their parts is.
//!
//! In: outbox entries in order, steps of their parts. Out: which items may be bound now, which entries are
//! finished, what clients may be told. Memory only: everything in it can be read again from Redis and the
//! chain, so it is thrown away whenever it might differ from them. Bounded by the lane's window.

mod schedule;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use common::bridge::{OutBody, Part};
use common::ids::Name;
use common::link::{Item, Progress};
use common::message::PartReceipt;
use common::status::Delivery;

use crate::receipt::{self, Finished};

/// How far one part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing holds it: it may be bound once its wait is over.
    Free,
    Bound,
    Sent {
        tx: String,
    },
    Included {
        tx: String,
        block: u64,
    },
    Finished(PartReceipt),
}

#[derive(Debug)]
struct Work {
    body: OutBody,
    stages: Vec<Stage>,
    /// What clients were told last.
    told: Progress,
}

/// The lane's entries by seq.
#[derive(Debug, Default)]
pub(crate) struct Book {
    works: BTreeMap<u64, Work>,
    /// When to look at an item again, Unix ms of Redis; also of items whose entry is not read yet.
    waits: BTreeMap<Item, u64>,
    /// How often in a row an item came back.
    failures: BTreeMap<Item, u32>,
    /// How often an item's transaction ran out of gas.
    starved: BTreeMap<Item, u32>,
    /// The last entry read: where reading goes on.
    cursor: u64,
    /// The free parts in order and when each may be bound; made at the first question after a change.
    schedule: OnceCell<Vec<(Item, u64)>>,
}

const RELAYED: Progress = Progress { state: Delivery::Relayed, block: None, tx: Vec::new() };

impl Book {
    /// An empty book that knows the waits of a predecessor.
    pub(crate) fn new(waits: BTreeMap<Item, u64>) -> Self {
        Self { waits, ..Self::default() }
    }

    /// Takes in the next outbox entry.
    pub(crate) fn take(&mut self, body: OutBody) {
        self.schedule.take();
        self.cursor = self.cursor.max(body.seq);
        let stages = vec![Stage::Free; body.parts.len()];
        self.works.entry(body.seq).or_insert(Work { body, stages, told: RELAYED });
    }

    pub(crate) const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Entries in hand.
    pub(crate) fn len(&self) -> usize {
        self.works.len()
    }

    /// The items of an entry, in part order.
    pub(crate) fn items(&self, seq: u64) -> Vec<Item> {
        let parts = self.works.get(&seq).map_or(0, |work| work.stages.len());
        (0..=u16::MAX).take(parts).map(|part| Item { seq, part }).collect()
    }

    pub(crate) fn part(&self, item: Item) -> Option<&Part> {
        self.works.get(&item.seq)?.body.parts.get(usize::from(item.part))
    }

    /// The trace contexts of requests in these items' entries, by request id, at most `max`.
    pub(crate) fn traces(&self, items: &[Item], max: usize) -> BTreeMap<&str, &str> {
        let bodies = items.iter().filter_map(|item| self.works.get(&item.seq)).map(|work| &work.body);
        let traces = bodies.flat_map(|body| &body.traces).map(|(rid, trace)| (rid.as_str(), trace.as_str()));
        let mut found = BTreeMap::new();
        for (rid, trace) in traces {
            if found.len() < max {
                found.insert(rid, trace);
            }
        }
        found
    }

    pub(crate) fn stage(&self, item: Item) -> Option<&Stage> {
        self.works.get(&item.seq)?.stages.get(usize::from(item.part))
    }

    /// Moves a part; nothing happens if its entry is not in hand.
    pub(crate) fn set(&mut self, item: Item, stage: Stage) {
        let place =
            self.works.get_mut(&item.seq).and_then(|work| work.stages.get_mut(usize::from(item.part)));
        let Some(place) = place else { return };
        if (*place == Stage::Free) != (stage == Stage::Free) {
            self.schedule.take();
        }
        if matches!(stage, Stage::Finished(_)) {
            self.waits.remove(&item);
            self.failures.remove(&item);
            self.starved.remove(&item);
        }
        *place = stage;
    }

    /// Counts that an item came back and has to go again; answers how often in a row.
    pub(crate) fn fail(&mut self, item: Item) -> u32 {
        let failures = self.failures.entry(item).or_default();
        *failures = failures.saturating_add(1);
        *failures
    }

    /// Counts that an item's transaction ran out of gas.
    pub(crate) fn starve(&mut self, item: Item) {
        let starved = self.starved.entry(item).or_default();
        *starved = starved.saturating_add(1);
    }

    pub(crate) fn starved(&self, item: Item) -> u32 {
        self.starved.get(&item).copied().unwrap_or(0)
    }

    /// Notes when a free item may be bound again.
    pub(crate) fn postpone(&mut self, item: Item, until_ms: u64) {
        self.schedule.take();
        self.waits.insert(item, until_ms);
    }

    fn schedule(&self) -> &[(Item, u64)] {
        self.schedule.get_or_init(|| {
            let parts = self.works.iter().flat_map(|(seq, work)| {
                let parts = work.stages.iter().zip(&work.body.parts).zip(0..=u16::MAX);
                parts.map(|((stage, part), number)| (Item { seq: *seq, part: number }, stage, part))
            });
            let free = parts.filter(|(_, stage, _)| **stage == Stage::Free).map(|(item, _, part)| {
                (item, self.waits.get(&item).copied().unwrap_or(0), part.updates.as_slice())
            });
            schedule::schedule(free)
        })
    }

    /// Parts that may be bound at `now_ms`, in order: free, and neither they nor free ones that they follow wait.
    pub(crate) fn ready(&self, now_ms: u64) -> impl Iterator<Item = (Item, &Part)> {
        let due = self.schedule().iter().filter(move |(_, due_ms)| *due_ms <= now_ms);
        due.filter_map(|(item, _)| Some((*item, self.part(*item)?)))
    }

    /// When the next waiting part is due.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.schedule().iter().map(|(_, due_ms)| *due_ms).filter(|due_ms| *due_ms > 0).min()
    }

    /// Parts bound to a nonce and not finished.
    pub(crate) fn in_flight(&self) -> usize {
        let stages = self.works.values().flat_map(|work| &work.stages);
        stages.filter(|stage| !matches!(stage, Stage::Free | Stage::Finished(_))).count()
    }

    /// Entries that only wait for blocks above `tier_block`: every part is in a block or finished, and one is above it.
    pub(crate) fn confirming(&self, tier_block: u64) -> usize {
        let is_landed = |stage: &Stage| matches!(stage, Stage::Included { .. } | Stage::Finished(_));
        let is_above = |stage: &Stage| matches!(stage, Stage::Included { block, .. } if *block > tier_block);
        let waits = |work: &&Work| work.stages.iter().all(is_landed) && work.stages.iter().any(is_above);
        self.works.values().filter(waits).count()
    }

    /// Up to `max` entries whose parts are all finished, oldest first.
    pub(crate) fn finished(&self, max: usize) -> Vec<u64> {
        let is_finished = |work: &Work| work.stages.iter().all(|stage| matches!(stage, Stage::Finished(_)));
        self.works.iter().filter(|(_, work)| is_finished(work)).map(|(seq, _)| *seq).take(max).collect()
    }

    /// The receipt of a finished entry; `None` while a part is missing.
    pub(crate) fn receipt(&self, seq: u64, target: &Name) -> Option<Finished> {
        let stages = self.works.get(&seq)?.stages.iter();
        let parts = stages.map(|stage| match stage {
            Stage::Finished(part) => Some(part.clone()),
            _ => None,
        });
        parts.collect::<Option<Vec<_>>>().map(|parts| receipt::assemble(seq, target, parts))
    }

    /// Forgets an entry that is done.
    pub(crate) fn remove(&mut self, seq: u64) {
        self.schedule.take();
        for item in self.items(seq) {
            self.waits.remove(&item);
            self.failures.remove(&item);
            self.starved.remove(&item);
        }
        self.works.remove(&seq);
    }

    /// What clients should be told and have not been, up to `max` entries. [`Self::told`] notes that they were.
    pub(crate) fn news(&self, max: usize) -> Vec<(u64, Progress)> {
        let news = self.works.iter().map(|(seq, work)| (*seq, self.progress(*seq, work)));
        news.filter(|(seq, progress)| self.works.get(seq).is_some_and(|work| work.told != *progress))
            .take(max)
            .collect()
    }

    pub(crate) fn told(&mut self, seq: u64, progress: Progress) {
        if let Some(work) = self.works.get_mut(&seq) {
            work.told = progress;
        }
    }

    /// `deferred` if a part came back, `included` if all are in blocks, `sent` if one is on its way. After a reorganisation
    /// this falls from `included` to `sent`; PROGRESS moves upwards only and keeps `included`, with the new block once
    /// there is one. Only `final` says that an entry stays.
    fn progress(&self, seq: u64, work: &Work) -> Progress {
        let is_landed = |stage: &Stage| matches!(stage, Stage::Included { .. } | Stage::Finished(_));
        let has_moved = |stage: &Stage| is_landed(stage) || matches!(stage, Stage::Sent { .. });
        let came_back =
            self.failures.range(Item { seq, part: 0 }..=Item { seq, part: u16::MAX }).next().is_some();
        let state = if came_back {
            Delivery::Deferred
        } else if work.stages.iter().all(is_landed) {
            Delivery::Included
        } else if work.stages.iter().any(has_moved) {
            Delivery::Sent
        } else {
            Delivery::Relayed
        };
        let places = work.stages.iter().filter_map(|stage| match stage {
            Stage::Sent { tx } => Some((tx.clone(), None)),
            Stage::Included { tx, block } => Some((tx.clone(), Some(*block))),
            Stage::Finished(part) => part.tx.clone().map(|tx| (tx, part.block)),
            Stage::Free | Stage::Bound => None,
        });
        let (tx, blocks): (Vec<_>, Vec<_>) = places.unzip();
        Progress { state, block: blocks.into_iter().flatten().max(), tx: receipt::distinct(tx.into_iter()) }
    }
}

#[cfg(test)]
mod tests;
