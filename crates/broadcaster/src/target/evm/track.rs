//! Following the nonces a lane holds: receipts in, fates of parts out.

use std::collections::BTreeMap;

use alloy::rpc::types::TransactionReceipt;
use common::link::Item;
use common::message::PartReceipt;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::rpc::View;
use super::sign::{self, Signed};
use super::slots::{Mined, Slot};
use super::{AdvanceError, ChainError, Evm, Trouble, abi};
use crate::book::{Book, Stage};
use crate::desk::Desk;
use crate::nonce::{self, ChainFacts, Inquiry, SlotStep};
use crate::receipt::{self, Again, Landing, Place};

/// Receipts asked for at a time.
const LOOK_UPS_MAX: usize = 8;

/// Nonces that need something from us.
#[derive(Debug, Default)]
pub(super) struct ToDo {
    pub(super) sign: Vec<u64>,
    pub(super) send: Vec<u64>,
    /// They wait for a block for too long.
    pub(super) replace: Vec<u64>,
}

impl Evm {
    /// Looks at every nonce that is not final, settles what is, frees what came back.
    pub(super) async fn track(
        &mut self,
        view: View,
        book: &mut Book,
        desk: &Desk,
    ) -> Result<(ToDo, Option<Trouble>), AdvanceError> {
        let unsettled = self.slots.unsettled();
        let View { next, final_block, head, market, .. } = view;
        self.tier_block = Some(final_block);
        let base_fee = market.base_fee;
        let mut chain = ChainFacts { next, next_final: None, final_block, head, base_fee };
        if self.observe(&unsettled, chain).await? {
            chain.next_final = self.next_final().await;
        }
        let (mut todo, mut trouble) = (ToDo::default(), None);
        for nonce in unsettled {
            let Some(slot) = self.slots.get(nonce).map(Slot::facts) else { continue };
            let (now_ms, patience) = (desk.clock.now_ms(), self.limits.patience);
            if nonce::is_overdue(nonce, slot, chain, now_ms, patience) {
                todo.replace.push(nonce);
            }
            match nonce::step(nonce, slot, chain, now_ms, patience.resend_ms) {
                SlotStep::Sign => todo.sign.push(nonce),
                SlotStep::Send => todo.send.push(nonce),
                SlotStep::Pending | SlotStep::Included { .. } => {}
                SlotStep::Final { .. } => trouble = self.settle(nonce, book, desk).await?.or(trouble),
                SlotStep::Foreign => self.give_up(nonce, chain, book, desk).await?,
            }
        }
        self.slots.mark(book);
        Ok((todo, trouble))
    }

    /// Reads the receipts that have to be; answers whether a nonce was used by nothing of ours.
    async fn observe(&mut self, unsettled: &[u64], chain: ChainFacts) -> Result<bool, ChainError> {
        let is_moved = self.has_moved(unsettled, chain.final_block).await?;
        let (mut unused, mut reads) = (Vec::new(), Vec::new());
        let this = &*self;
        for (nonce, slot) in unsettled.iter().filter_map(|nonce| Some((*nonce, this.slots.get(*nonce)?))) {
            match nonce::inquire(nonce, slot.facts().block, chain, is_moved) {
                Inquiry::Known => {}
                Inquiry::Unused => unused.push((nonce, None)),
                Inquiry::Read => reads.push(async move { Ok((nonce, this.find(&slot.attempts).await?)) }),
            }
        }
        let read: Vec<(u64, Option<Mined>)> =
            stream::iter(reads).buffered(LOOK_UPS_MAX).try_collect::<Vec<_>>().await?;
        let lost = read.iter().any(|(_, mined)| mined.is_none());
        for (nonce, mined) in unused.into_iter().chain(read) {
            let Some(slot) = self.slots.get_mut(nonce) else { continue };
            if slot.mined.is_some() && mined.is_none() {
                tracing::warn!(nonce, "A transaction has left the chain again; it is sent once more");
                slot.left_chain();
            }
            // Seen in a block, so it was sent, by whomever.
            slot.held = mined.as_ref().map(|mined| mined.hash).or(slot.held);
            slot.mined = mined;
        }
        Ok(lost)
    }

    /// Whether the chain has other blocks than those the kept receipts are of. The newest of them stands for all: a block
    /// names the one before. One of its forefathers that was read before it and differs is noticed when it is final.
    async fn has_moved(&self, unsettled: &[u64], final_block: u64) -> Result<bool, ChainError> {
        let mined = unsettled.iter().filter_map(|nonce| self.slots.get(*nonce)?.mined.as_ref());
        let newest = mined.max_by_key(|mined| mined.block).filter(|mined| mined.block > final_block);
        match newest {
            None => Ok(false),
            Some(mined) => Ok(self.rpc.block_hash(mined.block).await? != mined.block_hash),
        }
    }

