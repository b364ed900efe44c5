//! What to do about each chain nonce of a lane, and whether the lane's nonces and the chain's agree.
//!
//! In: facts read from the chain and from the journal (`:bind`, `:raw`). Out: one step per nonce, and the
//! standing of the whole sequence. Invariants:
//! - A nonce that was handed out is driven until the chain has used it up: a signed transaction is sent
//!   again as it is stored, a nonce nobody holds is filled. So no gap stays.
//! - Nothing is concluded from what a node answers to a send. "Already known", "nonce too low" and a lost
//!   reply all lead to the same question: has the chain used the nonce, and by which of our hashes?
//! - A transaction that waits too long is replaced by one that pays more, with the same nonce and content. Whichever of them
//!   is mined counts.
//! - Items leave a nonce only when something else used it and that is final ([`SlotStep::Foreign`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::fee::Fee;

/// The chain at one moment, as one lane's sender sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainFacts {
    /// The sender's next nonce at the newest block.
    pub(crate) next: u64,
    /// The sender's next nonce at the target's finality tier; `None` = not asked or not known.
    pub(crate) next_final: Option<u64>,
    /// The number of the newest block of the target's finality tier.
    pub(crate) final_block: u64,
    /// The number of the newest block.
    pub(crate) head: u64,
    /// Its base fee, wei per gas.
    pub(crate) base_fee: u128,
}

/// What is known of one nonce that the journal holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SlotFacts {
    /// At least one signed transaction is stored.
    pub(crate) stored: bool,
    /// When it was last offered to a node by this process, whatever the node said.
    pub(crate) tried_ms: Option<u64>,
    /// The block of the stored transaction that the chain shows a receipt of.
    pub(crate) block: Option<u64>,
    /// What its last transaction pays at most; `None` = none is stored.
    pub(crate) fee: Option<Fee>,
    /// Since when that one is with the chain, or refused for its fee, as far as this process knows.
    pub(crate) offered: Option<Offered>,
}

/// The moment a node first took a transaction, or refused it for its fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) ms: u64,
    /// The newest block then.
    pub(crate) head: u64,
    /// The last answer was that it pays too little.
    pub(crate) is_underpriced: bool,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// After a try without inclusion the same bytes go out again.
    pub(crate) resend_ms: u64,
    /// A transaction that waits for a block is replaced; `None` = never.
    pub(crate) replace_ms: Option<u64>,
}

/// What a nonce needs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum SlotStep {
    /// It is bound and nothing is signed: sign, store, send.
    Sign,
    /// Its stored bytes go to the chain (again).
    Send,
    /// Its transaction is with the chain, or a receipt may still come.
    Pending,
    /// Its transaction is in a block that is not final yet.
    Included { block: u64 },
    /// Its transaction is in a final block.
    Final { block: u64 },
    /// Something we did not store has used the nonce, finally.
    Foreign,
}

/// The step of one nonce. `resend_ms`: how long after a try without inclusion the same bytes go out again.
pub(crate) fn step(nonce: u64, slot: SlotFacts, chain: ChainFacts, now_ms: u64, resend_ms: u64) -> SlotStep {
    if let Some(block) = slot.block {
        return if block <= chain.final_block {
            SlotStep::Final { block }
        } else {
            SlotStep::Included { block }
        };
    }
    if nonce < chain.next {
        // Used up, but by none of ours that has a receipt. Receipts may lag behind the count, and a foreign
        // transaction may be reorganised away, so only the final count decides.
        return match chain.next_final {
            Some(next_final) if next_final > nonce => SlotStep::Foreign,
            _ => SlotStep::Pending,
        };
    }
    if !slot.stored {
        return SlotStep::Sign;
    }
    match slot.tried_ms {
        Some(tried) if now_ms < tried.saturating_add(resend_ms) => SlotStep::Pending,
        _ => SlotStep::Send,
    }
}

/// Whether a nonce's transaction should be replaced by one that pays more. It has waited long enough and a block was made
/// without it: a chain that stands still takes nothing at any price. Behind others that wait only those are replaced
/// that the base fee has passed.
pub(crate) fn is_overdue(
    nonce: u64,
    slot: SlotFacts,
    chain: ChainFacts,
    now_ms: u64,
    patience: Patience,
) -> bool {
    let (Some(fee), Some(offered), Some(replace_ms)) = (slot.fee, slot.offered, patience.replace_ms) else {
        return false;
    };
    let is_waiting = slot.block.is_none() && nonce >= chain.next;
    // A node that names the price as the fault needs no time to show it.
    let wait_ms = if offered.is_underpriced { patience.resend_ms.min(replace_ms) } else { replace_ms };
    let is_long = now_ms >= offered.ms.saturating_add(wait_ms);
    let is_passed_over = chain.head > offered.head || offered.is_underpriced;
    let is_to_blame = nonce == chain.next || fee.max_fee < chain.base_fee || offered.is_underpriced;
    is_waiting && is_long && is_passed_over && is_to_blame
}

