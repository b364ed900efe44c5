//! The data folder: which `validator-<n>` this process is.
//!
//! In: the folder that holds them all. Out: the first `<data_dir>/validator-<n>` (n from 1) whose file `lock`
//! no other process holds; made if it does not exist. So a restart finds its own data again, and a second
//! process gets a folder of its own. The lock lives as long as the value and goes with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use common::ids::{Name, Shard};

/// Processes that share one data folder; more are a mistake in the set-up.
const FOLDERS_MAX: u32 = 64;

/// An exclusively held folder.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: Name,
    /// Held for its lock only.
    _lock: File,
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("all of validator-1 to validator-{FOLDERS_MAX} in {path} are in use")]
    NoneFree { path: PathBuf },
}

impl DataDir {
    /// # Errors
    /// A folder or lock file cannot be made, or all folders are in use.
    pub fn take(parent: &Path) -> Result<Self, DataDirError> {
        for n in 1..=FOLDERS_MAX {
            let Ok(node) = format!("validator-{n}").parse::<Name>() else { continue };
            let path = parent.join(node.as_str());
            if let Some(lock) =
                try_take(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?
            {
                return Ok(Self { path, node, _lock: lock });
            }
        }
        Err(DataDirError::NoneFree { path: parent.to_owned() })
    }

    /// What this process calls itself: `validator-<n>`.
    #[must_use]
    pub fn node(&self) -> &Name {
        &self.node
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database of one shard.
    #[must_use]
    pub fn database(&self, shard: Shard) -> PathBuf {
        self.path.join(format!("{shard}.redb"))
    }
}

fn try_take(folder: &Path) -> io::Result<Option<File>> {
    std::fs::create_dir_all(folder)?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_gets_the_next_folder_and_a_freed_one_is_found_again() {
        let parent = tempfile::tempdir().expect("temporary folder");
        let first = DataDir::take(parent.path()).expect("first");
        let second = DataDir::take(parent.path()).expect("second");
        assert_eq!((first.node().as_str(), second.node().as_str()), ("validator-1", "validator-2"));
        drop(first);
        let again = DataDir::take(parent.path()).expect("again");
        assert_eq!(again.node().as_str(), "validator-1");
        assert_eq!(again.path(), parent.path().join("validator-1"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
        let parent = tempfile::NamedTempFile::new().expect("temporary file");
        let Err(DataDirError::Io { path, .. }) = DataDir::take(parent.path()) else { panic!("must fail") };
        assert_eq!(path, parent.path().join("validator-1"));
    }
}
