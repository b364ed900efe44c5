//! The JSON forms of LOCK and UNLOCK.

use super::super::fields::{FaultCode, Fields};
use super::super::{Op, limits};
use crate::ids::{AssetId, Rid};

pub(super) fn lock(fields: &Fields<'_>) -> Option<Op> {
    let reason = fields.required("reason", |value, place| {
        let reason = place.text::<String>(value)?;
        if reason.is_empty() || reason.len() > limits::REASON_BYTES_MAX {
            let detail = format!("expected 1 to {} bytes", limits::REASON_BYTES_MAX);
            return place.fault(FaultCode::Invalid, detail);
        }
        Some(reason)
    });
    let seconds = fields.required("seconds", |v, p| p.integer(v, 1, u64::from(limits::LOCK_SECONDS_MAX)));
    Some(Op::Lock { reason: reason?, seconds: u32::try_from(seconds?).ok()? })
}

pub(super) fn unlock(fields: &Fields<'_>, asset: Option<&AssetId>) -> Option<Op> {
    let lock = fields.required("lock", |value, place| {
        let lock = place.text::<Rid>(value)?;
        if asset.is_some_and(|asset| asset.shard() != lock.shard()) {
            return place.fault(FaultCode::CrossShard, format!("{lock} belongs to shard {}", lock.shard()));
        }
        Some(lock)
    })?;
    Some(Op::Unlock { lock })
}
