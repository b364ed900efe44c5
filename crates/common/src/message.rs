//! Messages to the validator (DESIGN §4): JSON objects `{v, msg, id, …}` in the field `m` of a stream entry.
//!
//! About a request they also carry `rid, tenant, fp` and, once known, `accepted_ms`; where it is missing
//! (a request that went straight to `:in`), the ms part of the message's own stream id is meant.
//! `traceparent` (W3C) travels along.

use serde::{Deserialize, Serialize};

use crate::entry::InputStream;
use crate::hash::Digest;
use crate::ids::{AssetId, Name, Rid, Tenant};
use crate::observation::Observation;
use crate::request::SyncRequest;
use crate::status::Delivery;
use crate::targets::Targets;

/// The schema version this build writes and reads.
pub const VERSION: u64 = 1;

/// A message of the version this build knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Identifies the message for people; the request id, or a UUID.
    pub id: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
    pub body: Body,
}

/// The request a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub rid: Rid,
    pub tenant: Tenant,
    pub fp: Digest,
    /// When SUBMIT accepted it, Unix ms of Redis; `None` = see the stream id.
    pub accepted_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Everything was collected, or there was nothing to collect.
    Collected { about: About, request: Box<SyncRequest>, observations: Vec<Observation> },
    /// A required source gave nothing usable.
    Failed { about: About, failure: Failure },
    /// The client wants it not to happen; decided by log order.
    Cancel { about: About },
    /// What was observed for it is no longer so at its source; decided by log order.
    Withdrawn { about: About, withdrawn: Withdrawn },
    /// A target has finished one entry.
    Receipt(Receipt),
    /// An operator's command.
    Command { about: About, command: Command },
    /// The leader's own fact: the content of the targets file. Only in `local` inputs.
    Targets(Targets),
    /// The leader's own fact: it does not touch an input of the same entry. Only in `local` inputs, before that one.
    GivenUp(GivenUp),
    /// The leader's own fact: the time of a lock is over. Only in `local` inputs.
    TimedOut(TimedOut),
}

/// A lock whose time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedOut {
    pub asset: AssetId,
    /// The request that locked it.
    pub lock: Rid,
}

/// A message over which the process died again and again: it is set aside unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenUp {
    /// Where the input was taken from, and its stream id.
    pub s: InputStream,
    pub id: String,
    /// How many process starts took it up, the one that gives up included.
    pub attempts: u64,
}

/// The request that bytes name, as far as that can be told without reading them as a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Named {
    #[serde(default)]
    pub rid: Option<Rid>,
    #[serde(default)]
    pub tenant: Option<Tenant>,
    #[serde(default)]
    pub fp: Option<Digest>,
}

impl Named {
    /// Nothing is named by bytes that are not a JSON object, or that name it in another form.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }
}

/// Why collecting fails. Each has a page in `docs/causes/`, as the engine's codes have.
pub const FAILURE_CODES: [&str; 8] = [
    "SOURCE_UNAVAILABLE",
    "EVENT_NOT_FOUND",
    "EVENT_NOT_CONFIRMED",
    "EVENT_MISMATCH",
    "SOURCE_INVALID",
    "OBSERVATION_TOO_LARGE",
    "MESSAGE_TOO_LARGE",
    "COLLECT_CRASH",
];

/// Why collecting failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// One of [`FAILURE_CODES`]; a newer collector may know more.
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Name>,
    pub detail: String,
    /// JSON pointer into the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// An observation that was handed out, and whose block is not in its chain any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    pub source: Name,
    /// [`Observation::identity`]; `None` = a window of logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The block it was taken from.
    pub block: u64,
    pub block_hash: Digest,
    /// JSON pointer into the request.
    pub pointer: String,
}

/// The one receipt of an entry on a target. `status` is `final`, `failed` or `revoked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub seq: u64,
    pub target: Name,
    pub status: Delivery,
    pub parts: Vec<PartReceipt>,
}

/// What became of one part. The lists hold positions of updates within the part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartReceipt {
    pub part: u16,
    /// Transaction hash; `None` for targets that send nothing and for parts never sent.
    pub tx: Option<String>,
    pub block: Option<u64>,
    pub applied: Vec<u16>,
    pub stale: Vec<u16>,
    pub skipped: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Relay what `target` has not finished again, signed under its present validator set.
    Rewind { target: Name },
    /// Undo the request `rid` of the same shard and tenant. On `:inx` alone; it makes an entry of its own.
    Rollback { rid: Rid },
}

/// Bytes that are not a message this build can read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A newer or older build wrote it: park it.
    #[error("schema version {version} is not known to this build")]
    UnknownVersion {
        version: u64,
        /// The request it names, if that much can be read.
        rid: Option<Rid>,
        fp: Option<Digest>,
    },
    /// It can never be read: set it aside.
    #[error("not a message: {detail}")]
    Malformed {
        detail: String,
        /// The request it names, if that much can be read.
        rid: Option<Rid>,
        tenant: Option<Tenant>,
        fp: Option<Digest>,
    },
}

