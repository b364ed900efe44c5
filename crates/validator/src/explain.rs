//! Where a request is, what blocks it, and what happens next (DESIGN §8), decided from plain facts.
//!
//! In: [`Facts`], read by [`crate::http`] from the status record, the log, the view and the lanes. Out: [`Explained`]: one stage,
//! one cause with its page in `docs/causes/`, the facts it rests on, the next automatic step, and what an operator may do.
//! Whether a request is decided, the log says; the record only tells how far an undecided one has come. Of several
//! waited targets the one that is least far blocks. A new cause is a row in [`causes`], an arm in [`decide`] and a page.

mod budget;
mod causes;
mod delivery;

use common::ids::Rid;
use common::status::{Delivery, Status};
use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::waiting::{Cause as Held, Waiter};

pub(crate) use budget::{Budget, Marks};
pub(crate) use causes::{Cause, Stage, Verb};

/// How long after it was accepted a request is collected at most, if a collector takes it up at once, ms.
const COLLECT_MS_MAX: u64 = 30_000;

/// All that an explanation rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) rid: Rid,
    /// Redis' time, Unix ms.
    pub(crate) now_ms: u64,
    pub(crate) status: Status,
    /// `None` = undecided.
    pub(crate) decided: Option<Decided>,
    /// Where its message is while it is undecided.
    pub(crate) place: Place,
    /// What it was held for, if it waits.
    pub(crate) waits: Option<Waits>,
    /// What the sources of the request have answered, `<source>=<state>`, and the collector that asks them.
    pub(crate) sources: Vec<String>,
    pub(crate) collector: Option<String>,
    /// When it expires undecided, Unix ms.
    pub(crate) expires_ms: Option<u64>,
    pub(crate) accepted_ms: Option<u64>,
    /// Of `depends_on`, what is not decided.
    pub(crate) undecided: Vec<Rid>,
    /// Some validator leads the shard, as far as this one knows.
    pub(crate) is_led: bool,
    /// Intake stands still until an operator empties this stream.
    pub(crate) blocked_by: Option<&'static str>,
    /// The targets it waits for or has waited for, by name.
    pub(crate) targets: Vec<TargetFacts>,
}

/// What the log says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decided {
    /// The deciding entry.
    pub(crate) seq: u64,
    /// The entry whose delivery it waits for: that of a rollback that superseded the deciding one's, or that one itself.
    pub(crate) carrier: u64,
    pub(crate) code: Option<String>,
    /// The deciding entry's words.
    pub(crate) details: Vec<String>,
    /// The entry that undid it.
    pub(crate) reverted: Option<u64>,
}

/// Where the message of an undecided request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `:requests`: for collectors.
    Requests,
    /// In `:in` or `:inx`, behind so many messages of its stream; `is_least`: or more.
    Input { ahead: u64, is_least: bool },
    /// In `:parked`.
    Parked,
    /// In none of them: it is on its way from one to the next, or in the entry being made.
    Nowhere,
}

/// A request that an entry has held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) waiter: Waiter,
    /// In the queue for its asset: 1 = next.
    pub(crate) place: Option<usize>,
    /// The request that holds the asset.
    pub(crate) holder: Option<Rid>,
}

/// How the entry stands with one waited target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetFacts {
    pub(crate) name: String,
    /// Its receipt is in the log.
    pub(crate) is_settled: bool,
    /// `None` = not relayed, or no longer known.
    pub(crate) state: Option<Delivery>,
    pub(crate) relayed_ms: Option<u64>,
    /// The last entry relayed to it; `None` = it was never started.
    pub(crate) watermark: Option<u64>,
    pub(crate) paused_by: Option<String>,
    /// The broadcaster that drives its lane, and until when, Unix ms; 0 = released.
    pub(crate) owner: Option<String>,
    pub(crate) lease_ms: u64,
    pub(crate) tx: Vec<String>,
    pub(crate) block: Option<u64>,
}

/// One explanation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Explained {
    pub(crate) rid: Rid,
    pub(crate) stage: Stage,
    pub(crate) status: Status,
    pub(crate) cause: Shown,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) next: Next,
    pub(crate) verbs: Vec<Call>,
}

/// A cause as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) code: String,
    /// Path of its page in the repository.
    pub(crate) page: String,
    pub(crate) detail: String,
}

/// One fact that the cause rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Evidence {
    pub(crate) fact: &'static str,
    pub(crate) value: Value,
}

/// What happens without anybody doing anything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Next {
    pub(crate) action: &'static str,
    /// When at the latest, Unix ms; null = as soon as what it waits for is there, or not known.
    pub(crate) at_ms: Option<u64>,
}

/// What an operator or the client may do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    /// Method and path.
    pub(crate) call: String,
}

/// What was found, before it is put into words that every cause shares.
struct Found {
    cause: Cause,
    /// The code, where it is not the cause's own.
    code: Option<String>,
    detail: String,
    evidence: Vec<Evidence>,
    at_ms: Option<u64>,
    target: Option<String>,
}

impl Found {
    fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, code: None, detail: detail.into(), evidence: Vec::new(), at_ms: None, target: None }
    }

    fn fact(mut self, fact: &'static str, value: impl Into<Value>) -> Self {
        self.evidence.push(Evidence { fact, value: value.into() });
        self
    }

    fn at(self, at_ms: Option<u64>) -> Self {
        Self { at_ms, ..self }
    }
}

