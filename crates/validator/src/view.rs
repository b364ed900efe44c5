//! A shard's database: the archive of its log, and the view, which is the fold of that log.
//!
//! In: committed entries in order, several at a time, with what they changed. Out: state for the next batch, answers for
//! readers, entries for relay and replay. One redb file per shard, so that shards never wait for each other.
//!
//! - An entry, its changes and its effects are written in one transaction. It is not fsynced; once in
//!   `sync_ms` one is, and carries all before it. What a crash takes is read again from `:log`, which is
//!   trimmed only up to [`View::synced_seq`].
//! - `entries` is never rewritten: the same seq with another digest is [`ViewError::Fork`]. It may be cut at its front.
//! - The view can be deleted ([`View::clear`]); the replay at start rebuilds it, from a checkpoint if the archive is cut.
//! - Undo records give the value of a key at an older entry: the first record after it that names the key
//!   holds the value, and without one the present value does.

mod archive;
mod checkpoint;
mod decided;
mod past;
mod read;
mod staged;
mod tables;
mod undo;
mod waiting;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use borsh::BorshDeserialize;
use common::ids::Shard;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

pub(crate) use archive::Page;
pub(crate) use read::Snapshot;
pub(crate) use tables::HeadRow;
pub(crate) use write::Record;

use crate::config::ViewSettings;

/// What is wrong with the database. Everything here halts: retrying changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error("database")]
    Redb(#[source] Box<redb::Error>),
    #[error("row {row} of table {table} cannot be read")]
    Row { table: &'static str, row: String },
    /// The archive already holds another entry at this place.
    #[error("entry {seq} stands in the archive with another digest")]
    Fork { seq: u64 },
    /// The view would have to be rebuilt, and the archive does not reach back to the first entry.
    #[error(
        "this build or view.undo_entries asks for the view to be rebuilt from the first entry, and the archive begins at entry {first}; nothing was changed"
    )]
    Cut { first: u64 },
    /// An entry that does not follow the view's head was to be written.
    #[error("entry {seq} does not follow the view's head {head}")]
    NotNext { seq: u64, head: u64 },
}

impl<E: Into<redb::Error>> From<E> for ViewError {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

/// One shard's database. Cheap to share behind an `Arc`; there is one writer at a time: the sequencer, or
/// the [`Writer`](crate::writer::Writer) it waits for.
#[derive(Debug)]
pub(crate) struct View {
    shard: Shard,
    folder: PathBuf,
    db: Database,
    settings: ViewSettings,
    /// The last entry that is on disk.
    synced_seq: AtomicU64,
    /// There may be rows in `effects`; without it nobody has to look.
    may_have_effects: AtomicBool,
    sync: Mutex<SyncState>,
}

#[derive(Debug)]
struct SyncState {
    last: Instant,
    /// The last entry written since.
    dirty: Option<u64>,
}

impl View {
    /// Opens or makes the database of `shard`. A view of another schema is cleared.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn open(path: &Path, shard: Shard, settings: ViewSettings) -> Result<Self, ViewError> {
        let db = Database::builder().set_cache_size(settings.cache_bytes).create(path)?;
        let view = Self {
            shard,
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
            db,
            settings,
            synced_seq: AtomicU64::new(0),
            may_have_effects: AtomicBool::new(true),
            sync: Mutex::new(SyncState { last: Instant::now(), dirty: None }),
        };
        let txn = view.db.begin_write()?;
        if lay_out(&txn, settings.undo_entries)? == Layout::Renewed {
            tracing::warn!(%shard, "The view has another schema, or fewer undo records than wanted, and is rebuilt from the archive");
        }
        txn.commit()?;
        // Whatever an open finds is what the last fsynced transaction left.
        view.synced_seq.store(view.archive_head()?.map_or(0, |entry| entry.seq), Ordering::SeqCst);
        Ok(view)
    }

    #[must_use]
    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    /// Where the database is, and where a dump for people may go.
    #[must_use]
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last entry whose archive row is on disk.
    #[must_use]
    pub(crate) fn synced_seq(&self) -> u64 {
        self.synced_seq.load(Ordering::SeqCst)
    }

    /// How far back undo records are kept.
    #[must_use]
    pub(crate) fn undo_entries(&self) -> u64 {
        self.settings.undo_entries
    }

