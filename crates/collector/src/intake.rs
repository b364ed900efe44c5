//! The actor that owns one shard's place in the collectors' group.
//!
//! In: entries of `:requests`. Out: each one collected for and handed to the deliverer. Per read batch one
//! COLLECTING call says so in the records. The reader asks for no more than there is room for: at most
//! `in_flight_max` entries in their first second and `waiting_max` older ones, which wait for slow sources; no
//! source takes the places of all others ([`places`]).
//!
//! Delivery is at least once, and an entry stays pending until COLLECTED: after a (re)connect own pending
//! entries come again (those still worked on are known by id), silent collectors' entries are claimed after
//! `claim_idle`, long ones of our own are renewed meanwhile ([`membership`]). An entry claimed more than
//! `claims_max` times ends as FAILED `COLLECT_CRASH`: collecting it kills collectors.
//!
//! The end: [`Drain`] begins no further read, waits for the one under way and for everything begun; [`Leave`]
//! gives back what is not finished by then, and any other collector takes it over at once.

mod membership;
mod places;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt as _, Addr, AsyncContext, Context, Handler, Message, WrapFuture as _};
use common::ids::{Name, Rid};
use common::link::{Delivered, Disposition, GroupReader, Link, LinkError, StreamId};
use common::supervise::Lifeline;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use crate::collect::{self, Finished, Plan};
use crate::config::CollectSettings;
use crate::deliver::{Deliver, Deliverer, Settled};
use crate::generation::Generation;
use crate::metrics;
use crate::source::Sources;
use crate::wire::Requested;
pub(crate) use membership::Leave;
use places::Places;

const READ_BLOCK: Duration = Duration::from_secs(1);
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often places are looked for that slow entries have left.
const ROOM_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) struct Intake {
    link: Link,
    settings: CollectSettings,
    generation: Generation,
    sources: Sources,
    deliverer: Option<Addr<Deliverer>>,
    deliverer_lifeline: Option<Lifeline>,
    /// `None` while a read is under way.
    reader: Option<GroupReader>,
    places: Places,
    claim_cursor: StreamId,
    /// The entries that an earlier process of this name has left are not all read yet. No claims meanwhile:
    /// one would take the same entries over a second time and count them twice.
    is_inheriting: bool,
    /// A claim is under way. A second one beside it could claim the same entries again and count twice.
    is_claiming: bool,
    phase: Phase,
    /// Who is to be told that nothing is active any more.
    drained: Option<oneshot::Sender<()>>,
    _lifeline: Lifeline,
}

/// Where an intake is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// Nothing further is read or claimed.
    Draining,
    /// What was begun is given back: it is no longer this collector's.
    Left,
}

/// Stop reading and tell when everything begun has been handed over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Drain(pub(crate) oneshot::Sender<()>);

/// An entry is given up without an end; it stays pending.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Abandon(StreamId);

/// A source has answered for an entry, with so many bytes of observations.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Answered {
    id: StreamId,
    source: Name,
    bytes: usize,
}

/// What an intake is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) link: Link,
    pub(crate) settings: CollectSettings,
    pub(crate) generation: Generation,
    pub(crate) sources: Sources,
    pub(crate) lifeline: Lifeline,
    pub(crate) deliverer_lifeline: Lifeline,
}

impl Intake {
    /// Starts the actor, and its deliverer, on the current thread.
    pub(crate) fn start(parts: Parts) -> Addr<Self> {
        let reader = parts.link.group_reader(READ_BLOCK);
        Actor::start(Self {
            link: parts.link,
            settings: parts.settings,
            generation: parts.generation,
            sources: parts.sources,
            deliverer: None,
            deliverer_lifeline: Some(parts.deliverer_lifeline),
            reader: Some(reader),
            places: Places::new(parts.settings.in_flight_max, parts.settings.waiting_max),
            claim_cursor: StreamId::ZERO,
            is_inheriting: true,
            is_claiming: false,
            phase: Phase::Working,
            drained: None,
            _lifeline: parts.lifeline,
        })
    }

    fn room(&self) -> usize {
        if self.phase == Phase::Working { self.places.room(Instant::now()) } else { 0 }
    }

    /// Reads on if no read is under way and there is room.
    fn read(&mut self, ctx: &mut Context<Self>) {
        let room = self.room();
        if room == 0 {
            return;
        }
        let Some(mut reader) = self.reader.take() else { return };
        let read = async move {
            let result = reader.next(room).await;
            (reader, result)
        };
        ctx.spawn(read.into_actor(self).map(|(reader, result), intake, ctx| {
            intake.is_inheriting = reader.is_inheriting();
            intake.reader = Some(reader);
            match result {
                Ok(entries) => {
                    intake.begin(entries, ctx);
                    intake.read(ctx);
                }
                Err(error) => intake.on_error("XREADGROUP", error, ctx),
            }
            intake.tell_if_drained();
        }));
    }

    /// Waits before the next read, or ends the process if waiting cannot help.
    fn on_error(&mut self, call: &'static str, error: LinkError, ctx: &mut Context<Self>) {
        match error.disposition() {
            Disposition::Retry | Disposition::Backpressure => {
                metrics::link_failed(self.link.shard(), call, &error);
                ctx.run_later(RETRY_PAUSE, Self::read);
            }
            Disposition::Reject | Disposition::Halt => {
                let (link, generation) = (self.link.clone(), self.generation.clone());
                ctx.spawn(async move { generation.halt(&link, &error).await }.into_actor(self));
            }
        }
    }

