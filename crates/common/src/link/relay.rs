//! RELAY: hands a run of log entries to one target's outbox, in order, each once.
//!
//! Fenced. `:out:<target>` ids are the log's (`<seq>-0`) and `wm:<target>` in `:head` says how far it is, so
//! entries at or below the watermark are passed over and a repeat adds nothing. An entry with nothing for
//! the target only moves the watermark. Nothing above `head.stable` leaves. Each relayed entry gets its
//! `:prog:<seq>` with `<target>` = relayed and an expiry. Replies: `OK <wm>`, `FULL <wm>` (the outbox is at
//! its bound; what fitted is relayed), `GAP <wm or empty>` (the run does not join the watermark, or the
//! target was never started), `UNSTABLE <stable>`, `FENCED`.

use super::{BATCH_MAX, Fence, Link, LinkError, bounded, watermark_field};
use crate::ids::Name;

/// Most entries of `:out:<target>`.
pub const OUT_MAX: u64 = 1_024;
/// Most payload bytes of one call.
pub const RELAY_BYTES_MAX: usize = 4 << 20;

/// The bounds RELAY works with.
#[derive(Debug, Clone, Copy)]
pub struct RelayLimits {
    /// Most entries of `:out:<target>`; normally [`OUT_MAX`].
    pub out_max: u64,
    /// How long `:prog:<seq>` lives, ms; the same as the records' ttl.
    pub progress_ttl_ms: u64,
}

/// What RELAY answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Relayed {
    /// All entries of the run are relayed.
    Ok {
        watermark: u64,
    },
    /// Entries up to the watermark are; the rest waits for DONEs.
    Full {
        watermark: u64,
    },
    /// The run starts above `watermark + 1`; `None` = the target has none yet, see START.
    Gap {
        watermark: Option<u64>,
    },
    /// The run goes beyond what is stable.
    Unstable {
        stable: u64,
    },
    Fenced,
}

impl Link {
    /// Relays entries `first_seq, first_seq + 1, …` to `target`; `None` = nothing in it for this target.
    /// Payloads of a call come to at most [`RELAY_BYTES_MAX`]: a script holds up everybody else.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn relay(
        &self,
        fence: &Fence,
        target: &Name,
        first_seq: u64,
        entries: &[Option<&[u8]>],
        limits: RelayLimits,
    ) -> Result<Relayed, LinkError> {
        let script = &self.scripts.relay;
        bounded(script.name, "run", entries.len(), BATCH_MAX)?;
        let bytes = entries.iter().flatten().map(|payload| payload.len()).sum();
        bounded(script.name, "bytes", bytes, RELAY_BYTES_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lease()).key(self.keys.head()).key(self.keys.out(target));
        invocation
            .arg(fence.epoch)
            .arg(fence.token.as_str())
            .arg(target.as_str())
            .arg(watermark_field(target));
        invocation.arg(first_seq).arg(limits.out_max).arg(limits.progress_ttl_ms);
        for (seq, payload) in (first_seq..).zip(entries) {
            invocation.key(self.keys.progress(seq));
            match payload {
                Some(payload) => invocation.arg(1).arg(*payload),
                None => invocation.arg(0).arg(""),
            };
        }
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Relayed::Ok { watermark: reply.next()? }),
            "FULL" => Ok(Relayed::Full { watermark: reply.next()? }),
            "GAP" => Ok(Relayed::Gap { watermark: reply.next_optional()? }),
            "UNSTABLE" => Ok(Relayed::Unstable { stable: reply.next()? }),
            "FENCED" => Ok(Relayed::Fenced),
            _ => reply.unknown(),
        }
    }
}