    /// Nothing was ever stored here: no generation and no entry. Only then may `:gen` be created.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn is_blank(&self) -> Result<bool, ViewError> {
        Ok(self.generation()?.is_none() && self.archive_head()?.is_none())
    }

    /// The generation of the Redis data set this database belongs to.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn generation(&self) -> Result<Option<String>, ViewError> {
        let table = self.db.begin_read()?.open_table(tables::IDENTITY)?;
        Ok(table.get(tables::GENERATION)?.map(|text| text.value().to_owned()))
    }

    /// Notes the generation, on disk when this returns.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn set_generation(&self, generation: &str) -> Result<(), ViewError> {
        let txn = self.db.begin_write()?;
        txn.open_table(tables::IDENTITY)?.insert(tables::GENERATION, generation)?;
        txn.commit()?;
        Ok(())
    }

    /// Whether the last process that led with this database ended in order. A new database is clean.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn is_clean(&self) -> Result<bool, ViewError> {
        let table = self.db.begin_read()?.open_table(tables::IDENTITY)?;
        Ok(table.get(tables::LEADING)?.is_none())
    }

    /// Notes that a process leads, or that it has ended in order; on disk when this returns.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn set_clean(&self, clean: bool) -> Result<(), ViewError> {
        if self.is_clean()? == clean {
            return Ok(());
        }
        let mut txn = self.db.begin_write()?;
        txn.set_quick_repair(true);
        {
            let mut table = txn.open_table(tables::IDENTITY)?;
            if clean {
                table.remove(tables::LEADING)?;
            } else {
                table.insert(tables::LEADING, "")?;
            }
        }
        txn.commit()?;
        Ok(())
    }

    /// Deletes the view; the archive stays. The next replay rebuilds it.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn clear(&self) -> Result<(), ViewError> {
        let txn = self.db.begin_write()?;
        delete_view(&txn)?;
        lay_out(&txn, self.settings.undo_entries)?;
        txn.commit()?;
        Ok(())
    }

    /// Fsyncs what was written, if `sync_ms` have passed since the last time. For idle moments; a busy shard
    /// is synced by its own writes.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn sync_if_due(&self) -> Result<(), ViewError> {
        if self.is_sync_due(true) { self.sync_now() } else { Ok(()) }
    }

    /// Fsyncs everything that was written.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn sync_now(&self) -> Result<(), ViewError> {
        // What is written meanwhile is not carried.
        let dirty = self.sync_state().dirty;
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        txn.set_quick_repair(true);
        txn.commit()?;
        let mut sync = self.sync_state();
        if let Some(seq) = dirty {
            // While the view is rebuilt, older entries than the archive's last are written.
            self.synced_seq.fetch_max(seq, Ordering::SeqCst);
        }
        if sync.dirty == dirty {
            sync.dirty = None;
        }
        sync.last = Instant::now();
        Ok(())
    }

    fn is_sync_due(&self, only_if_dirty: bool) -> bool {
        let sync = self.sync_state();
        (sync.dirty.is_some() || !only_if_dirty) && sync.last.elapsed() >= self.settings.sync()
    }

    /// Notes that the entry was written, on disk or not.
    fn written(&self, seq: u64, is_synced: bool) {
        let mut sync = self.sync_state();
        if is_synced {
            *sync = SyncState { last: Instant::now(), dirty: None };
            // While the view is rebuilt, older entries than the archive's last are written.
            self.synced_seq.fetch_max(seq, Ordering::SeqCst);
        } else {
            sync.dirty = Some(seq);
        }
    }

    /// While it is kept, writes wait.
    #[cfg(test)]
    pub(crate) fn hold_writes(&self) -> WriteTransaction {
        self.db.begin_write().expect("a write transaction")
    }

    fn sync_state(&self) -> std::sync::MutexGuard<'_, SyncState> {
        self.sync.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the tables were found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Present,
    /// The view had another schema or kept fewer undo records, and is empty now.
    Renewed,
}

/// Makes every table, so that readers find them. A view of another schema is deleted in the same transaction that
/// notes the new schema: a crash leaves the old view under its old schema, or none. So is one in which older undo records
/// than it kept so far would be looked for.
fn lay_out(txn: &WriteTransaction, undo_entries: u64) -> Result<Layout, ViewError> {
    let layout = {
        let mut identity = txn.open_table(tables::IDENTITY)?;
        let kept = identity.insert(tables::UNDO_ENTRIES, undo_entries.to_string().as_str())?;
        let kept = kept.and_then(|text| text.value().parse::<u64>().ok());
        let is_short = kept.is_none_or(|kept| kept < undo_entries);
        match identity.insert(tables::SCHEMA, tables::SCHEMA_VERSION)? {
            Some(schema) if is_short || schema.value() != tables::SCHEMA_VERSION => Layout::Renewed,
            _ => Layout::Present,
        }
    };
    if layout == Layout::Renewed {
        // What it was computed from is no longer here.
        let cut = txn.open_table(tables::ENTRIES)?.first()?.map(|(seq, _)| seq.value());
        if let Some(first) = cut.filter(|first| *first > 1) {
            return Err(ViewError::Cut { first });
        }
        delete_view(txn)?;
    }
    txn.open_table(tables::ENTRIES)?;
    txn.open_table(tables::EFFECTS)?;
    txn.open_table(tables::VALUES)?;
    txn.open_table(tables::UNDO)?;
    txn.open_table(tables::DECISIONS)?;
    txn.open_table(tables::DECIDED)?;
    txn.open_table(tables::WITHDRAWALS)?;
    txn.open_table(tables::DELIVERIES)?;
    txn.open_table(tables::FINALS)?;
    txn.open_table(tables::LOCKS)?;
    txn.open_table(tables::WAITERS)?;
    txn.open_table(tables::OPEN)?;
    txn.open_table(tables::META)?;
    Ok(layout)
}

/// Deletes the tables of the view; those of the archive stay.
fn delete_view(txn: &WriteTransaction) -> Result<(), ViewError> {
    txn.delete_table(tables::VALUES)?;
    txn.delete_table(tables::UNDO)?;
    txn.delete_table(tables::DECISIONS)?;
    txn.delete_table(tables::DECIDED)?;
    txn.delete_table(tables::WITHDRAWALS)?;
    txn.delete_table(tables::DELIVERIES)?;
    txn.delete_table(tables::FINALS)?;
    txn.delete_table(tables::LOCKS)?;
    txn.delete_table(tables::WAITERS)?;
    txn.delete_table(tables::OPEN)?;
    txn.delete_table(tables::META)?;
    Ok(())
}

fn decode<T: BorshDeserialize>(
    table: &'static str,
    row: &dyn std::fmt::Display,
    bytes: &[u8],
) -> Result<T, ViewError> {
    common::state::decode(bytes).map_err(|_| ViewError::Row { table, row: row.to_string() })
}

#[cfg(test)]
mod tests;
