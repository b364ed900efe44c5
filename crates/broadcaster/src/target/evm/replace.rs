//! Replacing a transaction that waits too long: the same nonce and content for a higher fee.
//!
//! In: a nonce that tracking found overdue and the present market. Out: one more stored transaction of it, to be sent, or why it
//! stays as it is. Invariants: what it says is read from the stored bytes, so a replacement never carries other items; it is
//! stored before it is sent, and the ones before stay stored: any of them may be the one that is mined.

use common::link::Item;

use super::{AdvanceError, Evm, Trouble, sign};
use crate::desk::{Desk, SignedAttempt};
use crate::fee::{self, Market, Raise};
use crate::metrics;

/// What became of an overdue nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(super) enum Replaced {
    /// A dearer transaction is stored.
    Stored,
    /// The last one stays, at the cap if there is a trouble.
    Stays(Option<Trouble>),
}

impl Evm {
    pub(super) async fn replace(
        &mut self,
        nonce: u64,
        market: Market,
        desk: &Desk,
    ) -> Result<Replaced, AdvanceError> {
        let Some(slot) = self.slots.get_mut(nonce) else { return Ok(Replaced::Stays(None)) };
        let attempts = u32::try_from(slot.attempts.len()).unwrap_or(u32::MAX);
        let Some((last, paid)) = slot.attempts.last().and_then(|last| Some((last, last.fee?))) else {
            return Ok(Replaced::Stays(None));
        };
        let raised = match fee::raised(paid, attempts, market, self.limits.caps) {
            Raise::Pay(raised) => raised,
            Raise::AtCap(limit) => {
                let base_fee = market.base_fee;
                let detail = format!(
                    "nonce {nonce} waits at {paid} wei per gas, the base fee is {base_fee}; {limit} allows no more"
                );
                return Ok(Replaced::Stays(Some(Trouble::new("FEE_CAP", detail))));
            }
        };
        let Some(signed) = sign::sign_again(&self.wallet, &last.raw, raised)? else {
            return Ok(Replaced::Stays(None));
        };
        let items: Vec<Item> = slot.items.iter().copied().collect();
        let stored = SignedAttempt {
            nonce,
            items: &items,
            attempt: attempts.saturating_add(1),
            raw: &signed.raw,
            tx_hash: &signed.hash.to_string(),
            fee: &raised.to_string(),
        };
        desk.store(&stored).await?;
        metrics::stored(&desk.target, self.place.shard, "replacement");
        tracing::info!(nonce, attempt = stored.attempt, %paid, %raised, "A transaction waits for too long; it is replaced");
        slot.add(signed);
        Ok(Replaced::Stored)
    }
}
