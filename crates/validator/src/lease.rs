//! The lease: which process leads.
//!
//! One actor per process takes and renews the leases of all shards under one token made at its start. In:
//! which shards are ready to be led. Out: per shard a [`Tenure`]. The first shard's lease is the gate: the
//! others are taken only with it, so that one process leads all of them. A lease is liveness; safety is the
//! fence (epoch, token), which every writing script checks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::life::Life;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::admin::Readiness;
use common::ids::Name;
use common::link::{Fence, Leased, Token};
use tokio::sync::watch;

use crate::config::LeaseSettings;
use crate::shard::ShardState;

/// Whether this process leads a shard.
#[derive(Debug, Clone)]
pub(crate) enum Tenure {
    /// Not (any more). `holder` is who does, as far as is known.
    Waiting {
        holder: Option<String>,
    },
    Leading(Lead),
}

/// A lease that is held.
#[derive(Debug, Clone)]
pub(crate) struct Lead {
    pub(crate) fence: Fence,
    /// When the last successful renewal was sent.
    pub(crate) renewed: Instant,
}

impl Tenure {
    #[must_use]
    pub(crate) fn lead(&self) -> Option<&Lead> {
        match self {
            Self::Leading(lead) => Some(lead),
            Self::Waiting { .. } => None,
        }
    }

    /// Whether the lease of this epoch is held.
    #[must_use]
    pub(crate) fn is_of(&self, epoch: u64) -> bool {
        self.lead().is_some_and(|lead| lead.fence.epoch == epoch)
    }
}

impl Lead {
    /// Enough of the lease is left to begin something. This only saves work: the fence decides.
    #[must_use]
    pub(crate) fn is_fresh(&self, settings: LeaseSettings) -> bool {
        self.renewed.elapsed() < Duration::from_millis(settings.ttl_ms * 6 / 10)
    }
}

/// Takes and renews the leases; essential.
#[derive(Debug)]
pub(crate) struct LeaseKeeper {
    keeper: Option<Keeper>,
    _life: Life,
}

#[derive(Debug)]
struct Keeper {
    shards: Vec<Arc<ShardState>>,
    node: Name,
    token: Token,
    settings: LeaseSettings,
    readiness: Readiness,
    stop: watch::Receiver<bool>,
}

impl LeaseKeeper {
    #[must_use]
    pub(crate) fn new(
        shards: Vec<Arc<ShardState>>,
        node: Name,
        settings: LeaseSettings,
        readiness: Readiness,
        stop: watch::Receiver<bool>,
        life: Life,
    ) -> Self {
        let keeper = Keeper { shards, node, token: Token::random(), settings, readiness, stop };
        Self { keeper: Some(keeper), _life: life }
    }
}

impl Actor for LeaseKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(keeper) = self.keeper.take() {
            ctx.spawn(keeper.run().into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

impl Keeper {
    async fn run(mut self) {
        let mut rounds = tokio::time::interval(self.settings.renew());
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            let mut gate = true;
            for shard in &self.shards {
                gate = gate && shard.is_ready_to_lead();
                if gate {
                    self.renew(shard).await;
                    gate = shard.tenure().lead().is_some();
                } else {
                    shard.depose(None);
                }
            }
            self.report();
        }
    }

    async fn renew(&self, shard: &ShardState) {
        let sent = Instant::now();
        let answer =
            shard.link.lease(&self.node, &self.token, self.settings.ttl_ms, shard.epoch_floor()).await;
        match &answer {
            Ok(_) => self.readiness.set("redis", Ok("answers")),
            Err(error) => self.readiness.set("redis", Err(&crate::error::chain(error))),
        }
        match answer {
            Ok(Leased::New { epoch, .. }) => {
                tracing::info!(shard = %shard.shard, epoch, "Took the lease");
                shard.lead(Lead { fence: self.fence(epoch), renewed: sent });
            }
            Ok(Leased::Held { epoch, .. }) => shard.lead(Lead { fence: self.fence(epoch), renewed: sent }),
            Ok(Leased::No { node, .. }) => shard.depose(Some(node)),
            // It may still be ours: the sequencer begins nothing once it is no longer fresh.
            Err(error) => {
                tracing::warn!(shard = %shard.shard, error = %crate::error::chain(&error), "The lease could not be renewed");
            }
        }
    }

    fn fence(&self, epoch: u64) -> Fence {
        Fence { epoch, token: self.token.clone() }
    }

    fn report(&self) {
        let waiting: Vec<String> = self
            .shards
            .iter()
            .filter_map(|shard| match shard.tenure() {
                Tenure::Leading(lead) if lead.is_fresh(self.settings) => None,
                Tenure::Leading(_) => Some(format!("{}: lease not renewed in time", shard.shard)),
                Tenure::Waiting { holder: Some(holder) } => Some(format!("{}: led by {holder}", shard.shard)),
                Tenure::Waiting { holder: None } => Some(format!("{}: no lease yet", shard.shard)),
            })
            .collect();
        if waiting.is_empty() {
            self.readiness.set("leader", Ok("leads all shards"));
        } else {
            self.readiness.set("leader", Err(&waiting.join("; ")));
        }
    }
}
