//! What the log says of a request that is to be undone, and of what came after it.
//!
//! In: the bodies of entries, from the one that decided the request up to the head ([`Search`]). Out: a [`Past`]: the
//! request and those of its asset before it in its entry, who depends on it, and what a REVERT has to reach. All of
//! it comes from logged facts, so everybody who has the log finds the same.
//!
//! A later request depends on an earlier one if it was applied, is not undone itself, and
//! - read or wrote a state key that the earlier one wrote (a mark of a used event is none: it stays), or
//! - had an `expected_version` on the asset, which every request of the asset raises, or
//! - names it in `depends_on`.
//!
//! One that was refused depends on nothing: it left nothing that could be wrong, and its answer is for ever.
//!
//! How far a search goes is bounded by [`WINDOW_ENTRIES`] and [`WINDOW_BYTES`]: rules of the log, not settings, since
//! the answer is in an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use common::entry::{Body, EntryKind, InputStream};
use common::hash::Digest;
use common::ids::{AssetId, Name, Rid};
use common::message::{About, Body as MessageBody, Message};
use common::observation::Observation;
use common::request::SyncRequest;
use common::status::OutcomeKind;

use super::boundary::Decision;
use super::footprint::{Footprint, Keyspace, Shape};

/// Entries back to which a request can be undone; as far as undo records are kept.
pub const WINDOW_ENTRIES: u64 = 4096;
/// Bytes of messages in these entries that a search looks at, at most.
pub const WINDOW_BYTES: usize = 64 << 20;
/// Dependents that are told; there may be more.
pub const DEPENDENTS_MAX: usize = 64;

/// An applied request as its entry holds it.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    pub(super) about: About,
    pub(super) request: Box<SyncRequest>,
    pub(super) observations: Vec<Observation>,
    /// The asset's version after it.
    pub(super) version: u64,
}

/// A request that can be looked at: its entry is within reach.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) undone: Applied,
    /// Applied requests of the asset before it in the same entry, in order.
    pub(super) earlier: Vec<Applied>,
    /// Footprints of `earlier` and of `undone`, over `keyspace`.
    pub(super) footprints: Vec<Footprint>,
    pub(super) keyspace: Keyspace,
    /// Log time of the entry.
    pub(super) time_ms: u64,
    /// In the order of the log.
    pub(super) dependents: Vec<Rid>,
    /// Per chain the `from` of the update that reaches furthest back among those that carry the request.
    pub(super) from: BTreeMap<Name, u64>,
    /// Requests of the asset, applied in the entry or after it and not undone, without the request itself.
    pub(super) carried: BTreeSet<Rid>,
    /// Entries that changed the asset, from the request's on; true: a REVERT of it.
    pub(super) entries: BTreeMap<u64, bool>,
    /// Values of the keyspace before the entry.
    pub(super) before: BTreeMap<String, Vec<u8>>,
}

/// What a search came to.
#[derive(Debug)]
enum State {
    /// The request's entry comes next.
    Start,
    /// It is too far back.
    TooOld,
    /// What was applied there is no request: a command.
    NoRequest,
    Found(Box<Found>),
}

/// Why there is nothing to be undone in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    TooOld,
    NoRequest,
}

/// A search through the log, entry by entry.
#[derive(Debug)]
pub struct Search {
    rid: Rid,
    fp: Digest,
    tenant: String,
    first: u64,
    bytes: usize,
    /// Keys that the request wrote, events' marks aside.
    written: BTreeSet<String>,
    state: State,
}

/// What was found, with the values before the request's entry.
#[derive(Debug)]
pub struct Past {
    first: u64,
    state: State,
}

impl Search {
    /// A search before entry `next_seq` is made. `None`: the decision alone says that there is nothing to undo.
    #[must_use]
    pub fn begin(rid: Rid, decision: Option<&Decision>, next_seq: u64) -> Option<Self> {
        let decision = decision.filter(|decision| decision.outcome == OutcomeKind::Applied.name())?;
        let is_near = next_seq.saturating_sub(decision.seq) <= WINDOW_ENTRIES;
        Some(Self {
            rid,
            fp: decision.fp,
            tenant: decision.tenant.clone(),
            first: decision.seq,
            bytes: 0,
            written: BTreeSet::new(),
            state: if is_near { State::Start } else { State::TooOld },
        })
    }

