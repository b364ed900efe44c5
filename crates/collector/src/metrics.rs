//! Everything the collector counts and logs about itself: one function per event, so that log line and
//! metric agree. [`TABLES`] names every metric.

mod table;

use std::sync::OnceLock;
use std::time::Duration;

use common::exposition::{self, Busy, Metric};
use common::ids::{Name, Shard};
use common::link::{LinkError, StreamId};
use common::observation::BlockRef;
use metrics::{counter, gauge, histogram};

use crate::config::Settings;
use crate::source::{Doubts, SourceFault};

/// All that this service's page may show.
pub(crate) const TABLES: [&[Metric]; 4] =
    [table::TABLE, exposition::HTTP, exposition::STAGES, exposition::PROCESS];

/// The stages of one shard.
struct Stages {
    submit: Busy,
    intake: Busy,
    collect: Busy,
    deliver: Busy,
}

static STAGES: OnceLock<Vec<Stages>> = OnceLock::new();

/// What alerts watch for its first event, of every source whose chain is followed.
const FIRST_EVENT: [&str; 2] = ["oss_source_reorg_too_deep_total", "oss_source_follow_failures_total"];

/// Says how many workers the stages have, which bound the backlog has, and which sources' chains are followed. Once per
/// process, before anything is counted.
pub(crate) fn begin(settings: &Settings, followed: &[&Name]) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge!("oss_backlog_max").set(settings.limits.backlog_max as f64);
    for source in followed {
        for name in FIRST_EVENT {
            counter!(name, "source" => source.as_str().to_owned()).increment(0);
        }
        for why in Dropped::ALL {
            dropped(source, why).increment(0);
        }
    }
    let of = |shard: Shard| {
        let busy = |stage, workers| Busy::new(stage, workers, &[("shard", shard.name().to_owned())]);
        let places = settings.collect.in_flight_max;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; the value is at most 256")]
        gauge!("oss_concurrency_limit", "stage" => "collect", "shard" => shard.name()).set(places as f64);
        // One that appears with its first event shows no increase.
        counter!("oss_collect_crashes_total", "shard" => shard.name()).increment(0);
        Stages {
            submit: busy("submit", settings.http.workers),
            intake: busy("intake", 1),
            collect: busy("collect", places),
            deliver: busy("deliver", 1),
        }
    };
    STAGES.get_or_init(|| Shard::ALL.map(of).into_iter().collect());
}

fn stages(shard: Shard) -> Option<&'static Stages> {
    STAGES.get()?.get(usize::from(shard.number()))
}

fn took(shard: Shard, stage: &'static str, took: Duration) {
    histogram!("oss_stage_duration_seconds", "shard" => shard.name(), "stage" => stage)
        .record(took.as_secs_f64());
}

/// One SUBMIT call was answered or given up.
pub(crate) fn submitted(shard: Shard, requests: usize, took: Duration) {
    counter!("oss_submit_calls_total", "shard" => shard.name()).increment(1);
    counter!("oss_submit_requests_total", "shard" => shard.name()).increment(requests as u64);
    self::took(shard, "submit", took);
    if let Some(stages) = stages(shard) {
        stages.submit.worked(took);
    }
}

/// A call to Redis failed. Actors repeat it; a client is told.
pub(crate) fn link_failed(shard: Shard, call: &'static str, error: &LinkError) {
    counter!("oss_link_failures_total", "shard" => shard.name(), "call" => call).increment(1);
    tracing::warn!(%shard, call, error = ?error, "A call to Redis failed");
}

/// How many requests this process collects for now.
pub(crate) fn in_flight(shard: Shard, requests: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; the value is at most 256")]
    gauge!("oss_stage_inflight", "stage" => "collect", "shard" => shard.name()).set(requests as f64);
    if let Some(stages) = stages(shard) {
        stages.collect.active(requests);
    }
}

