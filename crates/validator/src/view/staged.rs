//! A checkpoint of another validator with the entries before it, on its way into an empty view.
//!
//! In: entries, one following the other, then the file. Out: archive and view up to the file's entry, in one transaction.
//! Until it is committed nothing of it is there, whatever was wrong with it, and no other write happens.

use std::sync::atomic::Ordering;

use common::entry::Entry;
use common::hash::Digest;
use redb::{ReadableTable as _, WriteTransaction};

use super::tables::{self, HeadRow};
use super::{View, ViewError};
use crate::checkpoint::{CheckpointError, Reader};

/// What is not there yet; dropping it leaves everything as it was.
pub(crate) struct Staged<'a> {
    view: &'a View,
    txn: WriteTransaction,
    /// The archive's last entry, with what was staged.
    last: Option<(u64, Digest)>,
}

impl View {
    /// Begins to fill the empty view.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn stage(&self) -> Result<Staged<'_>, ViewError> {
        let txn = self.db.begin_write()?;
        let last =
            txn.open_table(tables::ENTRIES)?.last()?.map(|(seq, row)| (seq.value(), Digest(*row.value().1)));
        Ok(Staged { view: self, txn, last })
    }
}

impl Staged<'_> {
    /// The last entry that is here; `None` = the archive is empty, and any may come first.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last.map(|(seq, _)| seq)
    }

    /// Takes an entry if it is intact and follows the last one; gives whether.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<bool, ViewError> {
        let Entry { seq, prev, digest, body } = entry;
        let follows = self.last.is_none_or(|(last, digest)| (last + 1, digest) == (*seq, *prev));
        if !follows || !entry.is_intact() {
            return Ok(false);
        }
        self.txn.open_table(tables::ENTRIES)?.insert(*seq, (&prev.0, &digest.0, body.as_slice()))?;
        self.last = Some((*seq, *digest));
        Ok(true)
    }

    /// Takes the file, and with it everything, on disk when this returns. All or nothing.
    ///
    /// # Errors
    /// See [`CheckpointError`]; view and archive are what they were.
    pub(crate) fn restore(self, file: Reader) -> Result<HeadRow, CheckpointError> {
        let Self { view, txn, .. } = self;
        let head = view.restore_in(txn, file)?;
        view.synced_seq.fetch_max(head.seq, Ordering::SeqCst);
        Ok(head)
    }
}

impl Reader {
    /// For each target the first entry in which it is open. Reads the file to its end.
    ///
    /// # Errors
    /// See [`CheckpointError`].
    pub(crate) fn first_open(mut self) -> Result<std::collections::BTreeMap<String, u64>, CheckpointError> {
        let mut first = std::collections::BTreeMap::new();
        while let Some(row) = self.next()? {
            if let Some((seq, targets)) = super::checkpoint::open_in(&row).map_err(|what| self.form(what))? {
                for target in targets {
                    first.entry(target).or_insert(seq);
                }
            }
        }
        Ok(first)
    }
}

impl std::fmt::Debug for Staged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staged").field("last", &self.last).finish_non_exhaustive()
    }
}
