//! The lease: which process leads.
//!
//! One actor per process takes and renews the leases of all shards under one token made at its start. In:
//! which shards are ready to be led. Out: per shard a [`Tenure`]. One process leads all shards: it takes no lease
//! unless every shard is ready, and the first shard's lease is the gate of the others. Once a shard is not ready
//! any more, or a lease before it is another's, what is held is given back at once, so that a healthy process can
//! take all of them. A lease is liveness; safety is the fence (epoch, token), which every writing script checks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::life::Life;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::admin::Readiness;
use common::ids::{Name, Shard};
use common::link::{Fence, Leased, Token};
use tokio::sync::watch;

use crate::config::LeaseSettings;
use crate::shard::ShardState;

/// A lease is looked at again so long after it was to end.
const AFTER_ITS_END: Duration = Duration::from_millis(10);

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
    /// How long the lease lives from then on, at least.
    pub(crate) ttl: Duration,
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

    /// Nobody else can hold the lease yet: it was renewed less than its life ago, by this machine's monotonic
    /// clock. Without this a leader that is cut off from Redis would go on answering from a state that is no
    /// longer the newest.
    #[must_use]
    pub(crate) fn is_held(&self) -> bool {
        self.renewed.elapsed() < self.ttl
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
        loop {
            let begun = tokio::time::Instant::now();
            let left = self.round().await;
            self.report();
            tokio::select! {
                () = tokio::time::sleep_until(begun + self.pause(left)) => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// From one round to the next: no longer than another's lease still lives, so that a dead leader's is taken as soon
    /// as it is free.
    fn pause(&self, left: Option<Duration>) -> Duration {
        left.map_or(self.settings.renew(), |left| (left + AFTER_ITS_END).min(self.settings.renew()))
    }

    /// Takes or renews what it can; answers how long the lease lives that is another's.
    async fn round(&self) -> Option<Duration> {
        let mut gate = self.shards.iter().all(|shard| shard.is_ready_to_lead());
        let mut left = None;
        for shard in &self.shards {
            if gate {
                left = self.renew(shard).await;
                gate = shard.tenure().lead().is_some();
            } else {
                self.give_back(shard).await;
            }
        }
        left
    }

    /// Leads no longer; the lease is free at once. A sequencer that is in the middle of an entry may still
    /// commit it until somebody else has taken the lease.
    async fn give_back(&self, shard: &ShardState) {
        let tenure = shard.tenure();
        shard.depose(None);
        let Some(lead) = tenure.lead() else { return };
        match shard.link.release(&lead.fence).await {
            Ok(_) => {
                tracing::warn!(shard = %shard.shard, "Gave the lease back: this process cannot lead all shards");
            }
            Err(error) => {
                tracing::warn!(shard = %shard.shard, error = %crate::error::chain(&error), "The lease runs out by itself");
            }
        }
    }

    async fn renew(&self, shard: &ShardState) -> Option<Duration> {
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
                shard.lead(self.lead(epoch, sent));
            }
            Ok(Leased::Held { epoch, .. }) => shard.lead(self.lead(epoch, sent)),
            Ok(Leased::No { node, remaining_ms, .. }) => {
                shard.depose(Some(node));
                return Some(Duration::from_millis(remaining_ms));
            }
            // It may still be ours: the sequencer begins nothing once it is no longer fresh.
            Err(error) => {
                tracing::warn!(shard = %shard.shard, error = %crate::error::chain(&error), "The lease could not be renewed");
            }
        }
        None
    }

    fn lead(&self, epoch: u64, renewed: Instant) -> Lead {
        let fence = Fence { epoch, token: self.token.clone() };
        Lead { fence, renewed, ttl: Duration::from_millis(self.settings.ttl_ms) }
    }

    fn report(&self) {
        let shards: Vec<Share> = self
            .shards
            .iter()
            .map(|shard| Share {
                shard: shard.shard,
                tenure: shard.tenure(),
                is_ready_to_lead: shard.is_ready_to_lead(),
            })
            .collect();
        match role(&shards, self.settings) {
            Role::Leader => self.readiness.set("leader", Ok("leads all shards")),
            Role::Standby { leader } => {
                self.readiness.stand_by("leader", &format!("standby: follows the log, led by {leader}"));
            }
            Role::CatchingUp { shards } => {
                self.readiness.set("leader", Err(&format!("catching up: {}", shards.join(", "))));
            }
            Role::Between { missing } => self.readiness.set("leader", Err(&missing.join("; "))),
        }
    }
}

