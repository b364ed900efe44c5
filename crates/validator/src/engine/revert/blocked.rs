//! What stands in the way of a rollback now, whatever the log says of its request: a lock, or an authority.

use std::collections::BTreeMap;

use common::amount::Amount;
use common::state::RegulatoryState;

use super::super::codes::{Code, Errors};
use super::super::footprint::SlotId;
use super::super::kinds;
use super::super::past::Found;
use super::super::waiting::LockRow;
use super::super::work::{Record, Work};

/// `prior`: the records before the request, by slot.
pub(super) fn why(
    found: &Found,
    prior: &[Option<Record>],
    work: &Work,
    locks: &BTreeMap<String, LockRow>,
) -> Option<Errors> {
    if let Some(held) = locks.get(found.undone.request.asset.id.as_str()).and_then(|row| row.held.as_ref()) {
        let detail = format!("the asset is held since entry {}: {}", held.since, held.reason);
        return Some(Errors::one(Code::AssetLocked, "/rid", detail));
    }
    if let Some(state) = stopped(found, work) {
        let detail = format!("the asset is {}", state.name());
        return Some(Errors::one(Code::AssetBlocked, "/rid", detail));
    }
    if takes_frozen(found, prior, work) {
        let detail = "units that an authority has frozen would leave a holding";
        return Some(Errors::one(Code::HoldingBlocked, "/rid", detail));
    }
    None
}

/// The state in which an authority has stopped the asset.
fn stopped(found: &Found, work: &Work) -> Option<RegulatoryState> {
    let slot = found.footprints.last().map(|footprint| footprint.asset)?;
    kinds::stopped(work.slots[slot].now.as_ref().and_then(Record::as_asset)?)
}

/// Whether more would leave a holding than is free there: what comes in is frozen up to the figure, also after FREEZE, and
/// does not go back before UNFREEZE.
fn takes_frozen(found: &Found, prior: &[Option<Record>], work: &Work) -> bool {
    let writes = found.footprints.last().map(|footprint| footprint.writes.as_slice()).unwrap_or_default();
    let takes = |slot: &SlotId| {
        let Some(Record::Holding(now)) = &work.slots[*slot].now else { return false };
        let before = match &prior[*slot] {
            Some(Record::Holding(before)) => before.balance,
            _ => Amount::ZERO,
        };
        now.balance.checked_sub(before).is_some_and(|leaving| leaving > kinds::free(now))
    };
    writes.iter().any(takes)
}
