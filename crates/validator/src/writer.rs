//! The view's writer: committed entries go into the view beside the making of the next ones.
//!
//! In: committed entries with what they changed, from the sequencer, in order. Out: the view, then [`Recent`] and
//! [`Standing`], so that relay and readers hear of an entry only once the view has it. What waits is written in one
//! transaction, so the further the writer is behind, the less it does per entry; at most [`ENTRIES_MAX`] entries wait.
//!
//! The sequencer reads through [`Writer::state`]: the view, and over it what is not in it yet. Nothing else may be asked
//! of the view by the sequencer before [`Writer::join`]; a rollback's past is, so [`Writer::load`] waits for it. A crash
//! loses what waits; it is in the log and replayed.
//!
//! [`Recent`]: crate::relay::Recent

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use common::entry::{Body, Entry};
use common::hash::Digest;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use crate::engine::boundary::{Changes, Loaded, Needs};
use crate::error::Failure;
use crate::relay::Work;
use crate::shard::{ShardState, Standing};
use crate::view::{Record, Snapshot, ViewError};

/// Entries that may wait to be written, those being written included.
const ENTRIES_MAX: u32 = 8;

/// A committed entry on its way into the view.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) entry: Entry,
    pub(crate) body: Body,
    pub(crate) changes: Changes,
    /// See [`Record`].
    pub(crate) effects: Vec<u8>,
    pub(crate) targets: Vec<u8>,
    /// Where the shard stands after it.
    pub(crate) standing: Standing,
}

/// Owned by the sequencer.
#[derive(Debug)]
pub(crate) struct Writer {
    shard: Arc<ShardState>,
    queue: Arc<Queue>,
    /// Oldest first; the view may have got the first ones meanwhile.
    recent: VecDeque<Arc<Unwritten>>,
    running: Option<JoinHandle<Result<(), ViewError>>>,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Closed when the writer has failed.
    room: Semaphore,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Arc<Unwritten>>,
    is_running: bool,
}

/// The state as the last committed entry has left it.
#[derive(Debug)]
pub(crate) struct State {
    snapshot: Snapshot,
    /// Oldest first; some of them may be in the snapshot.
    newer: Vec<Arc<Unwritten>>,
}

impl Writer {
    pub(crate) fn new(shard: Arc<ShardState>) -> Self {
        let queue = Queue { waiting: Mutex::default(), room: Semaphore::new(ENTRIES_MAX as usize) };
        Self { shard, queue: Arc::new(queue), recent: VecDeque::new(), running: None }
    }

    /// The digest of the last committed entry.
    pub(crate) fn tip(&self) -> Digest {
        self.recent.back().map_or_else(|| self.shard.now().digest, |last| last.entry.digest)
    }

    /// What the last committed entry has changed, if the view may not have it yet.
    pub(crate) fn last_changes(&self) -> Option<&Changes> {
        self.recent.back().map(|last| &last.changes)
    }

    /// Takes the next entry, which the engine has accepted; waits while too many wait.
    ///
    /// # Errors
    /// The view could not be written.
    pub(crate) async fn push(&mut self, committed: Unwritten) -> Result<(), Failure> {
        let has_failed = self.queue.room.acquire().await.map(SemaphorePermit::forget).is_err();
        if has_failed {
            self.join().await?;
            // Whoever was told why goes on all the same.
            let head = self.shard.now().seq;
            return Err(ViewError::NotNext { seq: committed.entry.seq, head }.into());
        }
        let committed = Arc::new(committed);
        self.recent.push_back(Arc::clone(&committed));
        let is_running = {
            let mut waiting = self.queue.waiting();
            waiting.entries.push(committed);
            std::mem::replace(&mut waiting.is_running, true)
        };
        if !is_running {
            self.ended().await?;
            let (shard, queue) = (Arc::clone(&self.shard), Arc::clone(&self.queue));
            self.running = Some(tokio::task::spawn_blocking(move || queue.write_all(&shard)));
        }
        Ok(())
    }

    /// Waits until the view has every committed entry.
    ///
    /// # Errors
    /// The view could not be written.
    pub(crate) async fn join(&mut self) -> Result<(), Failure> {
        self.ended().await?;
        self.recent.clear();
        Ok(())
    }

