//! Receipts: a target has finished an entry, once.
//!
//! In: `{seq, target, status, parts}`. Out: fewer targets to wait for, and requests that end with it:
//! - `final`: delivered (a stale update was superseded by a newer one, so it counts);
//! - `failed`: an operator gave the delivery up: requests that wait for the target end as `failed`,
//!   `DELIVERY_FAILED`; their outcome stays APPLIED;
//! - `revoked`: every update was skipped, so nothing was delivered; who waits for the target goes on
//!   waiting, for the entry of the REVERT that covers the updates;
//! - `failed` or `revoked` of a retired target, which the leader itself feeds in where no broadcaster will
//!   answer any more: given up by an operator, so as `failed`.
//!
//! A receipt for an entry or target that is not open, because it is unknown or came before, changes nothing.

use common::ids::Rid;
use common::message::Receipt;
use common::status::Delivery;
use common::targets::Targets;

use super::boundary::Fault;
use super::draft::{COMPLETED, Draft, FAILED};

pub(super) fn consume(receipt: &Receipt, targets: &Targets, draft: &mut Draft) -> Result<(), Fault> {
    let Receipt { seq, target, status, .. } = receipt;
    let Some(mut row) = draft.deliveries(*seq).filter(|row| row.open.contains(target.as_str())).cloned()
    else {
        return Ok(());
    };
    if !status.is_receipt() {
        return Ok(());
    }
    row.open.remove(target.as_str());
    if *status == Delivery::Final {
        draft.finals.insert((target.clone(), *seq));
    }
    let retired = targets.get(target).is_none();
    if retired || *status != Delivery::Revoked {
        let failed = *status != Delivery::Final;
        let mut ended = Vec::new();
        for (rid, waited) in &mut row.waiting {
            if waited.remove(target.as_str()) && (failed || waited.is_empty()) {
                ended.push(*rid);
            }
        }
        for bytes in ended {
            row.waiting.remove(&bytes);
            if let Ok(rid) = Rid::from_bytes(bytes)
                && !draft.deliver(rid, if failed { FAILED } else { COMPLETED })
            {
                return Err(Fault::DecisionMissing { rid });
            }
        }
    }
    let done = row.open.is_empty() && row.waiting.is_empty();
    draft.deliveries.insert(*seq, (!done).then_some(row));
    Ok(())
}
