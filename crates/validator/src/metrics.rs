//! Metrics and log lines of events; both come from one function each. [`TABLES`] names every metric.

mod table;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use common::entry::{Body, InputStream};
use common::exposition::{self, Busy, Metric};
use common::ids::{Name, Rid, Shard};
use common::link::{Backlog, Server, StreamId};
use common::status::OutcomeKind;
use common::trace;
use metrics::{counter, gauge, histogram};

use crate::checkpoint::{CheckpointError, Found};
use crate::engine::codes::Code;
use crate::engine::{Execution, Withdrawal};

/// All that this service's page may show.
pub(crate) const TABLES: [&[Metric]; 4] =
    [table::TABLE, exposition::HTTP, exposition::STAGES, exposition::PROCESS];

/// What a shard's workers do: the sequencer all but the last, the relay the last.
const STAGES: [&str; 6] = ["read", "load", "decide", "commit", "apply", "relay"];

/// Counters that alerts watch for their first event: one that appears with it shows no increase.
pub(crate) fn begin() {
    for shard in Shard::ALL {
        counter!("oss_validator_given_up_total", "shard" => shard.name()).increment(0);
        counter!("oss_validator_checkpoint_failures_total", "shard" => shard.name()).increment(0);
        for effect in ["rejected", "told"] {
            counter!("oss_validator_withdrawn_total", "shard" => shard.name(), "effect" => effect)
                .increment(0);
        }
        for outcome in OutcomeKind::ALL {
            counter!("oss_requests_total", "shard" => shard.name(), "outcome" => outcome.name()).increment(0);
        }
    }
}

/// An entry was committed.
pub(crate) fn committed(shard: Shard, seq: u64, body: &Body, took: Duration) {
    let (name, messages) = (shard.name(), body.inputs.len());
    counter!("oss_validator_entries_total", "shard" => name).increment(1);
    counter!("oss_validator_messages_total", "shard" => name).increment(messages as u64);
    for outcome in &body.outcomes {
        counter!("oss_requests_total", "shard" => name, "outcome" => outcome.outcome.name()).increment(1);
    }
    for input in &body.inputs {
        // The leader's own facts have not waited, and what it feeds in again has waited elsewhere.
        if input.s != InputStream::Local
            && let Ok(id) = input.id.parse::<StreamId>()
        {
            let waited = Duration::from_millis(body.time_ms.saturating_sub(id.ms()));
            histogram!("oss_stream_wait_seconds", "shard" => name, "stream" => stream(input.s))
                .record(waited.as_secs_f64());
        }
    }
    step(shard, "commit", took);
    trace_commit(body, took);
    tracing::debug!(shard = name, seq, messages, took_us = took.as_micros(), "Committed an entry");
}

/// The requests of a committed entry were run.
pub(crate) fn executed(shard: Shard, execution: Execution) {
    let Execution { requests, ahead, repeated } = execution;
    let shard = shard.name();
    counter!("oss_validator_executed_total", "shard" => shard).increment(requests as u64);
    counter!("oss_validator_reexecuted_total", "shard" => shard).increment(repeated as u64);
    counter!("oss_validator_parallel_batches_total", "shard" => shard).increment(u64::from(ahead > 0));
}

/// Observations were withdrawn: requests that were not decided end, those that are applied are told.
pub(crate) fn withdrawn(shard: Shard, body: &Body, told: &BTreeMap<Rid, Vec<Withdrawal>>) {
    let count = |effect: &'static str| {
        counter!("oss_validator_withdrawn_total", "shard" => shard.name(), "effect" => effect).increment(1);
    };
    let is_refused = |code: &Option<String>| code.as_deref() == Some(Code::ObservationWithdrawn.name());
    for outcome in body.outcomes.iter().filter(|outcome| is_refused(&outcome.code)) {
        count("rejected");
        let (rid, seq) = (outcome.rid, body.seq);
        tracing::warn!(%shard, %rid, seq, "An observation was withdrawn; its request is rejected");
    }
    for (rid, withdrawals) in told {
        for told in withdrawals.iter().filter(|told| told.seq == body.seq) {
            count("told");
            let (source, block, block_hash, seq) = (&told.source, told.block, told.block_hash, told.seq);
            let event = told.identity.as_deref().unwrap_or_default();
            tracing::warn!(%shard, %rid, source, event, block, %block_hash, seq,
                "An observation of an applied request was withdrawn; consider rolling it back");
        }
    }
}

