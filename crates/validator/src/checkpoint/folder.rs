//! The checkpoints of one shard on disk: `<64 hex digits>.checkpoint`, the file's own SHA-256.
//!
//! A file is written under another name, fsynced, and renamed when it is whole; then the folder is fsynced. What a crash
//! leaves under that other name is no checkpoint and is deleted by the next start.

use std::fs::File;
use std::path::{Path, PathBuf};

use common::hash::Digest;

use super::{CheckpointError, Header, Reader, Writer};

const ENDING: &str = "checkpoint";
const UNFINISHED: &str = "unfinished";

/// Where the checkpoints of one shard are.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// A file that says it is a checkpoint; its content is not checked yet.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) hash: Digest,
    pub(crate) bytes: u64,
    /// When the file was written, Unix ms.
    pub(crate) written_ms: u64,
    pub(crate) header: Header,
}

impl Folder {
    /// Makes the folder if it is not there, and deletes what was not finished. For whoever has the shard's
    /// [`CheckpointTurn`](crate::shard::CheckpointTurn).
    ///
    /// # Errors
    /// The folder cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let folder = Self { path: path.to_owned() };
        std::fs::create_dir_all(path).map_err(|source| folder.io(source))?;
        for file in folder.files(UNFINISHED)? {
            std::fs::remove_file(&file).map_err(|source| CheckpointError::Io { path: file, source })?;
        }
        Ok(folder)
    }

    /// The folder as it is, for whoever only reads.
    #[must_use]
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Writes a checkpoint: `rows` gives the rows after the header.
    ///
    /// # Errors
    /// See [`CheckpointError`]; no checkpoint was added then.
    pub(crate) fn write(
        &self,
        header: Header,
        rows: impl FnOnce(&mut Writer) -> Result<(), CheckpointError>,
    ) -> Result<Found, CheckpointError> {
        let unfinished = self.path.join(format!("next.{UNFINISHED}"));
        let written = Writer::create(&unfinished, &header).and_then(|mut writer| {
            rows(&mut writer)?;
            writer.finish()
        });
        let hash = written.inspect_err(|_| drop(std::fs::remove_file(&unfinished)))?;
        self.adopt(&unfinished, hash, header)
    }

    /// A file for what another process has of a checkpoint, while it comes; no checkpoint until it is adopted.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn fetched(&self) -> Result<(PathBuf, File), CheckpointError> {
        let path = self.path.join(format!("fetched.{UNFINISHED}"));
        match File::create(&path) {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(CheckpointError::Io { path, source }),
        }
    }

    /// Gives a finished file, which is on disk, the name that makes it a checkpoint.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(crate) fn adopt(
        &self,
        unfinished: &Path,
        hash: Digest,
        header: Header,
    ) -> Result<Found, CheckpointError> {
        let path = self.path.join(name_of(hash));
        let renamed = || {
            std::fs::rename(unfinished, &path)?;
            File::open(&self.path)?.sync_all()
        };
        renamed().map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
        found(path, hash, header)
    }

    /// Where the file with this hash is, if there is one; its content is not checked.
    #[must_use]
    pub(crate) fn find(&self, hash: Digest) -> Option<PathBuf> {
        Some(self.path.join(name_of(hash))).filter(|path| path.is_file())
    }

    /// The files with the name of a checkpoint, the newest first, and why others could not be read.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn list(&self) -> Result<(Vec<Found>, Vec<CheckpointError>), CheckpointError> {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for path in self.files(ENDING)? {
            let Some(hash) = hash_in(&path) else { continue };
            match look(path, hash) {
                Ok(file) => found.push(file),
                Err(error) => unreadable.push(error),
            }
        }
        found.sort_by_key(|file| (std::cmp::Reverse(file.header.head.seq), file.hash));
        Ok((found, unreadable))
    }

    /// The first entry that a view needs beside any of the `newest` checkpoints; `None` = there are fewer.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn window_first(&self, newest: usize) -> Result<Option<u64>, CheckpointError> {
        let (found, _) = self.list()?;
        let oldest = newest.checked_sub(1).and_then(|last| found.get(last));
        Ok(oldest.map(|oldest| oldest.header.window_first()))
    }

    /// Deletes all but the newest.
    ///
    /// # Errors
    /// The folder cannot be read, or a file not be deleted.
    pub(crate) fn keep(&self, newest: usize) -> Result<(), CheckpointError> {
        for Found { path, .. } in self.list()?.0.into_iter().skip(newest) {
            std::fs::remove_file(&path).map_err(|source| CheckpointError::Io { path, source })?;
        }
        Ok(())
    }

    fn files(&self, ending: &str) -> Result<Vec<PathBuf>, CheckpointError> {
        let files = || -> std::io::Result<Vec<PathBuf>> {
            std::fs::read_dir(&self.path)?.map(|file| Ok(file?.path())).collect()
        };
        let files = files().map_err(|source| self.io(source))?;
        Ok(files.into_iter().filter(|file| file.extension().is_some_and(|found| found == ending)).collect())
    }

    fn io(&self, source: std::io::Error) -> CheckpointError {
        CheckpointError::Io { path: self.path.clone(), source }
    }
}

fn look(path: PathBuf, hash: Digest) -> Result<Found, CheckpointError> {
    let header = Reader::header_of(&path)?;
    found(path, hash, header)
}

fn found(path: PathBuf, hash: Digest, header: Header) -> Result<Found, CheckpointError> {
    let data = || {
        let data = path.metadata()?;
        Ok((data.len(), data.modified()?))
    };
    match data() {
        Ok((bytes, written)) => {
            // Of a clock before 1970 nothing better is known.
            let since = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let written_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            Ok(Found { path, hash, bytes, written_ms, header })
        }
        Err(source) => Err(CheckpointError::Io { path, source }),
    }
}

fn name_of(hash: Digest) -> String {
    format!("{}.{ENDING}", hash.to_string().trim_start_matches("0x"))
}

fn hash_in(path: &Path) -> Option<Digest> {
    format!("0x{}", path.file_stem()?.to_str()?).parse().ok()
}
