//! COLLECTING: a collector says which requests it has begun, once per read batch.
//!
//! The status goes to `collecting` upwards only; `by` names the replica, also when a second one takes the
//! request over. Replies per item: `OK`, `KEPT` (nothing to change), `GONE` (no record).

use super::{BATCH_MAX, Link, LinkError, bounded};
use crate::ids::Rid;

/// The answer for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Collecting {
    Ok,
    /// The record says so already, or is further.
    Kept,
    /// There is no record: it has expired or was never written.
    Gone,
}

impl Link {
    /// Marks up to [`BATCH_MAX`] requests as being collected by this instance.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn collecting(&self, rids: &[Rid]) -> Result<Vec<Collecting>, LinkError> {
        let script = &self.scripts.collecting;
        bounded(script.name, "batch", rids.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        for rid in rids {
            invocation.key(self.keys.request(*rid));
        }
        invocation.arg(self.commands.instance().as_str());
        let replies = self.run(script, &invocation).await?.texts()?;
        replies
            .into_iter()
            .map(|word| match word.as_str() {
                "OK" => Ok(Collecting::Ok),
                "KEPT" => Ok(Collecting::Kept),
                "GONE" => Ok(Collecting::Gone),
                _ => Err(LinkError::Reply { call: script.name, detail: word }),
            })
            .collect()
    }
}
