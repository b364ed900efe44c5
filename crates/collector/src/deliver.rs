//! The actor that hands the finished requests of one shard to `:in`.
//!
//! In: [`Finished`] from collecting (bounded by the intake's in-flight limit). Out: one COLLECTED call per
//! batch, with natural batching as in the submitter, and [`Settled`] back to the intake. The call is repeated
//! until it is answered: an entry stays pending until then, and a repeat of what went through is `GONE`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorFutureExt as _, Addr, AsyncContext, Context, Handler, Message, Recipient, WrapFuture as _,
};
use common::link::{Collected, Collection, Disposition, Link, StreamId};
use common::supervise::Lifeline;

use crate::batch;
use crate::collect::Finished;
use crate::generation::Generation;
use crate::metrics;

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A request for which there is nothing left to do but to hand it over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Deliver(pub(crate) Finished);

/// These entries are no longer this collector's.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Settled(pub(crate) Vec<StreamId>);

#[derive(Debug)]
pub(crate) struct Deliverer {
    link: Link,
    generation: Generation,
    intake: Recipient<Settled>,
    waiting: VecDeque<Finished>,
    in_flight: bool,
    _lifeline: Lifeline,
}

impl Deliverer {
    /// Starts the actor on the current thread.
    pub(crate) fn start(
        link: Link,
        generation: Generation,
        intake: Recipient<Settled>,
        lifeline: Lifeline,
    ) -> Addr<Self> {
        let waiting = VecDeque::new();
        Self { link, generation, intake, waiting, in_flight: false, _lifeline: lifeline }.start()
    }

    /// Sends the next batch once everything that lies in the mailbox by now has been gathered.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight || self.waiting.is_empty() {
            return;
        }
        self.in_flight = true;
        let gathered = std::future::ready(()).into_actor(self);
        ctx.spawn(gathered.map(|(), deliverer, ctx| deliverer.flush(ctx)));
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        let batch = batch::take(&mut self.waiting, Finished::bytes);
        let (link, generation) = (self.link.clone(), self.generation.clone());
        let handed_over = async move { hand_over(&link, &generation, batch).await };
        ctx.spawn(handed_over.into_actor(self).map(|ids, deliverer, ctx| {
            deliverer.intake.do_send(Settled(ids));
            deliverer.in_flight = false;
            deliverer.schedule(ctx);
        }));
    }
}

async fn hand_over(link: &Link, generation: &Generation, batch: Vec<Finished>) -> Vec<StreamId> {
    let begun = Instant::now();
    let collections: Vec<Collection<'_>> = batch.iter().map(Finished::as_collection).collect();
    let answers = loop {
        match link.collected(&collections).await {
            Ok(answers) => break answers,
            Err(error) => match error.disposition() {
                Disposition::Retry | Disposition::Backpressure => {
                    metrics::link_failed(link.shard(), "COLLECTED", &error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Disposition::Reject | Disposition::Halt => generation.halt(link, &error).await,
            },
        }
    };
    let gone = answers.iter().filter(|answer| matches!(answer, Collected::Gone)).count();
    metrics::delivered(link.shard(), answers.len() - gone, gone, begun.elapsed());
    batch.iter().map(|finished| finished.id).collect()
}

impl Finished {
    fn bytes(&self) -> usize {
        self.payload.len() + self.handed.iter().map(|(_, withdrawal)| withdrawal.len()).sum::<usize>()
    }

    fn as_collection(&self) -> Collection<'_> {
        Collection {
            id: self.id,
            rid: self.rid,
            payload: &self.payload,
            source_state: &self.source_state,
            handed: &self.handed,
        }
    }
}

impl Actor for Deliverer {
    type Context = Context<Self>;
}

impl Handler<Deliver> for Deliverer {
    type Result = ();

    fn handle(&mut self, Deliver(finished): Deliver, ctx: &mut Self::Context) {
        self.waiting.push_back(finished);
        self.schedule(ctx);
    }
}