/// What has to be found out of a nonce's transactions before its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Inquiry {
    /// The chain has not used it: no transaction of it is in a block.
    Unused,
    /// The receipt that is kept still says what it said.
    Known,
    /// Its receipt is read.
    Read,
}

/// What to find out. A receipt is read once, again when the chain has other blocks than it had (`is_moved`), and a last
/// time when its block is final: what follows cannot be taken back.
pub(crate) fn inquire(nonce: u64, block: Option<u64>, chain: ChainFacts, is_moved: bool) -> Inquiry {
    if nonce >= chain.next {
        return Inquiry::Unused;
    }
    match block {
        Some(block) if !is_moved && block > chain.final_block => Inquiry::Known,
        _ => Inquiry::Read,
    }
}

/// Whether the lane's journal and the chain speak of the same history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Standing {
    Sound,
    /// The chain waits for a nonce that was handed out and that nothing holds any more.
    Gap {
        nonce: u64,
    },
    /// The chain shows less than what was final on it: it lost blocks, is another chain, or the node lags.
    /// Nothing may be sent: fillers would use up the nonces of batches that may still return.
    Behind {
        /// All nonces below this one were finally used.
        floor: u64,
    },
}

/// Compares. `held`: the nonces in the journal; `used`: all below were finally used; `counter`: the lowest nonce never
/// handed out, which is above nonces that somebody else used and that may come back.
pub(crate) fn standing(held: &BTreeSet<u64>, used: u64, counter: u64, next: u64) -> Standing {
    if next < used {
        return Standing::Behind { floor: used };
    }
    if next < counter && !held.contains(&next) {
        return Standing::Gap { nonce: next };
    }
    Standing::Sound
}

/// Remembers how long the chain has been standing still before the same gap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GapWatch {
    seen: Option<(u64, u64)>,
}

impl GapWatch {
    /// The nonce to fill, once the chain has waited for it for `patience_ms`. A filler that comes too early
    /// costs a transaction, never an update.
    pub(crate) fn observe(&mut self, standing: Standing, now_ms: u64, patience_ms: u64) -> Option<u64> {
        let Standing::Gap { nonce } = standing else {
            self.seen = None;
            return None;
        };
        match self.seen {
            Some((seen, since)) if seen == nonce => {
                (now_ms >= since.saturating_add(patience_ms)).then_some(nonce)
            }
            _ => {
                self.seen = Some((nonce, now_ms));
                (patience_ms == 0).then_some(nonce)
            }
        }
    }
}

/// Remembers since when the chain's next nonce stands still.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StuckWatch {
    seen: Option<(u64, u64)>,
}

impl StuckWatch {
    /// The nonce that nothing gets past, and for how long, once that is `patience_ms`. `is_waited_for`: something bound is in
    /// no block.
    pub(crate) fn observe(
        &mut self,
        next: u64,
        is_waited_for: bool,
        now_ms: u64,
        patience_ms: u64,
    ) -> Option<(u64, u64)> {
        let since = match self.seen {
            Some((seen, since)) if seen == next && is_waited_for => since,
            _ => now_ms,
        };
        self.seen = is_waited_for.then_some((next, since));
        let still_ms = now_ms.saturating_sub(since);
        (is_waited_for && still_ms >= patience_ms).then_some((next, still_ms))
    }
}

/// Remembers since when nodes have shown a chain that is behind what was final.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResetWatch {
    /// Per endpoint when it first showed it; all of them without a sound look between.
    seen: BTreeMap<usize, u64>,
    looks: usize,
}

/// One look at the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// The index of the endpoint that told the next nonce.
    pub(crate) endpoint: usize,
    /// How many endpoints there are.
    pub(crate) endpoints: usize,
    pub(crate) now_ms: u64,
}

impl ResetWatch {
    /// Whether the chain has lost what was final: an endpoint has been behind for `patience_ms`, and meanwhile each of
    /// the others was asked first once and was behind too or did not answer. A node that lags catches up meanwhile.
    pub(crate) fn observe(&mut self, standing: Standing, look: Look, patience_ms: u64) -> bool {
        if !matches!(standing, Standing::Behind { .. }) {
            *self = Self::default();
            return false;
        }
        self.looks = self.looks.saturating_add(1);
        let since = *self.seen.entry(look.endpoint).or_insert(look.now_ms);
        self.looks >= look.endpoints && look.now_ms >= since.saturating_add(patience_ms)
    }
}

#[cfg(test)]
mod tests;
