//! Log entries (DESIGN §4): the truth of a shard.
//!
//! Stream fields `v seq prev digest body`; `body` is JSON kept byte for byte;
//! `digest = SHA-256("oss/log/1" ‖ prev ‖ body)`. State is the fold of the bodies' inputs and times; replay must
//! reproduce outcomes, updates, root and aux.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::hash::Digest;
use crate::ids::{AssetId, Name, Rid, Shard};
use crate::status::OutcomeKind;

/// The entry schema this build writes.
pub const VERSION: u64 = 1;

/// An entry as it stands in `:log` and in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    pub prev: Digest,
    pub digest: Digest,
    /// JSON of a [`Body`], byte for byte.
    pub body: Vec<u8>,
}

impl Entry {
    #[must_use]
    pub fn seal(prev: Digest, body: &Body) -> Self {
        // Serializing plain data into memory cannot fail.
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        Self { seq: body.seq, prev, digest: digest(prev, &bytes), body: bytes }
    }

    /// Whether the digest covers `prev` and `body`.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.digest == digest(self.prev, &self.body)
    }

    /// # Errors
    /// The body is not JSON of a [`Body`].
    pub fn decode(&self) -> Result<Body, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// `SHA-256("oss/log/1" ‖ prev ‖ body)`.
#[must_use]
pub fn digest(prev: Digest, body: &[u8]) -> Digest {
    Digest::of(&[b"oss/log/1", &prev.0, body])
}

/// The content of an entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    pub shard: Shard,
    pub seq: u64,
    /// The lease's epoch under which it was written; never decreases along the log.
    pub epoch: u64,
    /// The process that wrote it.
    pub node: String,
    pub kind: EntryKind,
    /// Log time, Unix ms: the larger of the previous entry's and Redis TIME.
    pub time_ms: u64,
    /// Version of the rule set in force.
    pub ruleset: u64,
    /// What was consumed, in the order taken.
    pub inputs: Vec<Input>,
    /// In the order of execution.
    pub outcomes: Vec<Outcome>,
    /// One per asset changed, by asset id.
    pub updates: Vec<AssetUpdate>,
    /// State root after the entry.
    pub root: Digest,
    /// Running SHA-256 over changes of state outside the tree.
    pub aux: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EntryKind {
    Batch,
    Revert,
    Ruleset,
    Targets,
    Checkpoint,
    Seal,
}

/// One consumed message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub s: InputStream,
    /// Its stream id; empty for `local`.
    pub id: String,
    /// Its exact bytes if they are JSON, else `{"b64": …}`.
    pub m: Box<RawValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputStream {
    In,
    Inx,
    Receipts,
    Local,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotJson {
    b64: String,
}

impl Input {
    #[must_use]
    pub fn new(s: InputStream, id: String, bytes: &[u8]) -> Self {
        let exact = std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| RawValue::from_string(text.to_owned()).ok())
            // Surrounding white space would be lost, and a message of the wrapper's form would be unwrapped.
            .filter(|raw| {
                raw.get().len() == bytes.len() && serde_json::from_str::<NotJson>(raw.get()).is_err()
            });
        let m = exact.unwrap_or_else(|| {
            let wrapped = format!("{{\"b64\":\"{}\"}}", BASE64.encode(bytes));
            // Base64 needs no escapes, so this is always JSON.
            RawValue::from_string(wrapped).unwrap_or_default()
        });
        Self { s, id, m }
    }

    /// The message's exact bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::from_str::<NotJson>(self.m.get())
            .ok()
            .and_then(|wrapped| BASE64.decode(wrapped.b64).ok())
            .unwrap_or_else(|| self.m.get().as_bytes().to_vec())
    }
}

/// What the entry says of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    pub rid: Rid,
    pub fp: Digest,
    pub outcome: OutcomeKind,
    /// Why, for every outcome but APPLIED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<OutcomeError>,
    /// The asset's version after it, for APPLIED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// For `HAS_DEPENDENTS`: the requests that depend on the one that was to be undone, in the order of the log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<Rid>,
}

/// One reason, with the place in the request it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeError {
    pub pointer: String,
    pub code: String,
    pub detail: String,
}

/// The new version of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetUpdate {
    pub asset: AssetId,
    pub version: u64,
    /// Value hash of the asset's leaf.
    pub state_hash: Digest,
    /// Per target of the asset, the version it is expected to hold at least.
    pub from: BTreeMap<Name, u64>,
}

#[cfg(test)]
mod tests;