    fn begin(&mut self, entries: Vec<Delivered>, ctx: &mut Context<Self>) {
        if self.phase == Phase::Left {
            // Too late for anything but what becomes of a dead collector's entries.
            return;
        }
        let begun = Instant::now();
        let mut rids = Vec::with_capacity(entries.len());
        for Delivered { message, deliveries } in entries {
            let id = message.id;
            if self.places.contains(id) {
                continue;
            }
            let (bytes, now) = (message.payload.len(), Instant::now());
            // The first delivery is no claim.
            let claims = deliveries.saturating_sub(1);
            match Requested::read(&message.payload) {
                Err(unreadable) => {
                    metrics::passed_on_unread(self.link.shard());
                    self.places.take(id, bytes, Vec::new(), now);
                    // Without a rid there is no record to move; one that was never used moves none.
                    let rid = unreadable.rid.unwrap_or_else(|| Rid::fresh(self.link.shard()));
                    self.deliver(Finished {
                        id,
                        rid,
                        payload: message.payload,
                        source_state: String::new(),
                        handed: Vec::new(),
                    });
                }
                Ok(requested) if claims > self.settings.claims_max => {
                    metrics::poisoned(self.link.shard(), requested.rid, claims);
                    self.places.take(id, bytes, Vec::new(), now);
                    self.deliver(collect::crashed(id, &requested, claims));
                }
                Ok(requested) => {
                    rids.push(requested.rid);
                    let plan = Plan::new(&requested, |source| self.places.is_saturated(source));
                    metrics::saturated(self.link.shard(), plan.refused());
                    self.places.take(id, bytes, plan.asked(&requested), now);
                    self.collect(id, requested, plan, ctx);
                }
            }
        }
        metrics::taken_in(self.link.shard(), begun.elapsed());
        metrics::in_flight(self.link.shard(), self.places.len());
        if !rids.is_empty() {
            let link = self.link.clone();
            // A hint for clients: if it is lost, the record says `accepted` a little longer.
            let marked = async move {
                if let Err(error) = link.collecting(&rids).await {
                    metrics::link_failed(link.shard(), "COLLECTING", &error);
                }
            };
            ctx.spawn(marked.into_actor(self));
        }
    }

    /// Collects for one entry beside all others. A panic there costs this entry only.
    fn collect(&self, id: StreamId, requested: Requested, plan: Plan, ctx: &Context<Self>) {
        let Some(deliverer) = self.deliverer.clone() else { return };
        let (sources, intake, shard) = (self.sources.clone(), ctx.address(), self.link.shard());
        let patience = Duration::from_millis(self.settings.deadline_ms);
        actix::spawn(async move {
            let begun = Instant::now();
            let requested = Rc::new(requested);
            let answered =
                |source: &Name, bytes| intake.do_send(Answered { id, source: source.clone(), bytes });
            let collected = collect::collect(id, &requested, &plan, &sources, patience, &answered);
            if let Ok(finished) = AssertUnwindSafe(collected).catch_unwind().await {
                metrics::collected(shard, begun.elapsed());
                common::crash_point!("collector.collected");
                deliverer.do_send(Deliver(finished));
            } else {
                metrics::collect_panicked(shard, requested.rid);
                intake.do_send(Abandon(id));
            }
        });
    }

    fn deliver(&self, finished: Finished) {
        if let Some(deliverer) = &self.deliverer {
            deliverer.do_send(Deliver(finished));
        }
    }

    fn settle(&mut self, ids: &[StreamId], ctx: &mut Context<Self>) {
        for id in ids {
            self.places.leave(*id);
        }
        metrics::in_flight(self.link.shard(), self.places.len());
        self.read(ctx);
        self.tell_if_drained();
    }

    /// A read or a claim under way still brings entries, which are begun and finished like all others.
    fn tell_if_drained(&mut self) {
        let is_done = self.places.is_empty() && self.reader.is_some() && !self.is_claiming;
        if is_done && let Some(drained) = self.drained.take() {
            // Whoever asked may have lost patience.
            let _ = drained.send(());
        }
    }
}

impl Actor for Intake {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(lifeline) = self.deliverer_lifeline.take() {
            let (link, generation) = (self.link.clone(), self.generation.clone());
            let settled = ctx.address().recipient();
            self.deliverer = Some(Deliverer::start(link, generation, settled, lifeline));
        }
        let generation = self.generation.clone();
        let known = async move { generation.known().await };
        ctx.spawn(known.into_actor(self).map(|(), intake, ctx| {
            intake.read(ctx);
            ctx.run_interval(ROOM_INTERVAL, Self::read);
            intake.keep_membership(ctx);
        }));
    }
}

impl Handler<Settled> for Intake {
    type Result = ();

    fn handle(&mut self, Settled(ids): Settled, ctx: &mut Self::Context) {
        self.settle(&ids, ctx);
    }
}

impl Handler<Abandon> for Intake {
    type Result = ();

    fn handle(&mut self, Abandon(id): Abandon, ctx: &mut Self::Context) {
        self.settle(&[id], ctx);
    }
}

impl Handler<Answered> for Intake {
    type Result = ();

    fn handle(&mut self, Answered { id, source, bytes }: Answered, _: &mut Self::Context) {
        self.places.answered(id, &source, bytes);
    }
}

impl Handler<Drain> for Intake {
    type Result = ();

    fn handle(&mut self, Drain(drained): Drain, ctx: &mut Self::Context) {
        self.phase = Phase::Draining;
        self.drained = Some(drained);
        self.settle(&[], ctx);
    }
}
