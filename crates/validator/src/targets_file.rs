//! The targets file, watched: what the operator wants the targets to be.
//!
//! In: the file's path. Out: its last valid content. A file that cannot be used while the process runs changes
//! nothing and is reported; at start it ends the process. The sequencers compare this with the log and write a
//! TARGETS entry where they differ.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::admin::Readiness;
use common::targets::{Targets, TargetsError};
use tokio::sync::watch;

/// How often the file's time stamp is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches the file. Dropping the receivers ends it.
#[derive(Debug)]
pub(crate) struct TargetsFile {
    path: PathBuf,
    seen: Option<SystemTime>,
    current: watch::Sender<Arc<Targets>>,
}

impl TargetsFile {
    /// # Errors
    /// The file cannot be read or used.
    pub(crate) fn open(path: &Path) -> Result<(Self, watch::Receiver<Arc<Targets>>), TargetsError> {
        let seen = modified(path);
        let (current, receiver) = watch::channel(Arc::new(Targets::load(path)?));
        Ok((Self { path: path.to_owned(), seen, current }, receiver))
    }

    /// Follows the file until nobody listens any more.
    pub(crate) async fn watch(mut self, readiness: Readiness) {
        readiness.set("targets", Ok("valid"));
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                _ = looks.tick() => self.look(&readiness),
                () = self.current.closed() => return,
            }
        }
    }

    fn look(&mut self, readiness: &Readiness) {
        let modified = modified(&self.path);
        if modified == self.seen {
            return;
        }
        self.seen = modified;
        match Targets::load(&self.path) {
            Ok(targets) => {
                readiness.set("targets", Ok("valid"));
                self.current.send_if_modified(|current| {
                    let changed = **current != targets;
                    *current = Arc::new(targets);
                    changed
                });
            }
            Err(error) => {
                let error = crate::error::chain(&error);
                tracing::error!(%error, "The targets file cannot be used; the last valid content stays in force");
                readiness.set("targets", Err(&error));
            }
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
