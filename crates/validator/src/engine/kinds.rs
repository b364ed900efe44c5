//! The kinds of state change, one file each.
//!
//! In: a change whose values are resolved, and the request's overlay. Out: writes in the overlay, or errors.
//! The checks common to all kinds (asset, issuer, status, evidence, version) are done before.

use common::ids::{Name, Rid};
use common::request::Op;
use common::state::{AssetRecord, AssetStatus, RegulatoryState};
use common::targets::Targets;

use super::codes::{Code, Errors};
use super::evidence::literal;
use super::footprint::{ChangeSlots, Touched};
use super::work::{Overlay, SNAPSHOTS_KEPT};

mod add_chain;
mod burn;
mod lock;
mod mint;
mod register;
mod set_data;
mod transfer;
mod unlock;

mod claim;
mod interest_payment;
mod payment;
mod principal_repayment;
mod record_snapshot;

mod confiscate;
mod forced;
mod freeze;
mod liquidate;
mod recover;
mod regulatory;
mod release;
mod restrict;
mod seize;
mod unfreeze;
mod unrestrict;

pub(super) use transfer::free;

/// What a change is applied with.
#[derive(Debug)]
pub(super) struct Applying<'a, 'w> {
    pub(super) overlay: &'a mut Overlay<'w>,
    pub(super) slots: &'a ChangeSlots,
    /// The log's targets; `None`: it is known that those named were among them.
    pub(super) targets: Option<&'a Targets>,
    /// Which request it is, and where; `None`: it was applied already, and its locks are not of now.
    pub(super) locking: Option<Locking>,
    /// The tenant whose request it is.
    pub(super) tenant: &'a str,
    /// The class of the asset id.
    pub(super) class: &'a str,
    /// JSON pointer of the change.
    pub(super) pointer: &'a str,
    pub(super) errors: &'a mut Errors,
}

/// What a lock says of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Locking {
    pub(super) rid: Rid,
    pub(super) seq: u64,
    /// Log time of the entry.
    pub(super) time_ms: u64,
}

impl Applying<'_, '_> {
    fn error(&mut self, code: Code, field: &str, detail: impl Into<String>) {
        self.errors.add(code, format!("{}{field}", self.pointer), detail);
    }

    fn check_target(&mut self, chain: &Name, field: &str) {
        if self.targets.is_some_and(|targets| targets.get(chain).is_none()) {
            self.error(Code::UnknownTarget, field, format!("{chain} is not a target of this log"));
        }
    }

    /// Whether the asset is confiscated, so that nothing of it changes any more: an error then.
    pub(super) fn is_ended(&mut self) -> bool {
        let is_ended = self.overlay.asset().is_some_and(|asset| asset.status == AssetStatus::Confiscated);
        if is_ended {
            self.error(Code::AssetBlocked, "/kind", "the asset is CONFISCATED");
        }
        is_ended
    }

    /// Whether an authority has stopped the asset: an error then.
    fn is_asset_blocked(&mut self) -> bool {
        let stopped = self.overlay.asset().and_then(stopped);
        if let Some(state) = stopped {
            self.error(Code::AssetBlocked, "/kind", format!("the asset is {}", state.name()));
        }
        stopped.is_some()
    }

    /// Whether an authority has stopped a holding in this state: an error then, at the field that names it.
    fn is_holding_blocked(&mut self, state: RegulatoryState, field: &str) -> bool {
        let is_blocked = regulatory::stops(state);
        if is_blocked {
            self.holding_is_blocked(state, field);
        }
        is_blocked
    }

    /// Whether holdings no longer keep what was held at a snapshot: an error then.
    fn is_snapshot_closed(&mut self, snapshot: u64, field: &str) -> bool {
        let snapshots = self.overlay.asset().map_or(0, |asset| asset.snapshots);
        let is_closed = snapshot.saturating_add(SNAPSHOTS_KEPT) <= snapshots;
        if is_closed {
            let detail = format!("snapshot {snapshot} of {snapshots}, the last {SNAPSHOTS_KEPT} are kept");
            self.error(Code::SnapshotClosed, field, detail);
        }
        is_closed
    }

