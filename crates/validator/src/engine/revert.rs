//! A rollback: one applied request is undone by an entry of kind REVERT.
//!
//! In: a command, and what the log says of the request ([`Past`]). Out: why it cannot be undone, or the content as if it
//! had not happened, under the next version of its asset, with one update that supersedes what it caused.
//!
//! - What the request wrote gets the value before it: its entry is applied again up to it, on the values before the entry.
//!   Nothing later touched these keys, else somebody would depend on it. An event that it used stays used; a
//!   registration becomes WITHDRAWN, because the version must live on.
//! - The update's `from` on each chain is the `from` of the oldest logged update that carries the request, so it
//!   covers everything that does. It goes to the asset's chains before and after; what it tells those that the asset
//!   leaves stays known, so that nothing is told twice, or covered twice, if the asset comes back.
//! - Requests that wait for a delivery the update covers wait for this entry instead; the undone one waits no more.
//! - The version's history: `SHA-256(previous ‖ SHA-256("oss/revert/1" ‖ rid))`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::amount::Amount;
use common::entry::AssetUpdate;
use common::hash::Digest;
use common::ids::{Name, Rid};
use common::message::About;
use common::proof::value_hash;
use common::state::{AssetRecord, AssetStatus};
use common::status::OutcomeKind;
use common::targets::Targets;

use super::boundary::{Decision, Deliveries, Fault, Loaded};
use super::codes::{Code, Errors};
use super::commit::Committed;
use super::draft::{Delivery, Draft, Rollback};
use super::evidence;
use super::footprint::{Footprint, Shape, SlotId};
use super::kinds::{self, Applying};
use super::past::{Applied, Found, Nothing, Past, told};
use super::reads::Recorder;
use super::tree::Tree;
use super::waiting::LockRow;
use super::work::{Overlay, Record, Work};

mod blocked;

/// Requests that wait for one entry, the command included: a receipt ends them all at once, in a batch of its own if need
/// be.
pub(super) const WAITING_MAX: usize = super::select::BATCH.statuses;

/// What a rollback is decided on, beside the draft.
#[derive(Debug)]
pub(super) struct Given<'a> {
    pub(super) past: Option<Past>,
    /// Present values of the past's keys.
    pub(super) values: BTreeMap<String, Vec<u8>>,
    /// Confirms the values; `None`: they are of one moment that is known to be sound.
    pub(super) tree: Option<&'a Tree>,
    pub(super) targets: &'a Targets,
    pub(super) locks: BTreeMap<String, LockRow>,
    /// In a replay: the log says that the engine of that day failed on the command.
    pub(super) is_broken: bool,
}

/// Why a request is not undone.
#[derive(Debug)]
pub struct Refusal {
    errors: Errors,
    /// Because of whom, in the order of the log; at most [`super::past::DEPENDENTS_MAX`] of them.
    pub dependents: Vec<Rid>,
}

impl Refusal {
    /// Code and wording for people.
    #[must_use]
    pub fn reason(self) -> (String, String) {
        let (code, errors) = self.errors.into_parts();
        (code, errors.into_iter().next().map(|error| error.detail).unwrap_or_default())
    }
}

/// Everything that a REVERT changes.
struct Reverted {
    committed: Committed,
    version: u64,
    /// Rows of deliveries that change, this entry's own among them.
    rows: BTreeMap<u64, Deliveries>,
    delivery: Delivery,
}

impl From<Errors> for Refusal {
    fn from(errors: Errors) -> Self {
        Self { errors, dependents: Vec::new() }
    }
}

/// Decides. `None`: refused, the entry is no REVERT.
pub(super) fn run(
    rollback: &Rollback,
    given: Given<'_>,
    draft: &mut Draft,
) -> Result<Option<Committed>, Fault> {
    let about = (&rollback.about).into();
    match decide(rollback, given, draft)? {
        Err(Refusal { errors, dependents }) => {
            draft.refuse_rollback(about, errors, &dependents);
            Ok(None)
        }
        Ok(Reverted { committed, version, rows, delivery }) => {
            draft.apply(about, Some(version), delivery);
            draft.revert(rollback.undone);
            for (seq, row) in rows {
                let is_done = row.open.is_empty() && row.waiting.is_empty();
                draft.deliveries.insert(seq, (!is_done).then_some(row));
            }
            Ok(Some(committed))
        }
    }
}

