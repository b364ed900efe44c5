//! PROGRESS: how far entries are on one target, for clients. The truth about delivery is the receipt.
//!
//! `:prog:<seq>` holds one field per target, `<state> <block or -> <tx,tx or ->`, and the field `#v`, which
//! counts changes for the ETag (no target name has a `#`). Beside it, per target, when it was first relayed, first sent and
//! done: `#relayed:<target>`, `#sent:<target>`, `#done:<target>`, Unix ms of Redis; fields with a `#` that a build does not
//! know are passed over. A state moves upwards only; at the same state
//! block and hashes may change (a replacement, another block after a reorganisation); a receipt state is
//! the last word. RELAY creates the hash with an expiry; once it is gone it stays gone. Each change adds a
//! notification. Replies: `OK` and per item `OK`, `KEPT`, `GONE`; `FENCED`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{BATCH_MAX, Fence, Link, LinkError, bounded, reply};
use crate::ids::{IdError, Name};
use crate::status::Delivery;

/// Most transaction hashes of one entry on one target.
const TX_MAX: usize = 64;

/// How far one entry is on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub state: Delivery,
    /// Block of the last of its transactions.
    pub block: Option<u64>,
    /// Transaction hashes, in part order.
    pub tx: Vec<String>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = self.block.map_or_else(|| "-".to_owned(), |block| block.to_string());
        let tx = if self.tx.is_empty() { "-".to_owned() } else { self.tx.join(",") };
        write!(f, "{} {block} {tx}", self.state.name())
    }
}

impl FromStr for Progress {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fault = IdError { what: "progress", form: "<state> <block or -> <tx,tx or ->" };
        let mut parts = text.split(' ');
        let (Some(state), Some(block), Some(tx), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fault);
        };
        Ok(Self {
            state: Delivery::from_name(state).ok_or_else(|| fault.clone())?,
            block: if block == "-" { None } else { Some(block.parse().map_err(|_| fault)?) },
            tx: if tx == "-" { Vec::new() } else { tx.split(',').map(str::to_owned).collect() },
        })
    }
}

/// The progress of one entry on all its targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryProgress {
    /// Changes so far, over all targets.
    pub version: u64,
    pub targets: BTreeMap<String, Progress>,
    /// When each of them came how far.
    pub times: BTreeMap<String, DeliveryTimes>,
}

/// When one entry came how far on one target, Unix ms of Redis; `None` = not yet, or not noted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryTimes {
    /// Put into the target's outbox for the first time.
    pub relayed_ms: Option<u64>,
    /// Past `relayed` for the first time.
    pub sent_ms: Option<u64>,
    /// Its receipt was written.
    pub done_ms: Option<u64>,
}

impl EntryProgress {
    pub(super) fn read(call: &'static str, pairs: Vec<(String, Vec<u8>)>) -> Result<Option<Self>, LinkError> {
        if pairs.is_empty() {
            return Ok(None);
        }
        let mut progress = Self::default();
        for (field, value) in pairs {
            let text = String::from_utf8_lossy(&value);
            let Some(mark) = field.strip_prefix('#') else {
                progress.targets.insert(field, reply::parse(call, &text)?);
                continue;
            };
            match mark.split_once(':') {
                None if mark == "v" => progress.version = reply::parse(call, &text)?,
                Some((word @ ("relayed" | "sent" | "done"), target)) => {
                    let times = progress.times.entry(target.to_owned()).or_default();
                    let at_ms = Some(reply::parse(call, &text)?);
                    match word {
                        "relayed" => times.relayed_ms = at_ms,
                        "sent" => times.sent_ms = at_ms,
                        _ => times.done_ms = at_ms,
                    }
                }
                _ => {}
            }
        }
        Ok(Some(progress))
    }
}

/// One entry's new progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressWrite {
    pub seq: u64,
    pub progress: Progress,
}

/// The answer for one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Progressed {
    Ok,
    /// It is as far already.
    Kept,
    /// Its `:prog` has expired.
    Gone,
}

/// What PROGRESS answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum ProgressReply {
    Ok(Vec<Progressed>),
    Fenced,
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn set_progress(
        &self,
        fence: &Fence,
        target: &Name,
        writes: &[ProgressWrite],
    ) -> Result<ProgressReply, LinkError> {
        let script = &self.scripts.progress;
        bounded(script.name, "batch", writes.len(), BATCH_MAX)?;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(target)).key(self.keys.status());
        invocation.arg(fence.epoch).arg(fence.token.as_str()).arg(target.as_str());
        for write in writes {
            bounded(script.name, "transactions", write.progress.tx.len(), TX_MAX)?;
            invocation.key(self.keys.progress(write.seq));
            invocation.arg(write.seq).arg(write.progress.state.name()).arg(write.progress.to_string());
        }
        let reply = self.run(script, &invocation).await?;
        match reply.word() {
            "FENCED" => Ok(ProgressReply::Fenced),
            "OK" => {
                let words = reply.texts()?.into_iter().map(|word| match word.as_str() {
                    "OK" => Ok(Progressed::Ok),
                    "KEPT" => Ok(Progressed::Kept),
                    "GONE" => Ok(Progressed::Gone),
                    _ => Err(LinkError::Reply { call: script.name, detail: word }),
                });
                words.collect::<Result<_, _>>().map(ProgressReply::Ok)
            }
            _ => reply.unknown(),
        }
    }
}
