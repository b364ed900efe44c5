//! SEND: puts one message that belongs to no SUBMIT (CANCEL, COMMAND, WITHDRAWN, PROOF) into `:inx` or `:in`.
//!
//! `:sent:<message id>` remembers the stream id for a minute, so that a repeat after a lost reply adds
//! nothing. Replies: `OK <id>`, `DUP <id>`, `BUSY` (the stream is at its bound, which is all that limits it: SEND
//! runs at full memory too).

use super::{Link, LinkError, MESSAGE_BYTES_MAX, Stream, StreamId};

/// How long a repeat of the same message id is recognised, ms.
const REPEAT_MS: u64 = 60_000;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendTo {
    Express,
    Input,
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

impl Link {
    /// Adds `payload`, at most [`MESSAGE_BYTES_MAX`], unless the stream holds `bound` entries. `message_id` names the message: a repeat
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
        let script = &self.scripts.send;
        super::bounded(script.name, "message id", message_id.len(), 128)?;
        super::bounded(script.name, "payload", payload.len(), MESSAGE_BYTES_MAX)?;
        let stream = match to {
            SendTo::Express => Stream::Express,
            SendTo::Input => Stream::Input,
        };
        let mut invocation = script.script.prepare_invoke();
        invocation.key(stream.key(&self.keys)).key(self.keys.sent(message_id));
        invocation.arg(payload).arg(bound).arg(REPEAT_MS);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Sent::Ok { id: reply.next()? }),
            "DUP" => Ok(Sent::Dup { id: reply.next()? }),
            "BUSY" => Ok(Sent::Busy),
            _ => reply.unknown(),
        }
    }
}
