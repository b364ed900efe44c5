//! What the lanes of a shard need to know of the rest of the world: one actor per shard looks twice a second.
//!
//! In: `:gen`, `:members:broadcaster`, `:head`, `:ctl`, the pause marks. Out: a [`ShardView`] that lanes follow, this process' own
//! heartbeat, readiness. A wiped or restored Redis (`:gen` gone or different) ends the process with exit code 4.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::admin::Readiness;
use common::hash::Digest;
use common::ids::Name;
use common::link::{Disposition, Link, LinkError, Member, StreamId};
use common::supervise::{self, Lifeline};
use tokio::sync::watch;

use crate::covers::{Covers, CoversError};
use crate::renewal::Renewal;

/// What lanes see of a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ShardView {
    /// Redis answered the last look, and the log's target list is the file's.
    pub(crate) standing: Standing,
    /// Live broadcasters, this one included.
    pub(crate) members: BTreeSet<String>,
    pub(crate) covers: Arc<Covers>,
    /// Per target the entry of its last REWIND.
    pub(crate) rewinds: BTreeMap<String, u64>,
    pub(crate) paused: BTreeSet<Name>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known yet, or Redis does not answer.
    #[default]
    Unknown,
    /// No leader has initialised the shard yet, or it has logged no target list.
    NotStarted,
    /// The logged target list is not this process'.
    TargetsDiffer,
    Sound,
}

/// What a watch works with.
#[derive(Debug)]
pub(crate) struct WatchParts {
    pub(crate) link: Link,
    pub(crate) targets: Vec<Name>,
    pub(crate) digest: Digest,
    pub(crate) every: Duration,
    /// A member is live for so long after its last heartbeat.
    pub(crate) member_ttl_ms: u64,
    pub(crate) readiness: Readiness,
    /// Turns true when the process drains: its heartbeat ends, so that others take over.
    pub(crate) drain: watch::Receiver<bool>,
    /// Told when the log names another target list.
    pub(crate) renewal: Renewal,
}

/// The supervised actor: its end ends the process.
pub(crate) struct ShardWatch {
    looker: Option<Looker>,
    lifeline: Option<Lifeline>,
}

struct Looker {
    parts: WatchParts,
    views: watch::Sender<ShardView>,
    generation: Option<String>,
    cursor: StreamId,
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Covers(#[from] CoversError),
}

impl ShardWatch {
    pub(crate) fn start(parts: WatchParts, lifeline: Lifeline) -> watch::Receiver<ShardView> {
        let (views, receiver) = watch::channel(ShardView::default());
        let looker = Looker { parts, views, generation: None, cursor: StreamId::ZERO };
        drop(Actor::start(Self { looker: Some(looker), lifeline: Some(lifeline) }));
        receiver
    }
}

impl Actor for ShardWatch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(looker) = self.looker.take() {
            ctx.spawn(looker.run().into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Ends the process unless it is shutting down.
        drop(self.lifeline.take());
    }
}

impl Looker {
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.parts.every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*self.parts.drain.borrow() {
            ticks.tick().await;
            let view = match self.look().await {
                Ok(view) => view,
                Err(LookError::Link(error)) if error.disposition() == Disposition::Retry => {
                    tracing::warn!(shard = %self.parts.link.shard(), %error, "Redis does not answer");
                    let last = self.views.borrow().clone();
                    ShardView { standing: Standing::Unknown, ..last }
                }
                // Rights, key types or a control entry of a newer build: nothing may be sent on a guess.
                Err(error) => supervise::halt(common::exit::ESSENTIAL, &error),
            };
            self.report(&view);
            self.views.send_if_modified(|current| {
                let is_changed = *current != view;
                *current = view;
                is_changed
            });
        }
    }

    async fn look(&mut self) -> Result<ShardView, LookError> {
        let link = &self.parts.link;
        let generation = link.generation().await?;
        match (&self.generation, generation) {
            (Some(known), found) if found.as_ref() != Some(known) => {
                let shard = link.shard();
                let reason = format!("the generation of shard {shard} changed: Redis was wiped or restored");
                supervise::halt(common::exit::DATA_LOSS, &reason);
            }
            (_, found) => self.generation = found,
        }
        let now_ms = link.beat_broadcaster(self.cursor).await?;
        let members = self.live(link.broadcasters().await?, now_ms);
        let head = link.head().await?;
        let covers = self.read_control().await?;
        let paused = self.parts.link.paused(&self.parts.targets).await?;
        let standing = match (&self.generation, head.targets) {
            (None, _) | (_, None) => Standing::NotStarted,
            (Some(_), Some(logged)) if logged != self.parts.digest => {
                self.parts.renewal.look(logged);
                Standing::TargetsDiffer
            }
            _ => Standing::Sound,
        };
        Ok(ShardView { standing, members, covers, rewinds: head.rewinds, paused })
    }

    fn live(&self, members: BTreeMap<String, Member>, now_ms: u64) -> BTreeSet<String> {
        let is_live = |beat: u64| now_ms.saturating_sub(beat) <= self.parts.member_ttl_ms;
        members.into_iter().filter(|(_, member)| is_live(member.beat_ms)).map(|(name, _)| name).collect()
    }

    async fn read_control(&mut self) -> Result<Arc<Covers>, LookError> {
        const COUNT: usize = 256;
        let mut covers = Arc::clone(&self.views.borrow().covers);
        loop {
            let controls = self.parts.link.control_after(self.cursor, COUNT).await?;
            for control in &controls {
                Arc::make_mut(&mut covers).take(control)?;
            }
            // The cursor moves only with what was taken in.
            let Some(last) = controls.last() else { return Ok(covers) };
            self.cursor = last.id;
            let is_last = controls.len() < COUNT;
            // Lanes that wait are woken: what a rollback covers needs no sending.
            self.views.send_modify(|view| view.covers = Arc::clone(&covers));
            if is_last {
                return Ok(covers);
            }
        }
    }

    fn report(&self, view: &ShardView) {
        let part = format!("shard:{}", self.parts.link.shard());
        let state = match view.standing {
            Standing::Unknown => Err("Redis does not answer"),
            Standing::NotStarted => Err("no leader has logged the target list yet"),
            Standing::TargetsDiffer => Err("the logged target list differs from this process' file"),
            Standing::Sound => Ok("redis answers, targets agree"),
        };
        self.parts.readiness.set(&part, state);
    }
}

impl std::fmt::Debug for ShardWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardWatch").finish_non_exhaustive()
    }
}
