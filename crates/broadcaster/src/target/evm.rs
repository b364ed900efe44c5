//! Delivery to `StateBridge` on an EVM chain.
//!
//! In: parts ready in the lane's book. Out: transactions of the shard's sender, and the parts' fates. The path of a
//! nonce: BIND → sign → STORE → send → track → final. Every nonce that was handed out is driven to its end
//! ([`crate::nonce`]); a part comes back when the contract deferred or rejected it, or something else used its nonce.

mod abi;
mod rpc;
mod sign;
mod slots;
mod track;

use std::time::Duration;

use alloy::primitives::{Address, Bytes};
use alloy::signers::local::PrivateKeySigner;
use common::bridge::Part;
use common::crash_point;
use common::ids::Shard;
use common::link::{Item, LaneState};
use common::targets::Tier;

pub(crate) use rpc::{ChainError, Rpc};
pub use sign::WalletError;
pub(crate) use sign::Wallets;

use super::{AdvanceError, Examination, Fitness, Round, Target, Trouble};
use crate::backoff::Backoff;
use crate::book::{Book, Stage};
use crate::desk::{Desk, SignedAttempt};
use crate::fee::{self, Fee, FeeCaps, Offer};
use crate::nonce::{self, GapWatch, ResetWatch, Standing};
use crate::pack::{self, Candidate, Room};
use crate::receipt;
use rpc::{SendAnswer, View};
use sign::Draft;
use slots::Slots;
use track::ToDo;

/// Gas of a transaction that does nothing.
const FILLER_GAS: u64 = 21_000;

/// Which contract on which chain, for which shard.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) shard: Shard,
    pub(crate) chain_id: u64,
    pub(crate) contract: Address,
    pub(crate) tier: Tier,
}

/// The operator's limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) tx_gas_max: u64,
    /// Transactions that are in no block, per lane; nodes keep few per sender.
    pub(crate) transactions_max: usize,
    /// Items bound and not finished, per lane.
    pub(crate) window: usize,
    pub(crate) caps: FeeCaps,
    pub(crate) poll: Duration,
    pub(crate) resend_ms: u64,
    pub(crate) gap_ms: u64,
    pub(crate) retry: Backoff,
}

#[derive(Debug)]
pub(crate) struct Evm {
    place: Place,
    limits: Limits,
    rpc: Rpc,
    wallet: PrivateKeySigner,
    slots: Slots,
    /// The lowest nonce never handed out.
    counter: u64,
    gap: GapWatch,
    /// An observation of the chain and not of the journal: it outlives what the lane forgets.
    reset: ResetWatch,
}

/// What the comparison of journal and chain allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// Go on, after filling the gap if there is one.
    Go(Option<u64>),
    /// The chain shows less than was final: look again, send nothing.
    Wait { floor: u64 },
}

impl Evm {
    pub(crate) fn new(place: Place, limits: Limits, rpc: Rpc, wallet: PrivateKeySigner) -> Self {
        let (gap, reset) = (GapWatch::default(), ResetWatch::default());
        Self { place, limits, rpc, wallet, slots: Slots::default(), counter: 0, gap, reset }
    }

    fn shard_number(&self) -> u32 {
        u32::from(self.place.shard.number())
    }

    /// Parts of which a rollback has taken back everything are never sent.
    fn finish_covered(book: &mut Book, desk: &Desk) {
        let covered: Vec<_> = book
            .ready(u64::MAX)
            .filter_map(|(item, part)| {
                let (skip, updates) = (desk.skip(part), part.updates.len());
                (skip != 0 && skip == receipt::all(updates))
                    .then(|| (item, receipt::unsent(item.part, updates, skip)))
            })
            .collect();
        for (item, part) in covered {
            book.set(item, Stage::Finished(part));
        }
    }

    /// Compares the journal with the chain.
    fn compare(&mut self, view: View, now_ms: u64) -> Result<Compared, AdvanceError> {
        let standing = nonce::standing(&self.slots.nonces(), self.counter, view.next);
        let is_reset = self.reset.observe(standing, view.endpoint, now_ms, self.limits.gap_ms);
        let gap = self.gap.observe(standing, now_ms, self.limits.gap_ms);
        match standing {
            Standing::Behind { floor } if is_reset => {
                Err(AdvanceError::ChainReset { next: view.next, used: floor })
            }
            Standing::Behind { floor } => Ok(Compared::Wait { floor }),
            Standing::Sound | Standing::Gap { .. } => Ok(Compared::Go(gap)),
        }
    }

