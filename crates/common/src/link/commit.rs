//! COMMIT: the only commit point. Appends one log entry and does all that belongs to it, or nothing.
//!
//! Order of the checks: lease holds (epoch, token) (`FENCED`; its expiry is not looked at, an expired and
//! unchallenged epoch is harmless) → the same entry is there already (`DUP`) → `seq = head.seq + 1` and
//! `prev = head.digest` (`GAP <seq> <digest>`) → room in `:dlq` and `:parked` (`FULL <stream>`: intake stops
//! until an operator empties it, nothing is dropped). Then: `:log` entry, `:head`, a REVERT's barrier and
//! `:ctl` entry, consumed inputs trimmed, parked and dead messages set aside, status records, one `:status`
//! notification.
//!
//! Inputs are consumed as whole prefixes: the caller names the last consumed id per stream and the script
//! trims everything below the id right after it, so an entry of the same millisecond that came later stays.
//!
//! A status write changes only an existing record with the same `fp` (a reused rid never gets the end of
//! its predecessor) and only upwards; what it says of a withdrawn observation is added to any rank. One exception: [`StatusWrite::replaces`] names the `fp` of a refused
//! request that came with a decided one's id; the record becomes the decided one's again. From `committed` on
//! the record is cut to [`RECORD_BYTES_MAX`] and expires: the time runs from there, ended or not. That something
//! did not fit is marked by `cut`; the validator's `GET /v1/decisions/{rid}` reads it from the entry.

use std::collections::BTreeMap;

use super::{Fence, Link, LinkError, STATUS_WRITES_MAX, Stream, StreamId, bounded, optional};
use crate::hash::Digest;
use crate::ids::Rid;
use crate::status::{OutcomeKind, Status};

/// Largest record from `committed` on: the sum of its field names and values in bytes.
pub const RECORD_BYTES_MAX: usize = 384;
/// Most entries of `:dlq`.
pub const DEAD_LETTERS_MAX: u64 = 10_000;
/// Most entries of `:parked`.
pub const PARKED_MAX: u64 = 10_000;
/// Most messages one entry consumes, parks or sets aside.
const MESSAGES_MAX: usize = 256;
/// Longest entry body: 512 KiB of messages, base64 at worst, and what the entry says of them.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Longest `code`, so that the cut record always fits.
const CODE_BYTES_MAX: usize = 64;

/// The last consumed id of each input stream; `None` = nothing taken from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Consumed {
    pub input: Option<StreamId>,
    pub express: Option<StreamId>,
    pub receipts: Option<StreamId>,
}

/// What the entry says of one request.
#[derive(Debug, Clone)]
pub struct StatusWrite<'a> {
    pub rid: Rid,
    /// The fingerprint of the request the outcome belongs to.
    pub fp: Digest,
    pub status: Status,
    /// The entry that decided the request; `None` leaves what the record has.
    pub seq: Option<u64>,
    pub outcome: Option<OutcomeKind>,
    /// Up to 64 bytes.
    pub code: Option<&'a str>,
    /// JSON list of errors with pointers; left out of the record when it does not fit.
    pub errors: Option<&'a str>,
    /// Log time at which the request ended, Unix ms.
    pub ended_ms: Option<u64>,
    /// Another fingerprint the record may have: that of a request which came when the record of this one had
    /// expired, and was refused. The record then gets `fp`, and loses the other request's targets.
    pub replaces: Option<Digest>,
    /// The entry that last withdrew an observation of the request: noted in the record whatever its rank.
    pub withdrawn: Option<u64>,
}

/// The distinct ends among the writes, as the first write with each, and per write the number of its end, from 1.
/// Nearly all of an entry's requests end in one of a few ways, and what they share costs the script once.
fn ends<'a>(writes: &'a [StatusWrite<'a>]) -> (Vec<&'a StatusWrite<'a>>, Vec<usize>) {
    let (mut ends, mut numbers) = (Vec::new(), BTreeMap::new());
    let number = |write: &'a StatusWrite<'a>| {
        let StatusWrite { rid: _, fp: _, status, seq, outcome, code, errors, ended_ms, replaces, withdrawn } =
            write;
        let outcome = outcome.map(OutcomeKind::name);
        let end = (status.name(), seq, outcome, code, errors, ended_ms, replaces, withdrawn);
        *numbers.entry(end).or_insert_with(|| {
            ends.push(write);
            ends.len()
        })
    };
    let end_of = writes.iter().map(number).collect();
    (ends, end_of)
}

/// A message nobody can process.
#[derive(Debug, Clone)]
pub struct DeadLetter<'a> {
    /// `validator`, `collector` or `broadcaster`.
    pub stage: &'a str,
    pub code: &'a str,
    pub error: &'a str,
    pub attempts: u64,
    /// The exact bytes.
    pub original: &'a [u8],
}

/// One log entry with everything that becomes true with it.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    pub seq: u64,
    /// Digest of entry `seq - 1`; [`Digest::ZERO`] for the first.
    pub prev: Digest,
    pub digest: Digest,
    /// State root after the entry.
    pub root: Digest,
    /// Schema version of the entry.
    pub v: u32,
    /// JSON, kept byte for byte.
    pub body: &'a [u8],
    pub consumed: Consumed,
    /// At most [`STATUS_WRITES_MAX`].
    pub statuses: &'a [StatusWrite<'a>],
    /// How long a record lives from `committed` on, ms.
    pub record_ttl_ms: u64,
    pub parked: &'a [Parked<'a>],
    pub dead_letters: &'a [DeadLetter<'a>],
    /// The keys of ATTEMPT notes that this entry settles; empty outside suspect mode.
    pub attempted: &'a [&'a str],
    /// A REVERT's `:ctl` payload; setting it raises `head.barrier` to `seq`.
    pub barrier: Option<&'a [u8]>,
    /// A TARGETS entry's SHA-256 of the target list.
    pub targets: Option<Digest>,
}

