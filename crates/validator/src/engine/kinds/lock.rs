//! LOCK `{reason, seconds}`: the asset is held beyond the entry; who wants to change it waits.
//!
//! - Footprint: writes the asset's lock.
//! - Effect: the request holds the asset until a request with UNLOCK names it, or until its time is over.
//! - Rejected: `ALREADY_LOCKED`, by an earlier change of the same request, or before it until an UNLOCK in it. One that another
//!   holds is waited for.
//! - Inverse: none; what waited has gone on. UNLOCK ends it.

use super::super::codes::Code;
use super::super::footprint::{ChangeSlots, Touched};
use super::super::waiting::{Holder, LockRow};
use super::{Applying, Locking};

pub(super) fn footprint(touched: &mut Touched<'_>) -> ChangeSlots {
    touched.writes_lock();
    ChangeSlots::default()
}

pub(super) fn apply(reason: &str, seconds: u32, applying: &mut Applying<'_, '_>) {
    let Some(Locking { rid, seq, time_ms }) = applying.locking else { return };
    let row = applying.overlay.lock().cloned().unwrap_or_default();
    // Who unlocks lets those go on who wait: the next lock is a request of its own.
    if row.held.is_some() || applying.overlay.was_locked() {
        applying.error(Code::AlreadyLocked, "/kind", "the asset is locked already");
        return;
    }
    let held = Holder {
        rid: *rid.as_bytes(),
        tenant: applying.tenant.to_owned(),
        reason: reason.to_owned(),
        since: seq,
        since_ms: time_ms,
        until_ms: time_ms.saturating_add(u64::from(seconds) * 1000),
    };
    applying.overlay.set_lock(LockRow { held: Some(held), ..row });
}
