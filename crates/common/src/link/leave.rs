//! LEAVE: a collector that ends in order gives back what it has begun and leaves the group.
//!
//! Its pending entries go to the consumer [`RETURNED`], as idle as entries get, so that the next claim of any
//! collector finds them, with the delivery that is given back taken off their counts: only a death counts
//! towards poison. The consumer itself is deleted in the same step that finds nothing pending under its name.
//! An entry keeps its id, and so the time its request was accepted. Whoever still works on one may hand it
//! over all the same: COLLECTED asks for the entry, not for the consumer. Replies: `MORE <n>` (a page of `n`
//! was given back, there are others), `OK <n>` (the last ones, and the consumer is gone).

use std::time::Duration;

use super::{BATCH_MAX, COLLECTORS_GROUP, Link, LinkError, Stream};

/// The consumer that holds what was given back until somebody claims it. No instance can have this name.
pub const RETURNED: &str = "(returned)";
/// Above any time after which a collector claims.
const IDLE: Duration = Duration::from_hours(24);

impl Link {
    /// Leaves the group and answers how many entries were given back. Repeating it changes nothing.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn leave(&self) -> Result<usize, LinkError> {
        let script = &self.scripts.leave;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(Stream::Requests.key(&self.keys));
        invocation.arg(COLLECTORS_GROUP).arg(self.commands.instance().as_str()).arg(RETURNED);
        invocation.arg(u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX)).arg(BATCH_MAX);
        let mut returned = 0;
        loop {
            let mut reply = self.run(script, &invocation).await?;
            match reply.word() {
                "MORE" => returned += reply.next::<usize>()?,
                "OK" => return Ok(returned + reply.next::<usize>()?),
                _ => return reply.unknown(),
            }
        }
    }
}