/// A message set aside for a build that can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked<'a> {
    pub payload: &'a [u8],
    /// The stream id under which the message came first; its time of acceptance.
    pub first: StreamId,
}

/// A bounded stream that has no room for what the entry would add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullStream {
    DeadLetters,
    Parked,
}

/// What COMMIT answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Committed {
    /// The entry is in the log and on disk.
    Ok,
    /// It was before this call.
    Dup,
    /// Another leader has taken over: drop all speculative state.
    Fenced,
    /// The log is elsewhere: its head.
    Gap { seq: u64, digest: Digest },
    /// Nothing was written; an operator must empty the stream.
    Full(FullStream),
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn commit(&self, fence: &Fence, entry: &Commit<'_>) -> Result<Committed, LinkError> {
        let script = &self.scripts.commit;
        check_bounds(script.name, entry)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.head()).key(self.keys.log());
        for stream in [Stream::Input, Stream::Express, Stream::Receipts, Stream::Parked] {
            invocation.key(stream.key(&self.keys));
        }
        invocation.key(self.keys.dead_letters()).key(self.keys.control()).key(self.keys.status());
        invocation.key(self.keys.attempts());
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        invocation.arg(entry.seq).arg(entry.prev.to_string()).arg(entry.digest.to_string());
        invocation.arg(entry.root.to_string()).arg(entry.v).arg(entry.body);
        for last in [entry.consumed.input, entry.consumed.express, entry.consumed.receipts] {
            invocation.arg(optional(last.map(StreamId::next)));
        }
        invocation
            .arg(entry.barrier.unwrap_or_default())
            .arg(optional(entry.targets))
            .arg(entry.record_ttl_ms);
        invocation.arg(PARKED_MAX).arg(DEAD_LETTERS_MAX).arg(RECORD_BYTES_MAX);
        let rids: Vec<String> = entry.statuses.iter().map(|write| write.rid.to_string()).collect();
        invocation.arg(rids.join(","));
        let (ends, end_of) = ends(entry.statuses);
        invocation.arg(ends.len()).arg(entry.statuses.len()).arg(entry.parked.len());
        invocation.arg(entry.dead_letters.len()).arg(entry.attempted.len());
        for end in ends {
            invocation.arg(end.status.name()).arg(end.status.rank());
            invocation.arg(optional(end.seq)).arg(optional(end.outcome.map(OutcomeKind::name)));
            invocation.arg(end.code.unwrap_or_default()).arg(end.errors.unwrap_or_default());
            invocation.arg(optional(end.ended_ms)).arg(optional(end.replaces)).arg(optional(end.withdrawn));
        }
        for (write, end) in entry.statuses.iter().zip(end_of) {
            invocation.key(self.keys.request(write.rid)).arg(write.fp.to_string()).arg(end);
        }
        for parked in entry.parked {
            invocation.arg(parked.payload).arg(parked.first.to_string());
        }
        for dead in entry.dead_letters {
            invocation.arg(dead.stage).arg(dead.code).arg(dead.error).arg(dead.attempts).arg(dead.original);
        }
        for key in entry.attempted {
            invocation.arg(*key);
        }
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Committed::Ok),
            "DUP" => Ok(Committed::Dup),
            "FENCED" => Ok(Committed::Fenced),
            "GAP" => Ok(Committed::Gap { seq: reply.next()?, digest: reply.next()? }),
            "FULL" => match reply.next::<String>()?.as_str() {
                "dlq" => Ok(Committed::Full(FullStream::DeadLetters)),
                "parked" => Ok(Committed::Full(FullStream::Parked)),
                _ => reply.unknown(),
            },
            _ => reply.unknown(),
        }
    }
}

fn check_bounds(call: &'static str, entry: &Commit<'_>) -> Result<(), LinkError> {
    bounded(call, "body", entry.body.len(), BODY_BYTES_MAX)?;
    bounded(call, "status writes", entry.statuses.len(), STATUS_WRITES_MAX)?;
    bounded(call, "parked messages", entry.parked.len(), MESSAGES_MAX)?;
    bounded(call, "dead letters", entry.dead_letters.len(), MESSAGES_MAX)?;
    bounded(call, "attempted keys", entry.attempted.len(), MESSAGES_MAX)?;
    entry
        .statuses
        .iter()
        .try_for_each(|write| bounded(call, "code", write.code.map_or(0, str::len), CODE_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Shard;

    #[test]
    fn requests_that_end_alike_share_an_end_whoever_they_are_and_others_do_not() {
        let write = |fp: &[u8], seq, code| StatusWrite {
            rid: Rid::fresh(Shard::Financial),
            fp: Digest::of(&[fp]),
            status: Status::Committed,
            seq: Some(seq),
            outcome: Some(OutcomeKind::Applied),
            code,
            errors: None,
            ended_ms: None,
            replaces: None,
            withdrawn: None,
        };
        let other = StatusWrite { replaces: Some(Digest::ZERO), ..write(b"d", 7, None) };
        let writes = [
            write(b"a", 7, None),
            write(b"b", 6, None),
            write(b"c", 7, None),
            other,
            write(b"e", 7, Some("X")),
        ];
        let (ends, end_of) = ends(&writes);
        assert_eq!(end_of, [1, 2, 1, 3, 4]);
        let first: Vec<Rid> = ends.iter().map(|end| end.rid).collect();
        assert_eq!(first, [0, 1, 3, 4].map(|place: usize| writes[place].rid));
    }
}
