//! What holds an applied request: the waited target that is least far.

use common::status::Delivery;
use serde_json::json;

use super::{Cause, Decided, Facts, Found, TargetFacts};

/// Sent by a lane that works within this time, ms.
const SEND_MS_MAX: u64 = 30_000;

pub(super) fn decide(facts: &Facts, decided: &Decided) -> Found {
    let Decided { seq, carrier, .. } = *decided;
    let open = facts.targets.iter().filter(|target| !target.is_settled);
    let causes = open.map(|target| (of_target(target, carrier, facts.now_ms), target));
    let Some((cause, target)) = causes.min_by_key(|(cause, _)| *cause) else {
        return Found::new(Cause::ReceiptPending, Cause::ReceiptPending.summary())
            .fact("decided_by_entry", seq);
    };
    let mut found = Found::new(cause, format!("{}: {}", target.name, cause.summary()));
    found.target = Some(target.name.clone());
    let state = target.state.map_or("waiting", Delivery::name);
    found = found.fact("decided_by_entry", seq).fact("target", target.name.as_str()).fact("state", state);
    if carrier != seq {
        found = found.fact("superseded_by_entry", carrier);
    }
    if let Some(watermark) = target.watermark {
        found = found.fact("relayed_up_to_entry", watermark);
    }
    if let Some(by) = &target.paused_by {
        found = found.fact("paused_by", by.as_str());
    }
    if let Some(owner) = &target.owner {
        found = found.fact("broadcaster", owner.as_str()).fact("lane_lease_ends_ms", target.lease_ms);
    }
    if let Some(relayed_ms) = target.relayed_ms {
        found = found.fact("relayed_ms", relayed_ms);
    }
    if !target.tx.is_empty() {
        found = found.fact("tx", json!(target.tx));
    }
    if let Some(block) = target.block {
        found = found.fact("block", block);
    }
    found
}

fn of_target(target: &TargetFacts, seq: u64, now_ms: u64) -> Cause {
    match target.state {
        Some(Delivery::Final | Delivery::Failed | Delivery::Revoked) => return Cause::ReceiptPending,
        Some(Delivery::Sent | Delivery::Included) => return Cause::TierAwaited,
        Some(Delivery::Relayed | Delivery::Deferred) | None => {}
    }
    let Some(watermark) = target.watermark else { return Cause::TargetNotStarted };
    if target.paused_by.is_some() {
        return Cause::LanePaused;
    }
    if target.lease_ms <= now_ms {
        return Cause::LaneUnowned;
    }
    if target.state == Some(Delivery::Deferred) {
        return Cause::UpdateDeferred;
    }
    if watermark < seq {
        return Cause::RelayPending;
    }
    let is_late = |relayed_ms: u64| now_ms.saturating_sub(relayed_ms) > SEND_MS_MAX;
    if target.relayed_ms.is_some_and(is_late) { Cause::TargetStalled } else { Cause::LaneWorking }
}
