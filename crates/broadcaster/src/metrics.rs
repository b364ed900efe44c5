//! One function per event that is worth a log line or a figure. [`TABLES`] names every metric.

mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use common::exposition::{self, Busy, Metric};
use common::ids::{Name, Shard};
use common::trace;
use metrics::{counter, gauge, histogram};

use crate::alarm::Change;
use crate::desk::SignedAttempt;
use crate::target::Trouble;

/// All that this service's page may show.
pub(crate) const TABLES: [&[Metric]; 4] =
    [table::TABLE, exposition::HTTP, exposition::STAGES, exposition::PROCESS];

/// The labels of one lane's figures.
#[derive(Debug, Clone)]
pub(crate) struct LaneLabels {
    pub(crate) shard: Shard,
    pub(crate) target: Name,
    busy: Busy,
}

/// A signed transaction, which took so long to make, carries these requests, each with the W3C trace context that its client sent.
pub(crate) fn carries(
    shard: Shard,
    target: &Name,
    attempt: &SignedAttempt<'_>,
    traces: &BTreeMap<&str, &str>,
    took: Duration,
) {
    if traces.is_empty() {
        return;
    }
    let facts = [("target", target.to_string()), ("tx", attempt.tx_hash.to_owned())];
    trace::each("send", traces.iter().map(|(rid, trace)| (*rid, *trace)), took, &facts);
    let traces: Vec<String> = traces.iter().map(|(rid, trace)| format!("{rid}={trace}")).collect();
    tracing::info!(%shard, %target, nonce = attempt.nonce, tx = attempt.tx_hash, traces = traces.join(" "),
        "A transaction carries traced requests");
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn figure(value: u64) -> f64 {
    value as f64
}

impl LaneLabels {
    /// Those of a lane that takes at most `window` entries in hand.
    pub(crate) fn new(shard: Shard, target: &Name, window: usize) -> Self {
        let pairs = [("shard", shard.name().to_owned()), ("target", target.to_string())];
        let labels = Self { shard, target: target.clone(), busy: Busy::new("lane", 1, &pairs) };
        gauge!("oss_concurrency_limit", &labels.staged()).set(figure(window as u64));
        labels.not_held();
        labels
    }

    fn staged(&self) -> [(&'static str, String); 3] {
        let [shard, target] = self.pairs();
        [("stage", "lane".to_owned()), shard, target]
    }

    /// A turn with something in hand took so long.
    pub(crate) fn turned(&self, took: Duration) {
        self.busy.worked(took);
        histogram!("oss_stage_duration_seconds", &self.staged()).record(took.as_secs_f64());
    }

    fn pairs(&self) -> [(&'static str, String); 2] {
        [("shard", self.shard.name().to_owned()), ("target", self.target.to_string())]
    }

    /// What traced requests are in is final on the target.
    pub(crate) fn finished(&self, traces: &BTreeMap<&str, &str>) {
        let facts = [("shard", self.shard.name().to_owned()), ("target", self.target.to_string())];
        trace::each("final", traces.iter().map(|(rid, trace)| (*rid, *trace)), Duration::ZERO, &facts);
    }

    /// Entries were finished and their receipts handed to the validator.
    pub(crate) fn done(&self, entries: usize) {
        counter!("oss_broadcaster_entries_done_total", &self.pairs())
            .increment(entries.try_into().unwrap_or(0));
    }

    pub(crate) fn load(&self, entries: usize, transactions: usize) {
        gauge!("oss_broadcaster_entries_in_hand", &self.pairs()).set(figure(entries as u64));
        gauge!("oss_stage_inflight", &self.staged()).set(figure(transactions as u64));
    }

    /// The newest block of the target's tier, and how many entries are in blocks above it and wait for nothing else.
    pub(crate) fn confirming(&self, tier_block: u64, entries: usize) {
        gauge!("oss_chain_tier_block", &self.pairs()).set(figure(tier_block));
        gauge!("oss_broadcaster_entries_confirming", &self.pairs()).set(figure(entries as u64));
    }

    /// This process drives the lane, or does not any more.
    pub(crate) fn tenure(&self, epoch: Option<u64>) {
        if let Some(epoch) = epoch {
            gauge!("oss_broadcaster_lane_held", &self.pairs()).set(1.0);
            tracing::info!(shard = %self.shard, target = %self.target, epoch, "Driving the lane");
        } else {
            self.not_held();
            tracing::info!(shard = %self.shard, target = %self.target, "Left the lane");
        }
    }

    /// A lane that somebody else drives, or nobody, has nothing in hand here. Told from the start, so that an alert
    /// sees the difference between a lane nobody drives and a process that tells nothing.
    fn not_held(&self) {
        gauge!("oss_broadcaster_lane_held", &self.pairs()).set(0.0);
        gauge!("oss_broadcaster_entries_confirming", &self.pairs()).set(0.0);
        self.load(0, 0);
    }

    /// What the sender holds on the target, in the chain's coin (10^18 wei).
    pub(crate) fn balance(&self, wei: &str) {
        if let Ok(wei) = wei.parse::<f64>() {
            gauge!("oss_chain_wallet_balance", &self.pairs()).set(wei / 1e18);
        }
    }

    /// Entries of the shard's log whose state is not final on the target.
    pub(crate) fn root_lag(&self, entries: u64) {
        gauge!("oss_chain_root_lag", &self.pairs()).set(figure(entries));
    }

    /// A lasting condition began or is over.
    pub(crate) fn alarm(&self, change: &Change) {
        let (code, stands) = match change {
            Change::Began { code, detail } => {
                tracing::warn!(shard = %self.shard, target = %self.target, %code, %detail, "An alarm began");
                (code, 1.0)
            }
            Change::Ended { code } => {
                tracing::info!(shard = %self.shard, target = %self.target, %code, "An alarm is over");
                (code, 0.0)
            }
        };
        let [shard, target] = self.pairs();
        gauge!("oss_broadcaster_lane_alarm", &[shard, target, ("code", code.clone())]).set(stands);
    }

    /// Something stands in the lane's way; `is_new` = not the same as last time.
    pub(crate) fn trouble(&self, trouble: &Trouble, is_new: bool) {
        let [shard, target] = self.pairs();
        let labels = [shard, target, ("code", trouble.code.clone())];
        counter!("oss_broadcaster_lane_troubles_total", &labels).increment(1);
        if is_new {
            tracing::warn!(shard = %self.shard, target = %self.target, code = %trouble.code,
                detail = %trouble.detail, "A lane is in trouble");
        }
    }
}

/// A transaction was signed and stored; `kind` is `first`, `replacement` or `filler`.
pub(crate) fn stored(target: &Name, shard: Shard, kind: &'static str) {
    let labels =
        [("shard", shard.name().to_owned()), ("target", target.to_string()), ("kind", kind.to_owned())];
    counter!("oss_chain_tx_total", &labels).increment(1);
}

/// The newest block that a node of the chain has told of.
pub(crate) fn chain_head(chain_id: u64, block: u64) {
    gauge!("oss_chain_head_block", "chain" => chain_id.to_string()).set(figure(block));
}

/// A node was asked; `outcome` is `ok`, `refused` (it answered with an error) or `failed` (it gave no usable answer).
pub(crate) fn asked(chain_id: u64, method: &'static str, outcome: &'static str, took: Duration) {
    histogram!("oss_chain_rpc_seconds", "chain" => chain_id.to_string(), "method" => method, "outcome" => outcome)
        .record(took.as_secs_f64());
}

#[cfg(test)]
mod tests;
