//! The nonces a lane holds: what is bound to each, the stored transactions, and what the chain showed of them.
//!
//! Rebuilt from `:bind` and `:raw` after each lease; everything else in here is an observation that can be made
//! again.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::B256;
use common::link::{Item, LaneState};
use common::message::PartReceipt;

use super::sign::Signed;
use crate::book::{Book, Stage};
use crate::nonce::{Offered, SlotFacts};
use crate::receipt::Landing;

/// A stored transaction found in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mined {
    pub(super) hash: B256,
    pub(super) block: u64,
    /// `None` = the node did not say: read again until it is final.
    pub(super) block_hash: Option<B256>,
    /// It was reverted, and had used up all the gas it was given.
    pub(super) is_starved: bool,
    /// Empty if the transaction was reverted.
    pub(super) landings: BTreeMap<Item, Landing>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// Empty = gap filler.
    pub(super) items: BTreeSet<Item>,
    pub(super) attempts: Vec<Signed>,
    /// When its bytes were last offered to a node by this process.
    pub(super) tried_ms: Option<u64>,
    /// Since when its last transaction is with the chain, or refused for its fee.
    pub(super) offered: Option<Offered>,
    /// The transaction that a node took or held already, or that was seen in a block.
    pub(super) held: Option<B256>,
    pub(super) mined: Option<Mined>,
    /// The transaction is final; per item what it did. Waits for the entries' DONE.
    pub(super) settled: Option<BTreeMap<Item, PartReceipt>>,
}

impl Slot {
    pub(super) fn facts(&self) -> SlotFacts {
        SlotFacts {
            stored: !self.attempts.is_empty(),
            tried_ms: self.tried_ms,
            block: self.mined.as_ref().map(|mined| mined.block),
            fee: self.attempts.last().and_then(|signed| signed.fee),
            offered: self.offered,
        }
    }

    /// One more signed transaction: it has to be sent first.
    pub(super) fn add(&mut self, signed: Signed) {
        self.attempts.push(signed);
        (self.tried_ms, self.offered) = (None, None);
    }

    /// The transaction seen in a block is in none any more.
    pub(super) fn left_chain(&mut self) {
        (self.tried_ms, self.offered, self.held) = (None, None, None);
    }

    /// The stage its items are in.
    fn stage(&self, item: Item) -> Stage {
        let receipt = self.settled.as_ref().and_then(|settled| settled.get(&item));
        match (receipt, &self.mined, self.held) {
            (Some(receipt), _, _) => Stage::Finished(receipt.clone()),
            (None, Some(mined), _) => Stage::Included { tx: mined.hash.to_string(), block: mined.block },
            (None, None, Some(hash)) => Stage::Sent { tx: hash.to_string() },
            (None, None, None) => Stage::Bound,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    by_nonce: BTreeMap<u64, Slot>,
}

impl Slots {
    /// What the journal holds.
    pub(super) fn adopt(state: &LaneState) -> Self {
        let mut by_nonce: BTreeMap<u64, Slot> = BTreeMap::new();
        for nonce in &state.fillers {
            by_nonce.entry(*nonce).or_default();
        }
        for (item, nonce) in &state.binds {
            by_nonce.entry(*nonce).or_default().items.insert(*item);
        }
        for (nonce, slot) in &mut by_nonce {
            let Some(raw) = state.raws.get(nonce) else { continue };
            // A hash that cannot be read would only cost the look-up by it; the bytes are sent either way.
            let stored = raw.attempts.values();
            slot.attempts = stored.map(|attempt| Signed::stored(&attempt.raw, &attempt.tx_hash)).collect();
        }
        Self { by_nonce }
    }

    pub(super) fn nonces(&self) -> BTreeSet<u64> {
        self.by_nonce.keys().copied().collect()
    }

    pub(super) fn get(&self, nonce: u64) -> Option<&Slot> {
        self.by_nonce.get(&nonce)
    }

    pub(super) fn get_mut(&mut self, nonce: u64) -> Option<&mut Slot> {
        self.by_nonce.get_mut(&nonce)
    }

    pub(super) fn open(&mut self, nonce: u64, items: &[Item]) {
        let slot = Slot { items: items.iter().copied().collect(), ..Slot::default() };
        self.by_nonce.insert(nonce, slot);
    }

    pub(super) fn close(&mut self, nonce: u64) {
        self.by_nonce.remove(&nonce);
    }

    /// Nonces whose transactions are not final.
    pub(super) fn unsettled(&self) -> Vec<u64> {
        let unsettled = self.by_nonce.iter().filter(|(_, slot)| slot.settled.is_none());
        unsettled.map(|(nonce, _)| *nonce).collect()
    }

    /// How many nonces wait for a block. Those in blocks that are not final yet do not count: nodes do not hold them.
    pub(super) fn without_block(&self) -> usize {
        self.by_nonce.values().filter(|slot| slot.mined.is_none() && slot.settled.is_none()).count()
    }

    /// Writes what is known of every item into the book. Entries come into the book after their nonces came
    /// from the journal, so this runs before each round.
    pub(super) fn mark(&self, book: &mut Book) {
        for slot in self.by_nonce.values() {
            for item in &slot.items {
                let stage = slot.stage(*item);
                if book.stage(*item).is_some_and(|known| *known != stage) {
                    book.set(*item, stage);
                }
            }
        }
    }

    /// The nonces that items of these entries are bound to.
    pub(super) fn of_entries(&self, seqs: &[u64]) -> Vec<u64> {
        let seqs: BTreeSet<u64> = seqs.iter().copied().collect();
        let held =
            self.by_nonce.iter().filter(|(_, slot)| slot.items.iter().any(|item| seqs.contains(&item.seq)));
        held.map(|(nonce, _)| *nonce).collect()
    }

    /// Drops the items of entries that are done, and the nonces nothing needs any more.
    pub(super) fn forget(&mut self, seqs: &[u64]) {
        let seqs: BTreeSet<u64> = seqs.iter().copied().collect();
        self.by_nonce.retain(|_, slot| {
            let had_items = !slot.items.is_empty();
            slot.items.retain(|item| !seqs.contains(&item.seq));
            !(had_items && slot.items.is_empty())
        });
    }
}