/// Entries that were read have been begun.
pub(crate) fn taken_in(shard: Shard, took: Duration) {
    if let Some(stages) = stages(shard) {
        stages.intake.worked(took);
    }
}

/// Collecting for one request ended.
pub(crate) fn collected(shard: Shard, took: Duration) {
    self::took(shard, "collect", took);
    counter!("oss_collected_total", "shard" => shard.name()).increment(1);
}

/// Sources of a request were not asked because they hold their share of the places.
pub(crate) fn saturated(shard: Shard, sources: usize) {
    if sources > 0 {
        counter!("oss_source_saturated_total", "shard" => shard.name()).increment(sources as u64);
    }
}

/// COLLECTED was answered; `gone` of the entries had been handed over before.
pub(crate) fn delivered(shard: Shard, moved: usize, gone: usize, took: Duration) {
    self::took(shard, "deliver", took);
    if let Some(stages) = stages(shard) {
        stages.deliver.worked(took);
    }
    counter!("oss_delivered_total", "shard" => shard.name()).increment(moved as u64);
    counter!("oss_delivered_again_total", "shard" => shard.name()).increment(gone as u64);
}

/// Entries of collectors that are silent or have left were taken over.
pub(crate) fn claimed(shard: Shard, entries: usize) {
    counter!("oss_claimed_total", "shard" => shard.name()).increment(entries as u64);
    tracing::info!(%shard, entries, "Took over requests of another collector");
}

/// Entries begun and not finished at the end are given back to the other collectors.
pub(crate) fn gave_back(shard: Shard, entries: usize) {
    if entries > 0 {
        counter!("oss_given_back_total", "shard" => shard.name()).increment(entries as u64);
        tracing::info!(%shard, entries, "Gave unfinished requests back to the other collectors");
    }
}

/// A request was failed because collecting it never ended.
pub(crate) fn poisoned(shard: Shard, rid: common::ids::Rid, claims: u64) {
    counter!("oss_collect_crashes_total", "shard" => shard.name()).increment(1);
    tracing::error!(%shard, %rid, claims, "A request was begun too often without an end; it fails");
}

/// Collecting for one request panicked; it stays pending and is taken over later.
pub(crate) fn collect_panicked(shard: Shard, rid: common::ids::Rid) {
    counter!("oss_collect_panics_total", "shard" => shard.name()).increment(1);
    tracing::error!(%shard, %rid, "Collecting panicked; the request is tried again after the claim time");
}

/// A message in `:requests` cannot be read by this build.
pub(crate) fn passed_on_unread(shard: Shard) {
    counter!("oss_unreadable_total", "shard" => shard.name()).increment(1);
    tracing::warn!(%shard, "A message of an unknown version or form is passed on as it is");
}

/// A source answered an ask, or failed it.
pub(crate) fn source_answered(source: &Name, took: Duration, fault: Option<&SourceFault>) {
    let outcome = fault.map_or("ok", SourceFault::code);
    let source_label = source.as_str().to_owned();
    counter!("oss_source_answers_total", "source" => source_label.clone(), "outcome" => outcome).increment(1);
    histogram!("oss_source_seconds", "source" => source_label).record(took.as_secs_f64());
    if let Some(fault) = fault {
        tracing::debug!(%source, code = outcome, %fault, "A source gave nothing usable");
    }
}

/// The chain of a source was followed to its newest block.
pub(crate) fn followed(source: &Name, head: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    gauge!("oss_source_head_block", "source" => source.as_str().to_owned()).set(head as f64);
}

/// So many observations are watched until their blocks are final.
pub(crate) fn watched(source: &Name, observations: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; the value is bounded")]
    gauge!("oss_source_watched", "source" => source.as_str().to_owned()).set(observations as f64);
}

/// No node of a source could be followed; what was handed out of it is not checked meanwhile.
pub(crate) fn follow_failed(source: &Name, fault: &SourceFault) {
    counter!("oss_source_follow_failures_total", "source" => source.as_str().to_owned()).increment(1);
    tracing::warn!(%source, %fault, "The chain of a source cannot be followed");
}

