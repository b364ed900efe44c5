//! Writes checkpoints beside everything else, in every process, whether it leads or follows.
//!
//! In: how far each shard's view is. Out: files in `checkpoints/<shard>` beside the databases. One is written at a time, from a
//! snapshot of the view, on a thread for blocking work: the sequencer never waits for it. A failure is told and tried
//! again; a checkpoint shortens a start, and nothing depends on there being one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{CheckpointError, Folder, write};
use crate::config::CheckpointSettings;
use crate::shard::ShardState;

/// How often to look whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After one, so many times as long as it took none is written: a twentieth of one core at most.
const REST: u32 = 19;

/// What is known of one shard's checkpoints.
#[derive(Debug, Clone, Copy)]
struct Last {
    /// The entry of the newest one; 0 = there is none.
    seq: u64,
    took: Duration,
    ended: Instant,
}

impl Last {
    fn is_due(&self, seq: u64, every: u64) -> bool {
        is_due(seq, self.seq, every, self.ended.elapsed(), self.took)
    }
}

/// Writes for as long as the process lives.
pub(crate) async fn run(
    shards: Vec<Arc<ShardState>>,
    settings: CheckpointSettings,
    stop: watch::Receiver<bool>,
) {
    let mut rounds = tokio::time::interval(LOOK_EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last: Vec<Option<Last>> = vec![None; shards.len()];
    while !*stop.borrow() {
        rounds.tick().await;
        for (shard, last) in shards.iter().zip(&mut last) {
            let every = settings.every_entries;
            if last.is_some_and(|last: Last| !last.is_due(shard.now().seq, every)) {
                continue;
            }
            let Some(turn) = shard.try_checkpoint_turn() else { continue };
            let (shard, stop, known) = (Arc::clone(shard), stop.clone(), *last);
            let round = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                look(&shard, known, every, &stop)
            });
            match round.await {
                Ok(now) => *last = Some(now),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Nobody cancels it but the end of the process.
                    Err(_cancelled) => return,
                },
            }
        }
    }
}

/// Writes one if it is due.
fn look(shard: &ShardState, last: Option<Last>, every: u64, stop: &watch::Receiver<bool>) -> Last {
    let folder = match Folder::open(&folder_of(shard)) {
        Ok(folder) => folder,
        Err(error) => return failed(shard, last, &error),
    };
    let last = match last.map_or_else(|| first(shard, &folder), Ok) {
        Ok(last) => last,
        Err(error) => return failed(shard, last, &error),
    };
    let began = Instant::now();
    if !last.is_due(shard.now().seq, every) {
        return last;
    }
    match write(&shard.view, &folder, &|| !*stop.borrow()) {
        Ok(None) | Err(CheckpointError::Stopped) => last,
        Ok(Some(written)) => {
            let (seq, took) = (written.header.head.seq, began.elapsed());
            crate::metrics::checkpoint_written(shard.shard, &written, took);
            Last { seq, took, ended: Instant::now() }
        }
        Err(error) => failed(shard, Some(Last { took: began.elapsed(), ..last }), &error),
    }
}

/// Tells why there is none, and lets time pass.
fn failed(shard: &ShardState, last: Option<Last>, error: &CheckpointError) -> Last {
    crate::metrics::checkpoint_failed(shard.shard, error);
    let ended = Instant::now();
    let took = last.map_or(LOOK_EVERY, |last| last.took.max(LOOK_EVERY));
    Last { seq: last.map_or(0, |last| last.seq), took, ended }
}

fn first(shard: &ShardState, folder: &Folder) -> Result<Last, CheckpointError> {
    let (found, _) = folder.list()?;
    let newest = found.first().inspect(|newest| crate::metrics::checkpoint(shard.shard, newest));
    let seq = newest.map_or(0, |newest| newest.header.head.seq);
    Ok(Last { seq, took: Duration::ZERO, ended: Instant::now() })
}

/// Where a shard's checkpoints are.
pub(crate) fn folder_of(shard: &ShardState) -> PathBuf {
    shard.view.folder().join("checkpoints").join(shard.shard.to_string())
}

/// Whether enough entries have come since the last one, and enough time has passed for what it took.
fn is_due(seq: u64, last_seq: u64, every: u64, since: Duration, took: Duration) -> bool {
    seq.saturating_sub(last_seq) >= every && since >= took.saturating_mul(REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_due_after_so_many_entries_and_not_while_the_last_one_is_still_paid_for() {
        let (none, second) = (Duration::ZERO, Duration::from_secs(1));
        assert!(!is_due(999, 0, 1_000, none, none));
        assert!(is_due(1_000, 0, 1_000, none, none));
        assert!(!is_due(1_999, 1_000, 1_000, second, none));
        assert!(!is_due(2_000, 1_000, 1_000, second * 18, second));
        assert!(is_due(2_000, 1_000, 1_000, second * 19, second));
    }
}
