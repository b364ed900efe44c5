//! The actor that owns the submissions of one shard in one HTTP thread.
//!
//! In: [`Submit`] per request (bounded: a full queue answers [`Refusal::Busy`] at once). Out: the SUBMIT
//! script's word per request. Natural batching: while one call is in flight the next batch gathers; nothing
//! ever waits for a batch to fill.
//!
//! After an I/O error the outcome is unknown, so the same batch goes out again ([`ATTEMPTS`] times); the
//! script answers a repeat from the record, so nothing is taken in twice.

use std::collections::VecDeque;
use std::time::Duration;

use actix::{Actor, ActorFutureExt as _, Addr, AsyncContext, Context, Handler, Message, WrapFuture as _};
use common::hash::Digest;
use common::ids::{Rid, Tenant};
use common::link::{Disposition, Link, LinkError, Route, Submission, SubmitBounds, Submitted};
use common::supervise::Lifeline;
use tokio::sync::oneshot;

use crate::batch;
use crate::generation::Generation;
use crate::metrics;

const ATTEMPTS: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const MAILBOX_MAX: usize = 1_024;

/// One request to take in, owned: the actor works while its asker waits.
#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) rid: Rid,
    pub(crate) tenant: Tenant,
    pub(crate) fp: Digest,
    pub(crate) route: Route,
    pub(crate) payload: Vec<u8>,
    /// Waited targets with commas; empty = all of the asset's chains.
    pub(crate) targets: String,
    pub(crate) source_state: String,
}

/// Why nothing can be said about a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too much is waiting, or Redis' memory is full. Nothing was written.
    Busy,
    /// Redis does not answer. Whether it was taken in is not known.
    Unavailable,
}

type Reply = Result<Submitted, Refusal>;

#[derive(Message)]
#[rtype(result = "()")]
struct Submit {
    intent: Intent,
    reply: oneshot::Sender<Reply>,
}

/// Where to hand in the submissions of one shard.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Addr<Submitter>);

impl Handle {
    /// Hands a request to the next SUBMIT call and waits for its word.
    pub(crate) async fn submit(&self, intent: Intent) -> Reply {
        let (reply, answer) = oneshot::channel();
        if self.0.try_send(Submit { intent, reply }).is_err() {
            return Err(Refusal::Busy);
        }
        answer.await.unwrap_or(Err(Refusal::Unavailable))
    }
}

#[derive(Debug)]
pub(crate) struct Submitter {
    link: Link,
    bounds: SubmitBounds,
    queue_max: usize,
    generation: Generation,
    waiting: VecDeque<Submit>,
    in_flight: bool,
    _lifeline: Lifeline,
}

impl std::fmt::Debug for Submit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Submit").field(&self.intent.rid).finish()
    }
}

impl Submitter {
    /// Starts the actor on the current thread.
    pub(crate) fn start(
        link: Link,
        backlog_max: u64,
        queue_max: usize,
        generation: Generation,
        lifeline: Lifeline,
    ) -> Handle {
        let bounds = SubmitBounds::with_backlog(backlog_max);
        let waiting = VecDeque::new();
        let submitter =
            Self { link, bounds, queue_max, generation, waiting, in_flight: false, _lifeline: lifeline };
        Handle(Actor::create(|ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(MAILBOX_MAX);
            submitter
        }))
    }

    /// Sends the next batch once everything that lies in the mailbox by now has been gathered.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        if self.in_flight || self.waiting.is_empty() {
            return;
        }
        self.in_flight = true;
        let gathered = std::future::ready(()).into_actor(self);
        ctx.spawn(gathered.map(|(), submitter, ctx| submitter.flush(ctx)));
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        let batch = batch::take(&mut self.waiting, |submit| submit.intent.payload.len());
        let (link, bounds, generation) = (self.link.clone(), self.bounds, self.generation.clone());
        let sent = async move { settle(&link, bounds, &generation, batch).await };
        ctx.spawn(sent.into_actor(self).map(|(), submitter, ctx| {
            submitter.in_flight = false;
            submitter.schedule(ctx);
        }));
    }
}

/// One batch, from the call to the answers.
async fn settle(link: &Link, bounds: SubmitBounds, generation: &Generation, batch: Vec<Submit>) {
    let begun = std::time::Instant::now();
    let submissions: Vec<Submission<'_>> = batch.iter().map(|submit| submit.intent.as_submission()).collect();
    let outcome = call(link, bounds, generation, &submissions).await;
    drop(submissions);
    metrics::submitted(link.shard(), batch.len(), begun.elapsed());
    match outcome {
        Ok(answers) => {
            for (submit, answer) in batch.into_iter().zip(answers) {
                // The client may have gone; its request is in all the same.
                drop(submit.reply.send(Ok(answer)));
            }
        }
        Err(refusal) => {
            for submit in batch {
                drop(submit.reply.send(Err(refusal)));
            }
        }
    }
}

async fn call(
    link: &Link,
    bounds: SubmitBounds,
    generation: &Generation,
    batch: &[Submission<'_>],
) -> Result<Vec<Submitted>, Refusal> {
    for attempt in 1..=ATTEMPTS {
        let error: LinkError = match link.submit(batch, bounds).await {
            Ok(answers) => return Ok(answers),
            Err(error) => error,
        };
        match error.disposition() {
            Disposition::Backpressure => return Err(Refusal::Busy),
            Disposition::Retry => metrics::link_failed(link.shard(), "SUBMIT", &error),
            Disposition::Reject | Disposition::Halt => generation.halt(link, &error).await,
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
    Err(Refusal::Unavailable)
}

impl Intent {
    fn as_submission(&self) -> Submission<'_> {
        Submission {
            rid: self.rid,
            tenant: &self.tenant,
            fp: self.fp,
            route: self.route,
            payload: &self.payload,
            targets: &self.targets,
            source_state: &self.source_state,
        }
    }
}

impl Actor for Submitter {
    type Context = Context<Self>;
}

impl Handler<Submit> for Submitter {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Self::Context) {
        if self.waiting.len() >= self.queue_max {
            drop(submit.reply.send(Err(Refusal::Busy)));
            return;
        }
        self.waiting.push_back(submit);
        self.schedule(ctx);
    }
}
