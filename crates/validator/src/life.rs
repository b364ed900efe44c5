//! The life of an essential actor: what ends the process when it dies, and tells the shutdown that it is done.

use common::supervise::{Lifeline, Shutdown};
use tokio::sync::mpsc;

/// Kept by an essential actor.
#[derive(Debug)]
pub(crate) struct Life {
    _lifeline: Lifeline,
    _alive: mpsc::Sender<()>,
}

/// Gives out lives and waits for their ends.
#[derive(Debug)]
pub(crate) struct Lives {
    shutdown: Shutdown,
    alive: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Lives {
    pub(crate) fn new() -> Self {
        let (alive, ended) = mpsc::channel(1);
        Self { shutdown: Shutdown::new(), alive, ended }
    }

    pub(crate) fn of(&self, part: impl Into<String>) -> Life {
        Life { _lifeline: self.shutdown.lifeline(part), _alive: self.alive.clone() }
    }

    /// From here on parts may end.
    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.begin();
    }

    /// Resolves when every life has ended.
    pub(crate) async fn ended(mut self) {
        drop(self.alive);
        // Nobody sends; the channel closes with the last life.
        while self.ended.recv().await.is_some() {}
    }
}
