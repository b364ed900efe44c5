//! Old roots: the state trees after the last entries, which a start does not have, and older ones on demand.
//!
//! In: the view's undo records and the roots in the archive. Out: the engine's history, extended backwards step by
//! step once the shard is ready ([`bring_back`]), as far as [`crate::engine::HISTORY`] and the undo records reach;
//! and for a proof beyond it one rebuilt tree ([`rebuild`]). Invariant: a tree is kept or proved against only if its
//! root is the one its entry states.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::engine::tree::{LeafWrite, Tree};
use crate::error::{Failure, chain};
use crate::shard::ShardState;
use crate::view::{Snapshot, ViewError};

/// How long one run of steps takes about; the same time is left to everything else after it.
const RUN: Duration = Duration::from_millis(5);
/// Most keys that a rebuilt tree may differ in from the oldest one in memory: about 60 MB of nodes.
const REBUILT_KEYS_MAX: usize = 100_000;

/// Why there is no tree for an entry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTree {
    #[error(transparent)]
    View(#[from] ViewError),
    /// The undo records do not lead to what the entry states: the view is damaged.
    #[error("the undo records do not give the root of entry {seq}")]
    OtherRoot { seq: u64 },
    /// More has changed since than may be computed for one proof.
    #[error("too much has changed since entry {seq}")]
    TooFar { seq: u64 },
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Extended,
    /// There is no room for more, or nothing leads further back.
    Done,
}

/// Extends the history backwards until it is full. Its end is of no harm: what is missing is rebuilt on demand.
pub(crate) async fn bring_back(shard: Arc<ShardState>, stop: watch::Receiver<bool>) {
    let began = Instant::now();
    while !*stop.borrow() {
        let state = Arc::clone(&shard);
        let run = tokio::task::spawn_blocking(move || run(&state));
        match run.await {
            Ok(Ok(Step::Extended)) => tokio::time::sleep(RUN).await,
            Ok(Ok(Step::Done)) => break,
            Ok(Err(failure)) => {
                let error = chain(&failure);
                tracing::error!(shard = %shard.shard, error, "Old roots cannot be brought back; the view should be rebuilt");
                break;
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => break,
            },
        }
    }
    let oldest = shard.engine().history().oldest_seq();
    crate::metrics::old_roots(shard.shard, oldest, began.elapsed());
}

fn run(shard: &ShardState) -> Result<Step, Failure> {
    let until = Instant::now() + RUN;
    while Instant::now() < until {
        if step(shard)? == Step::Done {
            return Ok(Step::Done);
        }
    }
    Ok(Step::Extended)
}

/// Adds the version before the oldest one in memory.
pub(crate) fn step(shard: &ShardState) -> Result<Step, Failure> {
    let oldest = shard.engine().history().oldest_seq();
    let snapshot = shard.view.snapshot()?;
    let is_kept = oldest.saturating_add(shard.view.undo_entries()) > snapshot.head()?.seq;
    let Some(before) = oldest.checked_sub(1).filter(|_| is_kept) else { return Ok(Step::Done) };
    let Some(undo) = snapshot.undo_between(before, oldest, usize::MAX)? else { return Ok(Step::Done) };
    let root = shard.view.root_of(before)?;
    let mut engine = shard.engine_mut();
    // The sequencer has dropped the oldest one for want of room.
    if engine.history().oldest_seq() != oldest {
        return Ok(Step::Done);
    }
    Ok(if engine.restore_older(&undo, root)?.is_some() { Step::Extended } else { Step::Done })
}

/// The tree after entry `seq`, which is older than those in memory.
pub(crate) fn rebuild(shard: &ShardState, snapshot: &Snapshot, seq: u64) -> Result<Tree, NoTree> {
    let (oldest, base) = {
        let engine = shard.engine();
        let history = engine.history();
        (history.oldest_seq(), history.oldest().clone())
    };
    let undo = snapshot.undo_between(seq, oldest, REBUILT_KEYS_MAX)?.ok_or(NoTree::TooFar { seq })?;
    crate::metrics::rebuilt(shard.shard);
    undone(&base, &undo).filter_root(shard.view.root_of(seq)?).ok_or(NoTree::OtherRoot { seq })
}

/// A tree that was computed and not compared yet.
#[must_use]
struct Unproven(Tree);

fn undone(base: &Tree, undo: &[LeafWrite]) -> Unproven {
    Unproven(base.update(undo).tree)
}

impl Unproven {
    fn filter_root(self, stated: common::hash::Digest) -> Option<Tree> {
        Some(self.0).filter(|tree| tree.root() == stated)
    }
}

#[cfg(test)]
mod tests {
    use common::hash::Digest;

    use super::*;

    #[test]
    fn a_rebuilt_tree_is_given_out_only_with_the_root_that_its_entry_states() {
        let write = |key: &[u8], value: Option<&[u8]>| LeafWrite {
            key_hash: Digest::of(&[key]),
            value_hash: value.map(|value| Digest::of(&[value])),
        };
        let old = Tree::new().update(&[write(b"a", Some(b"1"))]).tree;
        let new = old.update(&[write(b"a", Some(b"2")), write(b"b", Some(b"1"))]).tree;
        let undo = [write(b"a", Some(b"1")), write(b"b", None)];
        let tree = undone(&new, &undo).filter_root(old.root()).expect("the old tree");
        assert_eq!(tree.get(&Digest::of(&[b"a"])), Some(Digest::of(&[b"1"])));
        for damaged in [&undo[..1], &[write(b"a", Some(b"3")), write(b"b", None)][..]] {
            assert!(undone(&new, damaged).filter_root(old.root()).is_none());
        }
    }
}
