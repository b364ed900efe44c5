//! The model of locks and waiters: one list per asset, and every waiter with what it waits for.

use std::collections::BTreeSet;

use common::entry::InputStream;
use common::ids::{AssetId, Rid};
use common::message::{Body, TimedOut};

use super::super::traffic::{ASSETS, Ask, Change, Random, TTL_MS, name};
use super::super::world::{World, raw, verdict};
use super::{Model, Stop, content};
use crate::engine::RawInput;

const LOCK_WAIT_MS: u64 = 30_000;
const QUEUE_MAX: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lock {
    /// Whose request holds it, and until when.
    held: Option<(u64, u64)>,
    /// Key, and whether it is an order.
    queue: Vec<(u64, bool)>,
}

impl Lock {
    pub(super) fn change(&mut self, key: u64, change: &Change, time_ms: u64) -> Result<(), &'static str> {
        match (change, self.held) {
            (Change::Lock(_), Some(_)) => Err("ALREADY_LOCKED"),
            (Change::Lock(seconds), None) => {
                self.held = Some((key, time_ms + seconds * 1000));
                Ok(())
            }
            (Change::Unlock(lock), Some((holder, _))) if *lock == holder => {
                self.held = None;
                Ok(())
            }
            _ => Err("LOCK_NOT_HELD"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Until then.
    Lock(u64),
    Request(u64),
}

#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) ask: Ask,
    awaited: Awaited,
}

impl Model {
    /// Whether the lock of its asset lets a request pass.
    pub(super) fn may_pass(&self, ask: &Ask) -> Result<(), Stop> {
        let Some(lock) = self.state.locks.get(ask.asset) else { return Ok(()) };
        let names = |change: &Change| if let Change::Unlock(key) = change { Some(*key) } else { None };
        let unlocks = ask.changes.iter().find_map(names);
        let is_first = lock.queue.first().is_none_or(|(key, _)| *key == ask.key);
        match lock.held {
            Some((holder, _)) if unlocks == Some(holder) => return Ok(()),
            None if is_first => return Ok(()),
            _ => {}
        }
        match self.state.assets.get(ask.asset) {
            // A lock without an asset there is not.
            None => return Err("NOT_REGISTERED".into()),
            Some(asset) if asset.issuer != ask.tenant && !ask.is_order() => return Err("NOT_ISSUER".into()),
            Some(_) => {}
        }
        let is_in = lock.queue.iter().any(|(key, _)| *key == ask.key);
        if !is_in && lock.queue.iter().filter(|(_, order)| *order == ask.is_order()).count() >= QUEUE_MAX {
            return Err("LOCK_QUEUE_FULL".into());
        }
        Err(Stop::Held(Awaited::Lock(0)))
    }

    /// What the log says of it, if it did not wait for the same before.
    pub(super) fn hold(&mut self, ask: &Ask, awaited: Awaited, time_ms: u64) -> Option<String> {
        let before = self.waiting.get(&ask.key).map(|waiting| waiting.awaited);
        let (awaited, code) = match (awaited, before) {
            (Awaited::Lock(_), Some(Awaited::Lock(_))) => return None,
            (Awaited::Lock(_), _) => {
                // Orders wait as long as they may.
                let until = if ask.is_order() { u64::MAX } else { time_ms + LOCK_WAIT_MS };
                (Awaited::Lock(until), "HELD ASSET_LOCKED")
            }
            (awaited, Some(before)) if awaited == before => return None,
            (awaited, _) => (awaited, "HELD DEPENDENCY_PENDING"),
        };
        self.waits_no_more(ask);
        if let Awaited::Lock(_) = awaited {
            let queue = &mut self.state.locks.entry(ask.asset).or_default().queue;
            let orders = queue.iter().filter(|(_, order)| *order).count();
            let place = if ask.is_order() { orders } else { queue.len() };
            queue.insert(place, (ask.key, ask.is_order()));
        }
        self.waiting.insert(ask.key, Waiting { ask: ask.clone(), awaited });
        Some(code.to_owned())
    }

    pub(super) fn waits_no_more(&mut self, ask: &Ask) {
        self.waiting.remove(&ask.key);
        if let Some(lock) = self.state.locks.get_mut(ask.asset) {
            lock.queue.retain(|(key, _)| *key != ask.key);
        }
    }

