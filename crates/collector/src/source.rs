//! Sources: where facts from outside come from.
//!
//! In: an [`Ask`] (one request's question to one source). Out: observations, or a [`SourceFault`]. Each source
//! is owned by a supervised actor ([`SourceActor`]) with a bounded mailbox and an in-flight limit of its own,
//! so a slow, dead or crashing source delays only the requests that name it.

mod actor;
mod catalog;
mod evm_logs;
mod http_json;
mod null;

use std::time::{Duration, Instant};

use common::ids::Name;
use common::observation::Observation;
use common::request::EventRef;
use futures_util::future::LocalBoxFuture;

pub(crate) use actor::Sources;
pub use catalog::CatalogError;
pub(crate) use catalog::{Catalog, Kind};
pub(crate) use evm_logs::{Chain, Doubts, Verdict};

/// One request's question to one source.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// The events that back changes of the request. Empty: whatever the source's configuration selects.
    pub(crate) events: Vec<EventRef>,
    /// Until when an answer is of use.
    pub(crate) deadline: Instant,
}

/// Why a source gave nothing usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceFault {
    /// It cannot be reached, is overloaded or failing. Worth another attempt before the deadline.
    #[error("{detail}")]
    Unavailable { detail: String, retry_after: Option<Duration> },
    /// There is no such event, or not yet. Worth another attempt: nodes lag behind each other.
    #[error("event {event}: {detail}")]
    EventNotFound { event: EventRef, detail: &'static str },
    /// The event is not deep enough in its chain. Worth another attempt.
    #[error("event {event} has {depth} of {needed} confirmations")]
    EventNotConfirmed { event: EventRef, depth: u64, needed: u64 },
    /// The event is there but is not one of this source. Final.
    #[error("event {event}: {detail}")]
    EventMismatch { event: EventRef, detail: String },
    /// It answered something that cannot be used. Final.
    #[error("{detail}")]
    Invalid { detail: String },
    /// An observation is above its bound. Final.
    #[error("the observation has {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge { bytes: usize, bytes_max: usize },
}

impl SourceFault {
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into(), retry_after: None }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }

    /// The code of a FAILED message.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "SOURCE_UNAVAILABLE",
            Self::EventNotFound { .. } => "EVENT_NOT_FOUND",
            Self::EventNotConfirmed { .. } => "EVENT_NOT_CONFIRMED",
            Self::EventMismatch { .. } => "EVENT_MISMATCH",
            Self::Invalid { .. } => "SOURCE_INVALID",
            Self::TooLarge { .. } => "OBSERVATION_TOO_LARGE",
        }
    }

    /// The event it speaks of, if it is about one.
    pub(crate) const fn event(&self) -> Option<&EventRef> {
        match self {
            Self::EventNotFound { event, .. }
            | Self::EventNotConfirmed { event, .. }
            | Self::EventMismatch { event, .. } => Some(event),
            Self::Unavailable { .. } | Self::Invalid { .. } | Self::TooLarge { .. } => None,
        }
    }

    /// What to report of several places that were asked in turn: a fault worth another attempt before one that
    /// is final, else the later.
    fn prefer(first: Option<Self>, later: Self) -> Self {
        match first {
            Some(first) if first.is_transient() && !later.is_transient() => first,
            _ => later,
        }
    }

    /// Whether the same question may get another answer before the deadline.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::EventNotFound { .. } | Self::EventNotConfirmed { .. })
    }
}

/// One place facts come from.
///
/// Contract. *Repetition*: the same ask may come any number of times, from any number of replicas; observing
/// changes nothing at the source. *Order*: asks are answered independently and in any order. *Cancellation*:
/// dropping the future at any point is safe and frees what it held. *Bounds*: one call is one attempt and
/// ends within the source's own time-out; retries and the deadline are the actor's. Every observation is at
/// most [`common::request::limits::OBSERVATION_BYTES_MAX`] bytes of value. *Durability*: none; what is
/// returned becomes a fact only in the log.
pub(crate) trait Source {
    /// One attempt to answer. For an ask with events: exactly one observation of kind `event` each, in order.
    fn observe<'a>(&'a self, ask: &'a Ask) -> LocalBoxFuture<'a, Result<Vec<Observation>, SourceFault>>;
}

/// Refuses an observation whose value and evidence are above the bound.
fn bounded(observation: Observation) -> Result<Observation, SourceFault> {
    let evidence = observation.evidence.as_ref().map_or(0, |evidence| evidence.get().len());
    let bytes = observation.value.get().len() + evidence;
    let bytes_max = common::request::limits::OBSERVATION_BYTES_MAX;
    if bytes <= bytes_max { Ok(observation) } else { Err(SourceFault::TooLarge { bytes, bytes_max }) }
}

/// Now, Unix ms: the time of fetching.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// A JSON value as an observation holds it.
fn raw(value: &impl serde::Serialize) -> Box<serde_json::value::RawValue> {
    // Plain data with text keys always serializes; an observation of null would be refused downstream.
    serde_json::value::to_raw_value(value).unwrap_or_else(|_| serde_json::value::RawValue::NULL.to_owned())
}

/// The name a source was configured under, for errors at start.
fn named(name: &Name, detail: impl std::fmt::Display) -> String {
    format!("source {name}: {detail}")
}

#[cfg(test)]
mod tests {
    use common::hash::Digest;
    use common::message::FAILURE_CODES;

    use super::*;

    /// The list beside the message is what the pages are held against.
    #[test]
    fn every_code_of_a_failed_collection_is_in_the_list_of_codes_that_have_a_page() {
        let event = EventRef { tx: Digest([0x11; 32]), position: 0 };
        let faults = [
            SourceFault::unavailable("down"),
            SourceFault::EventNotFound { event: event.clone(), detail: "none" },
            SourceFault::EventNotConfirmed { event: event.clone(), depth: 1, needed: 2 },
            SourceFault::EventMismatch { event, detail: "another contract".to_owned() },
            SourceFault::invalid("no number"),
            SourceFault::TooLarge { bytes: 2, bytes_max: 1 },
        ];
        let codes = faults.iter().map(SourceFault::code).chain(["MESSAGE_TOO_LARGE", "COLLECT_CRASH"]);
        let unlisted: Vec<&str> = codes.filter(|code| !FAILURE_CODES.contains(code)).collect();
        assert!(unlisted.is_empty(), "{unlisted:?}");
    }
}