    /// Signs what is bound to a nonce and keeps it. `None` if a part is not in hand (its entry was rewound and
    /// is not relayed again yet).
    async fn sign(
        &mut self,
        nonce: u64,
        fee: Fee,
        book: &Book,
        desk: &Desk,
    ) -> Result<Option<Trouble>, AdvanceError> {
        let Some(slot) = self.slots.get(nonce) else { return Ok(None) };
        let items: Vec<Item> = slot.items.iter().copied().collect();
        let Some(parts) = items.iter().map(|item| book.part(*item)).collect::<Option<Vec<&Part>>>() else {
            return Ok(Some(Trouble {
                code: "ENTRY_NOT_RELAYED".to_owned(),
                detail: format!("nonce {nonce} is bound to an entry that was rewound"),
            }));
        };
        let (to, gas, input) = if items.is_empty() {
            (self.wallet.address(), FILLER_GAS, Bytes::new())
        } else {
            let batches: Vec<(&Part, u64)> = parts.iter().map(|part| (*part, desk.skip(part))).collect();
            let gas = pack::transaction_gas(parts.iter().map(|part| part.updates.as_slice()));
            match abi::apply_batches(&batches) {
                Ok(input) => (self.place.contract, gas, input),
                Err(error) => {
                    let detail = error.to_string();
                    return Ok(Some(Trouble { code: "OUT_UNREADABLE".to_owned(), detail }));
                }
            }
        };
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
        if let Some(slot) = self.slots.get_mut(nonce) {
            slot.attempts.push(signed);
        }
        Ok(None)
    }

    /// Hands the stored bytes of a nonce to the chain.
    async fn send(&mut self, nonce: u64, now_ms: u64) -> Result<Option<Trouble>, AdvanceError> {
        let Some(slot) = self.slots.get_mut(nonce) else { return Ok(None) };
        let Some(signed) = slot.attempts.last() else { return Ok(None) };
        let answer = self.rpc.send(&signed.raw).await?;
        crash_point!("broadcaster.send");
        slot.sent_ms = Some(now_ms);
        let SendAnswer::Refused { code, message } = answer else { return Ok(None) };
        // Nodes refuse what they already hold; whether it is that is asked of the node, not read out of its words.
        if self.rpc.knows(signed.hash).await? {
            return Ok(None);
        }
        Ok(Some(Trouble {
            code: "SEND_REFUSED".to_owned(),
            detail: format!("nonce {nonce}: {message} ({code})"),
        }))
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
            .map(|(item, part)| Candidate { item, gas: pack::part_gas(&part.updates) })
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

    /// Signs, stores and sends in nonce order; answers the last trouble.
    async fn drive(
        &mut self,
        todo: ToDo,
        view: View,
        book: &mut Book,
        desk: &Desk,
    ) -> Result<Option<Trouble>, AdvanceError> {
        let ToDo { mut sign, mut send } = todo;
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
                trouble = Some(Trouble { code: "FEE_ABOVE_CAP".to_owned(), detail });
            }
            Offer::AboveCap { .. } => {}
        }
        send.sort_unstable();
        for nonce in send {
            trouble = self.send(nonce, desk.clock.now_ms()).await?.or(trouble);
        }
        Ok(trouble)
    }
}

/// Most items in one transaction: one BIND takes no more, and one entry's progress names their transactions.
const ITEMS_MAX: usize = common::link::BATCH_MAX;

impl Target for Evm {
    async fn examine(&self) -> Result<Examination, ChainError> {
        let found = self.rpc.chain_id().await?;
        if found != self.place.chain_id {
            let fitness = Fitness::WrongChain { expected: self.place.chain_id, found };
            return Ok(Examination { fitness, balance_wei: None });
        }
        let has_code = self.rpc.has_code(self.place.contract).await?;
        let balance = self.rpc.balance(self.wallet.address()).await?;
        let fitness = if has_code { Fitness::Fit } else { Fitness::NoContract };
        Ok(Examination { fitness, balance_wei: Some(balance.to_string()) })
    }

    fn adopt(&mut self, state: &LaneState, _book: &mut Book) {
        self.slots = Slots::adopt(state);
        self.counter = state.next_nonce;
        self.gap = GapWatch::default();
    }

    async fn advance(&mut self, book: &mut Book, desk: &Desk) -> Result<Round, AdvanceError> {
        self.slots.mark(book);
        Self::finish_covered(book, desk);
        let now_ms = desk.clock.now_ms();
        if self.slots.unsettled().is_empty() && book.ready(now_ms).next().is_none() {
            let again_after = book.next_due_ms().map(|due| Duration::from_millis(due.saturating_sub(now_ms)));
            return Ok(Round { again_after, trouble: None });
        }
        let view = self.rpc.view(self.wallet.address(), self.place.tier).await?;
        let gap = match self.compare(view, now_ms)? {
            Compared::Go(gap) => gap,
            Compared::Wait { floor } => {
                let detail = format!("the node shows nonce {} as next, {floor} were final", view.next);
                let trouble = Some(Trouble { code: "CHAIN_BEHIND".to_owned(), detail });
                return Ok(Round { again_after: Some(self.limits.poll), trouble });
            }
        };
        let (mut todo, mut trouble) = self.track(view, book, desk).await?;
        if let Some(nonce) = gap {
            tracing::warn!(nonce, "The chain waits for a nonce that nothing holds; filling it");
            self.slots.open(nonce, &[]);
            todo.sign.push(nonce);
        }
        trouble = self.drive(todo, view, book, desk).await?.or(trouble);
        self.slots.mark(book);
        Ok(Round { again_after: Some(self.limits.poll), trouble })
    }

    fn nonces_of(&self, seqs: &[u64]) -> Vec<u64> {
        self.slots.of_entries(seqs)
    }

    fn forget(&mut self, seqs: &[u64]) {
        self.slots.forget(seqs);
    }

    fn binds(&self) -> bool {
        true
    }

    fn in_flight(&self) -> usize {
        self.slots.unsettled().len()
    }
}