type Decided = Result<Reverted, Refusal>;

/// What an entry with this command would say of it, were it the next one. `loaded` is of one moment: what
/// [`Plan::needs`](super::Plan::needs) of the command names, and `targets` the log's then.
///
/// # Errors
/// The view is damaged.
pub fn foresee(
    about: About,
    undone: Rid,
    loaded: Loaded,
    targets: &Targets,
) -> Result<Option<Refusal>, Fault> {
    let Loaded { values, decisions, deliveries, past, locks, .. } = loaded;
    // Nothing rests on the entry's own number.
    let draft = Draft::new(0, decisions, deliveries, BTreeMap::new());
    let given = Given { past, values, tree: None, targets, locks, is_broken: false };
    Ok(decide(&Rollback { about, undone }, given, &draft)?.err())
}

fn decide(rollback: &Rollback, given: Given<'_>, draft: &Draft) -> Result<Decided, Fault> {
    let internal = || Errors::one(Code::Internal, "", "the engine failed on this rollback; it had no effect");
    if given.is_broken {
        return Ok(Err(internal().into()));
    }
    // Nothing outlives a panic: what is computed is dropped, the draft was only read.
    let decide = || decide_unguarded(rollback, given, draft);
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| Ok(Err(internal().into())))
}

fn decide_unguarded(rollback: &Rollback, given: Given<'_>, draft: &Draft) -> Result<Decided, Fault> {
    let Given { past, values, tree, targets, locks, .. } = given;
    let decision = draft.decision(rollback.undone);
    if let Err(refusal) = check(rollback.about.tenant.as_str(), decision, past.as_ref()) {
        return Ok(Err(refusal));
    }
    let missing = Fault::PastMissing { rid: rollback.undone };
    let mut found = past.and_then(Past::into_found).ok_or(missing)?;
    let older = Work::load_older(found.keyspace.clone(), std::mem::take(&mut found.before))?;
    let prior = prior(&found, older)?;
    let keyspace = std::mem::take(&mut found.keyspace);
    let work = match tree {
        Some(tree) => Work::load(keyspace, values, tree)?,
        None => Work::load_older(keyspace, values)?,
    };
    if let Some(errors) = blocked::why(&found, &prior, &work, &locks) {
        return Ok(Err(errors.into()));
    }
    let (committed, update) = restore(&found, prior, work)?;
    let open: BTreeSet<String> =
        update.from.keys().filter(|chain| targets.get(chain).is_some()).map(Name::to_string).collect();
    let rows = move_waiting(rollback, &found, draft, &open);
    let delivery = if open.is_empty() { Delivery::Nothing } else { Delivery::Waited };
    if rows.get(&draft.seq).is_some_and(|row| row.waiting.len() > WAITING_MAX) {
        let detail = "too many requests of the asset wait for deliveries that it would supersede; once some of them are \
                      delivered it can be undone";
        return Ok(Err(Errors::one(Code::RollbackTooLarge, "/rid", detail).into()));
    }
    Ok(Ok(Reverted { committed, version: update.version, rows, delivery }))
}

/// Whether a tenant may undo a request, of which the log says this. Without a decision, or with one that lets there be
/// nothing to undo, there is no past.
pub(super) fn check(tenant: &str, decision: Option<&Decision>, past: Option<&Past>) -> Result<(), Refusal> {
    check_decision(tenant, decision)?;
    match past.map(Past::found) {
        None => Ok(()),
        Some(Ok(found)) => check_request(found),
        Some(Err(Nothing::TooOld)) => {
            let detail = "more has happened since than a rollback looks back on";
            Err(Errors::one(Code::RollbackTooOld, "/rid", detail).into())
        }
        Some(Err(Nothing::NoRequest)) => {
            Err(Errors::one(Code::NotReversible, "/rid", "a command is not undone").into())
        }
    }
}

