//! Essential parts: what must not die while the process lives.
//!
//! An essential actor holds a [`Lifeline`]. If the actor ends, by panic or by return, while the process is not
//! shutting down, the process ends with [`crate::exit::ESSENTIAL`]: never half alive. A task that such an actor
//! spawns has no lifeline of its own, as it may end at any time; it runs under [`essential`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;

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

/// Runs a task that may return and may be dropped, but whose panic would leave the process half alive: a runtime
/// only notes that a spawned task has panicked. The process ends with it.
pub async fn essential<T>(part: &str, task: impl Future<Output = T>) -> T {
    // Nothing looks at what the panic left behind.
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(value) => value,
        Err(_) => halt(crate::exit::ESSENTIAL, &format_args!("{part} panicked")),
    }
}

/// Ends the process at once because of what was found; logged with its reason.
pub fn halt(code: i32, reason: &dyn std::fmt::Display) -> ! {
    tracing::error!(code, %reason, "Halting");
    std::process::exit(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHILD: &str = "OSS_TEST_PANICS";

    /// What the process under test does: this very test, started again.
    async fn panic_in_a_task() {
        drop(tokio::spawn(essential("a returning part", async {})).await);
        drop(tokio::spawn(essential("a part", async { panic!("on purpose") })).await);
    }

    #[tokio::test]
    async fn a_spawned_part_that_panics_ends_the_process_and_one_that_returns_does_not() {
        if std::env::var_os(CHILD).is_some() {
            return panic_in_a_task().await;
        }
        let own = std::env::current_exe().expect("a path");
        let name =
            "supervise::tests::a_spawned_part_that_panics_ends_the_process_and_one_that_returns_does_not";
        let ended = std::process::Command::new(own).args(["--exact", name]).env(CHILD, "1").output();
        let ended = ended.expect("runs");
        assert_eq!(ended.status.code(), Some(crate::exit::ESSENTIAL), "{ended:?}");
    }
}