/// The explanation of these facts.
#[must_use]
pub(crate) fn explain(facts: &Facts) -> Explained {
    let Found { cause, code, detail, evidence, at_ms, target } = decide(facts);
    let code = code.unwrap_or_else(|| cause.code().to_owned());
    let call = |verb: &Verb| verb.call(facts.rid, target.as_deref()).map(|call| Call { verb: *verb, call });
    let verbs = cause.verbs().iter().filter_map(call).collect();
    let page = format!("docs/causes/{code}.md");
    Explained {
        rid: facts.rid,
        stage: cause.stage(),
        status: facts.status,
        cause: Shown { code, page, detail },
        evidence,
        next: Next { action: cause.action(), at_ms },
        verbs,
    }
}

fn decide(facts: &Facts) -> Found {
    match &facts.decided {
        Some(decided) if facts.status == Status::Committed || facts.status == Status::Broadcasting => {
            delivery::decide(facts, decided)
        }
        Some(decided) => ended(facts, decided),
        None => undecided(facts),
    }
}

fn ended(facts: &Facts, decided: &Decided) -> Found {
    let mut details = decided.details.join("; ");
    let cause = match facts.status {
        Status::Completed => Cause::Completed,
        Status::RolledBack => Cause::Undone,
        Status::Failed if decided.code.as_deref() == Some(Cause::GivenUp.code()) => Cause::GivenUp,
        _ => Cause::Refused,
    };
    if details.is_empty() {
        cause.summary().clone_into(&mut details);
    }
    let mut found = Found::new(cause, details).fact("decided_by_entry", decided.seq);
    if cause != Cause::Completed {
        found.code.clone_from(&decided.code);
    }
    if let Some(seq) = decided.reverted {
        found = found.fact("undone_by_entry", seq);
    }
    for target in facts.targets.iter().filter(|target| target.state == Some(Delivery::Failed)) {
        found.target.get_or_insert_with(|| target.name.clone());
        found = found.fact("failed_on", target.name.as_str());
    }
    found
}

fn undecided(facts: &Facts) -> Found {
    let expires_ms = facts.expires_ms;
    if let Some(waits) = &facts.waits {
        return held(waits);
    }
    let found = match facts.place {
        Place::Requests => return collecting(facts),
        Place::Parked => Found::new(Cause::MessageParked, Cause::MessageParked.summary()),
        _ if !facts.is_led => Found::new(Cause::NoLeader, Cause::NoLeader.summary()),
        Place::Nowhere => return Found::new(Cause::BeingDecided, Cause::BeingDecided.summary()),
        Place::Input { ahead, is_least } => {
            let found = if let Some(stream) = facts.blocked_by {
                Found::new(Cause::IntakeBlocked, format!("the stream {stream} is full"))
            } else if facts.undecided.is_empty() {
                let detail =
                    format!("{}{ahead} messages are before it", if is_least { "at least " } else { "" });
                Found::new(Cause::QueueBacklog, detail)
            } else {
                let detail = format!("{} requests it depends on are not decided", facts.undecided.len());
                Found::new(Cause::DependencyUndecided, detail)
            };
            let found = found.fact("messages_ahead", ahead);
            let depends = !facts.undecided.is_empty();
            if depends { found.fact("depends_on", json!(facts.undecided)) } else { found }
        }
    };
    let found = match expires_ms {
        Some(expires_ms) => found.fact("expires_ms", expires_ms),
        None => found,
    };
    found.at(expires_ms.filter(|expires_ms| *expires_ms > facts.now_ms))
}

fn held(waits: &Waits) -> Found {
    let Waits { waiter, place, holder } = waits;
    let named = |rid: &[u8; 16]| Rid::from_bytes(*rid).map(|rid| rid.to_string()).unwrap_or_default();
    let found = match &waiter.cause {
        Held::Lock { .. } => {
            let found = Found::new(Cause::AssetLocked, Cause::AssetLocked.summary()).fact("place", *place);
            let found = found.fact("asset", waiter.asset.as_str());
            holder.iter().fold(found, |found, holder| found.fact("holder", holder.to_string()))
        }
        Held::Dependency { rid } => {
            let detail = format!("request {} is not decided", named(rid));
            Found::new(Cause::DependencyPending, detail).fact("awaits", named(rid))
        }
        Held::Time { at_ms } => {
            let found = Found::new(Cause::NotEffectiveYet, Cause::NotEffectiveYet.summary());
            return found.fact("held_by_entry", waiter.since).at(Some(*at_ms));
        }
    };
    found.fact("held_by_entry", waiter.since).fact("ends_ms", waiter.ends_ms()).at(Some(waiter.ends_ms()))
}

fn collecting(facts: &Facts) -> Found {
    let (cause, detail) = match &facts.collector {
        Some(collector) => (Cause::SourcePending, format!("collector {collector} asks its sources")),
        None => (Cause::CollectorAwaited, Cause::CollectorAwaited.summary().to_owned()),
    };
    let mut found = Found::new(cause, detail).fact("sources", json!(facts.sources));
    if let Some(collector) = &facts.collector {
        found = found.fact("collector", collector.as_str());
    }
    let deadline_ms = facts.accepted_ms.map(|accepted_ms| accepted_ms.saturating_add(COLLECT_MS_MAX));
    let at_ms = if cause == Cause::SourcePending { deadline_ms } else { facts.expires_ms };
    found.at(at_ms.filter(|at_ms| *at_ms > facts.now_ms))
}

#[cfg(test)]
mod tests;
