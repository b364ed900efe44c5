//! Delivery to `StateBridge` on an EVM chain.
//!
//! In: parts ready in the lane's book. Out: transactions of the shard's sender, and the parts' fates. The path of a
//! nonce: BIND → sign → STORE → send → track (→ replace) → final. Every nonce that was handed out is driven to its end
//! ([`crate::nonce`]); a part comes back when the contract deferred or rejected it, or something else used its nonce.

mod abi;
mod dispatch;
mod fault;
mod nodes;
mod refusal;
mod replace;
mod rpc;
mod sign;
mod slots;
mod track;

use std::time::Duration;

use alloy::primitives::{Address, U256};
use alloy::signers::local::PrivateKeySigner;
use common::bridge::Part;
use common::ids::Shard;
use common::link::LaneState;
use common::targets::Tier;

pub(crate) use fault::ChainError;
pub(crate) use rpc::Rpc;
pub use sign::WalletError;
pub(crate) use sign::Wallets;

use super::{AdvanceError, Examination, Fitness, Round, Target, Trouble};
use crate::backoff::Backoff;
use crate::book::{Book, Stage};
use crate::desk::Desk;
use crate::fee::{self, FeeCaps, Market};
use crate::nonce::{self, GapWatch, Look, Patience, ResetWatch, Standing, StuckWatch};
use crate::receipt;
use rpc::View;
use slots::Slots;

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
    pub(crate) patience: Patience,
    pub(crate) gap_ms: u64,
    /// The chain's next nonce stands still for so long under bound work: alarm.
    pub(crate) stuck_ms: u64,
    /// The wallet should hold the cost of so many full transactions; 0 = any balance will do.
    pub(crate) balance_min: u64,
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
    /// All nonces below were finally used.
    used: u64,
    gap: GapWatch,
    stuck: StuckWatch,
    /// An observation of the chain and not of the journal: it outlives what the lane forgets.
    reset: ResetWatch,
    /// The newest block of the place's tier that was seen.
    tier_block: Option<u64>,
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
        let (gap, stuck, reset) = (GapWatch::default(), StuckWatch::default(), ResetWatch::default());
        let (slots, tier_block) = (Slots::default(), None);
        Self { place, limits, rpc, wallet, slots, counter: 0, used: 0, gap, stuck, reset, tier_block }
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

    /// Whether the wallet can pay for less than the operator wants, at the present market.
    fn low_balance(&self, balance: U256, market: Market) -> Option<Trouble> {
        let (wanted, gas) = (self.limits.balance_min, self.limits.tx_gas_max);
        let least = fee::cost(gas, market, self.limits.caps).saturating_mul(wanted.into());
        let detail =
            || format!("{balance} wei, {wanted} transactions of {gas} gas cost {least} wei at present");
        (balance < U256::from(least)).then(|| Trouble::new("WALLET_LOW", detail()))
    }

    /// What lasts: the chain's next nonce does not move under bound work, the fee is at its cap.
    fn alarms(&mut self, next: u64, capped: Option<Trouble>, now_ms: u64) -> Vec<Trouble> {
        let is_waited_for = self.slots.without_block() > 0;
        let stuck =
            self.stuck.observe(next, is_waited_for, now_ms, self.limits.stuck_ms).map(|(nonce, still_ms)| {
                Trouble::new("NONCE_STUCK", format!("nonce {nonce} is the chain's next for {still_ms} ms"))
            });
        capped.into_iter().chain(stuck).collect()
    }

    /// Compares the journal with the chain.
    fn compare(&mut self, view: View, now_ms: u64) -> Result<Compared, AdvanceError> {
        let standing = nonce::standing(&self.slots.nonces(), self.used, self.counter, view.next);
        let look = Look { endpoint: view.endpoint, endpoints: self.rpc.endpoints(), now_ms };
        let is_reset = self.reset.observe(standing, look, self.limits.gap_ms);
        if matches!(standing, Standing::Behind { .. }) {
            // Perhaps only this node lags: the next look is at another one.
            self.rpc.avoid(view.endpoint);
        }
        let gap = self.gap.observe(standing, now_ms, self.limits.gap_ms);
        match standing {
            Standing::Behind { floor } if is_reset => {
                Err(AdvanceError::ChainReset { next: view.next, used: floor })
            }
            Standing::Behind { floor } => Ok(Compared::Wait { floor }),
            Standing::Sound | Standing::Gap { .. } => Ok(Compared::Go(gap)),
        }
    }
}