    fn holding_is_blocked(&mut self, state: RegulatoryState, field: &str) {
        self.error(Code::HoldingBlocked, field, format!("the holding is {}", state.name()));
    }
}

/// The slots of a change beside its asset's.
pub(super) fn footprint(op: &Op, touched: &mut Touched<'_>) -> ChangeSlots {
    match op {
        Op::Register { .. } => register::footprint(touched),
        Op::AddChain { .. } => add_chain::footprint(touched),
        Op::Mint { to, .. } => mint::footprint(to, touched),
        Op::Burn { from, .. } => burn::footprint(from, touched),
        Op::Transfer { from, to, .. } => transfer::footprint(from, to, touched),
        Op::SetData { .. } => set_data::footprint(touched),
        Op::Lock { .. } => lock::footprint(touched),
        Op::Unlock { .. } => unlock::footprint(touched),
        Op::RecordSnapshot { date } => record_snapshot::footprint(date, touched),
        Op::InterestPayment(payment) => interest_payment::footprint(payment, touched),
        Op::PrincipalRepayment(payment) => principal_repayment::footprint(payment, touched),
        Op::Claim { event, date, account } => claim::footprint(*event, date, account, touched),
        Op::Freeze { account, .. } => freeze::footprint(account.as_ref(), touched),
        Op::Unfreeze { account, .. } => unfreeze::footprint(account.as_ref(), touched),
        Op::Seize { account } => seize::footprint(account.as_ref(), touched),
        Op::Release { account } => release::footprint(account.as_ref(), touched),
        Op::Confiscate { holding } => confiscate::footprint(holding.as_ref(), touched),
        Op::Restrict { account } => restrict::footprint(account.as_ref(), touched),
        Op::Unrestrict { account } => unrestrict::footprint(account.as_ref(), touched),
        Op::Liquidate { from, to, .. } => liquidate::footprint(from, to, touched),
        Op::Recover { from, to, .. } => recover::footprint(from, to, touched),
    }
}

/// What is never undone automatically: others have acted on it outside, or waited for it, or an authority ordered it, and
/// orders are undone by orders.
pub(super) fn is_final(op: &Op) -> bool {
    matches!(op, Op::Burn { .. } | Op::Lock { .. } | Op::Unlock { .. }) || op.is_regulatory()
}

/// The state in which an authority has stopped an asset, if it is in one.
pub(super) fn stopped(asset: &AssetRecord) -> Option<RegulatoryState> {
    asset.status.regulatory().filter(|state| regulatory::stops(*state))
}

pub(super) fn apply(op: &Op, applying: &mut Applying<'_, '_>) {
    match op {
        Op::Register { decimals, chains, terms, documents } => {
            register::apply(*decimals, chains, terms, documents, applying);
        }
        Op::AddChain { chain } => add_chain::apply(chain, applying),
        Op::Mint { amount, .. } => mint::apply(*literal(amount), applying),
        Op::Burn { amount, .. } => burn::apply(*literal(amount), applying),
        Op::Transfer { amount, .. } => transfer::apply(*literal(amount), applying),
        Op::SetData { terms, documents } => set_data::apply(terms, documents, applying),
        Op::Lock { reason, seconds } => lock::apply(reason, *seconds, applying),
        Op::Unlock { lock } => unlock::apply(*lock, applying),
        Op::RecordSnapshot { .. } => record_snapshot::apply(applying),
        Op::InterestPayment(payment) => interest_payment::apply(payment, applying),
        Op::PrincipalRepayment(payment) => principal_repayment::apply(payment, applying),
        Op::Claim { .. } => claim::apply(applying),
        Op::Freeze { amount, .. } => freeze::apply(*amount, applying),
        Op::Unfreeze { amount, .. } => unfreeze::apply(*amount, applying),
        Op::Seize { .. } => seize::apply(applying),
        Op::Release { .. } => release::apply(applying),
        Op::Confiscate { .. } => confiscate::apply(applying),
        Op::Restrict { .. } => restrict::apply(applying),
        Op::Unrestrict { .. } => unrestrict::apply(applying),
        Op::Liquidate { amount, .. } => liquidate::apply(*amount, applying),
        Op::Recover { amount, .. } => recover::apply(*amount, applying),
    }
}
