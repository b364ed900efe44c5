//! SENDER: whose nonces a lane's journal speaks of.
//!
//! `sender` in `:lane:<target>` is the address of the gas wallet. Nonces of two wallets have nothing to do with each other,
//! so another wallet takes the lane over only when nothing is bound; its counter then starts from the chain's. A
//! journal that names no sender yet is the caller's. Replies: `OK`, `BOUND <sender>` (something is bound to nonces of
//! that one; nothing was written), `FENCED`.

use super::{Fence, Link, LinkError};
use crate::ids::Name;

/// What SENDER answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum SenderReply {
    /// The journal is this sender's.
    Ok,
    /// Something is bound to nonces of another sender.
    Bound {
        sender: String,
    },
    Fenced,
}

impl Link {
    /// Claims the lane's journal for a gas wallet. Call it after the lease and before the journal is read.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lane_sender(
        &self,
        fence: &Fence,
        target: &Name,
        sender: &str,
    ) -> Result<SenderReply, LinkError> {
        let script = &self.scripts.sender;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(target)).key(self.keys.bind(target));
        invocation.arg(fence.epoch).arg(fence.token.as_str()).arg(sender);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(SenderReply::Ok),
            "BOUND" => Ok(SenderReply::Bound { sender: reply.next()? }),
            "FENCED" => Ok(SenderReply::Fenced),
            _ => reply.unknown(),
        }
    }
}
