//! TRIM: forgets log entries in Redis that are on this leader's disk.
//!
//! One task per process. In: what each shard's archive has fsynced. Out: TRIM calls under the lease. The last
//! `log.keep_entries` stay, so that a process that takes over soon can join.

use std::sync::Arc;

use crate::life::Life;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::link::Trimmed;
use tokio::sync::watch;

use crate::config::LogSettings;
use crate::error::chain;
use crate::shard::ShardState;

/// Trims the logs of all shards; essential, because an untrimmed log fills Redis.
#[derive(Debug)]
pub(crate) struct Trimmer {
    shards: Option<Vec<Arc<ShardState>>>,
    settings: LogSettings,
    stop: watch::Receiver<bool>,
    _life: Life,
}

impl Trimmer {
    #[must_use]
    pub(crate) fn new(
        shards: Vec<Arc<ShardState>>,
        settings: LogSettings,
        stop: watch::Receiver<bool>,
        life: Life,
    ) -> Self {
        Self { shards: Some(shards), settings, stop, _life: life }
    }
}

impl Actor for Trimmer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(shards) = self.shards.take() {
            let run = run(shards, self.settings, self.stop.clone());
            ctx.spawn(run.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

async fn run(shards: Vec<Arc<ShardState>>, settings: LogSettings, mut stop: watch::Receiver<bool>) {
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
            if floor > *below && trim(shard, floor).await {
                *below = floor;
            }
        }
    }
}

/// Removes the entries below `floor`; `false` = ask again later.
async fn trim(shard: &ShardState, floor: u64) -> bool {
    let tenure = shard.tenure();
    let (Some(lead), true) = (tenure.lead(), shard.is_leading()) else { return false };
    match shard.link.trim_log(&lead.fence, floor).await {
        Ok(Trimmed::Ok { removed }) => {
            crate::metrics::trimmed(shard.shard, removed);
            true
        }
        Ok(Trimmed::Fenced) => false,
        Err(error) => {
            tracing::warn!(shard = %shard.shard, error = %chain(&error), "The log could not be trimmed");
            false
        }
    }
}
