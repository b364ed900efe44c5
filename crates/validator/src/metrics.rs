//! Metrics and log lines of events; both come from one function each.

use std::time::Duration;

use common::entry::InputStream;
use common::ids::{Name, Shard};
use common::link::StreamId;

use crate::engine::Batch;
use crate::engine::codes::Code;

/// An entry was committed.
pub(crate) fn committed(shard: Shard, seq: u64, messages: usize, took: Duration) {
    let shard = shard.name();
    metrics::counter!("oss_validator_entries_total", "shard" => shard).increment(1);
    metrics::counter!("oss_validator_messages_total", "shard" => shard).increment(messages as u64);
    metrics::histogram!("oss_validator_commit_seconds", "shard" => shard).record(took.as_secs_f64());
    tracing::debug!(shard, seq, messages, took_us = took.as_micros(), "Committed an entry");
}

/// Observations were withdrawn: requests that were not decided end, those that are applied are told.
pub(crate) fn withdrawn(shard: Shard, batch: &Batch) {
    let count = |effect: &'static str| {
        metrics::counter!("oss_validator_withdrawn_total", "shard" => shard.name(), "effect" => effect)
            .increment(1);
    };
    let is_refused = |code: &Option<String>| code.as_deref() == Some(Code::ObservationWithdrawn.name());
    for outcome in batch.body.outcomes.iter().filter(|outcome| is_refused(&outcome.code)) {
        count("rejected");
        let seq = batch.body.seq;
        tracing::warn!(%shard, rid = %outcome.rid, seq, "An observation was withdrawn; its request is rejected");
    }
    for (rid, withdrawals) in &batch.changes.withdrawals {
        for told in withdrawals.iter().filter(|told| told.seq == batch.body.seq) {
            count("told");
            let (source, seq) = (&told.source, told.seq);
            let event = told.identity.as_deref().unwrap_or_default();
            tracing::warn!(%shard, %rid, source, event, block = told.block, block_hash = %told.block_hash, seq,
                "An observation of an applied request was withdrawn; consider rolling it back");
        }
    }
}

/// One step of an entry is done: where a leader's time goes.
pub(crate) fn step(shard: Shard, step: &'static str, took: Duration) {
    metrics::histogram!("oss_validator_step_seconds", "shard" => shard.name(), "step" => step)
        .record(took.as_secs_f64());
}

/// A message is set aside unread.
pub(crate) fn given_up(shard: Shard, stream: InputStream, id: StreamId, attempts: u64) {
    metrics::counter!("oss_validator_given_up_total", "shard" => shard.name()).increment(1);
    tracing::error!(%shard, ?stream, %id, attempts, "The process died over this message each time; it goes to :dlq");
}

/// A target's outbox had no room.
pub(crate) fn outbox_full(shard: Shard, target: &Name) {
    metrics::counter!("oss_validator_outbox_full_total", "shard" => shard.name(), "target" => target.to_string())
        .increment(1);
}

/// An entry was built and, for an EVM target, signed.
pub(crate) fn prepared(shard: Shard, target: &Name) {
    metrics::counter!("oss_validator_relay_prepared_total", "shard" => shard.name(), "target" => target.to_string())
        .increment(1);
}

/// Entries came from the archive or the log.
pub(crate) fn replayed(shard: Shard, from_seq: u64, to_seq: u64, took: Duration) {
    metrics::counter!("oss_validator_replayed_total", "shard" => shard.name())
        .increment(to_seq.saturating_sub(from_seq));
    tracing::info!(%shard, from_seq, to_seq, took_ms = took.as_millis(), "Replayed entries");
}

/// Entries were removed from `:log`.
pub(crate) fn trimmed(shard: Shard, removed: u64) {
    metrics::counter!("oss_validator_trimmed_total", "shard" => shard.name()).increment(removed);
}

/// Whether this process leads the shard.
pub(crate) fn leading(shard: Shard, epoch: u64, leads: bool) {
    metrics::gauge!("oss_validator_leading", "shard" => shard.name()).set(if leads { 1.0 } else { 0.0 });
    if leads {
        tracing::info!(%shard, epoch, "Leads the shard");
    } else {
        tracing::warn!(%shard, epoch, "Does not lead the shard any more");
    }
}

/// The history of the state tree reaches back to the state after this entry.
pub(crate) fn old_roots(shard: Shard, oldest_seq: u64, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("oss_validator_oldest_root", "shard" => shard.name()).set(oldest_seq as f64);
    tracing::info!(%shard, oldest_seq, took_ms = took.as_millis(), "Brought old roots back");
}

/// A proof asked for a root that is older than those in memory.
pub(crate) fn rebuilt(shard: Shard) {
    metrics::counter!("oss_validator_trees_rebuilt_total", "shard" => shard.name()).increment(1);
}
