//! The bytes of messages the collector writes and reads, without parsing a request twice.
//!
//! The forms are those of [`common::message`]; the tests hold the two equal byte for byte. A request travels
//! as the canonical text its fingerprint covers, so it is serialized once in its life and copied from then on.

use common::hash::Digest;
use common::ids::{Name, Rid, Tenant};
use common::link::StreamId;
use common::message::{Failure, VERSION, Withdrawn};
use common::observation::Observation;
use common::request::EventRef;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a message says about its request, in the order of the wire.
#[derive(Debug, Clone, Copy, Serialize)]
struct Head<'a> {
    v: u64,
    msg: &'a str,
    id: &'a str,
    rid: Rid,
    tenant: &'a Tenant,
    fp: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

/// The request a message is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) rid: Rid,
    pub(crate) tenant: &'a Tenant,
    pub(crate) fp: Digest,
    /// `None`: the ms part of the message's own stream id is meant.
    pub(crate) accepted_ms: Option<u64>,
    pub(crate) traceparent: Option<&'a str>,
}

impl<'a> About<'a> {
    fn head(&self, msg: &'a str, id: &'a str) -> Vec<u8> {
        let head = Head {
            v: VERSION,
            msg,
            id,
            rid: self.rid,
            tenant: self.tenant,
            fp: self.fp,
            accepted_ms: self.accepted_ms,
            traceparent: self.traceparent,
        };
        // Serializing plain data into memory cannot fail.
        serde_json::to_vec(&head).unwrap_or_default()
    }

    /// A COLLECTED message. `request` is canonical JSON; no observations: nothing was to be collected.
    pub(crate) fn collected(&self, request: &[u8], observations: &[Observation]) -> Vec<u8> {
        let id = self.rid.to_string();
        let mut bytes = self.head("COLLECTED", &id);
        bytes.reserve(request.len() + 64);
        splice(&mut bytes, b"request", request);
        let observations = serde_json::to_vec(observations).unwrap_or_default();
        splice(&mut bytes, b"observations", &observations);
        bytes
    }

    pub(crate) fn failed(&self, failure: &Failure) -> Vec<u8> {
        let id = self.rid.to_string();
        let mut bytes = self.head("FAILED", &id);
        splice(&mut bytes, b"failure", &serde_json::to_vec(failure).unwrap_or_default());
        bytes
    }

    /// The WITHDRAWN message to be sent if the block of an observation leaves its chain.
    pub(crate) fn withdrawn(&self, id: &str, withdrawn: &Withdrawn) -> Vec<u8> {
        let mut bytes = self.head("WITHDRAWN", id);
        splice(&mut bytes, b"withdrawn", &serde_json::to_vec(withdrawn).unwrap_or_default());
        bytes
    }

    pub(crate) fn cancel(&self, id: &str) -> Vec<u8> {
        self.head("CANCEL", id)
    }
}

/// Adds one field to the end of a JSON object.
fn splice(object: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    object.pop();
    object.extend_from_slice(b",\"");
    object.extend_from_slice(field);
    object.extend_from_slice(b"\":");
    object.extend_from_slice(value);
    object.push(b'}');
}

/// A message of `:requests` as far as collecting needs it.
#[derive(Debug)]
pub(crate) struct Requested {
    pub(crate) rid: Rid,
    pub(crate) tenant: Tenant,
    pub(crate) fp: Digest,
    pub(crate) traceparent: Option<String>,
    /// The request's canonical text.
    pub(crate) request: Box<RawValue>,
    pub(crate) needs: Vec<Need>,
}

/// One source the request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) source: Name,
    pub(crate) required: bool,
    /// Where the request names it.
    pub(crate) pointer: String,
    /// The events that back changes, each with the index of its change.
    pub(crate) events: Vec<(EventRef, usize)>,
}

/// Bytes of `:requests` that this build cannot work on. They go on to the validator as they are, which
/// parks or sets aside what it cannot read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The request they name, if that much can be read.
    pub(crate) rid: Option<Rid>,
}

impl Requested {
    /// # Errors
    /// The bytes are not a COLLECTED message of this build's version.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            v: u64,
            msg: &'a str,
            rid: Rid,
            tenant: Tenant,
            fp: Digest,
            traceparent: Option<String>,
            #[serde(borrow)]
            request: &'a RawValue,
        }
        let unreadable = || Unreadable { rid: named_rid(bytes) };
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
        if wire.v != VERSION || wire.msg != "COLLECTED" {
            return Err(unreadable());
        }
        let needs = needs(wire.request).map_err(|_| unreadable())?;
        let Wire { rid, tenant, fp, traceparent, request, .. } = wire;
        Ok(Self { rid, tenant, fp, traceparent, request: request.to_owned(), needs })
    }

    /// `id`: its entry in `:requests`, whose ms part is when it was accepted.
    pub(crate) fn about(&self, id: StreamId) -> About<'_> {
        About {
            rid: self.rid,
            tenant: &self.tenant,
            fp: self.fp,
            accepted_ms: Some(id.ms()),
            traceparent: self.traceparent.as_deref(),
        }
    }
}

fn named_rid(bytes: &[u8]) -> Option<Rid> {
    #[derive(Deserialize)]
    struct Named {
        rid: Rid,
    }
    serde_json::from_slice::<Named>(bytes).ok().map(|named| named.rid)
}

/// The sources a canonical request names, in its order.
fn needs(request: &RawValue) -> Result<Vec<Need>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ref {
        Required(Name),
        Full { source: Name, required: bool },
    }
    #[derive(Deserialize)]
    struct Backing {
        source: Name,
        event: EventRef,
    }
    #[derive(Deserialize)]
    struct Change {
        backed_by: Option<Backing>,
    }
    #[derive(Deserialize)]
    struct Request {
        state_changes: Vec<Change>,
        #[serde(default)]
        event_sources: Vec<Ref>,
        #[serde(default)]
        external_apis: Vec<Ref>,
    }
    let request: Request = serde_json::from_str(request.get())?;
    let lists = [("event_sources", request.event_sources), ("external_apis", request.external_apis)];
    let mut needs: Vec<Need> = Vec::new();
    for (field, list) in lists {
        for (index, reference) in list.into_iter().enumerate() {
            let (source, required) = match reference {
                Ref::Required(source) => (source, true),
                Ref::Full { source, required } => (source, required),
            };
            let pointer = format!("/{field}/{index}");
            needs.push(Need { source, required, pointer, events: Vec::new() });
        }
    }
    for (index, change) in request.state_changes.into_iter().enumerate() {
        if let Some(backing) = change.backed_by
            && let Some(need) = needs.iter_mut().find(|need| need.source == backing.source)
        {
            need.events.push((backing.event, index));
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests;