impl Target for Evm {
    async fn examine(&self) -> Result<Examination, ChainError> {
        let (right, faults): (Vec<_>, Vec<_>) = self.rpc.vet_all().await.into_iter().partition(Result::is_ok);
        let faults: Vec<ChainError> = faults.into_iter().filter_map(Result::err).collect();
        let wrong = faults.iter().find(|fault| matches!(fault, ChainError::WrongChain { .. }));
        if right.is_empty() {
            if let Some(ChainError::WrongChain { expected, found, .. }) = wrong {
                let fitness = Fitness::WrongChain { expected: *expected, found: *found };
                return Ok(Examination { fitness, balance_wei: None, trouble: None, alarms: Vec::new() });
            }
            return Err(faults.into_iter().next().unwrap_or(ChainError::Answer { method: "eth_chainId" }));
        }
        let (has_code, balance, market) = futures_util::try_join!(
            self.rpc.has_code(self.place.contract),
            self.rpc.balance(self.wallet.address()),
            self.rpc.market(),
        )?;
        let fitness = if has_code { Fitness::Fit } else { Fitness::NoContract };
        // The others deliver; the one that does not may be all that is left tomorrow.
        let trouble = wrong.map(|fault| Trouble::new(fault.code(), fault.to_string()));
        let alarms = self.low_balance(balance, market).into_iter().collect();
        Ok(Examination { fitness, balance_wei: Some(balance.to_string()), trouble, alarms })
    }

    fn sender(&self) -> Option<String> {
        Some(self.wallet.address().to_string())
    }

    fn adopt(&mut self, state: &LaneState, _book: &mut Book) {
        self.slots = Slots::adopt(state);
        (self.counter, self.used) = (state.next_nonce, state.used);
        self.gap = GapWatch::default();
    }

    fn check(&self, part: &Part) -> Result<(), String> {
        abi::check(part).map_err(|error| error.to_string())
    }

    async fn advance(&mut self, book: &mut Book, desk: &Desk) -> Result<Round, AdvanceError> {
        self.slots.mark(book);
        Self::finish_covered(book, desk);
        let now_ms = desk.clock.now_ms();
        if self.slots.unsettled().is_empty() && book.ready(now_ms).next().is_none() {
            let again_after = book.next_due_ms().map(|due| Duration::from_millis(due.saturating_sub(now_ms)));
            self.stuck = StuckWatch::default();
            return Ok(Round { again_after, trouble: None, alarms: Some(Vec::new()) });
        }
        let view = self.rpc.view(self.wallet.address(), self.place.tier).await?;
        let gap = match self.compare(view, now_ms)? {
            Compared::Go(gap) => gap,
            Compared::Wait { floor } => {
                let detail = format!("the node shows nonce {} as next, {floor} were final", view.next);
                let trouble = Some(Trouble::new("CHAIN_BEHIND", detail));
                return Ok(Round { again_after: Some(self.limits.poll), trouble, alarms: None });
            }
        };
        let (mut todo, mut trouble) = self.track(view, book, desk).await?;
        if let Some(nonce) = gap {
            tracing::warn!(nonce, "The chain waits for a nonce that nothing holds; filling it");
            self.slots.open(nonce, &[]);
            todo.sign.push(nonce);
        }
        let driven = self.drive(todo, view, book, desk).await?;
        trouble = driven.capped.clone().or(driven.trouble).or(trouble);
        self.slots.mark(book);
        let alarms = Some(self.alarms(view.next, driven.capped, now_ms));
        Ok(Round { again_after: Some(self.limits.poll), trouble, alarms })
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

    fn tier_block(&self) -> Option<u64> {
        self.tier_block
    }
}
