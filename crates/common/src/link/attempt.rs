//! ATTEMPT: counts how often a message was begun before the process died (poison).
//!
//! A leader in suspect mode (it did not stop cleanly) notes a message in `:att` before it touches it. The
//! value is `<count> <token>`: one process counts once, however often the call is repeated. COMMIT drops the
//! notes of the messages that its entry consumes. Replies: `OK <count>`, `FENCED`.

use super::{Fence, Link, LinkError};

/// What ATTEMPT answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Attempted {
    /// How many process starts have begun this message, this one included.
    Ok {
        count: u64,
    },
    Fenced,
}

impl Link {
    /// Notes that this leader begins the message `key`: where it waits, `<stream>/<stream id>`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn attempt(&self, fence: &Fence, key: &str) -> Result<Attempted, LinkError> {
        let script = &self.scripts.attempt;
        super::bounded(script.name, "key", key.len(), 128)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.attempts());
        invocation.arg(fence.epoch).arg(fence.token.as_str()).arg(key);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Attempted::Ok { count: reply.next()? }),
            "FENCED" => Ok(Attempted::Fenced),
            _ => reply.unknown(),
        }
    }
}
