//! Every metric of the broadcaster, once: what `docs/generated/metrics.md` says and what its page may show.

use common::exposition::Kind::{Counter, Gauge, Histogram};
use common::exposition::Metric;

pub(crate) const TABLE: &[Metric] = &[
    Metric::new(
        "oss_broadcaster_entries_confirming",
        Gauge,
        &["shard", "target"],
        "Entries of which everything is in blocks and that wait for the target's tier to reach them.",
    ),
    Metric::new(
        "oss_broadcaster_entries_done_total",
        Counter,
        &["shard", "target"],
        "Entries finished, their receipts handed to the validator.",
    ),
    Metric::new(
        "oss_broadcaster_entries_in_hand",
        Gauge,
        &["shard", "target"],
        "Entries that the lane has in hand.",
    ),
    Metric::new(
        "oss_broadcaster_lane_alarm",
        Gauge,
        &["code", "shard", "target"],
        "A lasting condition that somebody should mend, 1 while it lasts.",
    ),
    Metric::new(
        "oss_broadcaster_lane_held",
        Gauge,
        &["shard", "target"],
        "Whether this process drives the lane, 1 or 0.",
    ),
    Metric::new(
        "oss_broadcaster_lane_troubles_total",
        Counter,
        &["code", "shard", "target"],
        "Things that stood in the lane's way.",
    ),
    Metric::new(
        "oss_chain_head_block",
        Gauge,
        &["chain"],
        "The newest block of the chain that this process has seen, by chain id.",
    ),
    Metric::new(
        "oss_chain_root_lag",
        Gauge,
        &["shard", "target"],
        "Entries of the log that are not final on the target.",
    ),
    Metric::new(
        "oss_chain_rpc_seconds",
        Histogram,
        &["chain", "method", "outcome"],
        "Time of a call to a node, by chain id: ok, refused or failed.",
    ),
    Metric::new(
        "oss_chain_tier_block",
        Gauge,
        &["shard", "target"],
        "The newest block at the target's tier that the lane has seen while it had work.",
    ),
    Metric::new(
        "oss_chain_tx_total",
        Counter,
        &["kind", "shard", "target"],
        "Transactions signed and stored: first, replacement or filler.",
    ),
    Metric::new(
        "oss_chain_wallet_balance",
        Gauge,
        &["shard", "target"],
        "What the sender holds, in the chain's coin.",
    ),
    Metric::new(
        "oss_concurrency_limit",
        Gauge,
        &["shard", "stage", "target"],
        "How many entries a lane takes in hand at one time at most.",
    ),
    Metric::new(
        "oss_stage_duration_seconds",
        Histogram,
        &["shard", "stage", "target"],
        "Time of one turn of a lane that had entries in hand.",
    ),
    Metric::new(
        "oss_stage_inflight",
        Gauge,
        &["shard", "stage", "target"],
        "Transactions of a lane that are on their way.",
    ),
];
