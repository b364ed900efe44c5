//! A lane: the one path from a shard to a target, an actor of its own in every replica.
//!
//! In: the shard's view (who else is there, targets, rollbacks, pauses), the outbox. Out: deliveries. The replica
//! that rendezvous hashing names takes the lane's fenced lease and drives it; the others stand by. A lane
//! changes hands only between turns, when everything taken in hand is bound, stored and sent, so the next owner
//! finds it all in the journal. Policy: a failure of the target or of Redis is retried for ever with backoff; the end
//! of the actor ends the process.

mod drive;
mod keeper;
mod wait;

use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::admin::Readiness;
use common::ids::Name;
use common::link::{Link, Token};
use common::supervise::Lifeline;
use tokio::sync::watch;

use crate::board::Board;
use crate::config::LaneSettings;
use crate::metrics::LaneLabels;
use crate::target::Target;
use crate::watch::ShardView;

/// What a lane works with.
#[derive(Debug)]
pub(crate) struct LaneParts {
    pub(crate) link: Link,
    /// All shards' links: whether any lane has ever delivered to the target is read from their journals.
    pub(crate) journals: Vec<Link>,
    pub(crate) target: Name,
    /// This process' name in leases and among members.
    pub(crate) node: Name,
    pub(crate) token: Token,
    pub(crate) settings: LaneSettings,
    pub(crate) views: watch::Receiver<ShardView>,
    /// Turns true when the process drains.
    pub(crate) drain: watch::Receiver<bool>,
    pub(crate) board: Board,
    pub(crate) readiness: Readiness,
    pub(crate) labels: LaneLabels,
    /// Dropped when the lane has drained: the channel's other end sees all lanes gone.
    pub(crate) drained: tokio::sync::mpsc::Sender<()>,
}

pub(crate) struct Lane<T: Target> {
    work: Option<(LaneParts, T)>,
    lifeline: Option<Lifeline>,
}

impl<T: Target + Unpin> Lane<T> {
    pub(crate) fn start(parts: LaneParts, target: T, lifeline: Lifeline) -> actix::Addr<Self> {
        Actor::start(Self { work: Some((parts, target)), lifeline: Some(lifeline) })
    }
}

impl<T: Target + Unpin> Actor for Lane<T> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some((parts, target)) = self.work.take() {
            let run = drive::run(parts, target);
            ctx.spawn(run.into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Ends the process unless it is shutting down.
        drop(self.lifeline.take());
    }
}

impl<T: Target> std::fmt::Debug for Lane<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}
