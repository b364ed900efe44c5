//! Every metric of the validator, once: what `docs/generated/metrics.md` says and what its page may show.

use common::exposition::Kind::{Counter, Gauge, Histogram};
use common::exposition::Metric;

pub(crate) const TABLE: &[Metric] = &[
    Metric::new("oss_dlq_entries", Gauge, &["shard"], "Dead letters of the shard."),
    Metric::new("oss_redis_answers", Gauge, &[], "Whether Redis answered this process' last look, 1 or 0."),
    Metric::new(
        "oss_redis_aof_sound",
        Gauge,
        &[],
        "Whether Redis has its append-only file on and its last write and rewrite succeeded, 1 or 0.",
    ),
    Metric::new("oss_redis_memory_max_bytes", Gauge, &[], "Redis' maxmemory; 0 = no bound."),
    Metric::new("oss_redis_memory_used_bytes", Gauge, &[], "Memory that Redis uses."),
    Metric::new(
        "oss_requests_total",
        Counter,
        &["outcome", "shard"],
        "Outcomes of requests in entries that this process has committed.",
    ),
    Metric::new(
        "oss_stage_duration_seconds",
        Histogram,
        &["shard", "stage"],
        "Time of one piece of work of a stage: read, load, decide, commit, apply of one entry, relay of one run of entries.",
    ),
    Metric::new("oss_state_height", Gauge, &["shard"], "The last log entry in this process' state."),
    Metric::new(
        "oss_stream_backlog",
        Gauge,
        &["shard", "stream"],
        "Entries of a stream that nobody has finished.",
    ),
    Metric::new(
        "oss_stream_oldest_age_seconds",
        Gauge,
        &["shard", "stream"],
        "How long the oldest message of one of the validator's inputs has waited; 0 = nothing waits.",
    ),
    Metric::new(
        "oss_stream_wait_seconds",
        Histogram,
        &["shard", "stream"],
        "Time a message lay in one of the validator's inputs until its entry.",
    ),
    Metric::new(
        "oss_validator_behind_entries",
        Gauge,
        &["shard"],
        "Entries of the log that are not in this process' state.",
    ),
    Metric::new(
        "oss_validator_blocked",
        Gauge,
        &["shard"],
        "Whether intake stands still until an operator empties a full stream, 1 or 0.",
    ),
    Metric::new(
        "oss_validator_entries_total",
        Counter,
        &["shard"],
        "Entries that this process has committed.",
    ),
    Metric::new("oss_validator_epoch", Gauge, &["shard"], "The highest epoch that this process knows."),
    Metric::new(
        "oss_validator_executed_total",
        Counter,
        &["shard"],
        "Requests that this process has executed as the leader, each once however often it ran.",
    ),
    Metric::new(
        "oss_validator_fenced_total",
        Counter,
        &["call", "shard"],
        "Writes that a script refused because the lease is another process' by now.",
    ),
    Metric::new(
        "oss_validator_given_up_total",
        Counter,
        &["shard"],
        "Messages set aside because the process died over them each time.",
    ),
    Metric::new("oss_validator_leader", Gauge, &["shard"], "Whether this process leads the shard, 1 or 0."),
    Metric::new(
        "oss_validator_messages_total",
        Counter,
        &["shard"],
        "Messages in entries that this process has committed.",
    ),
    Metric::new(
        "oss_validator_oldest_root",
        Gauge,
        &["shard"],
        "The entry after which the oldest state in memory was.",
    ),
    Metric::new(
        "oss_validator_outbox_full_total",
        Counter,
        &["shard", "target"],
        "How often a target's outbox had no room.",
    ),
    Metric::new(
        "oss_validator_parallel_batches_total",
        Counter,
        &["shard"],
        "Batches of which requests ran ahead of their turn on several threads.",
    ),
    Metric::new(
        "oss_validator_reexecuted_total",
        Counter,
        &["shard"],
        "Requests that ran a second time because what they had read ahead of their turn changed before it.",
    ),
    Metric::new(
        "oss_validator_relay_prepared_total",
        Counter,
        &["shard", "target"],
        "Entries built for a target and, for an EVM target, signed.",
    ),
    Metric::new(
        "oss_validator_replayed_total",
        Counter,
        &["shard"],
        "Entries read from the archive or the log.",
    ),
    Metric::new(
        "oss_validator_trees_rebuilt_total",
        Counter,
        &["shard"],
        "State trees rebuilt for a proof of an old root.",
    ),
    Metric::new("oss_validator_trimmed_total", Counter, &["shard"], "Entries removed from the log in Redis."),
    Metric::new(
        "oss_validator_withdrawn_total",
        Counter,
        &["effect", "shard"],
        "Observations withdrawn: rejected, before their request was decided, or told, after it was applied.",
    ),
];
