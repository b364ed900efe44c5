//! How a request stands with each target it waits for, and the times that follow from it.

use common::ids::Name;
use common::link::{DeliveryTimes, EntryProgress};
use common::problem::Problem;
use common::status::Delivery;

use super::deciding::Deciding;
use super::unreachable;
use crate::explain::{Marks, TargetFacts};
use crate::shard::ShardState;

pub(super) async fn facts(
    state: &ShardState,
    deciding: &Deciding,
    progress: &EntryProgress,
) -> Result<Vec<TargetFacts>, Problem> {
    let watermarks = state.link.head().await.map_err(|error| unreachable(&error))?.watermarks;
    let mut facts = Vec::new();
    for name in &deciding.waited {
        let shown = progress.targets.get(name);
        let receipt = deciding.receipts.get(name).map(|received| received.state);
        let mut target = TargetFacts {
            name: name.clone(),
            is_settled: !deciding.open.contains(name),
            state: shown.map(|shown| shown.state).or(receipt),
            relayed_ms: progress.times.get(name).and_then(|times| times.relayed_ms),
            watermark: watermarks.get(name).copied(),
            paused_by: None,
            owner: None,
            lease_ms: 0,
            tx: shown.map(|shown| shown.tx.clone()).unwrap_or_default(),
            block: shown.and_then(|shown| shown.block),
        };
        if !target.is_settled
            && let Ok(name) = name.parse::<Name>()
        {
            let lane = state.link.lane_info(&name).await.map_err(|error| unreachable(&error))?;
            target.paused_by = lane.paused_by;
            target.owner = lane.node;
            target.lease_ms = lane.expires_ms;
        }
        facts.push(target);
    }
    Ok(facts)
}

/// Whether a waited target is past `relayed`.
pub(super) fn is_leaving(targets: &[TargetFacts]) -> bool {
    targets.iter().any(|target| target.state.is_some_and(|state| state != Delivery::Relayed))
}

/// The last of the waited targets counts; `None` as long as one of them is missing. The receipt's place in its stream
/// outlives the progress.
pub(super) fn marks(deciding: &Deciding, progress: &EntryProgress, is_completed: bool) -> Marks {
    let last = |time: &dyn Fn(&str, DeliveryTimes) -> Option<u64>| {
        let times = deciding
            .waited
            .iter()
            .map(|name| time(name, progress.times.get(name).copied().unwrap_or_default()));
        times.collect::<Option<Vec<u64>>>().and_then(|times| times.into_iter().max())
    };
    let received = |name: &str| deciding.receipts.get(name).and_then(|received| received.at_ms);
    Marks {
        relayed_ms: last(&|_, times| times.relayed_ms),
        sent_ms: last(&|_, times| times.sent_ms),
        done_ms: last(&|name, times| times.done_ms.or_else(|| received(name))).filter(|_| is_completed),
        ..Marks::default()
    }
}
