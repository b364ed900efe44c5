//! What a batch has decided so far outside the state tree: outcomes, decisions, deliveries, statuses.
//!
//! In: the loaded decisions and deliveries. Steps read through the draft, so a later message of the batch
//! meets what an earlier one decided. Out: everything of a [`Batch`](super::Batch) but the state tree.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Body, Outcome, OutcomeError};
use common::hash::Digest;
use common::ids::{AssetId, Name, Rid, Tenant};
use common::message::About;
use common::status::{OutcomeKind, Status};
use common::targets::Targets;

use super::Next;
use super::boundary::{
    Batch, Changes, DeadLetter, Decision, Deliveries, Effect, Execution, StatusWrite, ValueChange, Withdrawal,
};
use super::codes::{Code, Errors};
use super::waiting::{LockRow, Waiter};

mod waiting;

pub(super) const COMPLETED: &str = "completed";
pub(super) const FAILED: &str = "failed";

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) seq: u64,
    loaded_decisions: BTreeMap<Rid, Decision>,
    loaded_deliveries: BTreeMap<u64, Deliveries>,
    loaded_withdrawals: BTreeMap<Rid, Vec<Withdrawal>>,
    loaded_waiters: BTreeMap<Rid, Waiter>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) decisions: BTreeMap<Rid, Decision>,
    pub(super) deliveries: BTreeMap<u64, Option<Deliveries>>,
    /// The whole list of each request that was told of another one.
    pub(super) withdrawals: BTreeMap<Rid, Vec<Withdrawal>>,
    /// By asset; `None`: the row goes.
    pub(super) locks: BTreeMap<String, Option<LockRow>>,
    /// `None`: it waits no more.
    pub(super) waiters: BTreeMap<Rid, Option<Waiter>>,
    /// Locks whose time is over, if they are still held: by asset, who holds it.
    pub(super) overdue: Vec<(AssetId, Rid)>,
    statuses: BTreeMap<(Rid, Digest), StatusWrite>,
    /// Refused requests with the id of another one.
    conflicts: BTreeSet<(Rid, Digest)>,
    pub(super) finals: BTreeSet<(Name, u64)>,
    pub(super) parked: Vec<usize>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) effects: Vec<Effect>,
    /// A rollback that is to be decided.
    pub(super) rollback: Option<Rollback>,
    /// The log's targets from this entry on, if it is a TARGETS entry.
    pub(super) targets: Option<Targets>,
    pub(super) execution: Execution,
}

/// A command to undo a request.
#[derive(Debug, Clone)]
pub(super) struct Rollback {
    pub(super) about: About,
    pub(super) undone: Rid,
}

/// The request that a message is about; the tenant is missing if the message could not be read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subject<'a> {
    pub(super) rid: Rid,
    pub(super) tenant: Option<&'a Tenant>,
    pub(super) fp: Digest,
}

impl<'a> From<&'a About> for Subject<'a> {
    fn from(about: &'a About) -> Self {
        Self { rid: about.rid, tenant: Some(&about.tenant), fp: about.fp }
    }
}

/// What a decided request leaves to be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Waited,
    Nothing,
}

impl Draft {
    pub(super) fn new(
        seq: u64,
        loaded_decisions: BTreeMap<Rid, Decision>,
        loaded_deliveries: BTreeMap<u64, Deliveries>,
        loaded_withdrawals: BTreeMap<Rid, Vec<Withdrawal>>,
    ) -> Self {
        Self { seq, loaded_decisions, loaded_deliveries, loaded_withdrawals, ..Self::default() }
    }

    pub(super) fn with_waiters(self, loaded_waiters: BTreeMap<Rid, Waiter>) -> Self {
        Self { loaded_waiters, ..self }
    }

    /// What is decided waits no more.
    fn decide(&mut self, rid: Rid, decision: Decision) {
        self.decisions.insert(rid, decision);
        if self.waiter(rid).is_some() {
            self.waiters.insert(rid, None);
        }
    }

    pub(super) fn decision(&self, rid: Rid) -> Option<&Decision> {
        self.decisions.get(&rid).or_else(|| self.loaded_decisions.get(&rid))
    }

    pub(super) fn deliveries(&self, seq: u64) -> Option<&Deliveries> {
        match self.deliveries.get(&seq) {
            Some(changed) => changed.as_ref(),
            None => self.loaded_deliveries.get(&seq),
        }
    }

