//! Bringing nonces to the chain: bind, sign, store, send, in nonce order.
//!
//! In: what tracking has found to do and what is ready in the book. Out: stored transactions with the chain, troubles.
//! Nothing is sent that is not stored; nothing new is bound while the lane is paused or the base fee above the cap.

use std::time::Instant;

use alloy::primitives::{Address, Bytes};
use common::bridge::Part;
use common::crash_point;
use common::link::Item;

use super::refusal::Refusal;
use super::replace::Replaced;
use super::rpc::{SendAnswer, View};
use super::sign::{self, Draft};
use super::track::ToDo;
use super::{AdvanceError, Evm, Trouble, abi};
use crate::book::{Book, Stage};
use crate::desk::{Desk, SignedAttempt};
use crate::fee::{self, Fee, Offer};
use crate::metrics;
use crate::nonce::Offered;
use crate::pack::{self, Candidate, Room};

/// Most items in one transaction: one BIND takes no more, and one entry's progress names their transactions.
const ITEMS_MAX: usize = common::link::BATCH_MAX;

/// Most traced requests that one transaction's log line names.
const TRACES_MAX: usize = 64;

/// What the transaction of a nonce calls.
#[derive(Debug)]
struct Call {
    to: Address,
    input: Bytes,
    /// Gas it uses at most, by our own figures.
    bound: u64,
    /// How often its only part ran out of gas.
    starved: u32,
}

/// What stood in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Driven {
    pub(super) trouble: Option<Trouble>,
    /// A transaction waits and its fee may not rise.
    pub(super) capped: Option<Trouble>,
}

impl Evm {
    /// What the transaction of a nonce says; an error if it cannot be said now.
    fn call(&self, items: &[Item], book: &Book, desk: &Desk) -> Result<Call, Trouble> {
        if items.is_empty() {
            let (to, input) = (self.wallet.address(), Bytes::new());
            return Ok(Call { to, input, bound: pack::FILLER_GAS, starved: 0 });
        }
        let parts = items.iter().map(|item| book.part(*item).ok_or(*item));
        let parts: Vec<&Part> = parts.collect::<Result<_, Item>>().map_err(|item| {
            Trouble::new("ENTRY_NOT_RELAYED", format!("part {item} is bound, its entry was rewound"))
        })?;
        let batches: Vec<(&Part, u64)> = parts.iter().map(|part| (*part, desk.skip(part))).collect();
        let input = abi::apply_batches(&batches)
            .map_err(|error| Trouble::new("OUT_UNREADABLE", error.to_string()))?;
        Ok(Call {
            to: self.place.contract,
            input,
            bound: pack::transaction_gas(parts.iter().map(|part| part.updates.as_slice())),
            starved: items.iter().map(|item| book.starved(*item)).max().unwrap_or(0),
        })
    }

