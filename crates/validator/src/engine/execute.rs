//! One request is executed, whole or not at all.
//!
//! In: a candidate, the batch's state, and the verdicts so far. Out: its changes and writes, or why it is
//! rejected; and its reads ([`reads`](super::reads)). Nothing is changed: when it runs and when its writes are taken over is
//! decided in [`turns`](super::turns).
//!
//! Checks come in three rounds; each is done only if the rounds before found nothing:
//! 1. the order: a cycle, a dependency that was not applied, or something to wait for first;
//! 2. what can be told apart from each other: version, asset, issuer, status, targets, evidence;
//! 3. the changes one after another, up to the first that fails.
//!
//! A panic is a fault of this program in this request: it is rejected with `INTERNAL` and leaves no trace. That is
//! a fact of the log: a replay takes it as given, so a build without the fault gets the same state.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::ids::Rid;
use common::request::{Op, StateChange};
use common::state::{AssetStatus, UsedRecord};
use common::status::OutcomeKind;
use common::targets::Targets;

use super::codes::{Code, Errors};
use super::draft::Draft;
use super::evidence;
use super::intake::Candidate;
use super::kinds::{self, Applying, Locking};
use super::order::Placed;
use super::reads::{Reads, Recorder};
use super::ready;
use super::waiting::{Access, Cause, Patience};
use super::work::{Overlay, Work, Writes};

/// What becomes of one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// Its writes are in the state; these are its changes with all values resolved.
    Applied(Cow<'a, [StateChange]>),
    Rejected(Errors),
    /// It waits.
    Held(Cause),
}

/// Why a request does not run to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    Rejected(Errors),
    /// Something has to come first.
    Held(Cause),
}

impl From<Errors> for Stopped {
    fn from(errors: Errors) -> Self {
        Self::Rejected(errors)
    }
}

impl Verdict<'_> {
    pub(super) fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }
}

/// What requests are executed under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions<'a> {
    pub(super) seq: u64,
    pub(super) time_ms: u64,
    pub(super) targets: &'a Targets,
    pub(super) draft: &'a Draft,
    pub(super) patience: Patience,
    /// In a replay, the requests that the log says ended as `INTERNAL`; a build that can run them must not.
    pub(super) broken: &'a BTreeSet<Rid>,
}

/// What one run gives: the changes with all values resolved and what they write, or why not.
pub(super) type Ran<'a> = Result<(Cow<'a, [StateChange]>, Writes), Stopped>;

/// The requests of a batch, and what they run under.
pub(super) struct Run<'r, 'a> {
    candidates: &'r [Candidate<'a>],
    order: &'r [Placed],
    conditions: Conditions<'r>,
    /// Place in the order of each request of the batch; only filled if some request depends on another.
    places: BTreeMap<Rid, usize>,
}