    /// What was withdrawn of the request so far, oldest first.
    pub(super) fn withdrawals(&self, rid: Rid) -> &[Withdrawal] {
        let known = self.withdrawals.get(&rid).or_else(|| self.loaded_withdrawals.get(&rid));
        known.map_or(&[], Vec::as_slice)
    }

    /// The request was applied; `version` is the asset's after it.
    pub(super) fn apply(&mut self, about: Subject<'_>, version: Option<u64>, delivery: Delivery) {
        let (status, delivered) = match delivery {
            Delivery::Waited => (Status::Committed, None),
            Delivery::Nothing => (Status::Completed, Some(COMPLETED.to_owned())),
        };
        let decision = self.new_decision(about, OutcomeKind::Applied, None, delivered);
        self.decide(about.rid, decision);
        self.say(about, OutcomeKind::Applied, None, Vec::new(), version);
        self.write_status(about, status, OutcomeKind::Applied, None, &[]);
    }

    /// The request ends without effect.
    pub(super) fn end(&mut self, about: Subject<'_>, outcome: OutcomeKind, errors: Errors) {
        let (code, errors) = errors.into_parts();
        let decision = self.new_decision(about, outcome, Some(code.clone()), None);
        self.decide(about.rid, decision);
        self.write_status(about, end_of(outcome), outcome, Some(&code), &errors);
        self.say(about, outcome, Some(code), errors, None);
    }

    /// Another request has this id: this one is refused, the decision stays. The refusal is an outcome in the
    /// log; the record shows the decision again, so that the refused request cannot hide it.
    pub(super) fn refuse_conflict(&mut self, about: Subject<'_>) {
        let code = Code::IdempotencyConflict;
        let told = |outcome: &Outcome| {
            (outcome.rid, outcome.fp, outcome.code.as_deref()) == (about.rid, about.fp, Some(code.name()))
        };
        if self.outcomes.iter().any(told) {
            return;
        }
        let detail = "this request id belongs to a request with another content";
        let (code, errors) = Errors::one(code, "", detail).into_parts();
        self.conflicts.insert((about.rid, about.fp));
        self.say(about, OutcomeKind::Rejected, Some(code), errors, None);
    }

    /// An outcome that decides nothing: the message waits for a build that can read it.
    pub(super) fn park(&mut self, rid: Rid, fp: Digest) {
        self.outcomes.push(Outcome {
            rid,
            fp,
            outcome: OutcomeKind::Parked,
            code: Some(Code::UnknownVersion.name().to_owned()),
            errors: Vec::new(),
            version: None,
            dependents: Vec::new(),
        });
    }

    /// A rollback is refused because of these requests.
    pub(super) fn refuse_rollback(&mut self, about: Subject<'_>, errors: Errors, dependents: &[Rid]) {
        self.end(about, OutcomeKind::Rejected, errors);
        if let Some(outcome) = self.outcomes.last_mut() {
            outcome.dependents = dependents.to_vec();
        }
    }

    /// An applied request is undone by this entry. Nobody waits for its deliveries any more.
    pub(super) fn revert(&mut self, rid: Rid) {
        let Some(mut decision) = self.decision(rid).cloned() else { return };
        OutcomeKind::Reverted.name().clone_into(&mut decision.outcome);
        decision.code = Some(Code::RolledBack.name().to_owned());
        decision.delivered = None;
        decision.reverted = Some(self.seq);
        let about = Subject { rid, tenant: None, fp: decision.fp };
        self.say(about, OutcomeKind::Reverted, decision.code.clone(), Vec::new(), None);
        self.decisions.insert(rid, decision);
        self.restore_status(rid);
    }

    /// The status record of a request that an earlier entry decided may be new or behind: written again.
    pub(super) fn restore_status(&mut self, rid: Rid) {
        let decision = self.decision(rid).filter(|decision| decision.seq < self.seq);
        if let Some(write) = decision.and_then(|decision| self.status_of(rid, decision)) {
            self.statuses.insert((rid, write.fp), write);
        }
    }

    /// The records of refused requests, as the decisions stand at the end of the batch.
    fn replacements(&self) -> Vec<StatusWrite> {
        let replacement = |(rid, refused): &(Rid, Digest)| {
            let write = self.status_of(*rid, self.decision(*rid)?)?;
            Some(StatusWrite { replaces: Some(*refused), ..write })
        };
        self.conflicts.iter().filter_map(replacement).collect()
    }

