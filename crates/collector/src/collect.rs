//! Collecting for one request: all its sources at once, under one deadline.
//!
//! In: a message of `:requests` ([`Requested`]). Out: [`Finished`], the COLLECTED or FAILED message for `:in`
//! and the state per source for the status record. A required source without an answer fails the request
//! with the source, its code and a pointer; an optional one is left out. A saturated source is not asked and
//! counts as one without an answer ([`Plan`]).
//!
//! Bounds: one observation [`limits::OBSERVATION_BYTES_MAX`], the message [`limits::MESSAGE_BYTES_MAX`]; as soon as
//! what has come passes it, the others are not waited for.

use std::time::{Duration, Instant};

use common::hash::Digest;
use common::ids::{Name, Rid};
use common::link::StreamId;
use common::message::{Failure, Withdrawn};
use common::observation::{BlockRef, Observation};
use common::request::limits;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::value::RawValue;

use crate::source::{Ask, SourceFault, Sources};
use crate::wire::{About, Need, Requested};

/// Room a source actor has to answer at the deadline before its asker stops listening.
const ANSWER_GRACE: Duration = Duration::from_millis(250);

/// What became of one request of `:requests`.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) id: StreamId,
    pub(crate) rid: Rid,
    /// The message for `:in`.
    pub(crate) payload: Vec<u8>,
    /// `<source>=ok` or `<source>=<code>`, with commas.
    pub(crate) source_state: String,
    /// By source, the WITHDRAWN message of each observation that stands only as long as its block does.
    pub(crate) handed: Vec<(Name, Vec<u8>)>,
}

/// Which sources of a request are asked.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The sources that have their share of the places already. They are not asked.
    saturated: Vec<Name>,
    /// A required one is among them: the request fails, so the others are not asked either.
    is_hopeless: bool,
}

impl Plan {
    pub(crate) fn new(requested: &Requested, is_saturated: impl Fn(&Name) -> bool) -> Self {
        let refused = || requested.needs.iter().filter(|need| is_saturated(&need.source));
        Self {
            saturated: refused().map(|need| need.source.clone()).collect(),
            is_hopeless: refused().any(|need| need.required),
        }
    }

    pub(crate) const fn refused(&self) -> usize {
        self.saturated.len()
    }

    /// The sources the request will wait for.
    pub(crate) fn asked(&self, requested: &Requested) -> Vec<Name> {
        let sources = requested.needs.iter().map(|need| &need.source);
        sources.filter(|source| !self.is_hopeless && !self.saturated.contains(source)).cloned().collect()
    }
}

/// One source's answer.
struct Answered<'a> {
    need: &'a Need,
    answer: Result<Vec<Observation>, SourceFault>,
}

impl Answered<'_> {
    /// At least so many bytes of the message are this answer's.
    fn bytes(&self) -> usize {
        let text = |part: &Option<Box<RawValue>>| part.as_ref().map_or(0, |text| text.get().len());
        let bytes = |observation: &Observation| {
            observation.value.get().len()
                + text(&observation.evidence)
                + observation.identity.as_ref().map_or(0, String::len)
        };
        self.answer.iter().flatten().map(bytes).sum()
    }
}

/// Asks the sources of the plan and makes the request's message. Always ends by the deadline. `answered` is told
/// of each source once it has answered, and with how many bytes.
pub(crate) async fn collect(
    id: StreamId,
    requested: &Requested,
    plan: &Plan,
    sources: &Sources,
    patience: Duration,
    answered: &dyn Fn(&Name, usize),
) -> Finished {
    let deadline = Instant::now() + patience;
    let is_of_use = |need: &&Need| !plan.is_hopeless || plan.saturated.contains(&need.source);
    let needs = requested.needs.iter().filter(is_of_use);
    let asks = needs.enumerate().map(|(index, need)| {
        let ask = ask(need, plan, sources, deadline);
        async move { (index, ask.await) }
    });
    let mut waiting: FuturesUnordered<_> = asks.collect();
    let (mut answers, mut bytes) = (Vec::new(), requested.request.get().len());
    while bytes <= limits::MESSAGE_BYTES_MAX
        && let Some((index, answer)) = waiting.next().await
    {
        let arrived = answer.bytes();
        answered(&answer.need.source, arrived);
        bytes += arrived;
        answers.push((index, answer));
    }
    // In the request's order: what comes of a request does not hang on which source is quickest.
    answers.sort_by_key(|(index, _)| *index);
    let answers: Vec<Answered<'_>> = answers.into_iter().map(|(_, answer)| answer).collect();
    let source_state = answers
        .iter()
        .map(|answered| format!("{}={}", answered.need.source, state(&answered.answer)))
        .collect::<Vec<_>>()
        .join(",");
    let about = requested.about(id);
    let failure = answers.iter().find_map(failure);
    let mut handed = Vec::new();
    let payload = failure.map_or_else(
        || {
            if bytes > limits::MESSAGE_BYTES_MAX {
                return about.failed(&too_large(bytes));
            }
            let withdrawals: Vec<_> =
                answers.iter().flat_map(|answered| withdrawals(&about, answered)).collect();
            let observations: Vec<Observation> =
                answers.into_iter().filter_map(|answered| answered.answer.ok()).flatten().collect();
            let message = about.collected(requested.request.get().as_bytes(), &observations);
            if message.len() <= limits::MESSAGE_BYTES_MAX {
                handed = withdrawals;
                return message;
            }
            about.failed(&too_large(message.len()))
        },
        |failure| about.failed(&failure),
    );
    Finished { id, rid: requested.rid, payload, source_state, handed }
}

