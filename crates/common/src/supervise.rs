//! Essential parts: what must not die while the process lives.
//!
//! An essential actor holds a [`Lifeline`]. If the actor ends, by panic or by return, while the process is not
//! shutting down, the process ends with [`crate::exit::ESSENTIAL`]: never half alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells the parts of a process that it is shutting down.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: Arc<AtomicBool>,
}

impl Shutdown {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on the end of a part is expected.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Ties the process to the life of the part that keeps the result.
    #[must_use]
    pub fn lifeline(&self, part: impl Into<String>) -> Lifeline {
        Lifeline { part: part.into(), shutdown: self.clone() }
    }
}

/// Dropped outside a shutdown, it ends the process.
#[derive(Debug)]
pub struct Lifeline {
    part: String,
    shutdown: Shutdown,
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        if !self.shutdown.has_begun() {
            tracing::error!(part = %self.part, "An essential part ended; the process ends with it");
            std::process::exit(crate::exit::ESSENTIAL);
        }
    }
}

/// Ends the process at once because of what was found; logged with its reason.
pub fn halt(code: i32, reason: &dyn std::fmt::Display) -> ! {
    tracing::error!(code, %reason, "Halting");
    std::process::exit(code)
}