    /// The entry to begin with.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Takes the next entry, from [`Self::first`] on. Break: the rest changes nothing.
    pub fn take(&mut self, body: &Body) -> ControlFlow<()> {
        // A command may be too far back too, which who keeps no more entries than a search looks at could not tell apart.
        if matches!(self.state, State::TooOld) {
            return ControlFlow::Break(());
        }
        self.bytes = self.bytes.saturating_add(bytes_of(body));
        if self.bytes > WINDOW_BYTES {
            self.state = State::TooOld;
            return ControlFlow::Break(());
        }
        if matches!(self.state, State::Start) {
            if body.seq != self.first {
                self.state = State::TooOld;
                return ControlFlow::Break(());
            }
            self.state = self.begin_with(body);
        } else if let State::Found(found) = &mut self.state {
            let asset = found.undone.request.asset.id.clone();
            for applied in applied(body, &[asset.as_str(), &self.rid.to_string()]) {
                found.later(&applied, &asset, self.rid, &self.written);
            }
        }
        if let State::Found(found) = &mut self.state {
            found.note(body);
        }
        ControlFlow::Continue(())
    }

    /// Nothing comes any more.
    #[must_use]
    pub fn end(self) -> Past {
        // Its entry has to come first; a log without it is not the one the decision was read from.
        let state = if matches!(self.state, State::Start) { State::TooOld } else { self.state };
        Past { first: self.first, state }
    }

    fn begin_with(&mut self, body: &Body) -> State {
        let own = |applied: &Applied| {
            let About { rid, tenant, fp, .. } = &applied.about;
            (*rid, tenant.as_str(), *fp) == (self.rid, self.tenant.as_str(), self.fp)
        };
        let rid = self.rid.to_string();
        let Some(undone) = applied(body, &[&rid]).into_iter().find(own) else { return State::NoRequest };
        let asset = undone.request.asset.id.clone();
        let (mut earlier, mut later, mut is_behind) = (Vec::new(), Vec::new(), false);
        for applied in applied(body, &[asset.as_str(), &rid]) {
            if own(&applied) {
                is_behind = true;
            } else if is_behind {
                later.push(applied);
            } else if applied.request.asset.id == asset {
                earlier.push(applied);
            }
        }
        let mut keyspace = Keyspace::default();
        let footprints: Vec<Footprint> = earlier
            .iter()
            .chain([&undone])
            .map(|applied| Footprint::of(&applied.request, &applied.observations, &mut keyspace))
            .collect();
        let slots = keyspace.clone().into_slots();
        let writes = footprints.last().map(|footprint| footprint.writes.as_slice()).unwrap_or_default();
        let written = writes.iter().map(|slot| &slots[*slot]).filter(|(_, shape)| *shape != Shape::Used);
        self.written = written.map(|(key, _)| key.clone()).collect();
        let mut found = Found {
            carried: earlier.iter().map(|applied| applied.about.rid).collect(),
            undone,
            earlier,
            footprints,
            keyspace,
            time_ms: body.time_ms,
            dependents: Vec::new(),
            from: BTreeMap::new(),
            entries: BTreeMap::new(),
            before: BTreeMap::new(),
        };
        for applied in later {
            found.later(&applied, &asset, self.rid, &self.written);
        }
        State::Found(Box::new(found))
    }
}

impl Found {
    /// One applied after the request.
    fn later(&mut self, applied: &Applied, asset: &AssetId, undone: Rid, written: &BTreeSet<String>) {
        let rid = applied.about.rid;
        let is_same_asset = applied.request.asset.id == *asset;
        if is_same_asset {
            self.carried.insert(rid);
        }
        let depends = applied.request.depends_on.contains(&undone)
            || is_same_asset && (applied.request.expected_version.is_some() || touches(applied, written));
        if depends {
            self.dependents.push(rid);
        }
    }

