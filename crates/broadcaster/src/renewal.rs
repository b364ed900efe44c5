//! A changed target list: when the log names another list than this process started with, the file is read again.
//!
//! In: the digest the log names. Out: a word to [`crate::service::Service::renewal`] once the file holds exactly that
//! list and everything its targets need is there; the process then drains and builds itself anew, without ending.
//! Invariant: a list is taken over only when file and log agree on it. Until then the process stays as it is, not ready
//! for what the log wants, and sends nothing.

use std::sync::Arc;
use std::time::Duration;

use common::hash::Digest;
use common::targets::Targets;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Settings;
use crate::service::EvmParts;

/// How often the file is read while it differs from the log.
const EVERY: Duration = Duration::from_secs(1);

/// One shard's look at the file.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    settings: Arc<Settings>,
    wanted: Arc<watch::Sender<bool>>,
    looked: Option<Instant>,
}

impl Renewal {
    /// The receiver turns true when the process should start anew.
    pub(crate) fn new(settings: Settings) -> (Self, watch::Receiver<bool>) {
        let (wanted, seen) = watch::channel(false);
        (Self { settings: Arc::new(settings), wanted: Arc::new(wanted), looked: None }, seen)
    }

    /// Reads the file again if that is due, and asks for a new start if it is what the log names.
    pub(crate) fn look(&mut self, logged: Digest) {
        if self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let targets = match Targets::load(&self.settings.targets_file) {
            Ok(targets) => targets,
            // Perhaps half written: the next look sees the rest.
            Err(error) => {
                tracing::warn!(%error, "The targets file cannot be read again");
                return;
            }
        };
        if targets.digest() != logged {
            return;
        }
        // What could not start would end the process, and with it the targets that work.
        match EvmParts::load(&self.settings, &targets) {
            Ok(_) => {
                self.wanted.send_replace(true);
            }
            Err(error) => tracing::warn!(%error, "The logged target list cannot be taken over yet"),
        }
    }
}