/// A script refused a write: the lease is another process' by now.
pub(crate) fn fenced(shard: Shard, call: &'static str, epoch: u64) {
    counter!("oss_validator_fenced_total", "shard" => shard.name(), "call" => call).increment(1);
    tracing::warn!(%shard, call, epoch, "Fenced: another process leads the shard");
}

/// One span for the entry, linked to the traces of its requests, and one in each of those.
fn trace_commit(body: &Body, took: Duration) {
    if !trace::is_on() {
        return;
    }
    let traces = crate::relay::traces(body);
    let pairs = || traces.iter().map(|(rid, context)| (rid.as_str(), context.as_str()));
    let facts = [("shard", body.shard.name().to_owned()), ("seq", body.seq.to_string())];
    trace::each("commit", pairs(), took, &facts);
    if !traces.is_empty()
        && let Some(mut entry) = trace::begin(trace::Kind::Internal, "entry", None, took)
    {
        for (fact, value) in facts {
            entry.fact(fact, value);
        }
        pairs().for_each(|(_, context)| entry.link(context));
    }
}

/// One step of an entry is done: where a leader's time goes.
pub(crate) fn step(shard: Shard, step: &'static str, took: Duration) {
    histogram!("oss_stage_duration_seconds", "shard" => shard.name(), "stage" => step)
        .record(took.as_secs_f64());
    let at = STAGES.iter().position(|stage| *stage == step);
    let stages = busy(shard);
    if let Some(stage) = at.and_then(|at| stages.get(at)) {
        stage.worked(took);
    }
}

fn busy(shard: Shard) -> &'static [Busy] {
    static BUSY: OnceLock<Vec<Vec<Busy>>> = OnceLock::new();
    let of = |shard: Shard| {
        STAGES.map(|stage| Busy::new(stage, 1, &[("shard", shard.name().to_owned())])).to_vec()
    };
    let all = BUSY.get_or_init(|| Shard::ALL.map(of).to_vec());
    all.get(usize::from(shard.number())).map_or(&[], Vec::as_slice)
}

/// A message is set aside unread.
pub(crate) fn given_up(shard: Shard, stream: InputStream, id: StreamId, attempts: u64) {
    counter!("oss_validator_given_up_total", "shard" => shard.name()).increment(1);
    tracing::error!(%shard, ?stream, %id, attempts, "The process died over this message each time; it goes to :dlq");
}

/// A target's outbox had no room.
pub(crate) fn outbox_full(shard: Shard, target: &Name) {
    counter!("oss_validator_outbox_full_total", "shard" => shard.name(), "target" => target.to_string())
        .increment(1);
}

/// An entry was built and, for an EVM target, signed.
pub(crate) fn prepared(shard: Shard, target: &Name) {
    counter!("oss_validator_relay_prepared_total", "shard" => shard.name(), "target" => target.to_string())
        .increment(1);
}

/// Entries came from the archive or the log.
pub(crate) fn replayed(shard: Shard, from_seq: u64, to_seq: u64, took: Duration) {
    counter!("oss_validator_replayed_total", "shard" => shard.name())
        .increment(to_seq.saturating_sub(from_seq));
    tracing::info!(%shard, from_seq, to_seq, took_ms = took.as_millis(), "Replayed entries");
}

/// The newest checkpoint of a shard in this process' folder.
pub(crate) fn checkpoint(shard: Shard, newest: &Found) {
    let shard = shard.name();
    gauge!("oss_validator_checkpoint_height", "shard" => shard).set(figure(newest.header.head.seq));
    gauge!("oss_validator_checkpoint_bytes", "shard" => shard).set(figure(newest.bytes));
    let written = Duration::from_millis(newest.written_ms);
    gauge!("oss_validator_checkpoint_timestamp_seconds", "shard" => shard).set(written.as_secs_f64());
}

/// A checkpoint was written.
pub(crate) fn checkpoint_written(shard: Shard, written: &Found, took: Duration) {
    checkpoint(shard, written);
    let Found { hash, bytes, header, .. } = written;
    let seq = header.head.seq;
    tracing::info!(%shard, seq, %hash, bytes, ms = took.as_millis(), "Wrote a checkpoint");
}

/// A checkpoint could not be written.
pub(crate) fn checkpoint_failed(shard: Shard, error: &CheckpointError) {
    counter!("oss_validator_checkpoint_failures_total", "shard" => shard.name()).increment(1);
    tracing::warn!(%shard, error = %crate::error::chain(error), "No checkpoint could be written");
}

