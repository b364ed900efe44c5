//! Collecting for one request: all its sources at once, under one deadline.
//!
//! In: a message of `:requests` ([`Requested`]). Out: [`Finished`], the COLLECTED or FAILED message for `:in`
//! and the state per source for the status record. A required source without an answer fails the request
//! with the source, its code and a pointer; an optional one is left out.
//!
//! Bounds: one observation [`limits::OBSERVATION_BYTES_MAX`], the message [`limits::MESSAGE_BYTES_MAX`].

use std::time::{Duration, Instant};

use common::ids::Rid;
use common::link::StreamId;
use common::message::Failure;
use common::observation::Observation;
use common::request::limits;
use futures_util::future::join_all;

use crate::source::{Ask, SourceFault, Sources};
use crate::wire::{Need, Requested};

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
}

/// One source's answer.
struct Answered<'a> {
    need: &'a Need,
    answer: Result<Vec<Observation>, SourceFault>,
}

/// Asks every source the request names and makes its message. Always ends by the deadline.
pub(crate) async fn collect(
    id: StreamId,
    requested: &Requested,
    sources: &Sources,
    patience: Duration,
) -> Finished {
    let deadline = Instant::now() + patience;
    let answers = join_all(requested.needs.iter().map(|need| ask(need, sources, deadline))).await;
    let source_state = answers
        .iter()
        .map(|answered| format!("{}={}", answered.need.source, state(&answered.answer)))
        .collect::<Vec<_>>()
        .join(",");
    let about = requested.about(id);
    let failure = answers.iter().find_map(failure);
    let payload = failure.map_or_else(
        || {
            let observations: Vec<Observation> =
                answers.into_iter().filter_map(|answered| answered.answer.ok()).flatten().collect();
            let message = about.collected(requested.request.get().as_bytes(), &observations);
            if message.len() <= limits::MESSAGE_BYTES_MAX {
                return message;
            }
            about.failed(&Failure {
                code: "MESSAGE_TOO_LARGE".to_owned(),
                source: None,
                detail: format!(
                    "with everything collected it has {} bytes, at most {} are allowed",
                    message.len(),
                    limits::MESSAGE_BYTES_MAX
                ),
                pointer: None,
            })
        },
        |failure| about.failed(&failure),
    );
    Finished { id, rid: requested.rid, payload, source_state }
}

async fn ask<'a>(need: &'a Need, sources: &Sources, deadline: Instant) -> Answered<'a> {
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
        .map(|(_, index)| format!("/state_changes/{index}/backed_by/event"));
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
    }
}
