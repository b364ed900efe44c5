//! RECORD_SNAPSHOT `{date}`: what everybody holds now is what payments of this record date go by.
//!
//! - Footprint: writes the asset and the snapshot's event. No holding: each keeps what it held as it changes for the first
//!   time after a snapshot ([`HoldingRecord::set_balance`](common::state::HoldingRecord::set_balance)).
//! - Effect: the asset counts one snapshot more; the event holds its number and the supply. Its place in the log is what
//!   counts, `date` is its name.
//! - Rejected: `EVENT_EXISTS`. Nothing moves, so a stopped asset may be recorded.
//! - Inverse: the number and the event go. Whatever else the asset was asked for since rests on it.

use common::corporate::Date;
use common::state::SnapshotRecord;

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::Applying;

pub(super) fn footprint(date: &Date, touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_asset();
    ChangeSlots { snapshot: Some(touched.writes_snapshot(date)), ..ChangeSlots::default() }
}

pub(super) fn apply(applying: &mut Applying<'_, '_>) {
    let Some(slot) = applying.slots.snapshot else { return };
    if let Some(known) = applying.overlay.snapshot(slot) {
        let detail = format!("it is snapshot {} of the asset", known.number);
        applying.error(Code::EventExists, "/date", detail);
        return;
    }
    let Some(asset) = applying.overlay.change_asset() else { return };
    asset.snapshots = asset.snapshots.checked_add(1).expect("fewer than 2^64 snapshots");
    let record = SnapshotRecord { number: asset.snapshots, supply: asset.supply };
    applying.overlay.put_snapshot(slot, record);
}
