//! The records of corporate actions: snapshots, payments, claims, and what holdings keep for them.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::HoldingRecord;
use crate::amount::Amount;
use crate::corporate::Rate;

/// What a holding was at a snapshot, and at those before it down to the next lower one of the list.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Held {
    /// Number of the asset's snapshot.
    pub snapshot: u64,
    pub balance: Amount,
}

impl HoldingRecord {
    /// The balance at a snapshot of the asset: it is still the present one unless the list has one at or after it.
    #[must_use]
    pub fn held_at(&self, snapshot: u64) -> Amount {
        self.snapshots.iter().find(|held| held.snapshot >= snapshot).map_or(self.balance, |held| held.balance)
    }

    /// Sets the balance. `snapshots` is how many the asset has; what was held at the last one stays known, unless it is
    /// the new balance. What lies before the last `kept` snapshots is forgotten.
    pub fn set_balance(&mut self, balance: Amount, snapshots: u64, kept: u64) {
        if balance == self.balance {
            return;
        }
        if self.snapshots.last().map_or(0, |held| held.snapshot) < snapshots {
            self.snapshots.push(Held { snapshot: snapshots, balance: self.balance });
            self.snapshots.retain(|held| held.snapshot.saturating_add(kept) > snapshots);
        }
        self.balance = balance;
        // What is held again needs no copy, so a holding that is empty as it was leaves nothing behind.
        while self.snapshots.last().is_some_and(|held| held.balance == balance) {
            self.snapshots.pop();
        }
    }
}

/// The value of `event/<asset>/<date>/RECORD_SNAPSHOT`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// Counted per asset, from 1.
    pub number: u64,
    /// The supply then: the sum of what was held.
    pub supply: Amount,
}

/// The value of `event/<asset>/<date>/<kind of payment>`: what holders get for what they held at a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct PaymentRecord {
    /// Number of the snapshot.
    pub snapshot: u64,
    /// The supply at the snapshot.
    pub supply: Amount,
    /// Id of the asset that is paid in.
    pub cash_asset: String,
    /// Per unit held; none: what was funded, in proportion to what was held.
    pub rate: Option<Rate>,
    /// Units that were set aside.
    pub funded: Amount,
    /// Units that were claimed of them.
    pub paid: Amount,
}

impl PaymentRecord {
    /// What is due for so many units, rounded down.
    #[must_use]
    pub fn due(&self, held: Amount) -> Option<Amount> {
        match self.rate {
            Some(rate) => rate.of(held),
            None => held.mul_div(self.funded, self.supply),
        }
    }
}

/// The value of `event/<asset>/<date>/<kind of payment>/<account>`: the account got its part.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// What it held at the snapshot.
    pub held: Amount,
    pub amount: Amount,
}
