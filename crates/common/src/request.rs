//! A sync request: what a client asks for, in types that cannot be malformed.
//!
//! [`SyncRequest::parse`] is the only way in, for HTTP bodies and for messages alike; it collects every fault
//! with its JSON pointer. Serializing gives the canonical form: defaults left out, fields in declaration
//! order, maps by key. The fingerprint is the SHA-256 of those bytes.
//!
//! A value that belongs to a feature that does not exist yet (`ALL_OR_NOTHING`,
//! proofs, later state change kinds) is a `not_supported` fault: never accepted and ignored.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::hash::Digest;
use crate::ids::{AssetId, Name, Rid, Shard};

mod changes;
mod fields;
mod op;
mod parse;

pub use fields::{Fault, FaultCode};
pub use op::{Due, Forfeit, Op, Payment};

/// Bounds of one request (DESIGN §6).
pub mod limits {
    pub const BODY_BYTES_MAX: usize = 64 * 1024;
    pub const JSON_DEPTH_MAX: usize = 16;
    pub const STATE_CHANGES_MAX: usize = 32;
    pub const EVENT_SOURCES_MAX: usize = 8;
    pub const EXTERNAL_APIS_MAX: usize = 8;
    pub const DEPENDS_ON_MAX: usize = 16;
    pub const TARGET_CHAINS_MAX: usize = 16;
    pub const TERMS_MAX: usize = 64;
    pub const TERM_VALUE_BYTES_MAX: usize = 1024;
    pub const DOCUMENTS_MAX: usize = 32;
    pub const OBSERVATION_BYTES_MAX: usize = 16 * 1024;
    /// A request with everything collected for it.
    pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
    pub const TTL_SECONDS_DEFAULT: u32 = 300;
    pub const TTL_SECONDS_MAX: u32 = 7 * 24 * 3600;
    pub const DECIMALS_MAX: u8 = 36;
    pub const SCALE_MAX: u8 = 38;
    pub const ORDER_BYTES_MAX: usize = 256;
    /// Of a LOCK.
    pub const REASON_BYTES_MAX: usize = 256;
    pub const LOCK_SECONDS_MAX: u32 = 24 * 3600;
}

/// One sync request. Applied whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncRequest {
    pub asset: AssetRef,
    /// 1 to 32 changes, applied in this order.
    pub state_changes: Vec<StateChange>,
    /// Configured sources whose events are collected; at most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_sources: Vec<SourceRef>,
    /// Configured sources of external data; at most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_apis: Vec<SourceRef>,
    /// What `completed` waits for; `None` = every target the entry's updates name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_chains: Option<Vec<Name>>,
    /// The asset's version before this request; another version rejects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
    /// Requests of the same shard that must be applied first; at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Rid>,
    /// It waits until log time has come so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Moment>,
    /// Seconds until it must be decided, in log time, counted from acceptance.
    #[serde(skip_serializing_if = "is_default_ttl")]
    pub ttl_seconds: u32,
    /// Who orders it; there if and only if all its changes are regulatory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
}

/// The authority behind a regulatory request, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Authority {
    /// The name that the API key was given for it.
    pub id: Name,
    /// Reference of the order, 1 to 256 bytes.
    pub order: String,
    /// The order itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

/// A moment, to the millisecond. In JSON RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(jiff::Timestamp);

impl Moment {
    /// Unix ms; 0 for anything before 1970.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap_or(0)
    }
}

impl std::str::FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| MomentError)?;
        let whole = jiff::Timestamp::from_millisecond(timestamp.as_millisecond()).map_err(|_| MomentError)?;
        if whole == timestamp { Ok(Self(whole)) } else { Err(MomentError) }
    }
}

/// Text that is no moment.
#[derive(Debug, thiserror::Error)]
#[error("expected a time by RFC 3339 with its offset, of whole milliseconds")]
pub struct MomentError;

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn is_default_ttl(ttl_seconds: &u32) -> bool {
    *ttl_seconds == limits::TTL_SECONDS_DEFAULT
}

