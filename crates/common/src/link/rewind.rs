//! REWIND: takes back what lies in a target's outbox, so that RELAY signs it again under the new set.
//!
//! Fenced and ordered by a log entry: `rw:<target>` in `:head` holds that entry's seq, so a repeat changes
//! nothing. The outbox and the waits are deleted, the watermark goes back to `from_seq - 1`. Binds and
//! stored transactions stay: their nonces are in the chain's hands, and a lane frees their items by REBIND
//! once it knows what became of them. Lanes notice because BIND, STORE, REBIND and DONE carry the `rw` value
//! they read. Replies: `OK <wm>`, `DUP <wm>`, `GAP <wm or empty>` (`from_seq` is beyond the watermark), `FENCED`.

use super::{Fence, Link, LinkError, rewind_field, watermark_field};
use crate::ids::Name;

/// What REWIND answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Rewound {
    Ok {
        watermark: u64,
    },
    /// This entry's rewind was done before.
    Dup {
        watermark: u64,
    },
    /// There is nothing to go back to.
    Gap {
        watermark: Option<u64>,
    },
    Fenced,
}

impl Link {
    /// `ordered_by`: seq of the entry that holds the REWIND command. `from_seq`: the first entry to relay
    /// again, the oldest one without a receipt from this target.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn rewind(
        &self,
        fence: &Fence,
        target: &Name,
        ordered_by: u64,
        from_seq: u64,
    ) -> Result<Rewound, LinkError> {
        let script = &self.scripts.rewind;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.head());
        invocation.key(self.keys.out(target)).key(self.keys.wait(target));
        invocation.arg(fence.epoch).arg(fence.token.as_str());
        invocation.arg(watermark_field(target)).arg(rewind_field(target)).arg(ordered_by).arg(from_seq);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Rewound::Ok { watermark: reply.next()? }),
            "DUP" => Ok(Rewound::Dup { watermark: reply.next()? }),
            "GAP" => Ok(Rewound::Gap { watermark: reply.next_optional()? }),
            "FENCED" => Ok(Rewound::Fenced),
            _ => reply.unknown(),
        }
    }
}
