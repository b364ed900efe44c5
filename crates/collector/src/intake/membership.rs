//! A collector's membership in the group of one shard: what it takes over, keeps, forgets and gives back.
//!
//! In: time. Out: claims of entries nobody works on, renewals of the own ones, consumers deleted that were
//! silent and hold nothing; at the end [`Leave`], after which nothing is this collector's.

use std::time::{Duration, Instant};

use actix::{
    ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, ResponseFuture, WrapFuture as _,
};
use common::link::{Claimed, LinkError, StreamId};

use super::places::Places;
use super::{Intake, Phase};
use crate::metrics;

/// Own entries are renewed three times per `claim_idle`, those begun a sixth of it ago.
const ROUNDS_PER_IDLE: u32 = 6;
/// Claims are looked for at least so often: what was given back waits no longer.
const CLAIM_INTERVAL: Duration = Duration::from_secs(1);
/// How often consumers are looked for that were silent for `claim_idle`.
const FORGET_INTERVAL: Duration = Duration::from_mins(10);

/// Give back what is begun and not finished, and leave the group. Nothing is read, claimed or renewed after.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Leave;

impl Intake {
    /// Begins the rounds.
    pub(super) fn keep_membership(&mut self, ctx: &mut Context<Self>) {
        let round = self.round();
        ctx.run_interval(round.min(CLAIM_INTERVAL), Self::claim);
        ctx.run_interval(round * 2, Self::renew);
        self.forget(ctx);
        ctx.run_interval(FORGET_INTERVAL, Self::forget);
    }

    fn round(&self) -> Duration {
        Duration::from_millis(self.settings.claim_idle_ms) / ROUNDS_PER_IDLE
    }

    /// Takes over what others have given back or left behind.
    fn claim(&mut self, ctx: &mut Context<Self>) {
        let room = self.room();
        if room == 0 || self.is_claiming || self.is_inheriting {
            return;
        }
        self.is_claiming = true;
        let (link, cursor) = (self.link.clone(), self.claim_cursor);
        let idle = Duration::from_millis(self.settings.claim_idle_ms);
        let claimed = async move { link.claim_idle(idle, cursor, room).await };
        ctx.spawn(claimed.into_actor(self).map(|claimed, intake, ctx| {
            intake.is_claiming = false;
            intake.on_claimed(claimed, ctx);
            intake.tell_if_drained();
        }));
    }

    fn on_claimed(&mut self, claimed: Result<Claimed, LinkError>, ctx: &mut Context<Self>) {
        match claimed {
            Ok(Claimed { next, entries }) => {
                self.claim_cursor = next;
                if !entries.is_empty() {
                    metrics::claimed(self.link.shard(), entries.len());
                    self.begin(entries, ctx);
                }
                if next != StreamId::ZERO {
                    self.claim(ctx);
                }
            }
            // The next round tries again; a failure for good shows itself in reading as well.
            Err(error) => metrics::link_failed(self.link.shard(), "XAUTOCLAIM", &error),
        }
    }

    /// Says for everything begun some time ago that it is still worked on.
    fn renew(&mut self, ctx: &mut Context<Self>) {
        let ids = self.places.older_than(self.round(), Instant::now());
        if ids.is_empty() {
            return;
        }
        let link = self.link.clone();
        let renewed = async move {
            if let Err(error) = link.renew(&ids).await {
                metrics::link_failed(link.shard(), "XCLAIM", &error);
            }
        };
        ctx.spawn(renewed.into_actor(self));
    }

    /// Deletes the consumers that dead collectors have left.
    fn forget(&mut self, ctx: &mut Context<Self>) {
        let (link, silent) = (self.link.clone(), Duration::from_millis(self.settings.claim_idle_ms));
        let forgotten = async move {
            if let Err(error) = link.forget_consumers(silent).await {
                metrics::link_failed(link.shard(), "FORGET", &error);
            }
        };
        ctx.spawn(forgotten.into_actor(self));
    }
}

impl Handler<Leave> for Intake {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Leave, _: &mut Self::Context) -> Self::Result {
        self.phase = Phase::Left;
        // Renewing would take back what another collector works on by then.
        self.places = Places::new(self.settings.in_flight_max, self.settings.waiting_max);
        let (link, is_known) = (self.link.clone(), self.generation.is_known());
        Box::pin(async move {
            if !is_known {
                return;
            }
            match link.leave().await {
                Ok(entries) => metrics::gave_back(link.shard(), entries),
                Err(error) => metrics::link_failed(link.shard(), "LEAVE", &error),
            }
        })
    }
}
