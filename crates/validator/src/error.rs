//! What ends the validator, and with which exit code. Retrying happens where a call is made; what arrives here
//! did not go away by itself.

use common::exit;
use common::hash::Digest;
use common::ids::Shard;
use common::link::LinkError;

use crate::checkpoint::CheckpointError;
use crate::engine::Fault;
use crate::replay::Difference;
use crate::view::ViewError;

/// Redis or the own database does not hold what it must: an operator has to look.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataLoss {
    #[error("{shard}: Redis has no generation although entry {seq} was seen: it was wiped")]
    GenerationMissing { shard: Shard, seq: u64 },
    #[error(
        "{shard}: Redis has generation {found}, the own database belongs to {expected}: it was replaced or restored"
    )]
    GenerationOther { shard: Shard, expected: String, found: String },
    #[error("{shard}: the log ends at entry {log}, the own database at {view}: Redis lost entries")]
    ViewAhead { shard: Shard, view: u64, log: u64 },
    #[error("{shard}: entry {seq} has digest {log} in the log and {view} in the own database")]
    Fork { shard: Shard, seq: u64, view: Digest, log: Digest },
    #[error(
        "{shard}: entry {seq} is missing between the own archive and the log, whose first entry is {first}"
    )]
    Hole { shard: Shard, seq: u64, first: u64 },
}

/// What a shard's sequencer cannot go on after. All of them halt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    DataLoss(#[from] DataLoss),
    /// The log does not fold to what it says: another build, a bug, or a changed log.
    #[error(transparent)]
    Replay(#[from] Difference),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Engine(#[from] Fault),
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Failure {
    /// The exit code of [`common::exit`].
    #[must_use]
    pub(crate) fn exit_code(&self) -> i32 {
        match self {
            Self::DataLoss(_)
            | Self::Replay(_)
            | Self::View(ViewError::Fork { .. } | ViewError::NotNext { .. }) => exit::DATA_LOSS,
            Self::View(_) | Self::Checkpoint(_) | Self::Engine(_) | Self::Link(_) => exit::ESSENTIAL,
        }
    }
}

/// The whole chain of causes in one line, for the log.
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