/// The fields as they stand in JSON.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u64,
    msg: String,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rid: Option<Rid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Tenant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fp: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Box<SyncRequest>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    observations: Option<Vec<Observation>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Command>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    targets: Option<Targets>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given_up: Option<GivenUp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdrawn: Option<Withdrawn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timed_out: Option<TimedOut>,
}

impl Message {
    /// The request it is about, if it is about one.
    #[must_use]
    pub fn about(&self) -> Option<&About> {
        match &self.body {
            Body::Collected { about, .. }
            | Body::Failed { about, .. }
            | Body::Cancel { about }
            | Body::Withdrawn { about, .. }
            | Body::Command { about, .. } => Some(about),
            Body::Receipt(_) | Body::Targets(_) | Body::GivenUp(_) | Body::TimedOut(_) => None,
        }
    }

    /// The bytes that go into a stream.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = Wire {
            v: VERSION,
            id: self.id.clone(),
            traceparent: self.traceparent.clone(),
            ..Wire::default()
        };
        if let Some(about) = self.about() {
            wire.rid = Some(about.rid);
            wire.tenant = Some(about.tenant.clone());
            wire.fp = Some(about.fp);
            wire.accepted_ms = about.accepted_ms;
        }
        let msg = match &self.body {
            Body::Collected { request, observations, .. } => {
                wire.request = Some(request.clone());
                wire.observations = Some(observations.clone());
                "COLLECTED"
            }
            Body::Failed { failure, .. } => {
                wire.failure = Some(failure.clone());
                "FAILED"
            }
            Body::Cancel { .. } => "CANCEL",
            Body::Withdrawn { withdrawn, .. } => {
                wire.withdrawn = Some(withdrawn.clone());
                "WITHDRAWN"
            }
            Body::Receipt(receipt) => {
                wire.receipt = Some(receipt.clone());
                "RECEIPT"
            }
            Body::Command { command, .. } => {
                wire.command = Some(command.clone());
                "COMMAND"
            }
            Body::Targets(targets) => {
                wire.targets = Some(targets.clone());
                "TARGETS"
            }
            Body::GivenUp(fact) => {
                wire.given_up = Some(fact.clone());
                "GIVEN_UP"
            }
            Body::TimedOut(fact) => {
                wire.timed_out = Some(fact.clone());
                "TIMEOUT"
            }
        };
        msg.clone_into(&mut wire.msg);
        // Serializing plain data into memory cannot fail.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// See [`DecodeError`]. The version is looked at first, so that a newer message is parked, not refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| Self::undecodable(bytes, &error))?;
        if wire.v != VERSION {
            return Err(DecodeError::UnknownVersion { version: wire.v, rid: wire.rid, fp: wire.fp });
        }
        let (rid, tenant, fp) = (wire.rid, wire.tenant.clone(), wire.fp);
        let malformed = |detail: &str| DecodeError::Malformed {
            detail: detail.to_owned(),
            rid,
            tenant: tenant.clone(),
            fp,
        };
        let about = match (wire.rid, wire.tenant, wire.fp) {
            (Some(rid), Some(tenant), Some(fp)) => {
                Ok(About { rid, tenant, fp, accepted_ms: wire.accepted_ms })
            }
            _ => Err(malformed("rid, tenant or fp is missing")),
        };
        let body = match wire.msg.as_str() {
            "COLLECTED" => Body::Collected {
                about: about?,
                request: wire.request.ok_or_else(|| malformed("request is missing"))?,
                observations: wire.observations.unwrap_or_default(),
            },
            "FAILED" => Body::Failed {
                about: about?,
                failure: wire.failure.ok_or_else(|| malformed("failure is missing"))?,
            },
            "CANCEL" => Body::Cancel { about: about? },
            "WITHDRAWN" => Body::Withdrawn {
                about: about?,
                withdrawn: wire.withdrawn.ok_or_else(|| malformed("withdrawn is missing"))?,
            },
            "RECEIPT" => Body::Receipt(wire.receipt.ok_or_else(|| malformed("receipt is missing"))?),
            "COMMAND" => Body::Command {
                about: about?,
                command: wire.command.ok_or_else(|| malformed("command is missing"))?,
            },
            "TARGETS" => Body::Targets(wire.targets.ok_or_else(|| malformed("targets is missing"))?),
            "GIVEN_UP" => Body::GivenUp(wire.given_up.ok_or_else(|| malformed("given_up is missing"))?),
            "TIMEOUT" => Body::TimedOut(wire.timed_out.ok_or_else(|| malformed("timed_out is missing"))?),
            _ => return Err(malformed("msg is not a kind of message")),
        };
        Ok(Self { id: wire.id, traceparent: wire.traceparent, body })
    }

    /// Tells an unknown version from bytes that can never be read.
    fn undecodable(bytes: &[u8], error: &serde_json::Error) -> DecodeError {
        #[derive(Deserialize)]
        struct Head {
            v: u64,
        }
        let Named { rid, tenant, fp } = Named::of(bytes);
        if let Ok(head) = serde_json::from_slice::<Head>(bytes)
            && head.v != VERSION
        {
            return DecodeError::UnknownVersion { version: head.v, rid, fp };
        }
        DecodeError::Malformed { detail: error.to_string(), rid, tenant, fp }
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