    /// The last waited target has answered.
    pub(super) fn deliver(&mut self, rid: Rid, delivered: &'static str) -> bool {
        let Some(mut decision) = self.decision(rid).cloned() else { return false };
        decision.delivered = Some(delivered.to_owned());
        self.decisions.insert(rid, decision);
        self.restore_status(rid);
        true
    }

    /// The batch, once the entry and the new state are made.
    pub(super) fn into_batch(self, body: Body, values: BTreeMap<String, ValueChange>, next: Next) -> Batch {
        let replacements = self.replacements();
        let Self { decisions, deliveries, withdrawals, finals, statuses, .. } = self;
        let Self { parked, dead, effects, execution, locks, waiters, .. } = self;
        Batch {
            body,
            changes: Changes { values, decisions, deliveries, withdrawals, locks, waiters, finals },
            statuses: statuses.into_values().chain(replacements).collect(),
            parked,
            dead,
            effects,
            execution,
            next,
        }
    }

    fn new_decision(
        &self,
        about: Subject<'_>,
        outcome: OutcomeKind,
        code: Option<String>,
        delivered: Option<String>,
    ) -> Decision {
        Decision {
            tenant: about.tenant.map_or_else(String::new, Tenant::to_string),
            fp: about.fp,
            seq: self.seq,
            outcome: outcome.name().to_owned(),
            code,
            delivered,
            reverted: None,
        }
    }

    fn say(
        &mut self,
        about: Subject<'_>,
        outcome: OutcomeKind,
        code: Option<String>,
        errors: Vec<OutcomeError>,
        version: Option<u64>,
    ) {
        let dependents = Vec::new();
        self.outcomes.push(Outcome {
            rid: about.rid,
            fp: about.fp,
            outcome,
            code,
            errors,
            version,
            dependents,
        });
    }

    fn write_status(
        &mut self,
        about: Subject<'_>,
        status: Status,
        outcome: OutcomeKind,
        code: Option<&str>,
        errors: &[OutcomeError],
    ) {
        // Serializing plain data into memory cannot fail.
        let errors =
            if errors.is_empty() { String::new() } else { serde_json::to_string(errors).unwrap_or_default() };
        let write = StatusWrite {
            rid: about.rid,
            tenant: about.tenant.cloned(),
            fp: about.fp,
            status,
            seq: self.seq,
            outcome,
            code: code.map(str::to_owned),
            errors,
            replaces: None,
            withdrawn: None,
        };
        self.statuses.insert((about.rid, about.fp), write);
    }

    /// What the record of a decided request says.
    fn status_of(&self, rid: Rid, decision: &Decision) -> Option<StatusWrite> {
        let outcome = outcome_named(&decision.outcome)?;
        let (status, code) = match (outcome, decision.delivered.as_deref()) {
            (OutcomeKind::Applied, None) => (Status::Committed, None),
            (OutcomeKind::Applied, Some(FAILED)) => {
                (Status::Failed, Some(Code::DeliveryFailed.name().to_owned()))
            }
            (OutcomeKind::Applied, Some(_)) => (Status::Completed, None),
            _ => (end_of(outcome), decision.code.clone()),
        };
        let undone = decision
            .reverted
            .map(|seq| Errors::one(Code::RolledBack, "", format!("undone by entry {seq}")).into_parts().1);
        Some(StatusWrite {
            rid,
            tenant: decision.tenant.parse().ok(),
            fp: decision.fp,
            status,
            seq: decision.seq,
            outcome,
            code,
            // Serializing plain data into memory cannot fail.
            errors: undone.and_then(|errors| serde_json::to_string(&errors).ok()).unwrap_or_default(),
            replaces: None,
            withdrawn: self.withdrawals(rid).last().map(|last| last.seq),
        })
    }
}

fn outcome_named(name: &str) -> Option<OutcomeKind> {
    use OutcomeKind::{Applied, Cancelled, Expired, Failed, Rejected, Reverted};
    [Applied, Rejected, Failed, Cancelled, Expired, Reverted]
        .into_iter()
        .find(|outcome| outcome.name() == name)
}

/// The status of a request that ended without effect, or whose effect was undone.
fn end_of(outcome: OutcomeKind) -> Status {
    match outcome {
        OutcomeKind::Failed => Status::Failed,
        OutcomeKind::Cancelled => Status::Cancelled,
        OutcomeKind::Expired => Status::Expired,
        OutcomeKind::Reverted => Status::RolledBack,
        _ => Status::Rejected,
    }
}