/// The newest blocks of a source's chain were replaced by others.
pub(crate) fn reorganised(source: &Name, blocks: u64, tip: u64) {
    counter!("oss_source_reorgs_total", "source" => source.as_str().to_owned()).increment(1);
    counter!("oss_source_reorg_blocks_total", "source" => source.as_str().to_owned()).increment(blocks);
    tracing::warn!(%source, blocks, tip, "The chain of a source was reorganised");
}

/// So many blocks are missed by the node that is followed and do not count as gone yet. `is_new`: that has changed.
pub(crate) fn unconfirmed(source: &Name, doubts: Doubts, is_new: bool) {
    let Doubts { second_look, disputed, unheard } = doubts;
    for (why, blocks) in [("second_look", second_look), ("disputed", disputed), ("unheard", unheard)] {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; the value is bounded")]
        gauge!("oss_source_unconfirmed_blocks", "source" => source.as_str().to_owned(), "why" => why)
            .set(blocks as f64);
    }
    if is_new && doubts != Doubts::default() {
        tracing::warn!(%source, second_look, disputed, unheard, "Blocks are missed in the chain of one node; nothing of them is \
            withdrawn before the other nodes say the same");
    }
}

/// No block that is known is in the chain any more.
pub(crate) fn reorganised_too_deep(source: &Name, kept: u64) {
    counter!("oss_source_reorg_too_deep_total", "source" => source.as_str().to_owned()).increment(1);
    tracing::error!(%source, kept, "The chain of a source was reorganised deeper than it is followed; what was handed out \
        of deeper blocks is not withdrawn");
}

/// Why an observation that was handed out is not watched any more before its block is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// `:handed` was full: who has read it already still watches it, who starts later does not.
    Full,
    /// This process keeps as much as it may.
    Memory,
    /// No build that can read the entry came in time.
    Unreadable,
}

impl Dropped {
    const ALL: [Self; 3] = [Self::Full, Self::Memory, Self::Unreadable];

    const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Memory => "memory",
            Self::Unreadable => "unreadable",
        }
    }
}

fn dropped(source: &Name, why: Dropped) -> metrics::Counter {
    counter!("oss_source_watch_dropped_total", "source" => source.as_str().to_owned(), "why" => why.name())
}

/// Observations are not watched any more, the oldest ones.
pub(crate) fn watch_dropped(source: &Name, why: Dropped, observations: usize) {
    if observations == 0 {
        return;
    }
    dropped(source, why).increment(observations as u64);
    let why = why.name();
    tracing::warn!(%source, why, observations, "Observations are not watched any more; if their blocks go, nobody may be told");
}

/// An entry of `:handed` cannot be read by this build; it is left to one that can.
pub(crate) fn note_unreadable(source: &Name, shard: Shard, id: StreamId) {
    counter!("oss_source_notes_unreadable_total", "source" => source.as_str().to_owned(), "shard" => shard.name())
        .increment(1);
    tracing::warn!(%source, %shard, %id, "What was handed out is noted in a form this build cannot read; it is left to one that can");
}

/// An observation was withdrawn: its block has left its chain.
pub(crate) fn withdrawn(source: &Name, shard: Shard, id: &str, block: BlockRef) {
    counter!("oss_source_withdrawn_total", "source" => source.as_str().to_owned(), "shard" => shard.name())
        .increment(1);
    let BlockRef { block, block_hash } = block;
    tracing::warn!(%source, %shard, id, block, %block_hash, "A block is gone: what was handed out of it is withdrawn");
}

/// A source's actor starts over after a panic.
pub(crate) fn source_restarted(source: &Name) {
    counter!("oss_source_restarts_total", "source" => source.as_str().to_owned()).increment(1);
    tracing::error!(%source, "A source crashed; it is built anew");
}

#[cfg(test)]
mod tests;
