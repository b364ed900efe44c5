//! The archive: entries by their number, exactly as they stand in the log.

use common::entry::Entry;
use common::hash::Digest;
use redb::{Durability, ReadableDatabase as _, ReadableTable as _};
use serde::Deserialize;

use super::{View, ViewError, tables};

/// How much one read of the archive returns at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) entries_max: usize,
    /// Bytes of bodies; the first entry is returned whatever its size.
    pub(crate) bytes_max: usize,
}

impl View {
    /// The last archived entry.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn archive_head(&self) -> Result<Option<Entry>, ViewError> {
        let table = self.db.begin_read()?.open_table(tables::ENTRIES)?;
        Ok(table.last()?.map(|(seq, row)| read(seq.value(), row.value())))
    }

    /// The first archived entry's number: older ones are no longer, or never were, here.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn archive_first(&self) -> Result<Option<u64>, ViewError> {
        let table = self.db.begin_read()?.open_table(tables::ENTRIES)?;
        Ok(table.first()?.map(|(seq, _)| seq.value()))
    }

    /// Cuts the archive before entry `first`, by at most `entries_max` of its oldest entries; gives how many went.
    /// Others who write wait for it. A crash may bring back what it has cut.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn cut_archive(&self, first: u64, entries_max: u64) -> Result<u64, ViewError> {
        let Some(oldest) = self.archive_first()? else { return Ok(0) };
        let first = first.min(oldest.saturating_add(entries_max));
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::None)?;
        txn.open_table(tables::ENTRIES)?.retain_in(..first, |_, _| false)?;
        txn.commit()?;
        Ok(first.saturating_sub(oldest))
    }

    /// One archived entry; `None` = it is not here.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn entry(&self, seq: u64) -> Result<Option<Entry>, ViewError> {
        let table = self.db.begin_read()?.open_table(tables::ENTRIES)?;
        Ok(table.get(seq)?.map(|row| read(seq, row.value())))
    }

    /// The state root that an entry states; that of the empty state for 0.
    ///
    /// # Errors
    /// See [`ViewError`]; an entry that is not in the archive or cannot be read is one.
    pub(crate) fn root_of(&self, seq: u64) -> Result<Digest, ViewError> {
        #[derive(Deserialize)]
        struct Stated {
            root: Digest,
        }
        if seq == 0 {
            return Ok(common::proof::PLACEHOLDER);
        }
        let unreadable = || ViewError::Row { table: "entries", row: seq.to_string() };
        let table = self.db.begin_read()?.open_table(tables::ENTRIES)?;
        let row = table.get(seq)?.ok_or_else(unreadable)?;
        let stated: Stated = serde_json::from_slice(row.value().2).map_err(|_| unreadable())?;
        Ok(stated.root)
    }

    /// Entries from `from_seq` on, in order, without a gap; the first one is a later one if `from_seq` is before
    /// [`Self::archive_first`].
    ///
    /// # Errors
    /// See [`ViewError`].
    pub(crate) fn entries(&self, from_seq: u64, page: Page) -> Result<Vec<Entry>, ViewError> {
        let table = self.db.begin_read()?.open_table(tables::ENTRIES)?;
        let mut entries = Vec::new();
        let mut bytes = 0;
        for row in table.range(from_seq..)?.take(page.entries_max) {
            let (seq, row) = row?;
            let entry = read(seq.value(), row.value());
            bytes += entry.body.len();
            if bytes > page.bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

fn read(seq: u64, (prev, digest, body): (&[u8; 32], &[u8; 32], &[u8])) -> Entry {
    Entry { seq, prev: Digest(*prev), digest: Digest(*digest), body: body.to_vec() }
}
