//! Stream ids and entries as they come out of Redis.

use std::fmt;
use std::str::FromStr;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::error::LinkError;
use super::reply;
use crate::ids::IdError;
use crate::keys::Keys;

/// The id of a stream entry, `<ms>-<seq>`; ordered as Redis orders them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId {
    ms: u64,
    seq: u64,
}

impl StreamId {
    /// Before every entry: reading after it starts at the front.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The id of log or outbox entry `seq`: `<seq>-0`.
    #[must_use]
    pub const fn of_seq(seq: u64) -> Self {
        Self { ms: seq, seq: 0 }
    }

    /// The first half: Unix milliseconds of Redis, or the log sequence number for `:log` and `:out`.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.ms
    }

    #[must_use]
    pub const fn seq(self) -> u64 {
        self.seq
    }

    /// The smallest id above this one: everything below it is this entry and its prefix.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms.saturating_add(1), seq: 0 },
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for StreamId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.split_once('-')
            .and_then(|(ms, seq)| Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? }))
            .ok_or(IdError { what: "stream id", form: "<ms>-<seq>" })
    }
}

impl TryFrom<String> for StreamId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.to_string()
    }
}

/// The streams of a shard that carry messages in one field `m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// `:requests`, read by collectors through their group.
    Requests,
    /// `:in`, the validator's ordinary input.
    Input,
    /// `:inx`, the validator's express input.
    Express,
    /// `:receipts`, broadcaster → validator.
    Receipts,
    /// `:parked`, messages of an unknown schema version.
    Parked,
}

impl Stream {
    pub(super) fn key(self, keys: &Keys) -> String {
        match self {
            Self::Requests => keys.requests(),
            Self::Input => keys.input(),
            Self::Express => keys.input_express(),
            Self::Receipts => keys.receipts(),
            Self::Parked => keys.parked(),
        }
    }
}

/// One message of a stream: its ids and its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it stands now.
    pub id: StreamId,
    /// Under which id it came first: another one than `id` if it was parked meanwhile.
    pub first: StreamId,
    pub payload: Vec<u8>,
}

/// One stream entry with its fields in stored order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: StreamId,
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a field as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.field(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The entry as a message: the bytes of field `m`; empty if there is none, which the engine turns
    /// into a dead letter like any other unreadable message.
    #[must_use]
    pub fn into_message(self) -> Message {
        let first = self.field("first").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
        let payload = self.fields.into_iter().find(|(name, _)| name == "m").map(|(_, value)| value);
        Message { id: self.id, first: first.unwrap_or(self.id), payload: payload.unwrap_or_default() }
    }

    /// Reads the reply of XRANGE and of one stream in XREAD. An entry deleted while pending has no
    /// fields (Redis answers nil) and comes out with an empty list.
    pub(super) fn list(call: &'static str, value: Value) -> Result<Vec<Self>, LinkError> {
        reply::array(call, value)?
            .into_iter()
            .filter(|item| *item != Value::Nil)
            .map(|item| Self::one(call, item))
            .collect()
    }

    fn one(call: &'static str, value: Value) -> Result<Self, LinkError> {
        let mut parts = reply::array(call, value)?.into_iter();
        let id = reply::parsed(call, parts.next())?;
        let fields = match parts.next() {
            None | Some(Value::Nil) => Vec::new(),
            Some(fields) => reply::pairs(call, fields)?,
        };
        Ok(Self { id, fields })
    }
}