    /// What the log should say when these are fed in.
    fn fed_in(&mut self, keys: &[u64], time_ms: u64) -> Vec<(u64, String)> {
        let (mut told, mut going) = (Vec::new(), Vec::new());
        for key in keys {
            let Waiting { ask, awaited } = self.waiting[key].clone();
            let expires = ask.accepted_ms + TTL_MS < time_ms;
            let verdict = match awaited {
                _ if expires => "EXPIRED TTL_EXPIRED",
                Awaited::Lock(until) if until < time_ms => "REJECTED LOCK_TIMEOUT",
                _ => {
                    going.push(ask);
                    continue;
                }
            };
            self.waits_no_more(&ask);
            self.decided.insert(*key, (content(&ask), false));
            told.push((*key, verdict.to_owned()));
        }
        told.extend(self.turns(going.iter().collect(), time_ms));
        told
    }

    /// Some requests lock their asset, or unlock what is held.
    pub(super) fn with_lock(&self, mut ask: Ask, random: &mut Random) -> Ask {
        if ask.is_order() {
            return ask;
        }
        let held = self.state.locks.get(ask.asset).and_then(|lock| lock.held);
        match random.below(20) {
            0 => ask.changes.push(Change::Lock(1 + random.below(40))),
            1..=5 if let Some((holder, _)) = held => ask.changes.push(Change::Unlock(holder)),
            6 if random.chance(20) => ask.changes.extend([Change::Lock(9), Change::Lock(9)]),
            7 if random.chance(20) => ask.changes.push(Change::Unlock(ask.key)),
            _ => {}
        }
        ask
    }

    pub(super) fn check_waiting(&self, world: &World) {
        let keys: BTreeSet<Rid> = self.waiting.keys().map(|key| name(*key, "acme")).collect();
        assert_eq!(world.waiters.keys().copied().collect::<BTreeSet<_>>(), keys);
        assert!(world.locks.values().all(|row| !row.is_empty()), "a row without a holder or waiters goes");
        for asset in ASSETS {
            let lock = self.state.locks.get(asset).cloned().unwrap_or_default();
            let row = world.locks.get(asset).cloned().unwrap_or_default();
            let held =
                row.held.as_ref().map(|held| (Rid::from_bytes(held.rid).expect("an id"), held.until_ms));
            assert_eq!(held, lock.held.map(|(key, until)| (name(key, "acme"), until)), "{asset}");
            let queue: Vec<_> =
                row.queue.iter().map(|q| (Rid::from_bytes(q.rid).expect("an id"), q.is_order)).collect();
            let expected: Vec<_> =
                lock.queue.iter().map(|(key, order)| (name(*key, "acme"), *order)).collect();
            assert_eq!(queue, expected, "{asset}");
        }
    }
}

/// Feeds some waiters in, in any order, due or not, and ends locks whose time may be over. Gives the codes met.
pub(super) fn feed_in(world: &mut World, model: &mut Model, random: &mut Random) -> Vec<String> {
    let mut keys: Vec<u64> = model.waiting.keys().copied().filter(|_| random.chance(50)).collect();
    if random.chance(30) {
        keys.reverse();
    }
    let message = |key: &u64| {
        let waiter = &world.waiters[&name(*key, "acme")];
        RawInput { stream: InputStream::Local, id: waiter.id.clone(), bytes: waiter.message.clone() }
    };
    let mut inputs: Vec<RawInput> = keys.iter().map(message).collect();
    for (asset, lock) in &mut model.state.locks {
        if let Some((holder, until)) = lock.held
            && random.chance(50)
        {
            let asset: AssetId = asset.parse().expect("an asset id");
            let fact = TimedOut { asset, lock: name(holder, "acme") };
            inputs.push(raw(InputStream::Local, Body::TimedOut(fact)));
            if until < world.time_ms {
                lock.held = None;
            }
        }
    }
    if inputs.is_empty() {
        return Vec::new();
    }
    let batch = world.commit(inputs);
    let expected = model.fed_in(&keys, world.time_ms);
    let expected: Vec<_> = expected.into_iter().map(|(key, verdict)| (name(key, "acme"), verdict)).collect();
    let said: Vec<_> = batch.body.outcomes.iter().map(|o| (o.rid, verdict(o))).collect();
    assert_eq!(said, expected, "entry {}", batch.body.seq);
    model.check(world);
    batch.body.outcomes.iter().filter_map(|outcome| outcome.code.clone()).collect()
}
