//! Checkpoints: a shard's whole view after one entry, in one file that is named by its hash.
//!
//! In: one moment of a view. Out: a file from which an empty view goes on after that entry without older ones. What a file
//! holds is a function of the log up to its entry and of `view.undo_entries`, so that every process writes the same bytes
//! (`docs/formats.md`, ADR 17).
//!
//! - `file` writes and reads rows, one at a time; `folder` gives files their names; the view itself says which
//!   rows it has and takes them back (`view/checkpoint`).
//! - Nothing of a file is used before its hash, its end and its root are checked. A file that fails one of them is
//!   named, and the next older one is tried.
//! - A rollback looks back [`WINDOW_ENTRIES`]: undo records of them are in the file, the entries themselves are not. A view
//!   takes a checkpoint only if its archive has these entries, up to the very entry the file was written after.

mod file;
mod folder;
pub(crate) mod keeper;
mod take;

use std::path::PathBuf;

use borsh::{BorshDeserialize, BorshSerialize};
use common::hash::Digest;
use common::ids::Shard;

pub(crate) use file::{Reader, Row, Writer};
pub(crate) use folder::{Folder, Found};
pub(crate) use take::{restore, write};

use crate::engine::past::WINDOW_ENTRIES;
use crate::view::{HeadRow, ViewError};

/// What a file begins with, once it is decompressed.
const MAGIC: &[u8; 16] = b"oss/checkpoint/1";

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Header {
    /// The shard's name.
    pub(crate) shard: String,
    /// The generation of the Redis data set whose log it is of.
    pub(crate) generation: String,
    /// Version of the rows' layouts: the view's schema.
    pub(crate) schema: String,
    /// Of so many entries there are undo records.
    pub(crate) undo_entries: u64,
    /// The entry it stands after, with root, aux, epoch, time, rule set and targets.
    pub(crate) head: HeadRow,
}

/// A table of the view in a file; in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// State key → value.
    Values = 1,
    /// Entry → undo record, for the last `undo_entries`.
    Undo = 2,
    /// Entry → the decisions it made.
    Decided = 3,
    /// Request → what was withdrawn of it.
    Withdrawals = 4,
    /// Entry → who waits for deliveries of it.
    Deliveries = 5,
    /// Target, a zero byte, entry → nothing: final there; of the last `undo_entries`, and the newest.
    Finals = 6,
    /// Asset → who holds it and who waits for it.
    Locks = 7,
    /// Request → what waits.
    Waiters = 8,
}

impl Table {
    const ALL: [Self; 8] = [
        Self::Values,
        Self::Undo,
        Self::Decided,
        Self::Withdrawals,
        Self::Deliveries,
        Self::Finals,
        Self::Locks,
        Self::Waiters,
    ];

    fn tag(self) -> u8 {
        self as u8
    }

    fn of_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.tag() == tag)
    }
}

/// Why a checkpoint was not written or not taken. The view is what it was.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} has the hash {found}, which is not its name: it is damaged")]
    Hash { path: PathBuf, found: Digest },
    #[error("{path} is no whole checkpoint: {what}")]
    Form { path: PathBuf, what: &'static str },
    #[error("{path} states root {stated}, its values give {computed}")]
    Root { path: PathBuf, stated: Digest, computed: Digest },
    #[error("{path} is of another {what}")]
    Other { path: PathBuf, what: &'static str },
    #[error("{path} is after entry {seq}, and the archive does not hold that entry with all from {first} on")]
    Window { path: PathBuf, seq: u64, first: u64 },
    /// Only an empty view takes one.
    #[error("the view stands at entry {seq}")]
    NotEmpty { seq: u64 },
    #[error("the writing was given up because the process ends")]
    Stopped,
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Header {
    /// The first entry that a view has to have beside the file: a rollback may look at it, and old roots are compared with
    /// what it states.
    #[must_use]
    pub(crate) fn window_first(&self) -> u64 {
        self.head.seq.saturating_sub(self.undo_entries.max(WINDOW_ENTRIES)).max(1)
    }

    /// Whether a view of this shard, generation, schema and setting may take it; else what is another one.
    pub(crate) fn check(
        &self,
        shard: Shard,
        generation: Option<&str>,
        schema: &str,
        undo_entries: u64,
    ) -> Result<(), &'static str> {
        let rules = [
            (self.shard == shard.to_string(), "shard"),
            (generation.is_none_or(|own| self.generation == own), "generation of Redis"),
            (self.schema == schema, "schema of the view"),
            (self.undo_entries >= undo_entries, "number of undo records"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, what)| Err(what))
    }
}

#[cfg(test)]
mod tests;
