//! RELAY: from the log to each target's outbox.
//!
//! One actor per shard, on a thread of its own because signing is computing. For every logged target it keeps
//! one lane that goes from the target's watermark to the head: entries come from memory, or from the archive
//! once memory has forgotten them. Each lane waits for itself alone, so a full outbox stops only its target, and it
//! waits cheaply: what is signed stays signed, and one entry asks, ever more rarely, whether there is room again.
//! What a target has finished before a REWIND goes to it as an entry with nothing in it.
//! Nothing leaves before its entry is stable: the head is published after COMMIT, and the script checks again.
//! All of it is idempotent: ids in the outbox are the log's, and the watermark in Redis decides.

mod backoff;
mod lane;
mod recent;
mod run;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::life::Life;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::link::Fence;
use common::targets::{Target, Targets};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use recent::Recent;
pub(crate) use work::{Address, Work, traces};

use crate::config::RelaySettings;
use crate::shard::ShardState;
use crate::signer::Signer;
use lane::Lane;

/// Under which lease and for which targets to relay. A new `round` makes every lane ask for its watermark
/// again, as after a REWIND.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) fence: Fence,
    pub(crate) targets: Arc<Targets>,
    pub(crate) round: u64,
}

/// Relays one shard; essential.
#[derive(Debug)]
pub(crate) struct Relay {
    runner: Option<Runner>,
    _life: Life,
}

#[derive(Debug)]
struct Runner {
    shard: Arc<ShardState>,
    signer: Arc<Signer>,
    settings: RelaySettings,
    orders: watch::Receiver<Option<Orders>>,
    stop: watch::Receiver<bool>,
    lanes: BTreeMap<String, (Target, JoinHandle<()>)>,
}

impl Relay {
    #[must_use]
    pub(crate) fn new(
        shard: Arc<ShardState>,
        signer: Arc<Signer>,
        settings: RelaySettings,
        orders: watch::Receiver<Option<Orders>>,
        stop: watch::Receiver<bool>,
        life: Life,
    ) -> Self {
        let runner = Runner { shard, signer, settings, orders, stop, lanes: BTreeMap::new() };
        Self { runner: Some(runner), _life: life }
    }
}

impl Actor for Relay {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(runner) = self.runner.take() {
            ctx.spawn(runner.run().into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

impl Runner {
    async fn run(mut self) {
        let mut in_force: Option<Orders> = None;
        loop {
            let orders = self.orders.borrow_and_update().clone();
            self.carry_out(in_force.as_ref(), orders.as_ref());
            in_force = orders;
            tokio::select! {
                changed = self.orders.changed() => if changed.is_err() { break },
                _ = self.stop.wait_for(|stop| *stop) => break,
            }
        }
        self.carry_out(in_force.as_ref(), None);
    }

    /// Ends the lanes that the new orders do not have in the same form, and begins those that are missing.
    fn carry_out(&mut self, before: Option<&Orders>, now: Option<&Orders>) {
        let same_lead = match (before, now) {
            (Some(before), Some(now)) => before.fence == now.fence && before.round == now.round,
            _ => false,
        };
        let wanted = now.map(|orders| Arc::clone(&orders.targets)).unwrap_or_default();
        self.lanes.retain(|_, (target, lane)| {
            let stays = same_lead && wanted.get(&target.name) == Some(&*target) && !lane.is_finished();
            if !stays {
                lane.abort();
            }
            stays
        });
        let Some(orders) = now else { return };
        for target in wanted.iter() {
            self.lanes.entry(target.name.to_string()).or_insert_with(|| {
                let lane = Lane {
                    shard: Arc::clone(&self.shard),
                    signer: Arc::clone(&self.signer),
                    settings: self.settings,
                    fence: orders.fence.clone(),
                    target: Address::of(target),
                };
                let part = format!("relay.{}.{}", self.shard.shard, target.name);
                let lane = async move { common::supervise::essential(&part, lane.run()).await };
                (target.clone(), actix::spawn(lane))
            });
        }
    }
}
