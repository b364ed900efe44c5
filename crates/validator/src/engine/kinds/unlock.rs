//! UNLOCK `{lock}`: ends what the request `lock` holds. The request with it passes that lock with all of its changes.
//!
//! - Footprint: writes the asset's lock.
//! - Effect: the asset is free; who waits for it takes turns from the next entry on.
//! - Rejected: `LOCK_NOT_HELD`.
//! - Inverse: none; what waited has gone on.

use common::ids::Rid;

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::super::waiting::LockRow;
use super::Applying;

pub(super) fn footprint(touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_lock();
    ChangeSlots::default()
}

pub(super) fn apply(lock: Rid, applying: &mut Applying<'_, '_>) {
    if applying.locking.is_none() {
        return;
    }
    let row = applying.overlay.lock().cloned().unwrap_or_default();
    if row.held.as_ref().is_none_or(|held| held.rid != *lock.as_bytes()) {
        applying.error(Code::LockNotHeld, "/lock", format!("request {lock} does not hold the asset"));
        return;
    }
    applying.overlay.set_lock(LockRow { held: None, ..row });
}
