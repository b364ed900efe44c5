//! The kinds of state change, one file each.
//!
//! In: a change whose values are resolved, and the request's overlay. Out: writes in the overlay, or errors.
//! The checks common to all kinds (asset, issuer, status, evidence, version) are done before.

use common::ids::Name;
use common::request::Op;
use common::targets::Targets;

use super::codes::{Code, Errors};
use super::evidence::literal;
use super::footprint::{ChangeSlots, Touched};
use super::work::Overlay;

mod add_chain;
mod burn;
mod mint;
mod register;
mod set_data;
mod transfer;

/// What a change is applied with.
#[derive(Debug)]
pub(super) struct Applying<'a, 'w> {
    pub(super) overlay: &'a mut Overlay<'w>,
    pub(super) slots: &'a ChangeSlots,
    /// The log's targets; `None`: it is known that those named were among them.
    pub(super) targets: Option<&'a Targets>,
    /// The tenant whose request it is.
    pub(super) tenant: &'a str,
    /// The class of the asset id.
    pub(super) class: &'a str,
    /// JSON pointer of the change.
    pub(super) pointer: &'a str,
    pub(super) errors: &'a mut Errors,
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
    }
}

/// What is never undone automatically: others have acted on it outside.
pub(super) fn is_final(op: &Op) -> bool {
    match op {
        Op::Burn { .. } => true,
        Op::Register { .. }
        | Op::AddChain { .. }
        | Op::Mint { .. }
        | Op::Transfer { .. }
        | Op::SetData { .. } => false,
    }
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
    }
}