impl<'r, 'a> Run<'r, 'a> {
    pub(super) fn new(
        candidates: &'r [Candidate<'a>],
        order: &'r [Placed],
        conditions: Conditions<'r>,
    ) -> Self {
        let mut run = Self { candidates, order, conditions, places: BTreeMap::new() };
        if candidates.iter().any(|candidate| !candidate.request.depends_on.is_empty()) {
            run.places = (0..order.len()).map(|place| (run.at(place).about.rid, place)).collect();
        }
        run
    }

    pub(super) fn count(&self) -> usize {
        self.order.len()
    }

    pub(super) fn at(&self, place: usize) -> &'r Candidate<'a> {
        &self.candidates[self.order[place].node]
    }

    /// Cells are the slots, and behind them one per slot for the version of the asset there.
    pub(super) fn accesses(&self, slots: usize) -> Vec<ready::Access> {
        let access = |place: usize| {
            let Candidate { request, footprint, .. } = self.at(place);
            let version = footprint.asset + slots;
            let mut reads = footprint.reads.clone();
            reads.extend(footprint.reads_version.then_some(version));
            let writes = footprint.writes.iter().copied().chain([version]).collect();
            let dependencies = request.depends_on.iter().filter_map(|rid| self.places.get(rid).copied());
            let after = dependencies.filter(|earlier| *earlier < place).collect();
            ready::Access { reads, writes, after }
        };
        (0..self.order.len()).map(access).collect()
    }

    /// Runs the request at a place. `verdicts` are those of the first places.
    pub(super) fn now(&self, place: usize, work: &Work, verdicts: &[Verdict<'a>]) -> Ran<'a> {
        self.run(place, work, verdicts, &Recorder::default())
    }

    /// The same ahead of its turn, with what it has read.
    pub(super) fn ahead(&self, place: usize, work: &Work, verdicts: &[Verdict<'a>]) -> (Ran<'a>, Reads) {
        // Beside what may panic: a panic, too, stands only if its reads hold.
        let recorder = Recorder::noting();
        let ran = self.run(place, work, verdicts, &recorder);
        (ran, recorder.into_reads())
    }

    fn run(&self, place: usize, work: &Work, verdicts: &[Verdict<'a>], recorder: &Recorder) -> Ran<'a> {
        let candidate = self.at(place);
        let mut errors = Errors::default();
        if let Some(cycle) = &self.order[place].cycle {
            errors.add(Code::OrderingCycle, "/depends_on", format!("a cycle: {cycle}"));
            return Err(errors.into());
        }
        let pending = self.check_dependencies(candidate, verdicts, recorder, &mut errors);
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let at_ms = self.comes_later(candidate, &mut errors);
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let awaited = pending.map(|rid| Cause::Dependency { rid: *rid.as_bytes() });
        if let Some(cause) = awaited.or(at_ms.map(|at_ms| Cause::Time { at_ms })) {
            // Whoever may not change the asset does not wait; one that there is not may be registered meanwhile.
            let overlay = Overlay::new(work, candidate.footprint, recorder);
            if overlay.asset().is_some() {
                Checked { candidate, conditions: self.conditions }.check_asset(&overlay, &mut errors);
            }
            return Err(if errors.is_empty() { Stopped::Held(cause) } else { errors.into() });
        }
        let internal =
            || Errors::one(Code::Internal, "", "the engine failed on this request; it had no effect");
        if self.conditions.broken.contains(&candidate.about.rid) {
            return Err(internal().into());
        }
        // Nothing outlives a panic: the overlay is dropped, the state was only read.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            super::turns::tests::panic_if_asked(candidate.request);
            Checked { candidate, conditions: self.conditions }.run(Overlay::new(
                work,
                candidate.footprint,
                recorder,
            ))
        }));
        ran.unwrap_or_else(|_| Err(internal().into()))
    }

    /// When the request takes effect, if that is still to come; an error if it would have expired by then.
    fn comes_later(&self, candidate: &Candidate<'_>, errors: &mut Errors) -> Option<u64> {
        let at_ms = candidate.request.effective_at?.unix_ms();
        if at_ms > candidate.deadline_ms {
            let detail = format!("it expires before, at {}: raise ttl_seconds", candidate.deadline_ms);
            errors.add(Code::EffectiveTooLate, "/effective_at", detail);
        }
        (at_ms > self.conditions.time_ms).then_some(at_ms)
    }

    /// Gives the first that is not decided.
    fn check_dependencies(
        &self,
        candidate: &Candidate<'_>,
        verdicts: &[Verdict<'a>],
        recorder: &Recorder,
        errors: &mut Errors,
    ) -> Option<Rid> {
        let mut pending = None;
        // Nobody is told what another tenant has asked for, and nobody else's rollback waits for it.
        let tenant = &candidate.about.tenant;
        for (index, rid) in candidate.request.depends_on.iter().enumerate() {
            let place = self.places.get(rid).filter(|place| self.at(**place).about.tenant == *tenant);
            let same_batch = place.and_then(|place| {
                let verdict = verdicts.get(*place);
                recorder.verdict(*place, verdict);
                verdict
            });
            let decision = self.conditions.draft.decision(*rid);
            match (same_batch, decision.filter(|decision| decision.tenant == tenant.as_str())) {
                (Some(Verdict::Applied(_)), _) => {}
                (None, Some(decision)) if decision.outcome == OutcomeKind::Applied.name() => {}
                (Some(Verdict::Rejected(_)), _) | (None, Some(_)) => {
                    let detail = format!("request {rid} was not applied");
                    errors.add(Code::DependencyRejected, format!("/depends_on/{index}"), detail);
                }
                (Some(Verdict::Held(_)), _) | (None, None) => {
                    if let Some(cycle) = self.conditions.draft.cycle(candidate.about.rid, *rid) {
                        let detail = format!("a cycle: {cycle}");
                        errors.add(Code::OrderingCycle, format!("/depends_on/{index}"), detail);
                    }
                    pending = pending.or(Some(*rid));
                }
            }
        }
        pending
    }
}

/// A request whose place in the order is right.
struct Checked<'r, 'a> {
    candidate: &'r Candidate<'a>,
    conditions: Conditions<'r>,
}

impl<'a> Checked<'_, 'a> {
    fn run(&self, overlay: Overlay<'_>) -> Ran<'a> {
        let mut errors = Errors::default();
        self.check_lock(&overlay)?;
        self.check_version(&overlay, &mut errors);
        self.check_asset(&overlay, &mut errors);
        self.check_target_chains(&overlay, &mut errors);
        let Candidate { request, observations, .. } = self.candidate;
        let changes = evidence::resolve(request, observations, self.conditions.time_ms, &mut errors);
        self.check_events_unused(&overlay, &mut errors);
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let writes = self.apply(&changes, overlay)?;
        Ok((changes, writes))
    }

    /// Whoever may not change the asset does not wait for it.
    fn check_lock(&self, overlay: &Overlay<'_>) -> Result<(), Stopped> {
        let Candidate { about, request, .. } = self.candidate;
        let Some(row) = overlay.lock() else { return Ok(()) };
        let unlocks = request.state_changes.iter().find_map(|change| match change.op {
            Op::Unlock { lock } => Some(lock),
            _ => None,
        });
        let Patience { queue_max, lock_wait_ms } = self.conditions.patience;
        let access = row.access(about.rid, request.is_regulatory(), unlocks, queue_max);
        if access == Access::Free {
            return Ok(());
        }
        let mut errors = Errors::default();
        self.check_asset(overlay, &mut errors);
        if errors.is_empty() && access == Access::Full {
            let detail = format!("{queue_max} requests wait for the asset");
            errors.add(Code::LockQueueFull, "/asset/id", detail);
        }
        if !errors.is_empty() {
            return Err(errors.into());
        }
        // An order waits as long as it may: the lock has an end.
        let patience_ms = if request.is_regulatory() { u64::MAX } else { lock_wait_ms };
        Err(Stopped::Held(Cause::Lock { until_ms: self.conditions.time_ms.saturating_add(patience_ms) }))
    }

    fn check_version(&self, overlay: &Overlay<'_>, errors: &mut Errors) {
        let Some(expected) = self.candidate.request.expected_version else { return };
        let version = overlay.version();
        if version != expected {
            let detail = format!("the asset's version is {version}, expected {expected}");
            errors.add(Code::VersionMismatch, "/expected_version", detail);
        }
    }

    fn check_asset(&self, overlay: &Overlay<'_>, errors: &mut Errors) {
        let Candidate { request, about, .. } = self.candidate;
        let registers =
            matches!(request.state_changes.first().map(|change| &change.op), Some(Op::Register { .. }));
        match overlay.asset() {
            None if registers => {}
            None => errors.add(
                Code::NotRegistered,
                "/asset/id",
                format!("{} is not registered", request.asset.id),
            ),
            Some(asset) => {
                // That an authority is one was seen when the request was taken up.
                if asset.issuer != about.tenant.as_str() && !request.is_regulatory() {
                    errors.add(Code::NotIssuer, "/asset/id", "another tenant registered this asset");
                }
                if asset.status == AssetStatus::Withdrawn {
                    errors.add(Code::AssetWithdrawn, "/asset/id", "the asset's registration was undone");
                }
            }
        }
    }

    /// `target_chains` is a part of the chains that the asset has after the request.
    fn check_target_chains(&self, overlay: &Overlay<'_>, errors: &mut Errors) {
        let request = self.candidate.request;
        for (index, target) in request.target_chains.iter().flatten().enumerate() {
            let has = |asset: &common::state::AssetRecord| asset.chains.iter().any(|c| c == target.as_str());
            let named = request.state_changes.iter().any(|change| change.op.chains().contains(target));
            if !named && !overlay.asset().is_some_and(has) {
                let detail = format!("the asset is not on {target}");
                errors.add(Code::TargetNotOnAsset, format!("/target_chains/{index}"), detail);
            }
        }
    }

    fn check_events_unused(&self, overlay: &Overlay<'_>, errors: &mut Errors) {
        let changes = &self.candidate.footprint.changes;
        for (index, event) in changes.iter().enumerate().filter_map(|(index, c)| Some((index, c.event?))) {
            let repeated = changes.iter().take(index).any(|earlier| earlier.event == Some(event));
            if repeated || overlay.is_used(event) {
                let pointer = format!("/state_changes/{index}/backed_by/event");
                errors.add(Code::EventAlreadyUsed, pointer, "this event backs another change already");
            }
        }
    }

    fn apply(&self, changes: &[StateChange], mut overlay: Overlay<'_>) -> Result<Writes, Errors> {
        let Candidate { request, about, footprint, .. } = self.candidate;
        let Conditions { seq, time_ms, .. } = self.conditions;
        let locking = Locking { rid: about.rid, seq, time_ms };
        let mut errors = Errors::default();
        for (index, (change, slots)) in changes.iter().zip(&footprint.changes).enumerate() {
            let mut applying = Applying {
                overlay: &mut overlay,
                slots,
                targets: Some(self.conditions.targets),
                locking: Some(locking),
                tenant: about.tenant.as_str(),
                class: request.asset.id.class(),
                pointer: &format!("/state_changes/{index}"),
                errors: &mut errors,
            };
            if !applying.is_ended() {
                kinds::apply(&change.op, &mut applying);
            }
            if !errors.is_empty() {
                return Err(errors);
            }
            if let Some(event) = slots.event {
                let record = UsedRecord { rid: *about.rid.as_bytes(), seq: self.conditions.seq };
                overlay.mark_used(event, record);
            }
        }
        Ok(overlay.into_writes())
    }
}
