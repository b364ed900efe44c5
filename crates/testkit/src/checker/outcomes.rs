//! What the log decided of requests: I1, I2 and I3.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::Outcome;
use common::ids::{Rid, Shard};
use common::message::{Body as MessageBody, Message};
use common::observation::{Observation, ObservationKind};
use common::request::SyncRequest;
use common::status::{OutcomeKind, Status};

use super::{Evidence, FinalAnswer, Violation};

/// The key of the request was used for another one before; says nothing about that other one.
const CONFLICT: &str = "IDEMPOTENCY_CONFLICT";

/// I1: an acknowledged request has exactly one deciding outcome in the log, and the collector answers just that, or that
/// it was undone since.
///
/// # Errors
/// [`Violation::Decisions`] or [`Violation::Answer`].
pub fn decided_once(evidence: &Evidence) -> Result<(), Violation> {
    let mut decided: BTreeMap<_, Vec<(u64, OutcomeKind)>> = BTreeMap::new();
    let mut undone: BTreeSet<Rid> = BTreeSet::new();
    for (_, seq, outcome) in outcomes(evidence)? {
        if outcome.outcome == OutcomeKind::Reverted {
            undone.insert(outcome.rid);
        }
        if outcome.outcome.is_deciding() && outcome.code.as_deref() != Some(CONFLICT) {
            decided.entry((outcome.rid, outcome.fp)).or_default().push((seq, outcome.outcome));
        }
    }
    for about in &evidence.acknowledged {
        let rid = about.0;
        let found = decided.get(about).map_or(&[][..], Vec::as_slice);
        let [(seq, outcome)] = found else {
            return Err(Violation::Decisions { rid, count: found.len() });
        };
        let answer = evidence.answers.get(&rid);
        let agrees = if undone.contains(&rid) { is_undone } else { agrees };
        if !answer.is_some_and(|answer| agrees(answer, *outcome, *seq)) {
            return Err(Violation::Answer { rid, answer: answer.cloned(), outcome: *outcome, seq: *seq });
        }
    }
    Ok(())
}

/// What was applied and undone is shown as that; the entry stays the one that decided it.
fn is_undone(answer: &FinalAnswer, outcome: OutcomeKind, seq: u64) -> bool {
    outcome == OutcomeKind::Applied
        && answer.status == Status::RolledBack
        && answer.outcome == Some(OutcomeKind::Reverted)
        && answer.seq == Some(seq)
}

fn agrees(answer: &FinalAnswer, outcome: OutcomeKind, seq: u64) -> bool {
    let status = match outcome {
        // Failed: applied, but an operator gave up its delivery.
        OutcomeKind::Applied => matches!(answer.status, Status::Completed | Status::Failed),
        OutcomeKind::Rejected => answer.status == Status::Rejected,
        OutcomeKind::Failed => answer.status == Status::Failed,
        OutcomeKind::Cancelled => answer.status == Status::Cancelled,
        OutcomeKind::Expired => answer.status == Status::Expired,
        OutcomeKind::Held | OutcomeKind::Parked | OutcomeKind::Reverted => false,
    };
    status && answer.outcome == Some(outcome) && answer.seq == Some(seq)
}

/// I2: no request is applied twice, and no event backs two applied changes.
///
/// # Errors
/// [`Violation::AppliedTwice`] or [`Violation::EventTwice`].
pub fn effects_once(evidence: &Evidence) -> Result<(), Violation> {
    let mut applied: BTreeMap<Rid, usize> = BTreeMap::new();
    for (_, _, outcome) in outcomes(evidence)? {
        if outcome.outcome == OutcomeKind::Applied {
            *applied.entry(outcome.rid).or_default() += 1;
        }
    }
    if let Some((rid, count)) = applied.iter().find(|(_, count)| **count > 1) {
        return Err(Violation::AppliedTwice { rid: *rid, count: *count });
    }
    let mut used: BTreeMap<String, Rid> = BTreeMap::new();
    for (rid, request, observations) in collected(evidence)? {
        if !applied.contains_key(&rid) {
            continue;
        }
        for identity in identities(&request, &observations) {
            // Two changes of one request are two changes too.
            if let Some(first) = used.insert(identity.clone(), rid) {
                return Err(Violation::EventTwice { identity, first, second: rid });
            }
        }
    }
    Ok(())
}

/// The events that back a request's changes. An event without an observation counts by its own name.
fn identities(request: &SyncRequest, observations: &[Observation]) -> Vec<String> {
    let backing = request.state_changes.iter().filter_map(|change| change.backed_by.as_ref());
    backing
        .map(|backed_by| {
            let event = backed_by.event.to_string();
            // `<chain>/<event>`: without the slash the event of another name could pass for it.
            let ending = format!("/{event}");
            let of_source = observations.iter().filter(|observation| {
                observation.source == backed_by.source && observation.kind == ObservationKind::Event
            });
            let mut known = of_source.filter_map(|observation| observation.identity.as_ref());
            known.find(|identity| identity.ends_with(&ending)).cloned().unwrap_or(event)
        })
        .collect()
}

/// I3: what the log decided was submitted with that fingerprint.
///
/// # Errors
/// [`Violation::NotSubmitted`].
pub fn only_submitted(evidence: &Evidence) -> Result<(), Violation> {
    for (shard, _, Outcome { rid, fp, .. }) in outcomes(evidence)? {
        if !evidence.submitted.contains(&(rid, fp)) {
            return Err(Violation::NotSubmitted { shard, rid, fp });
        }
    }
    Ok(())
}

fn outcomes(evidence: &Evidence) -> Result<Vec<(Shard, u64, Outcome)>, Violation> {
    let of_body = |(shard, body): (Shard, common::entry::Body)| {
        let seq = body.seq;
        body.outcomes.into_iter().map(move |outcome| (shard, seq, outcome))
    };
    Ok(evidence.bodies()?.into_iter().flat_map(of_body).collect())
}

/// The requests that reached the validator, each once, with what was collected for them.
fn collected(evidence: &Evidence) -> Result<Vec<(Rid, SyncRequest, Vec<Observation>)>, Violation> {
    let mut found: BTreeMap<Rid, (SyncRequest, Vec<Observation>)> = BTreeMap::new();
    for (_, body) in evidence.bodies()? {
        for input in &body.inputs {
            if let Ok(Message { body: MessageBody::Collected { about, request, observations }, .. }) =
                Message::decode(&input.bytes())
            {
                found.entry(about.rid).or_insert((*request, observations));
            }
        }
    }
    Ok(found.into_iter().map(|(rid, (request, observations))| (rid, request, observations)).collect())
}