/// What the decision alone says. Another tenant's request is treated like one that there is not.
fn check_decision(tenant: &str, decision: Option<&Decision>) -> Result<(), Errors> {
    let Some(decision) = decision.filter(|decision| decision.tenant == tenant) else {
        let detail = "no request of the tenant was decided under this id";
        return Err(Errors::one(Code::NotDecided, "/rid", detail));
    };
    if decision.outcome == OutcomeKind::Applied.name() {
        return Ok(());
    }
    Err(match decision.reverted {
        Some(seq) => Errors::one(Code::AlreadyRolledBack, "/rid", format!("entry {seq} has undone it")),
        None => Errors::one(Code::NotApplied, "/rid", format!("it ended as {}", decision.outcome)),
    })
}

fn check_request(found: &Found) -> Result<(), Refusal> {
    let changes = &found.undone.request.state_changes;
    let mut errors = Errors::default();
    for (index, _) in changes.iter().enumerate().filter(|(_, change)| kinds::is_final(&change.op)) {
        let detail = format!("state change {index} of the request is never undone automatically");
        errors.add(Code::NotReversible, "/rid", detail);
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    if found.dependents.is_empty() {
        return Ok(());
    }
    let detail = format!("{} later requests rest on it", found.dependents.len());
    let errors = Errors::one(Code::HasDependents, "/rid", detail);
    Err(Refusal { errors, dependents: told(&found.dependents).to_vec() })
}

/// The records before the request, by slot: its entry applied again up to it.
fn prior(found: &Found, mut work: Work) -> Result<Vec<Option<Record>>, Fault> {
    for (applied, footprint) in found.earlier.iter().zip(&found.footprints) {
        let writes = apply_again(applied, footprint, found.time_ms, &work)
            .ok_or(Fault::Past { rid: applied.about.rid })?;
        work.take_over(footprint.asset, writes);
    }
    Ok(work.slots.into_iter().map(|slot| slot.now).collect())
}

/// What a request wrote that is known to have been applied on this state. `None`: it cannot have been.
fn apply_again(
    applied: &Applied,
    footprint: &Footprint,
    time_ms: u64,
    work: &Work,
) -> Option<super::work::Writes> {
    let Applied { about, request, observations, .. } = applied;
    let mut errors = Errors::default();
    let changes = evidence::resolve(request, observations, time_ms, &mut errors);
    // Run once, in its turn: nobody asks for its reads.
    let reads = Recorder::default();
    let mut overlay = Overlay::new(work, footprint, &reads);
    for (change, slots) in changes.iter().zip(&footprint.changes) {
        if !errors.is_empty() {
            return None;
        }
        let mut applying = Applying {
            overlay: &mut overlay,
            slots,
            targets: None,
            locking: None,
            tenant: about.tenant.as_str(),
            class: request.asset.id.class(),
            pointer: "",
            errors: &mut errors,
        };
        kinds::apply(&change.op, &mut applying);
    }
    errors.is_empty().then(|| overlay.into_writes())
}

/// The present state with what the request wrote as it was before, and the update that tells of it.
fn restore(
    found: &Found,
    mut prior: Vec<Option<Record>>,
    mut work: Work,
) -> Result<(Committed, AssetUpdate), Fault> {
    let undone = &found.undone;
    let damaged = || Fault::Past { rid: undone.about.rid };
    let footprint = found.footprints.last().ok_or_else(damaged)?;
    let shapes: BTreeMap<SlotId, Shape> = shapes(&work);
    let asset = footprint.asset;
    let present = work.slots[asset].now.as_ref().and_then(Record::as_asset).cloned().ok_or_else(damaged)?;
    let mut record = present.clone();
    for slot in &footprint.writes {
        match shapes.get(slot) {
            Some(Shape::Asset) => record = asset_before(prior[*slot].take(), &present),
            Some(Shape::Holding | Shape::Snapshot | Shape::Payment | Shape::Claim) => {
                work.slots[*slot].now = prior[*slot].take();
                work.slots[*slot].written = true;
            }
            // An event backs one change, ever.
            Some(Shape::Used | Shape::Lock) | None => {}
        }
    }
    record.version = present.version + 1;
    record.former_chains = former_after(&present, &record);
    record.history_hash = history_hash(present.history_hash, undone.about.rid);
    let is_on = |chain: &Name| {
        [&present.chains, &record.chains].iter().any(|chains| chains.iter().any(|c| c == chain.as_str()))
    };
    let from = found.from.iter().filter(|(chain, _)| is_on(chain));
    let from: BTreeMap<Name, u64> = from.map(|(chain, from)| (chain.clone(), *from)).collect();
    let record = Record::Asset(Box::new(record));
    let update = AssetUpdate {
        asset: undone.request.asset.id.clone(),
        version: present.version + 1,
        state_hash: value_hash(&record.encode()),
        from,
    };
    work.slots[asset].now = Some(record);
    work.slots[asset].written = true;
    Ok((Committed::of_revert(work.slots, update.clone()), update))
}

fn shapes(work: &Work) -> BTreeMap<SlotId, Shape> {
    work.slots.iter().enumerate().map(|(slot, state)| (slot, state.shape)).collect()
}

/// The asset's content before the request. One that it registered was not there: the leaf stays, withdrawn, with
/// what is left of it.
fn asset_before(prior: Option<Record>, present: &AssetRecord) -> AssetRecord {
    match prior {
        Some(Record::Asset(record)) => *record,
        _ => AssetRecord { status: AssetStatus::Withdrawn, supply: Amount::ZERO, ..present.clone() },
    }
}

/// The chains that the asset has left after a REVERT, which is the last that those it takes away are told.
fn former_after(present: &AssetRecord, record: &AssetRecord) -> BTreeMap<String, u64> {
    let gone = present.chains.iter().filter(|chain| !record.chains.contains(chain));
    let told = gone.map(|chain| (chain.clone(), record.version));
    present.former_chains.clone().into_iter().chain(told).collect()
}

/// `SHA-256(previous ‖ SHA-256("oss/revert/1" ‖ rid))`.
pub(super) fn history_hash(previous: Digest, undone: Rid) -> Digest {
    Digest::of(&[&previous.0, &Digest::of(&[b"oss/revert/1", undone.as_bytes()]).0])
}

/// The rows of deliveries after the REVERT: whoever waits for a delivery that it covers waits for its own, as does the
/// command; the undone request waits for nothing. Chains it does not go to are left as they are.
fn move_waiting(
    rollback: &Rollback,
    found: &Found,
    draft: &Draft,
    open: &BTreeSet<String>,
) -> BTreeMap<u64, Deliveries> {
    let mut rows = BTreeMap::new();
    let mut own = Deliveries { open: open.clone(), waiting: BTreeMap::new() };
    own.waiting.insert(*rollback.about.rid.as_bytes(), open.clone());
    for (seq, is_revert) in &found.entries {
        let Some(before) = draft.deliveries(*seq) else { continue };
        let mut row = before.clone();
        row.waiting.remove(rollback.undone.as_bytes());
        for (rid, waited) in &mut row.waiting {
            // In a REVERT of the asset nobody else waits.
            let is_covered =
                *is_revert || Rid::from_bytes(*rid).is_ok_and(|rid| found.carried.contains(&rid));
            if is_covered {
                let moved: BTreeSet<String> = waited.intersection(open).cloned().collect();
                waited.retain(|chain| !moved.contains(chain));
                if !moved.is_empty() {
                    own.waiting.entry(*rid).or_default().extend(moved);
                }
            }
        }
        row.waiting.retain(|_, waited| !waited.is_empty());
        if row != *before {
            rows.insert(*seq, row);
        }
    }
    if !open.is_empty() {
        rows.insert(draft.seq, own);
    }
    rows
}