/// Entries were removed from `:log`.
pub(crate) fn trimmed(shard: Shard, removed: u64) {
    counter!("oss_validator_trimmed_total", "shard" => shard.name()).increment(removed);
}

/// Entries were cut from this process' archive.
pub(crate) fn archive_cut(shard: Shard, entries: u64) {
    counter!("oss_validator_archive_cut_total", "shard" => shard.name()).increment(entries);
}

/// Whether this process leads the shard.
pub(crate) fn leading(shard: Shard, epoch: u64, leads: bool) {
    gauge!("oss_validator_leader", "shard" => shard.name()).set(if leads { 1.0 } else { 0.0 });
    if leads {
        tracing::info!(%shard, epoch, "Leads the shard");
    } else {
        tracing::warn!(%shard, epoch, "Does not lead the shard any more");
    }
}

/// The history of the state tree reaches back to the state after this entry.
pub(crate) fn old_roots(shard: Shard, oldest_seq: u64, took: Duration) {
    gauge!("oss_validator_oldest_root", "shard" => shard.name()).set(figure(oldest_seq));
    tracing::info!(%shard, oldest_seq, took_ms = took.as_millis(), "Brought old roots back");
}

/// A proof asked for a root that is older than those in memory.
pub(crate) fn rebuilt(shard: Shard) {
    counter!("oss_validator_trees_rebuilt_total", "shard" => shard.name()).increment(1);
}

/// Where a shard stands in this process, at a look that every process takes, whether it leads or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) leads: bool,
    pub(crate) is_blocked: bool,
    /// The last entry here.
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    /// Requests that wait for a lock, another request or a time.
    pub(crate) waiters: u64,
}

impl Look {
    /// What this process knows without asking anybody.
    pub(crate) fn at(self, shard: Shard) {
        let shard = shard.name();
        gauge!("oss_validator_leader", "shard" => shard).set(if self.leads { 1.0 } else { 0.0 });
        gauge!("oss_validator_blocked", "shard" => shard).set(if self.is_blocked { 1.0 } else { 0.0 });
        gauge!("oss_state_height", "shard" => shard).set(figure(self.seq));
        gauge!("oss_validator_epoch", "shard" => shard).set(figure(self.epoch));
        gauge!("oss_validator_waiters", "shard" => shard).set(figure(self.waiters));
    }
}

/// What waits in a shard's streams, and how far this process is behind the log's head.
pub(crate) fn waiting(shard: Shard, backlog: &Backlog, behind: u64) {
    let name = shard.name();
    let lengths = [
        ("requests", backlog.requests),
        ("in", backlog.input),
        ("inx", backlog.express),
        ("receipts", backlog.receipts),
        ("parked", backlog.parked),
        ("log", backlog.log),
    ];
    for (stream, length) in lengths {
        gauge!("oss_stream_backlog", "shard" => name, "stream" => stream).set(figure(length));
    }
    gauge!("oss_dlq_entries", "shard" => name).set(figure(backlog.dead_letters));
    gauge!("oss_validator_behind_entries", "shard" => name).set(figure(behind));
}

/// How long the oldest message of an input has waited; nothing waits = 0.
pub(crate) fn oldest(shard: Shard, stream: InputStream, age: Duration) {
    gauge!("oss_stream_oldest_age_seconds", "shard" => shard.name(), "stream" => self::stream(stream))
        .set(age.as_secs_f64());
}

/// What Redis says of itself, or that it does not answer.
pub(crate) fn redis(server: Option<&Server>) {
    gauge!("oss_redis_answers").set(if server.is_some() { 1.0 } else { 0.0 });
    let Some(server) = server else { return };
    gauge!("oss_redis_memory_used_bytes").set(figure(server.memory_used_bytes));
    gauge!("oss_redis_memory_max_bytes").set(figure(server.memory_max_bytes));
    let is_sound = server.is_aof_on && server.is_aof_sound;
    gauge!("oss_redis_aof_sound").set(if is_sound { 1.0 } else { 0.0 });
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn figure(value: u64) -> f64 {
    value as f64
}

const fn stream(stream: InputStream) -> &'static str {
    match stream {
        InputStream::In => "in",
        InputStream::Inx => "inx",
        InputStream::Receipts => "receipts",
        InputStream::Local => "local",
    }
}

#[cfg(test)]
mod tests;
