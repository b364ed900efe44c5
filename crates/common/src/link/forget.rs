//! FORGET: consumers of the collectors' group that nobody uses any more are deleted.
//!
//! A collector that dies leaves its consumer behind, under a random name for good. One that is silent for long
//! and has nothing pending is deleted, the check in the same step; a live one among them is made again by its
//! next read. Reply: `OK <n>`.

use std::time::Duration;

use super::{COLLECTORS_GROUP, Link, LinkError, Stream};

impl Link {
    /// Deletes the consumers that were silent for `silent` and hold nothing; answers how many.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn forget_consumers(&self, silent: Duration) -> Result<usize, LinkError> {
        let script = &self.scripts.forget;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(Stream::Requests.key(&self.keys));
        invocation.arg(COLLECTORS_GROUP).arg(u64::try_from(silent.as_millis()).unwrap_or(u64::MAX));
        let mut reply = self.run(script, &invocation).await?;
        if reply.word() == "OK" { reply.next() } else { reply.unknown() }
    }
}
