//! TRIM: forgets log entries in Redis that are on this leader's disk.
//!
//! One task per process. In: what each shard's archive has fsynced, and how far the other validators in `:members:validator`
//! have it. Out: TRIM calls under the lease. What a live standby does not have on disk stays; one that is silent, or too
//! far behind, holds nothing back. The last `log.keep_entries` stay in any case, so that a process that was away
//! for a moment can join. The archive itself is cut only if the settings say so ([`archive`]). Rollbacks in `:ctl` go once every target in use has passed them (TRIM_CONTROL).

mod archive;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::life::Life;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::ids::Name;
use common::link::{LinkError, Member, StreamId, Trimmed};
use tokio::sync::watch;

use crate::config::{Archive, LogSettings};
use crate::error::chain;
use crate::shard::ShardState;

/// A standby tells its place every second; after this silence it is dead.
const SILENT_MS: u64 = 10_000;
/// A standby further behind than this holds nothing back: the log in Redis is bounded.
const BEHIND_MAX: u64 = 10_000;

/// Trims the logs of all shards; essential, because an untrimmed log fills Redis.
#[derive(Debug)]
pub(crate) struct Trimmer {
    shards: Option<Vec<Arc<ShardState>>>,
    node: Name,
    settings: LogSettings,
    stop: watch::Receiver<bool>,
    _life: Life,
}

impl Trimmer {
    #[must_use]
    pub(crate) fn new(
        shards: Vec<Arc<ShardState>>,
        node: Name,
        settings: LogSettings,
        stop: watch::Receiver<bool>,
        life: Life,
    ) -> Self {
        Self { shards: Some(shards), node, settings, stop, _life: life }
    }
}

impl Actor for Trimmer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(shards) = self.shards.take() {
            let run = run(shards, self.node.clone(), self.settings, self.stop.clone());
            ctx.spawn(run.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

async fn run(
    shards: Vec<Arc<ShardState>>,
    node: Name,
    settings: LogSettings,
    mut stop: watch::Receiver<bool>,
) {
    let mut rounds = tokio::time::interval(settings.trim());
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut trimmed: Vec<u64> = vec![0; shards.len()];
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        for (shard, below) in shards.iter().zip(&mut trimmed) {
            let floor = shard.view.synced_seq().saturating_sub(settings.keep_entries) + 1;
            if floor <= *below {
                tell(shard).await;
            } else if let Some(floor) = trim(shard, &node, floor).await {
                *below = floor.max(*below);
            }
            trim_control(shard).await;
            if settings.archive == Archive::Trimmed {
                archive::trim(shard, &node).await;
            }
        }
    }
}

/// As a leader without anything to trim: others still have to find it. Who follows tells as it does.
async fn tell(shard: &ShardState) {
    if shard.is_leading()
        && let Err(error) =
            shard.link.beat_validator(StreamId::of_seq(shard.view.synced_seq()), &shard.url).await
    {
        tracing::warn!(shard = %shard.shard, error = %chain(&error), "The others could not be told how far the log is here");
    }
}

/// Removes the entries below `floor` that every live standby has; gives below which, or `None` = ask again
/// later.
async fn trim(shard: &ShardState, node: &Name, floor: u64) -> Option<u64> {
    let tenure = shard.tenure();
    let (Some(lead), true) = (tenure.lead(), shard.is_leading()) else { return None };
    let trimmed = async {
        let floor = floor.min(unread(shard, node).await?);
        Ok::<_, LinkError>((floor, shard.link.trim_log(&lead.fence, floor).await?))
    };
    match trimmed.await {
        Ok((floor, Trimmed::Ok { removed })) => {
            crate::metrics::trimmed(shard.shard, removed);
            Some(floor)
        }
        Ok((_, Trimmed::Fenced)) => None,
        Err(error) => {
            tracing::warn!(shard = %shard.shard, error = %chain(&error), "The log could not be trimmed");
            None
        }
    }
}

/// Forgets the rollbacks that all targets have passed. One alone always stays, so mostly there is nothing to do.
async fn trim_control(shard: &ShardState) {
    let tenure = shard.tenure();
    let (Some(lead), true) = (tenure.lead(), shard.is_leading()) else { return };
    let targets: Vec<Name> =
        shard.engine().position().targets.iter().map(|target| target.name.clone()).collect();
    let trimmed = async {
        if shard.link.control_len().await? > 1 {
            // Whether the lease is still held the next round finds out.
            let _: Trimmed = shard.link.trim_control(&lead.fence, &targets).await?;
        }
        Ok::<_, LinkError>(())
    };
    if let Err(error) = trimmed.await {
        tracing::warn!(shard = %shard.shard, error = %chain(&error), "The rollbacks could not be trimmed");
    }
}

/// The first entry that a live standby does not have.
async fn unread(shard: &ShardState, node: &Name) -> Result<u64, LinkError> {
    let head = shard.now().seq;
    let now_ms = shard.link.beat_validator(StreamId::of_seq(shard.view.synced_seq()), &shard.url).await?;
    Ok(first_unread(&shard.link.validators().await?, node.as_str(), now_ms, head))
}

fn first_unread(validators: &BTreeMap<String, Member>, node: &str, now_ms: u64, head: u64) -> u64 {
    validators
        .iter()
        .filter(|(name, _)| name.as_str() != node)
        .filter(|(_, member)| now_ms.saturating_sub(member.beat_ms) <= SILENT_MS)
        .map(|(_, member)| member.read.ms())
        .filter(|read| head.saturating_sub(*read) <= BEHIND_MAX)
        .min()
        .map_or(u64::MAX, |read| read.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_live_standbys_that_are_not_too_far_behind_hold_the_log_back() {
        let now_ms = 1_000_000;
        let first = |members: &[(&str, u64, u64)]| {
            let member = |(name, age_ms, read): &(&str, u64, u64)| {
                let (beat_ms, read) = (now_ms - age_ms, StreamId::of_seq(*read));
                ((*name).to_owned(), Member { beat_ms, read, url: None })
            };
            first_unread(&members.iter().map(member).collect(), "validator-1", now_ms, 20_000)
        };
        assert_eq!(first(&[]), u64::MAX);
        assert_eq!(first(&[("validator-1", 0, 15_000)]), u64::MAX, "the leader itself");
        assert_eq!(first(&[("validator-2", 0, 15_000), ("validator-3", 0, 16_000)]), 15_001);
        assert_eq!(first(&[("validator-2", SILENT_MS, 15_000)]), 15_001);
        assert_eq!(first(&[("validator-2", SILENT_MS + 1, 15_000)]), u64::MAX, "silent");
        assert_eq!(first(&[("validator-2", 0, 20_000 - BEHIND_MAX)]), 20_001 - BEHIND_MAX);
        assert_eq!(first(&[("validator-2", 0, 19_999 - BEHIND_MAX)]), u64::MAX, "too far behind");
    }
}