    /// Signs what is bound to a nonce and keeps it, unless something is in the way.
    async fn sign(
        &mut self,
        nonce: u64,
        fee: Fee,
        book: &Book,
        desk: &Desk,
    ) -> Result<Option<Trouble>, AdvanceError> {
        let began = Instant::now();
        let Some(slot) = self.slots.get(nonce) else { return Ok(None) };
        let items: Vec<Item> = slot.items.iter().copied().collect();
        let Call { to, input, bound, starved } = match self.call(&items, book, desk) {
            Ok(call) => call,
            Err(trouble) => return Ok(Some(trouble)),
        };
        // Chains that charge more than the contract's own work (the first layer's data) know it themselves.
        let estimate = self.rpc.estimate(self.wallet.address(), to, &input).await;
        let gas = pack::gas_limit(bound, estimate, starved, self.limits.tx_gas_max);
        let draft = Draft { chain_id: self.place.chain_id, nonce, to, gas, fee, input };
        let signed = sign::sign(&self.wallet, draft)?;
        let attempt = u32::try_from(slot.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let stored = SignedAttempt {
            nonce,
            items: &items,
            attempt,
            raw: &signed.raw,
            tx_hash: &signed.hash.to_string(),
            fee: &fee.to_string(),
        };
        desk.store(&stored).await?;
        metrics::stored(&desk.target, self.place.shard, if items.is_empty() { "filler" } else { "first" });
        metrics::carries(
            desk.link.shard(),
            &desk.target,
            &stored,
            &book.traces(&items, TRACES_MAX),
            began.elapsed(),
        );
        if let Some(slot) = self.slots.get_mut(nonce) {
            slot.add(signed);
        }
        Ok(None)
    }

    /// Hands the stored bytes of a nonce to the chain. `head`: its newest block.
    async fn send(&mut self, nonce: u64, head: u64, now_ms: u64) -> Result<Option<Trouble>, AdvanceError> {
        let Some(slot) = self.slots.get_mut(nonce) else { return Ok(None) };
        let Some(signed) = slot.attempts.last() else { return Ok(None) };
        let answer = self.rpc.send(&signed.raw).await?;
        crash_point!("broadcaster.send");
        slot.tried_ms = Some(now_ms);
        let now = Offered { ms: now_ms, head, is_underpriced: false };
        let SendAnswer::Refused { code, message } = answer else {
            slot.held = Some(signed.hash);
            slot.offered.get_or_insert(now).is_underpriced = false;
            return Ok(None);
        };
        // Nodes refuse what they already hold; whether it is that is asked of the node, not read out of its words.
        if self.rpc.knows(signed.hash).await? {
            slot.held = Some(signed.hash);
            slot.offered.get_or_insert(now).is_underpriced = false;
            return Ok(None);
        }
        // What it replaces may still be there.
        slot.held = match slot.held {
            Some(hash) if hash != signed.hash && self.rpc.knows(hash).await? => Some(hash),
            _ => None,
        };
        let refusal = Refusal::of(code, &message);
        if refusal == Refusal::Underpriced {
            slot.offered.get_or_insert(now).is_underpriced = true;
        }
        let detail = format!("nonce {nonce}: {message} ({code})");
        Ok(refusal.trouble().map(|word| Trouble::new(word, detail)))
    }

    /// Binds what is ready, as much as the window and the number of transactions allow.
    async fn bind_ready(
        &mut self,
        view: View,
        book: &mut Book,
        desk: &Desk,
    ) -> Result<Vec<u64>, AdvanceError> {
        let mut bound = Vec::new();
        if desk.is_paused {
            return Ok(bound);
        }
        let mut room = self.limits.window.saturating_sub(book.in_flight());
        let ready: Vec<Candidate> = book
            .ready(desk.clock.now_ms())
            .map(|(item, part)| {
                let goes_alone = book.starved(item) > 0;
                Candidate { item, gas: pack::part_gas(&part.updates), goes_alone }
            })
            .collect();
        let mut ready = ready.into_iter().peekable();
        while self.slots.without_block() < self.limits.transactions_max {
            let space = Room { gas_max: self.limits.tx_gas_max, items_max: room.min(ITEMS_MAX) };
            let Some(pack) = pack::next(&mut ready, space) else { break };
            let nonce = desk.bind(&pack.items, view.next).await?;
            room = room.saturating_sub(pack.items.len());
            self.counter = self.counter.max(nonce.saturating_add(1));
            self.slots.open(nonce, &pack.items);
            for item in pack.items {
                book.set(item, Stage::Bound);
            }
            bound.push(nonce);
        }
        Ok(bound)
    }

    /// Signs, stores and sends in nonce order; answers the last troubles.
    pub(super) async fn drive(
        &mut self,
        todo: ToDo,
        view: View,
        book: &mut Book,
        desk: &Desk,
    ) -> Result<Driven, AdvanceError> {
        let ToDo { mut sign, mut send, replace } = todo;
        let offer = fee::first(view.market, self.limits.caps);
        let mut trouble = None;
        let wants_fee = !sign.is_empty() || book.ready(desk.clock.now_ms()).next().is_some();
        match offer {
            Offer::Pay(fee) => {
                sign.extend(self.bind_ready(view, book, desk).await?);
                sign.sort_unstable();
                for nonce in sign {
                    match self.sign(nonce, fee, book, desk).await? {
                        None => send.push(nonce),
                        Some(found) => trouble = Some(found),
                    }
                }
            }
            Offer::AboveCap { base_fee, cap } if wants_fee => {
                let detail = format!("the base fee is {base_fee} wei per gas, the cap {cap}");
                trouble = Some(Trouble::new("FEE_ABOVE_CAP", detail));
            }
            Offer::AboveCap { .. } => {}
        }
        let mut capped = None;
        for nonce in replace {
            match self.replace(nonce, view.market, desk).await? {
                Replaced::Stored => send.push(nonce),
                Replaced::Stays(trouble) => capped = trouble.or(capped),
            }
        }
        send.sort_unstable();
        send.dedup();
        for nonce in send {
            trouble = self.send(nonce, view.head, desk.clock.now_ms()).await?.or(trouble);
        }
        Ok(Driven { trouble, capped })
    }
}
