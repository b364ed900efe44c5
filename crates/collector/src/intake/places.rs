//! The places of one shard: what is being collected for, how much room there is, and each source's share.
//!
//! In: entries begun and ended, the sources they wait for. Out: how many more may be read, and which sources
//! are saturated. Pure; time comes in. Bounds: `in_flight_max` entries in their first second, `waiting_max` in
//! all while sources hang, [`HELD_BYTES_MAX`] bytes.
//!
//! A source may hold as many places, and bytes, as are free: one dead source takes half of them, two a third
//! each, so there is always room for requests that need none of them. Above its share a source is saturated:
//! whatever needs it is answered at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::ids::Name;
use common::link::StreamId;

/// An entry that is worked on for so long waits for a slow source. It leaves its place to quick ones and
/// counts against `waiting_max` instead, so that a dead source does not stop the shard.
const QUICK: Duration = Duration::from_secs(1);
/// Most bytes of messages and observations held at one time; what is begun already may go over it.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Places {
    in_flight_max: usize,
    waiting_max: usize,
    active: BTreeMap<StreamId, Work>,
    bytes: usize,
    /// What each source holds until it answers; one that holds nothing is not in it.
    held: BTreeMap<Name, Held>,
}

/// One entry being worked on.
#[derive(Debug)]
struct Work {
    begun: Instant,
    bytes: usize,
    /// Those that have not answered yet.
    sources: Vec<Name>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    places: usize,
    bytes: usize,
}

impl Places {
    pub(super) const fn new(in_flight_max: usize, waiting_max: usize) -> Self {
        Self { in_flight_max, waiting_max, active: BTreeMap::new(), bytes: 0, held: BTreeMap::new() }
    }

    /// How many more entries may be begun.
    pub(super) fn room(&self, now: Instant) -> usize {
        if self.bytes >= HELD_BYTES_MAX {
            return 0;
        }
        let is_quick = |work: &&Work| now.saturating_duration_since(work.begun) < QUICK;
        let quick = self.active.values().filter(is_quick).count();
        let waiting = self.active.len() - quick;
        self.in_flight_max.saturating_sub(quick).min(self.waiting_max.saturating_sub(waiting))
    }

    /// Whether the source has its share: no further entry may wait for it.
    pub(super) fn is_saturated(&self, source: &Name) -> bool {
        let Some(held) = self.held.get(source) else { return false };
        held.places >= self.waiting_max.saturating_sub(self.active.len())
            || held.bytes >= HELD_BYTES_MAX.saturating_sub(self.bytes)
    }

    pub(super) fn contains(&self, id: StreamId) -> bool {
        self.active.contains_key(&id)
    }

    /// Gives the entry a place while it waits for `sources`.
    pub(super) fn take(&mut self, id: StreamId, bytes: usize, sources: Vec<Name>, now: Instant) {
        self.leave(id);
        self.bytes += bytes;
        for source in &sources {
            let held = self.held.entry(source.clone()).or_default();
            held.places += 1;
            held.bytes += bytes;
        }
        self.active.insert(id, Work { begun: now, bytes, sources });
    }

    /// The source has answered the entry with `bytes`, which may wait for others on and holds them meanwhile.
    pub(super) fn answered(&mut self, id: StreamId, source: &Name, bytes: usize) {
        let Some(work) = self.active.get_mut(&id) else { return };
        let Some(index) = work.sources.iter().position(|waited| waited == source) else { return };
        work.sources.swap_remove(index);
        let before = work.bytes;
        work.bytes += bytes;
        self.bytes += bytes;
        for waited in &work.sources {
            if let Some(held) = self.held.get_mut(waited) {
                held.bytes += bytes;
            }
        }
        self.give_back(source, before);
    }

    pub(super) fn leave(&mut self, id: StreamId) {
        let Some(Work { bytes, sources, .. }) = self.active.remove(&id) else { return };
        self.bytes -= bytes;
        for source in sources {
            self.give_back(&source, bytes);
        }
    }

    fn give_back(&mut self, source: &Name, bytes: usize) {
        let Some(held) = self.held.get_mut(source) else { return };
        held.places -= 1;
        held.bytes -= bytes;
        if held.places == 0 {
            self.held.remove(source);
        }
    }

    /// The entries begun `age` ago or earlier.
    pub(super) fn older_than(&self, age: Duration, now: Instant) -> Vec<StreamId> {
        let is_old = |work: &Work| now.saturating_duration_since(work.begun) >= age;
        self.active.iter().filter(|(_, work)| is_old(work)).map(|(id, _)| *id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.active.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }
}

#[cfg(test)]
mod tests;