    async fn find(&self, attempts: &[Signed]) -> Result<Option<Mined>, ChainError> {
        for signed in attempts {
            if let Some(receipt) = self.rpc.receipt(signed.hash).await?
                && let Some(block) = receipt.block_number
            {
                let given = sign::gas_limit(&signed.raw);
                let is_starved = !receipt.status() && given.is_some_and(|given| receipt.gas_used >= given);
                let landings = self.landings(&receipt);
                let (hash, block_hash) = (signed.hash, receipt.block_hash);
                return Ok(Some(Mined { hash, block, block_hash, is_starved, landings }));
            }
        }
        Ok(None)
    }

    fn landings(&self, receipt: &TransactionReceipt) -> BTreeMap<Item, Landing> {
        let logs = receipt.inner.logs().iter().map(|log| &log.inner);
        abi::landings(logs, self.place.contract, self.shard_number())
    }

    /// The sender's next nonce at the tier. Nodes without old state cannot tell; then nothing is concluded.
    async fn next_final(&self) -> Option<u64> {
        self.rpc.next_final(self.wallet.address(), self.place.tier).await.ok()
    }

    /// A transaction is final: its parts are finished or come back.
    async fn settle(
        &mut self,
        nonce: u64,
        book: &mut Book,
        desk: &Desk,
    ) -> Result<Option<Trouble>, AdvanceError> {
        let Some(slot) = self.slots.get(nonce) else { return Ok(None) };
        let Some(mined) = slot.mined.clone() else { return Ok(None) };
        self.used = self.used.max(nonce.saturating_add(1));
        let place = Place { tx: mined.hash.to_string(), block: mined.block };
        let (mut landed, mut back) = (BTreeMap::<Item, PartReceipt>::new(), Vec::new());
        for item in &slot.items {
            let landing = mined.landings.get(item).copied().unwrap_or(Landing::Reverted);
            match receipt::of_landing(item.part, landing, &place) {
                Ok(receipt) => {
                    landed.insert(*item, receipt);
                }
                Err(again) => back.push((*item, again)),
            }
        }
        if mined.is_starved {
            for (item, _) in &back {
                book.starve(*item);
            }
        }
        let trouble = self.send_back(nonce, &back, book, desk).await?;
        if landed.is_empty() {
            // A filler, or nothing of it is left: the journal forgets the nonce.
            if back.is_empty() {
                desk.rebind(nonce, nonce.saturating_add(1), &[]).await?;
            }
            self.slots.close(nonce);
        } else if let Some(slot) = self.slots.get_mut(nonce) {
            slot.items.retain(|item| landed.contains_key(item));
            slot.settled = Some(landed);
        }
        Ok(trouble)
    }

    /// Frees items that have to go again. The wait is written first: a crash in between repeats both.
    async fn send_back(
        &mut self,
        nonce: u64,
        back: &[(Item, Again)],
        book: &mut Book,
        desk: &Desk,
    ) -> Result<Option<Trouble>, AdvanceError> {
        let Some((first, again)) = back.first() else { return Ok(None) };
        // One time for all: what came back together goes together, in order and in few transactions.
        let failures = back.iter().map(|(item, _)| book.fail(*item)).max().unwrap_or(1);
        let until_ms = desk.clock.now_ms() + self.limits.retry.delay_ms(failures, first.seq);
        let waits: Vec<(Item, u64)> = back.iter().map(|(item, _)| (*item, until_ms)).collect();
        desk.wait(&waits).await?;
        let items: Vec<Item> = back.iter().map(|(item, _)| *item).collect();
        desk.rebind(nonce, nonce.saturating_add(1), &items).await?;
        for (item, until_ms) in waits {
            book.postpone(item, until_ms);
            book.set(item, Stage::Free);
        }
        if let Some(slot) = self.slots.get_mut(nonce) {
            slot.items.retain(|item| !items.contains(item));
        }
        let detail = format!("{} parts of nonce {nonce} have to go again, {first} first", back.len());
        Ok(Some(Trouble::new(again.code(), detail)))
    }

    /// Something else has used the nonce: its items get another one.
    async fn give_up(
        &mut self,
        nonce: u64,
        chain: ChainFacts,
        book: &mut Book,
        desk: &Desk,
    ) -> Result<(), AdvanceError> {
        let Some(slot) = self.slots.get(nonce) else { return Ok(()) };
        let items: Vec<Item> = slot.items.iter().copied().collect();
        tracing::warn!(nonce, items = items.len(), "Something else has used a nonce of this sender");
        let next_final = chain.next_final.unwrap_or(0);
        desk.rebind(nonce, next_final, &items).await?;
        self.used = self.used.max(next_final);
        self.slots.close(nonce);
        for item in items {
            book.set(item, Stage::Free);
        }
        Ok(())
    }
}
