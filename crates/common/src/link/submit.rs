//! SUBMIT: takes requests in. The HTTP 202 follows only on its answer.
//!
//! Per item: a known rid is answered from its record; a full backlog refuses; else status record, stream
//! entry (field `m`) and index member are written together. Replies per item: `OK <id>`, `DUP <record…>`,
//! `CONFLICT`, `BUSY`. Refused as a whole at full memory ([`super::Disposition::Backpressure`]).
//! A record that has expired is unknown here: the validator's decisions answer for it.

use super::record::StatusRecord;
use super::{BATCH_MAX, Link, LinkError, Stream, StreamId, bounded};
use crate::hash::Digest;
use crate::ids::{Rid, Tenant};

/// Most members of `:idx`; each accepted request above it pops the oldest two.
pub const INDEX_MAX: u64 = 200_000;
/// Own bound of `:inx`.
pub const EXPRESS_MAX: u64 = 1_000;

/// Which stream a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `:requests`: there is something to collect.
    Requests,
    /// `:in`: nothing to collect.
    Input,
    /// `:inx`: regulatory or emergency.
    Express,
}

/// One request to take in.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    pub rid: Rid,
    pub tenant: &'a Tenant,
    /// SHA-256 of the request re-serialized with defaults left out.
    pub fp: Digest,
    pub route: Route,
    /// The message's exact bytes.
    pub payload: &'a [u8],
    /// The targets `completed` waits for, as the record shows them; empty = all of the asset's chains.
    pub targets: &'a str,
    /// State per source, as the record shows it; empty = nothing to collect.
    pub source_state: &'a str,
}

/// The bounds SUBMIT checks.
#[derive(Debug, Clone, Copy)]
pub struct SubmitBounds {
    /// Most entries in `:requests` and `:in` together.
    pub backlog: u64,
    /// Most entries in `:inx`.
    pub express: u64,
    /// Most members of `:idx`.
    pub index: u64,
}

impl SubmitBounds {
    /// The standard bounds with a configured backlog.
    #[must_use]
    pub const fn with_backlog(backlog: u64) -> Self {
        Self { backlog, express: EXPRESS_MAX, index: INDEX_MAX }
    }
}

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Submitted {
    /// Taken in; `id.ms()` is `accepted_ms`, from which the ttl counts.
    Ok { id: StreamId },
    /// The same tenant sent the same request before.
    Dup(Box<StatusRecord>),
    /// The rid belongs to another request (422) or tenant.
    Conflict,
    /// The backlog is full (503).
    Busy,
}

impl Link {
    /// Takes in up to [`BATCH_MAX`] requests; answers in their order.
    ///
    /// # Errors
    /// See [`LinkError`]; [`super::Disposition::Backpressure`] when Redis' memory is full.
    pub async fn submit(
        &self,
        batch: &[Submission<'_>],
        bounds: SubmitBounds,
    ) -> Result<Vec<Submitted>, LinkError> {
        let script = &self.scripts.submit;
        bounded(script.name, "batch", batch.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        for stream in [Stream::Requests, Stream::Input, Stream::Express] {
            invocation.key(stream.key(&self.keys));
        }
        invocation.key(self.keys.index());
        invocation.arg(bounds.backlog).arg(bounds.express).arg(bounds.index);
        for item in batch {
            invocation.key(self.keys.request(item.rid));
            let route = match item.route {
                Route::Requests => 1_u8,
                Route::Input => 2,
                Route::Express => 3,
            };
            invocation
                .arg(item.rid.to_string())
                .arg(item.tenant.as_str())
                .arg(item.fp.to_string())
                .arg(route);
            invocation.arg(item.payload).arg(item.targets).arg(item.source_state);
        }
        let replies = self.run(script, &invocation).await?.items()?;
        let mut answers = Vec::with_capacity(batch.len());
        for (item, mut reply) in batch.iter().zip(replies) {
            answers.push(match reply.word() {
                "OK" => Submitted::Ok { id: reply.next()? },
                "DUP" => {
                    Submitted::Dup(Box::new(StatusRecord::read(script.name, item.rid, reply.next_pairs()?)?))
                }
                "CONFLICT" => Submitted::Conflict,
                "BUSY" => Submitted::Busy,
                _ => return reply.unknown(),
            });
        }
        Ok(answers)
    }
}
