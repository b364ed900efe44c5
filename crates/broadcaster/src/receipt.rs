//! What became of parts on a target, and the one receipt of an entry.
//!
//! In: per part the bit masks of the contract's event. Out: [`PartReceipt`]s and, when an entry has all of
//! them, its receipt: `revoked` when every update was skipped, else `final`. Stale counts as delivered.

use common::ids::Name;
use common::link::Progress;
use common::message::{Body, Message, PartReceipt, Receipt};
use common::status::Delivery;

/// What the contract did with one part; bit i speaks of update i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Landing {
    /// `BatchApplied`; every update is in exactly one mask.
    Taken { applied: u64, stale: u64, deferred: u64, skipped: u64 },
    /// `BatchRejected` with the contract's reason.
    Rejected { reason: u8 },
    /// The transaction was reverted (the contract is paused, or gas ran out) or says nothing of the part.
    Reverted,
}

/// Where the part landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tx: String,
    pub(crate) block: u64,
}

/// Why a part has to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// An earlier version of an asset has not landed.
    Deferred,
    Rejected {
        reason: u8,
    },
    Reverted,
}

impl Again {
    /// The word for states, logs and metrics.
    pub(crate) fn code(self) -> String {
        match self {
            Self::Deferred => "DEFERRED".to_owned(),
            Self::Rejected { reason } => format!("BATCH_REJECTED_{}", rejection(reason)),
            Self::Reverted => "TRANSACTION_REVERTED".to_owned(),
        }
    }
}

/// `StateBridge.Rejection`.
fn rejection(reason: u8) -> &'static str {
    match reason {
        1 => "UPDATE_COUNT",
        2 => "PART_OUT_OF_RANGE",
        3 => "UPDATES_HASH_MISMATCH",
        4 => "SET_NOT_VALID",
        5 => "SIGNATURES_INVALID",
        6 => "VERIFIER_FAILED",
        _ => "UNKNOWN",
    }
}

/// The receipt of a part whose transaction is final, or why it has to go again.
pub(crate) fn of_landing(part: u16, landing: Landing, place: &Place) -> Result<PartReceipt, Again> {
    match landing {
        Landing::Taken { applied, stale, deferred: 0, skipped } => Ok(PartReceipt {
            part,
            tx: Some(place.tx.clone()),
            block: Some(place.block),
            applied: positions(applied),
            stale: positions(stale),
            skipped: positions(skipped),
        }),
        Landing::Taken { .. } => Err(Again::Deferred),
        Landing::Rejected { reason } => Err(Again::Rejected { reason }),
        Landing::Reverted => Err(Again::Reverted),
    }
}

/// The receipt of a part that went nowhere: `skip` was left out, the rest taken in (targets that send nothing).
pub(crate) fn unsent(part: u16, updates: usize, skip: u64) -> PartReceipt {
    let all = all(updates);
    PartReceipt {
        part,
        tx: None,
        block: None,
        applied: positions(all & !skip),
        stale: Vec::new(),
        skipped: positions(all & skip),
    }
}

/// One bit per update of a part.
pub(crate) fn all(updates: usize) -> u64 {
    u32::try_from(updates).ok().and_then(|updates| 1_u64.checked_shl(updates)).map_or(u64::MAX, |bit| bit - 1)
}

fn positions(mask: u64) -> Vec<u16> {
    (0..64).filter(|bit| mask >> bit & 1 == 1).collect()
}

/// A finished entry: what goes to the validator and what clients see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) message: Vec<u8>,
    pub(crate) progress: Progress,
}

/// The one receipt of an entry, of the receipts of all its parts in part order.
pub(crate) fn assemble(seq: u64, target: &Name, parts: Vec<PartReceipt>) -> Finished {
    let is_revoked = !parts.is_empty()
        && parts
            .iter()
            .all(|part| part.applied.is_empty() && part.stale.is_empty() && !part.skipped.is_empty());
    let state = if is_revoked { Delivery::Revoked } else { Delivery::Final };
    let progress = Progress {
        state,
        block: parts.iter().filter_map(|part| part.block).max(),
        tx: distinct(parts.iter().filter_map(|part| part.tx.clone())),
    };
    let receipt = Receipt { seq, target: target.clone(), status: state, parts };
    let message = Message { id: format!("{target}/{seq}"), traceparent: None, body: Body::Receipt(receipt) };
    Finished { message: message.encode(), progress }
}

/// Most transactions named for one entry in `:prog`, a bound of PROGRESS; the receipt names them all.
const TX_SHOWN_MAX: usize = 64;

/// Without repeats, in order of first appearance: parts share transactions. At most [`TX_SHOWN_MAX`].
pub(crate) fn distinct(hashes: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for hash in hashes {
        if seen.len() == TX_SHOWN_MAX {
            break;
        }
        if !seen.contains(&hash) {
            seen.push(hash);
        }
    }
    seen
}

#[cfg(test)]
mod tests;