    /// What the entry says of the asset's versions and of requests that were undone by it.
    fn note(&mut self, body: &Body) {
        for outcome in body.outcomes.iter().filter(|outcome| outcome.outcome == OutcomeKind::Reverted) {
            self.dependents.retain(|rid| *rid != outcome.rid);
            self.carried.remove(&outcome.rid);
        }
        let asset = &self.undone.request.asset.id;
        for update in body.updates.iter().filter(|update| update.asset == *asset) {
            self.entries.insert(body.seq, body.kind == EntryKind::Revert);
            // An update carries what came after its `from`.
            for (chain, from) in update.from.iter().filter(|(_, from)| **from < self.undone.version) {
                let reach = self.from.entry(chain.clone()).or_insert(*from);
                *reach = (*reach).min(*from);
            }
        }
    }
}

impl Past {
    /// The entry that decided the request.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// State keys whose values are needed: before [`Self::first`] here ([`Self::set_before`]), and at present with
    /// the batch's.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        match &self.state {
            State::Found(found) => found.keyspace.keys().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The asset whose lock is needed.
    #[must_use]
    pub fn asset(&self) -> Option<&str> {
        match &self.state {
            State::Found(found) => Some(found.undone.request.asset.id.as_str()),
            _ => None,
        }
    }

    /// Entries whose deliveries are needed.
    #[must_use]
    pub fn seqs(&self) -> Vec<u64> {
        match &self.state {
            State::Found(found) => found.entries.keys().copied().collect(),
            _ => Vec::new(),
        }
    }

    /// The value of a key before the request's entry.
    pub fn set_before(&mut self, key: String, value: Vec<u8>) {
        if let State::Found(found) = &mut self.state {
            found.before.insert(key, value);
        }
    }

    /// What was found, or why there is nothing.
    pub(super) fn found(&self) -> Result<&Found, Nothing> {
        match &self.state {
            State::Start | State::TooOld => Err(Nothing::TooOld),
            State::NoRequest => Err(Nothing::NoRequest),
            State::Found(found) => Ok(found),
        }
    }

    pub(super) fn into_found(self) -> Option<Box<Found>> {
        if let State::Found(found) = self.state { Some(found) } else { None }
    }
}

/// Those that are told.
pub(super) fn told(dependents: &[Rid]) -> &[Rid] {
    dependents.get(..DEPENDENTS_MAX).unwrap_or(dependents)
}

/// Whether it reads or writes one of the keys. What is written is read too, but for the asset.
fn touches(applied: &Applied, keys: &BTreeSet<String>) -> bool {
    let mut keyspace = Keyspace::default();
    let footprint = Footprint::of(&applied.request, &applied.observations, &mut keyspace);
    let slots = keyspace.into_slots();
    footprint.reads.iter().chain(&footprint.writes).any(|slot| keys.contains(&slots[*slot].0))
}

/// Bytes of an entry's messages, as the log holds them.
pub(crate) fn bytes_of(body: &Body) -> usize {
    body.inputs.iter().map(|input| input.m.get().len()).sum()
}

/// The applied requests of an entry that may have to do with one of these texts, in the order of execution. The first
/// message of a request is the one that was decided.
fn applied(body: &Body, texts: &[&str]) -> Vec<Applied> {
    let is_applied =
        |(_, outcome): &(usize, &common::entry::Outcome)| outcome.outcome == OutcomeKind::Applied;
    let places: BTreeMap<Rid, (usize, Digest, u64)> = body
        .outcomes
        .iter()
        .enumerate()
        .filter(is_applied)
        .map(|(place, outcome)| (outcome.rid, (place, outcome.fp, outcome.version.unwrap_or_default())))
        .collect();
    let mut found: BTreeMap<usize, Applied> = BTreeMap::new();
    if places.is_empty() {
        return Vec::new();
    }
    for input in body.inputs.iter().filter(|input| input.s != InputStream::Receipts) {
        // Most messages are of other assets, and need not be read; one with escapes may hide what it names.
        let text = input.m.get();
        if !text.contains('\\') && !texts.iter().any(|wanted| text.contains(wanted)) {
            continue;
        }
        let Ok(Message { body: MessageBody::Collected { about, request, observations }, .. }) =
            Message::decode(&input.bytes())
        else {
            continue;
        };
        if let Some((place, fp, version)) = places.get(&about.rid)
            && *fp == about.fp
        {
            let version = *version;
            found.entry(*place).or_insert(Applied { about, request, observations, version });
        }
    }
    found.into_values().collect()
}
