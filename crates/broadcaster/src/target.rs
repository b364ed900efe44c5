//! The seam to the places entries go to.
//!
//! Contract of a [`Target`]:
//! - *Order.* Work comes in the log's order; a target may finish it in any order.
//! - *Repetition.* [`Target::advance`] is called again and again until everything in the book is finished; each
//!   call does one bounded round. After an [`Interrupt`] the lane reads everything anew and calls
//!   [`Target::adopt`]; nothing a target keeps in memory may be needed for correctness.
//! - *Durability.* A part is marked finished only when the target holds its updates at its tier, and only
//!   what the journal holds may have left for the target before.
//! - *Cancellation.* A call may be dropped at any await (lease lost, drain): what is in the journal goes on
//!   under the next owner.
//! - *Bounds.* Every call to the outside has a time limit; no call waits for the target to recover.

pub(crate) mod evm;
pub(crate) mod null;

use std::time::Duration;

use common::bridge::Part;
use common::link::LaneState;

use crate::book::Book;
use crate::desk::{Desk, Interrupt};
use crate::target::evm::ChainError;

/// Where a lane delivers to.
pub(crate) trait Target: 'static {
    /// Whether the target is the one that is configured, and what an operator wants to see of it.
    async fn examine(&self) -> Result<Examination, ChainError>;

    /// The wallet whose nonces the journal speaks of; `None` for targets without one.
    fn sender(&self) -> Option<String>;

    /// Takes over what the journal holds, forgetting everything else.
    fn adopt(&mut self, state: &LaneState, book: &mut Book);

    /// Whether a part can be sent as it is; asked before anything of its entry is taken in hand. The error says why not.
    fn check(&self, part: &Part) -> Result<(), String>;

    /// One round of delivery.
    async fn advance(&mut self, book: &mut Book, desk: &Desk) -> Result<Round, AdvanceError>;

    /// The nonces items of these entries are bound to, asked before their DONE; afterwards they are forgotten.
    fn nonces_of(&self, seqs: &[u64]) -> Vec<u64>;

    /// The entries are done.
    fn forget(&mut self, seqs: &[u64]);

    /// Whether items are bound, so that DONE has to clear them.
    fn binds(&self) -> bool;

    /// Nonces in flight.
    fn in_flight(&self) -> usize;

    /// The newest block of the target's tier that the last round saw; `None` = it has not looked, or there are no blocks.
    fn tier_block(&self) -> Option<u64> {
        None
    }
}

/// What a look at the target showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Examination {
    pub(crate) fitness: Fitness,
    /// The sender's balance in wei, decimal; `None` for targets without one.
    pub(crate) balance_wei: Option<String>,
    /// What an operator should mend though delivery goes on.
    pub(crate) trouble: Option<Trouble>,
    /// All that lasts and that an examination shows.
    pub(crate) alarms: Vec<Trouble>,
}

/// Whether the target can be delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Fitness {
    Fit,
    /// The endpoint serves another chain.
    WrongChain {
        expected: u64,
        found: u64,
    },
    /// There is no contract at the configured address.
    NoContract,
}

/// How a round ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// When to come again without new work; `None` = only new work needs a round. While nothing is in flight
    /// the lane may come earlier.
    pub(crate) again_after: Option<Duration>,
    /// What stands in the way, for operators; delivery goes on with what can.
    pub(crate) trouble: Option<Trouble>,
    /// All that lasts and that delivery shows; `None` = this round could not tell.
    pub(crate) alarms: Option<Vec<Trouble>>,
}

/// Something an operator should know, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) code: String,
    /// At most [`DETAIL_BYTES_MAX`] bytes, without secrets.
    pub(crate) detail: String,
}

/// Most bytes of a [`Trouble`]'s detail.
pub(crate) const DETAIL_BYTES_MAX: usize = 256;

impl Trouble {
    pub(crate) fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: cut(detail.into(), DETAIL_BYTES_MAX) }
    }
}

/// At most so many bytes of a text.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdvanceError {
    /// Read everything again.
    #[error(transparent)]
    Interrupt(#[from] Interrupt),
    /// Retry later; nothing is lost.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The wallet cannot sign: an operator must look.
    #[error("signing failed")]
    Sign(#[from] alloy::signers::Error),
    /// The chain has forgotten what it held finally. Nothing is sent until it is back.
    #[error("the chain has lost final transactions: its next nonce is {next}, {used} were used")]
    ChainReset { next: u64, used: u64 },
}