/// A shard as far as it says what this process is.
#[derive(Debug, Clone)]
struct Share {
    shard: Shard,
    tenure: Tenure,
    is_ready_to_lead: bool,
}

/// What this process is to the shards, all of which one process leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Leader,
    /// The log of every shard is here up to its head, and another process leads.
    Standby {
        leader: String,
    },
    /// These shards' logs are not here yet, or have a hole.
    CatchingUp {
        shards: Vec<String>,
    },
    /// No lease yet, or one that is running out; what is missing, shard by shard.
    Between {
        missing: Vec<String>,
    },
}

fn role(shards: &[Share], settings: LeaseSettings) -> Role {
    let missing: Vec<String> = shards
        .iter()
        .filter_map(|Share { shard, tenure, .. }| match tenure {
            Tenure::Leading(lead) if lead.is_fresh(settings) => None,
            Tenure::Leading(_) => Some(format!("{shard}: lease not renewed in time")),
            Tenure::Waiting { holder: Some(holder) } => Some(format!("{shard}: led by {holder}")),
            Tenure::Waiting { holder: None } => Some(format!("{shard}: no lease yet")),
        })
        .collect();
    if missing.is_empty() {
        return Role::Leader;
    }
    let behind: Vec<String> =
        shards.iter().filter(|share| !share.is_ready_to_lead).map(|share| share.shard.to_string()).collect();
    if !behind.is_empty() {
        return Role::CatchingUp { shards: behind };
    }
    // The first shard's lease is the gate of the others: its holder is the leader of all, and is asked for no other.
    match shards.first().map(|first| &first.tenure) {
        Some(Tenure::Waiting { holder: Some(leader) }) => Role::Standby { leader: leader.clone() },
        _ => Role::Between { missing },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: LeaseSettings = LeaseSettings { ttl_ms: 600_000, renew_ms: 1_000 };

    fn share(shard: Shard, tenure: Tenure) -> Share {
        Share { shard, tenure, is_ready_to_lead: true }
    }

    fn leading() -> Tenure {
        let fence = Fence { epoch: 1, token: Token::random() };
        Tenure::Leading(Lead { fence, renewed: Instant::now(), ttl: Duration::from_mins(10) })
    }

    fn waiting(holder: Option<&str>) -> Tenure {
        Tenure::Waiting { holder: holder.map(str::to_owned) }
    }

    #[test]
    fn a_process_leads_stands_by_catches_up_or_is_between_two_leaders() {
        let of =
            |first: Tenure, second: Tenure| [share(Shard::Financial, first), share(Shard::Gaming, second)];
        assert_eq!(role(&of(leading(), leading()), SETTINGS), Role::Leader);
        let standby = of(waiting(Some("other")), waiting(None));
        assert_eq!(role(&standby, SETTINGS), Role::Standby { leader: "other".to_owned() });
        // Who lacks a part of any log cannot take over.
        let mut behind = standby;
        behind[1].is_ready_to_lead = false;
        assert_eq!(role(&behind, SETTINGS), Role::CatchingUp { shards: vec!["gaming".to_owned()] });
        // Nobody is known to lead, or the second lease is still another's.
        for between in [of(waiting(None), waiting(None)), of(leading(), waiting(Some("other")))] {
            assert!(matches!(role(&between, SETTINGS), Role::Between { .. }), "{between:?}");
        }
    }

    #[test]
    fn a_lease_is_held_until_its_life_after_the_last_renewal_is_over() {
        let fence = Fence { epoch: 1, token: Token::random() };
        let lead = |ttl_ms| Lead {
            fence: fence.clone(),
            renewed: Instant::now()
                .checked_sub(Duration::from_secs(2))
                .expect("the machine is up for seconds"),
            ttl: Duration::from_millis(ttl_ms),
        };
        assert!(lead(600_000).is_held());
        assert!(!lead(2_000).is_held());
    }
}