    /// Waits for the run under way, if there is one, which ends when nothing waits.
    async fn ended(&mut self) -> Result<(), Failure> {
        let Some(running) = &mut self.running else { return Ok(()) };
        // Kept while it is waited for: whoever gives up waiting does not lose it.
        let ended = running.await;
        self.running = None;
        match ended {
            Ok(written) => Ok(written?),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nobody cancels it but the end of the process.
                Err(_cancelled) => Ok(()),
            },
        }
    }

    /// What a batch touches, after the last committed entry. `state`: as the batch's intake saw it, if it did.
    ///
    /// # Errors
    /// The view could not be written or read.
    pub(crate) async fn load(&mut self, state: Option<State>, needs: &Needs) -> Result<Loaded, Failure> {
        let state = match state {
            Some(state) if needs.undone.is_none() => state,
            // A past is looked for in the view alone.
            _ => {
                self.join().await?;
                self.state()?
            }
        };
        Ok(state.load(needs)?)
    }

    /// The state after the last committed entry.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn state(&mut self) -> Result<State, ViewError> {
        // What is dropped here is in the view before the snapshot is taken.
        let written = self.shard.now().seq;
        while self.recent.front().is_some_and(|oldest| oldest.entry.seq <= written) {
            self.recent.pop_front();
        }
        let newer = self.recent.iter().cloned().collect();
        Ok(State { snapshot: self.shard.view.snapshot()?, newer })
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nothing waits.
    fn write_all(&self, shard: &ShardState) -> Result<(), ViewError> {
        let failed = CloseUnlessDone { room: &self.room, is_done: false };
        loop {
            let run = {
                let mut waiting = self.waiting();
                if waiting.entries.is_empty() {
                    waiting.is_running = false;
                    return failed.done();
                }
                std::mem::take(&mut waiting.entries)
            };
            write(shard, &run)?;
            self.room.add_permits(run.len());
        }
    }
}

/// Writes one run and tells of it.
pub(crate) fn write(shard: &ShardState, run: &[Arc<Unwritten>]) -> Result<(), ViewError> {
    let began = Instant::now();
    let records: Vec<Record<'_>> = run.iter().map(|committed| committed.record()).collect();
    shard.view.write_run(&records)?;
    for committed in run {
        shard.recent.push(Arc::new(Work::of(&committed.body)));
    }
    if let Some(last) = run.last() {
        shard.reached(&last.standing);
    }
    crate::metrics::step(shard.shard, "apply", began.elapsed());
    for _ in run {
        common::crash_point!("validator.after_view");
    }
    Ok(())
}

/// Wakes whoever waits for room when the writer fails or panics, so that the failure is found.
struct CloseUnlessDone<'a> {
    room: &'a Semaphore,
    is_done: bool,
}

impl CloseUnlessDone<'_> {
    #[expect(clippy::unnecessary_wraps, reason = "the end of a function that may fail")]
    fn done(mut self) -> Result<(), ViewError> {
        self.is_done = true;
        Ok(())
    }
}

impl Drop for CloseUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.room.close();
        }
    }
}

impl Unwritten {
    fn record(&self) -> Record<'_> {
        let Self { entry, body, changes, effects, targets, .. } = self;
        Record { entry, body, changes, effects, targets }
    }
}

impl State {
    /// What a view alone shows.
    #[cfg(test)]
    pub(crate) fn of(snapshot: Snapshot) -> Self {
        Self { snapshot, newer: Vec::new() }
    }

    /// What a batch touches.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn load(&self, needs: &Needs) -> Result<Loaded, ViewError> {
        let newest_first: Vec<&Changes> =
            self.newer.iter().rev().map(|committed| &committed.changes).collect();
        self.snapshot.load_under(needs, &newest_first)
    }

    /// How many requests wait in the entry for deliveries.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn waiting_in(&self, seq: u64) -> Result<usize, ViewError> {
        let newer = self.newer.iter().rev().find_map(|committed| committed.changes.deliveries.get(&seq));
        let waiting = match newer {
            Some(row) => row.as_ref().map(|row| row.waiting.len()),
            None => self.snapshot.deliveries(seq)?.map(|row| row.waiting.len()),
        };
        Ok(waiting.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
