//! Effects: what an entry asks of Redis beyond its COMMIT.
//!
//! In: the effects of entries, kept in the archive until they are carried out. Out: START and REWIND calls. Both
//! are idempotent by the entry's seq, so that a crash between COMMIT, view and effect repeats them harmlessly.

use common::ids::Name;
use common::link::{Fence, Rewound, Started};
use serde::{Deserialize, Serialize};

use crate::engine::Effect;
use crate::error::Failure;
use crate::shard::ShardState;
use crate::view::ViewError;

/// The effects of one entry, as the archive keeps them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    start: Vec<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rewind: Vec<Name>,
}

/// What carrying out left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum CarriedOut {
    /// There was nothing to do.
    Nothing,
    /// Everything is done; lanes have to ask for their watermarks again.
    Done,
    /// The lease is another's.
    Fenced,
}

/// The effects as JSON for the archive; empty = none.
pub(crate) fn encode(effects: &[Effect]) -> Vec<u8> {
    let mut pending = Pending::default();
    for effect in effects {
        match effect {
            Effect::StartTarget { target } => pending.start.push(target.clone()),
            Effect::Rewind { target } => pending.rewind.push(target.clone()),
            // Seen from the tables instead: every row in which a target that is not in use is open.
            Effect::StopTarget { .. } => {}
        }
    }
    if pending == Pending::default() {
        return Vec::new();
    }
    // Serializing plain data into memory cannot fail.
    serde_json::to_vec(&pending).unwrap_or_default()
}

/// Carries out everything that is pending, oldest entry first.
pub(crate) async fn carry_out(shard: &ShardState, fence: &Fence) -> Result<CarriedOut, Failure> {
    let pending = shard.view.snapshot()?.effects()?;
    if pending.is_empty() {
        return Ok(CarriedOut::Nothing);
    }
    for (seq, json) in pending {
        let row = || ViewError::Row { table: "effects", row: seq.to_string() };
        let effects: Pending = serde_json::from_slice(&json).map_err(|_| row())?;
        for target in &effects.start {
            common::crash_point!("validator.before_start_target");
            let call = async || shard.link.start_target(fence, target, seq).await;
            match crate::retry::until_known("start a target", call).await? {
                Started::Ok => tracing::info!(shard = %shard.shard, %target, seq, "Started a target"),
                Started::Dup { .. } => {}
                Started::Fenced => return Ok(CarriedOut::Fenced),
            }
        }
        for target in &effects.rewind {
            common::crash_point!("validator.before_rewind");
            if rewind(shard, fence, target, seq).await? == CarriedOut::Fenced {
                return Ok(CarriedOut::Fenced);
            }
        }
        shard.view.effects_done(seq)?;
    }
    Ok(CarriedOut::Done)
}

/// Goes back to the oldest entry that the target has sent no receipt for. If there is none, REWIND still notes that
/// this order is carried out: another process would do it later, when something is open again.
async fn rewind(shard: &ShardState, fence: &Fence, target: &Name, seq: u64) -> Result<CarriedOut, Failure> {
    let open = shard.view.snapshot()?.open_entries(target.as_str(), 1)?;
    let from_seq = if let Some(oldest) = open.first() {
        *oldest
    } else {
        let head = crate::retry::until_known("read head", async || shard.link.head().await).await?;
        // Without a watermark nothing was ever relayed.
        let Some(watermark) = head.watermarks.get(target.as_str()) else { return Ok(CarriedOut::Done) };
        watermark + 1
    };
    let call = async || shard.link.rewind(fence, target, seq, from_seq).await;
    match crate::retry::until_known("rewind a target", call).await? {
        Rewound::Ok { watermark } => {
            tracing::info!(shard = %shard.shard, %target, watermark, "Rewound a target");
        }
        Rewound::Dup { .. } | Rewound::Gap { .. } => {}
        Rewound::Fenced => return Ok(CarriedOut::Fenced),
    }
    Ok(CarriedOut::Done)
}