/// The messages that take a source's answer back, one for each observation that names its block.
fn withdrawals(about: &About<'_>, answered: &Answered<'_>) -> Vec<(Name, Vec<u8>)> {
    let Answered { need, answer } = answered;
    let observations = answer.iter().flatten().enumerate();
    let withdrawal = |(position, observation): (usize, &Observation)| {
        let BlockRef { block, block_hash } = observation.block()?;
        // An ask with events is answered by one observation each, in their order.
        let change = need.events.get(position).map(|(_, index)| backing(*index));
        let withdrawn = Withdrawn {
            source: observation.source.clone(),
            identity: observation.identity.clone(),
            block,
            block_hash,
            pointer: change.unwrap_or_else(|| need.pointer.clone()),
        };
        // The same on every replica: SEND takes it once.
        let named =
            Digest::of(&[withdrawn.source.as_str().as_bytes(), withdrawn.pointer.as_bytes(), &block_hash.0]);
        let id = format!("withdrawn:{}:{}", about.rid, hex::encode(&named.0[..8]));
        Some((need.source.clone(), about.withdrawn(&id, &withdrawn)))
    };
    observations.filter_map(withdrawal).collect()
}

/// Where change `index` names the event that backs it.
fn backing(index: usize) -> String {
    format!("/state_changes/{index}/backed_by/event")
}

fn too_large(bytes: usize) -> Failure {
    Failure {
        code: "MESSAGE_TOO_LARGE".to_owned(),
        source: None,
        detail: format!(
            "with what is collected it has {bytes} bytes or more, at most {} are allowed",
            limits::MESSAGE_BYTES_MAX
        ),
        pointer: None,
    }
}

async fn ask<'a>(need: &'a Need, plan: &Plan, sources: &Sources, deadline: Instant) -> Answered<'a> {
    if plan.saturated.contains(&need.source) {
        let fault = SourceFault::unavailable("the source is saturated: too many requests wait for it");
        return Answered { need, answer: Err(fault) };
    }
    let ask = Ask { events: need.events.iter().map(|(event, _)| event.clone()).collect(), deadline };
    let wait_until = tokio::time::Instant::from_std(deadline + ANSWER_GRACE);
    let answer = tokio::time::timeout_at(wait_until, sources.ask(&need.source, ask))
        .await
        .unwrap_or_else(|_| Err(SourceFault::unavailable("no answer before the deadline")));
    Answered { need, answer }
}

fn state(answer: &Result<Vec<Observation>, SourceFault>) -> &'static str {
    answer.as_ref().map_or_else(SourceFault::code, |_| "ok")
}

/// Why the request fails because of this source, if it does.
fn failure(answered: &Answered<'_>) -> Option<Failure> {
    let Answered { need, answer: Err(fault) } = answered else { return None };
    if !need.required {
        return None;
    }
    let change = fault
        .event()
        .and_then(|event| need.events.iter().find(|(named, _)| named == event))
        .map(|(_, index)| backing(*index));
    Some(Failure {
        code: fault.code().to_owned(),
        source: Some(need.source.clone()),
        detail: fault.to_string(),
        pointer: Some(change.unwrap_or_else(|| need.pointer.clone())),
    })
}

/// The end of a request whose collecting has killed its collector too often.
pub(crate) fn crashed(id: StreamId, requested: &Requested, claims: u64) -> Finished {
    let failure = Failure {
        code: "COLLECT_CRASH".to_owned(),
        source: None,
        detail: format!("collecting was begun {} times and never ended", claims + 1),
        pointer: None,
    };
    Finished {
        id,
        rid: requested.rid,
        payload: requested.about(id).failed(&failure),
        source_state: String::new(),
        handed: Vec::new(),
    }
}
