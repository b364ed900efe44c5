//! Observations withdrawn: what was seen for a request is no longer so at its source.
//!
//! In: a WITHDRAWN message, decided by log order like a CANCEL. Out, by what the log has said of the request:
//! - nothing yet: REJECTED `OBSERVATION_WITHDRAWN` (in [`intake`](super::intake), which knows who waits in this batch);
//! - APPLIED: the outcome stays, and the event stays used, or it could be used again if it comes back. The request is
//!   told: a row of `withdrawals`, and a mark in its record. Undoing it is an operator's decision;
//! - anything else: nothing of it took effect, so nothing is to be told.
//!
//! A withdrawal that the request knows already changes nothing.

use common::message::Withdrawn;
use common::status::OutcomeKind;

use super::boundary::{Decision, Withdrawal};
use super::codes::{Code, DETAIL_BYTES_MAX, Errors, cut};
use super::draft::Draft;

/// Most withdrawals kept of one request: one for each source and each change it can name.
const WITHDRAWALS_MAX: usize = 64;

/// The request is not decided, and what it rests on is gone.
pub(super) fn refusal(withdrawn: &Withdrawn) -> Errors {
    let Withdrawn { source, identity, block, block_hash, pointer } = withdrawn;
    let what = identity.as_deref().unwrap_or("the window of logs");
    let detail = format!("source {source}: {what} was seen in block {block} {block_hash}, which is gone");
    Errors::one(Code::ObservationWithdrawn, cut(pointer, DETAIL_BYTES_MAX), cut(&detail, DETAIL_BYTES_MAX))
}

/// The request `rid` is decided: it is told if that matters to it.
pub(super) fn tell(rid: common::ids::Rid, withdrawn: &Withdrawn, time_ms: u64, draft: &mut Draft) {
    let is_applied = |decision: &Decision| decision.outcome == OutcomeKind::Applied.name();
    if !draft.decision(rid).is_some_and(is_applied) {
        return;
    }
    let Withdrawn { source, identity, block, block_hash, pointer } = withdrawn;
    let withdrawal = Withdrawal {
        source: source.to_string(),
        identity: identity.as_deref().map(|identity| cut(identity, DETAIL_BYTES_MAX).to_owned()),
        block: *block,
        block_hash: *block_hash,
        pointer: cut(pointer, DETAIL_BYTES_MAX).to_owned(),
        seq: draft.seq,
        time_ms,
    };
    let mut known = draft.withdrawals(rid).to_vec();
    if known.len() >= WITHDRAWALS_MAX || known.iter().any(|earlier| earlier.is_of(&withdrawal)) {
        return;
    }
    known.push(withdrawal);
    draft.withdrawals.insert(rid, known);
    draft.restore_status(rid);
}
