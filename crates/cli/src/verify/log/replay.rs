//! One entry after the other: chain of digests, then the validator's own fold. Of a log whose first entries are no longer kept
//! there is no state to fold on: its chain alone is checked, and what its entries state is taken as it stands.

use std::fmt::Write as _;

use common::entry::{Body, Entry};
use common::hash::Digest;
use common::ids::Shard;
use common::targets::Targets;
use validator::engine::Position;
use validator::{Fold, FoldError};

/// The log is not what it says. Final: the entry named is the first one that differs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Difference {
    #[error("entry {found} stands where entry {expected} should")]
    Gap { expected: u64, found: u64 },
    #[error("entry {seq}: the digest does not cover its content")]
    Digest { seq: u64 },
    #[error("entry {seq}: prev is {prev}, the entry before has {expected}")]
    Chain { seq: u64, prev: Digest, expected: Digest },
    #[error("entry {seq}: the body cannot be read")]
    Body { seq: u64, source: serde_json::Error },
    #[error("entry {seq}: the body says it is entry {body}")]
    Number { seq: u64, body: u64 },
    #[error("the log ends at entry {found}, the service says that its head is entry {head}")]
    Short { found: u64, head: u64 },
    #[error("entry {seq}: the replay gives {field} {computed}, the service shows {shown} for its head")]
    Head { seq: u64, field: &'static str, computed: Digest, shown: Digest },
    #[error("entry {seq}: its digest is {computed}, the service's checkpoint after it states {stated}")]
    Checkpoint { seq: u64, computed: Digest, stated: Digest },
    #[error("entry {seq}: its epoch or time is before that of the entry before")]
    Falls { seq: u64 },
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl Difference {
    /// The whole chain of causes in one line.
    pub(super) fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let _infallible = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}

/// A log as far as it has been taken.
#[derive(Debug)]
pub(super) struct Replay {
    shard: Shard,
    /// The entry it begins with.
    first: u64,
    state: State,
    head: Digest,
    decided: u64,
}

#[derive(Debug)]
enum State {
    /// Computed from the first entry on.
    Folded(Box<Fold>),
    /// As the last entry states it.
    Stated(Box<Position>),
}

impl Replay {
    pub(super) fn new(shard: Shard) -> Self {
        let state = State::Folded(Box::new(Fold::genesis(shard)));
        Self { shard, first: 1, state, head: Digest::ZERO, decided: 0 }
    }

    /// From entry `first` on, of which only the chain is checked.
    pub(super) fn of_chain(shard: Shard, first: u64) -> Self {
        let position = Position { seq: first.saturating_sub(1), ..Fold::genesis(shard).position().clone() };
        Self { first, state: State::Stated(Box::new(position)), ..Self::new(shard) }
    }

    pub(super) const fn shard(&self) -> Shard {
        self.shard
    }

    /// The entry it begins with.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Whether every entry was computed again.
    pub(super) const fn is_computed(&self) -> bool {
        matches!(self.state, State::Folded(_))
    }

    pub(super) fn position(&self) -> &Position {
        match &self.state {
            State::Folded(fold) => fold.position(),
            State::Stated(position) => position,
        }
    }

    /// Digest of the last entry.
    pub(super) const fn head(&self) -> Digest {
        self.head
    }

    pub(super) const fn decided(&self) -> u64 {
        self.decided
    }

    /// Checks the entry that follows and moves over it.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), Difference> {
        let seq = self.position().seq + 1;
        if entry.seq != seq {
            return Err(Difference::Gap { expected: seq, found: entry.seq });
        }
        if !entry.is_intact() {
            return Err(Difference::Digest { seq });
        }
        // What comes before the first entry of a chain is not known.
        let is_known = self.is_computed() || seq > self.first;
        if is_known && entry.prev != self.head {
            return Err(Difference::Chain { seq, prev: entry.prev, expected: self.head });
        }
        let body = entry.decode().map_err(|source| Difference::Body { seq, source })?;
        if body.seq != seq {
            return Err(Difference::Number { seq, body: body.seq });
        }
        match &mut self.state {
            State::Folded(fold) => fold.push(&body)?,
            State::Stated(last) if body.epoch < last.epoch || body.time_ms < last.time_ms => {
                return Err(Difference::Falls { seq });
            }
            State::Stated(last) => {
                let Body { seq, root, aux, time_ms, epoch, ruleset, .. } = body;
                **last = Position { seq, root, aux, time_ms, epoch, ruleset, targets: Targets::default() };
            }
        }
        let deciding = body.outcomes.iter().filter(|outcome| outcome.outcome.is_deciding()).count();
        self.decided += u64::try_from(deciding).unwrap_or(u64::MAX);
        self.head = entry.digest;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
