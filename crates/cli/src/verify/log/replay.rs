//! One entry after the other: chain of digests, then the validator's own fold.

use std::fmt::Write as _;

use common::entry::Entry;
use common::hash::Digest;
use common::ids::Shard;
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
    fold: Fold,
    head: Digest,
    decided: u64,
}

impl Replay {
    pub(super) fn new(shard: Shard) -> Self {
        Self { fold: Fold::genesis(shard), head: Digest::ZERO, decided: 0 }
    }

    pub(super) fn shard(&self) -> Shard {
        self.fold.shard()
    }

    pub(super) fn position(&self) -> &Position {
        self.fold.position()
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
        if entry.prev != self.head {
            return Err(Difference::Chain { seq, prev: entry.prev, expected: self.head });
        }
        let body = entry.decode().map_err(|source| Difference::Body { seq, source })?;
        if body.seq != seq {
            return Err(Difference::Number { seq, body: body.seq });
        }
        self.fold.push(&body)?;
        let deciding = body.outcomes.iter().filter(|outcome| outcome.outcome.is_deciding()).count();
        self.decided += u64::try_from(deciding).unwrap_or(u64::MAX);
        self.head = entry.digest;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
