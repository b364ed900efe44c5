//! Every metric of the collector, once: what `docs/generated/metrics.md` says and what its page may show.

use common::exposition::Kind::{Counter, Gauge, Histogram};
use common::exposition::Metric;

pub(crate) const TABLE: &[Metric] = &[
    Metric::new(
        "oss_backlog_max",
        Gauge,
        &[],
        "limits.backlog_max: from so many waiting requests of a shard on, submissions are refused.",
    ),
    Metric::new(
        "oss_claimed_total",
        Counter,
        &["shard"],
        "Requests taken over from collectors that are silent or have left.",
    ),
    Metric::new(
        "oss_collect_crashes_total",
        Counter,
        &["shard"],
        "Requests failed because collecting them never ended.",
    ),
    Metric::new("oss_collect_panics_total", Counter, &["shard"], "Collecting for a request that panicked."),
    Metric::new("oss_collected_total", Counter, &["shard"], "Requests collected for."),
    Metric::new(
        "oss_concurrency_limit",
        Gauge,
        &["shard", "stage"],
        "How many pieces of work a stage takes in hand at one time at most.",
    ),
    Metric::new(
        "oss_delivered_again_total",
        Counter,
        &["shard"],
        "Requests handed over that had been handed over before.",
    ),
    Metric::new("oss_delivered_total", Counter, &["shard"], "Requests handed to the validator."),
    Metric::new(
        "oss_given_back_total",
        Counter,
        &["shard"],
        "Unfinished requests given back to the other collectors.",
    ),
    Metric::new("oss_link_failures_total", Counter, &["call", "shard"], "Calls to Redis that failed."),
    Metric::new(
        "oss_source_answers_total",
        Counter,
        &["outcome", "source"],
        "Answers of a source: ok or the code of its fault.",
    ),
    Metric::new(
        "oss_source_follow_failures_total",
        Counter,
        &["source"],
        "Looks at the chain of a source that failed on every node.",
    ),
    Metric::new(
        "oss_source_head_block",
        Gauge,
        &["source"],
        "The newest block of a source's chain that was looked at; it is looked at while something is watched.",
    ),
    Metric::new(
        "oss_source_notes_unreadable_total",
        Counter,
        &["shard", "source"],
        "Notes of what was handed out that this build cannot read; they are left to one that can.",
    ),
    Metric::new(
        "oss_source_reorg_blocks_total",
        Counter,
        &["source"],
        "Blocks of a source's chain that were replaced by others.",
    ),
    Metric::new(
        "oss_source_reorg_too_deep_total",
        Counter,
        &["source"],
        "Reorganisations of a source's chain deeper than it is followed: what was handed out of deeper blocks is not withdrawn.",
    ),
    Metric::new(
        "oss_source_reorgs_total",
        Counter,
        &["source"],
        "Reorganisations of a source's chain that were seen.",
    ),
    Metric::new(
        "oss_source_restarts_total",
        Counter,
        &["source"],
        "Times a source crashed and was built anew.",
    ),
    Metric::new(
        "oss_source_saturated_total",
        Counter,
        &["shard"],
        "Sources not asked because they hold their share of the places.",
    ),
    Metric::new("oss_source_seconds", Histogram, &["source"], "Time from asking a source to its answer."),
    Metric::new(
        "oss_source_unconfirmed_blocks",
        Gauge,
        &["source", "why"],
        "Blocks missed in the chain of one node and not yet taken as gone: they wait for a second_look, are disputed by another node, or unheard of by the others.",
    ),
    Metric::new(
        "oss_source_watch_dropped_total",
        Counter,
        &["source", "why"],
        "Observations not watched any more before their blocks were final: the stream of notes was full, this process' memory for them, or they were unreadable for a day.",
    ),
    Metric::new(
        "oss_source_watched",
        Gauge,
        &["source"],
        "Observations handed out whose blocks may still be reorganised.",
    ),
    Metric::new(
        "oss_source_withdrawn_total",
        Counter,
        &["shard", "source"],
        "Observations withdrawn because their blocks left the chain.",
    ),
    Metric::new(
        "oss_stage_duration_seconds",
        Histogram,
        &["shard", "stage"],
        "Time of one piece of work of a stage: submit of one batch, collect of one request, deliver of one batch.",
    ),
    Metric::new("oss_stage_inflight", Gauge, &["shard", "stage"], "Pieces of work that a stage has in hand."),
    Metric::new("oss_submit_calls_total", Counter, &["shard"], "SUBMIT calls answered or given up."),
    Metric::new("oss_submit_requests_total", Counter, &["shard"], "Requests in SUBMIT calls."),
    Metric::new(
        "oss_unreadable_total",
        Counter,
        &["shard"],
        "Messages of an unknown version or form that were passed on as they are.",
    ),
];
