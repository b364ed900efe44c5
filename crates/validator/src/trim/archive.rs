//! The archive of a process is cut behind what anybody still needs, whether it leads or follows.
//!
//! In: its checkpoints, the targets' watermarks and open entries, how far other live validators are. Out: fewer rows. A
//! few at a time, because the sequencer's writes wait meanwhile; what holds the archive back is [`Holds`].

use std::sync::Arc;

use common::ids::Name;

use super::SILENT_MS;
use crate::checkpoint::Folder;
use crate::checkpoint::keeper::folder_of;
use crate::consumers::{self, Holds};
use crate::error::{Failure, chain};
use crate::shard::ShardState;

/// Entries cut at a time.
const ENTRIES_MAX: u64 = 1_000;
/// Checkpoints that are to be of use beside the archive.
const CHECKPOINTS: usize = 2;

/// Cuts what nobody needs, a part of it.
pub(super) async fn trim(shard: &Arc<ShardState>, node: &Name) {
    // Before that it is not known what is needed.
    if !shard.is_leading() && !shard.is_following() {
        return;
    }
    match cut(shard, node).await {
        Ok(0) => {}
        Ok(entries) => crate::metrics::archive_cut(shard.shard, entries),
        Err(error) => {
            tracing::warn!(shard = %shard.shard, error = %chain(&error), "The archive could not be cut");
        }
    }
}

async fn cut(shard: &Arc<ShardState>, node: &Name) -> Result<u64, Failure> {
    let head = shard.link.head().await?;
    let validators = shard.link.validators().await?;
    let now_ms = shard.link.fronts(1).await?.now_ms;
    let standby = validators
        .iter()
        .filter(|(name, _)| name.as_str() != node.as_str())
        .filter(|(_, member)| now_ms.saturating_sub(member.beat_ms) <= SILENT_MS)
        .map(|(_, member)| member.read.ms())
        // One that has nothing begins with a checkpoint.
        .filter(|read| *read > 0)
        .min()
        .map(|read| read.saturating_add(1));
    let shard = Arc::clone(shard);
    let cut = tokio::task::spawn_blocking(move || -> Result<u64, Failure> {
        let snapshot = shard.view.snapshot()?;
        let targets = snapshot.head()?.targets()?;
        let mut open = std::collections::BTreeMap::new();
        for target in targets.iter() {
            let first = snapshot.open_entries(target.name.as_str(), 1)?;
            open.extend(first.first().map(|first| (target.name.clone(), *first)));
        }
        let relay = consumers::relay_first(&targets, &head.watermarks, |target| open.get(target).copied());
        let folder = folder_of(&shard);
        let checkpoints = if folder.exists() { Folder::at(&folder).window_first(CHECKPOINTS)? } else { None };
        let relay = relay.map(|(_, first)| first);
        let holds = Holds { checkpoints, relay, standby, stable: head.stable };
        match (holds.first(), shard.view.archive_first()?) {
            (Some(first), Some(oldest)) if oldest < first => {
                Ok(shard.view.cut_archive(first, ENTRIES_MAX)?)
            }
            _ => Ok(0),
        }
    });
    match cut.await {
        Ok(cut) => cut,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Nobody cancels it but the end of the process.
            Err(_cancelled) => Ok(0),
        },
    }
}