/// `{"id": "bond:US91282CLW90"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetRef {
    pub id: AssetId,
}

/// A source by its configured name. In JSON the name alone when it is required, else
/// `{"source": name, "required": false}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRef {
    pub source: Name,
    /// A required source that gives nothing in time fails the request.
    pub required: bool,
}

impl Serialize for SourceRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        if self.required {
            return self.source.serialize(serializer);
        }
        let mut object = serializer.serialize_struct("SourceRef", 2)?;
        object.serialize_field("source", &self.source)?;
        object.serialize_field("required", &false)?;
        object.end()
    }
}

/// One change of the request's asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateChange {
    #[serde(flatten)]
    pub op: Op,
    /// The ledger event that this change repeats; it backs no other change, ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backed_by: Option<BackedBy>,
}

/// A value written in the request, or taken from an observation of one of its sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Field<T> {
    Literal(T),
    From(FromSource),
}

/// `{"from": source, "pointer": JSON pointer, "max_age_s": n, "scale": n}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FromSource {
    #[serde(rename = "from")]
    pub source: Name,
    pub pointer: String,
    /// Greatest age of the observation, in seconds of log time.
    pub max_age_s: u32,
    /// For amounts: the value is multiplied by 10^scale and must then be a whole number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
}

/// The event that backs a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackedBy {
    pub source: Name,
    pub event: EventRef,
}

/// `<tx hash>/<position of the log within its transaction>`, lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventRef {
    pub tx: Digest,
    pub position: u32,
}

impl std::fmt::Display for EventRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.tx, self.position)
    }
}

impl From<EventRef> for String {
    fn from(event: EventRef) -> Self {
        event.to_string()
    }
}

impl TryFrom<String> for EventRef {
    type Error = crate::ids::IdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let error = crate::ids::IdError { what: "event", form: "<transaction hash>/<position>" };
        let (tx, position) = text.split_once('/').ok_or_else(|| error.clone())?;
        let parsed = Self {
            tx: tx.parse().map_err(|_| error.clone())?,
            position: position.parse().map_err(|_| error.clone())?,
        };
        // One event has one spelling.
        if parsed.to_string() == text { Ok(parsed) } else { Err(error) }
    }
}

/// A document by its hash; its content is never inline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
pub struct Document {
    pub sha256: Digest,
    pub uri: String,
    pub media_type: String,
    /// Length of the content.
    pub bytes: u64,
}

impl SyncRequest {
    /// Reads a request from JSON.
    ///
    /// # Errors
    /// Every fault that can be seen without configuration or state, each with its JSON pointer.
    pub fn parse(value: &serde_json::Value) -> Result<Self, Vec<Fault>> {
        parse::request(value)
    }

    #[must_use]
    pub fn shard(&self) -> Shard {
        self.asset.id.shard()
    }

    /// Canonical JSON bytes: what travels in messages and what the fingerprint covers.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Serializing plain data into memory cannot fail: no map has keys that are not strings.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// SHA-256 of [`Self::canonical`].
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&[&self.canonical()])
    }

    /// Every source the request names, events first, each once.
    pub fn sources(&self) -> impl Iterator<Item = &SourceRef> {
        self.event_sources.iter().chain(&self.external_apis)
    }

    /// Whether it is an authority's: it goes to the express stream.
    #[must_use]
    pub fn is_regulatory(&self) -> bool {
        self.authority.is_some()
    }

    /// Whether a collector has anything to do for it.
    #[must_use]
    pub fn needs_collecting(&self) -> bool {
        !self.event_sources.is_empty() || !self.external_apis.is_empty()
    }
}

impl<'de> Deserialize<'de> for SyncRequest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::parse(&value).map_err(|faults| {
            let first = faults.first().map_or_else(String::new, ToString::to_string);
            serde::de::Error::custom(first)
        })
    }
}

#[cfg(test)]
mod tests;
