//! SEND: puts one message that belongs to no SUBMIT (CANCEL, COMMAND, WITHDRAWN, PROOF) into `:inx` or `:in`.
//!
//! `:sent:<message id>` remembers the stream id for a minute, so that a repeat after a lost reply adds
//! nothing; of a COMMAND, whose id a client chooses, the fingerprint too. Replies: `OK <id>`, `DUP <id>`, `OTHER` (the id
//! was used for another content), `BUSY` (the stream is at its bound, or the message's share of it is used up, which is all
//! that limits it: SEND runs at full memory too).
//!
//! Cancels and withdrawals have a share of `:inx` each, so that neither keeps the other out, nor both together the rest. What waits of a share
//! is the length of `:inx:<share>`, which has the ids of its messages and loses those below the front of `:inx` at the next call.

use crate::hash::Digest;

use super::{Link, LinkError, MESSAGE_BYTES_MAX, Stream, StreamId};

/// How long a repeat of the same message id is recognised, ms.
const REPEAT_MS: u64 = 60_000;

/// Most messages of one share that wait in `:inx`; two shares leave a fifth of [`EXPRESS_MAX`](super::EXPRESS_MAX) to the rest.
pub const EXPRESS_SHARE_MAX: u64 = 400;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendTo {
    /// `:inx`, as a command: up to the stream's bound.
    Express,
    /// `:inx`, within the share of CANCELs.
    Cancels,
    /// `:inx`, within the share of WITHDRAWNs.
    Withdrawals,
    Input,
}

impl SendTo {
    const fn share(self) -> Option<&'static str> {
        match self {
            Self::Cancels => Some("cancels"),
            Self::Withdrawals => Some("withdrawals"),
            Self::Express | Self::Input => None,
        }
    }
}

/// What SEND answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    Ok {
        id: StreamId,
    },
    /// The message with this id was added before.
    Dup {
        id: StreamId,
    },
    Busy,
}

/// What SEND answers of a COMMAND.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ordered {
    Sent(Sent),
    /// Another command was added under this id before.
    Other,
}

impl Link {
    /// Adds `payload`, at most [`MESSAGE_BYTES_MAX`], unless the stream holds `bound` entries or the share is used up. `message_id` names the message: a repeat
    /// carries the same one (a CANCEL may use `cancel:<rid>`).
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn send(
        &self,
        to: SendTo,
        message_id: &str,
        payload: &[u8],
        bound: u64,
    ) -> Result<Sent, LinkError> {
        match self.send_content(to, message_id, payload, (bound, "")).await? {
            Ordered::Sent(sent) => Ok(sent),
            Ordered::Other => {
                Err(LinkError::Reply { call: self.scripts.send.name, detail: "OTHER".to_owned() })
            }
        }
    }

    /// Adds a COMMAND of this fingerprint to `:inx`, as [`Self::send`] does.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn order(
        &self,
        message_id: &str,
        fp: Digest,
        payload: &[u8],
        bound: u64,
    ) -> Result<Ordered, LinkError> {
        self.send_content(SendTo::Express, message_id, payload, (bound, &fp.to_string())).await
    }

    async fn send_content(
        &self,
        to: SendTo,
        message_id: &str,
        payload: &[u8],
        (bound, content): (u64, &str),
    ) -> Result<Ordered, LinkError> {
        let script = &self.scripts.send;
        super::bounded(script.name, "message id", message_id.len(), 128)?;
        super::bounded(script.name, "payload", payload.len(), MESSAGE_BYTES_MAX)?;
        let stream = match to {
            SendTo::Express | SendTo::Cancels | SendTo::Withdrawals => Stream::Express,
            SendTo::Input => Stream::Input,
        };
        let mut invocation = script.script.prepare_invoke();
        invocation.key(stream.key(&self.keys)).key(self.keys.sent(message_id));
        if let Some(share) = to.share() {
            invocation.key(self.keys.express_share(share));
        }
        invocation.arg(payload).arg(bound).arg(REPEAT_MS).arg(content).arg(EXPRESS_SHARE_MAX);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Ordered::Sent(Sent::Ok { id: reply.next()? })),
            "DUP" => Ok(Ordered::Sent(Sent::Dup { id: reply.next()? })),
            "BUSY" => Ok(Ordered::Sent(Sent::Busy)),
            "OTHER" => Ok(Ordered::Other),
            _ => reply.unknown(),
        }
    }
}
