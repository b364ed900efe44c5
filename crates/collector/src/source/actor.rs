//! The actor that owns one source, and the table of all of them.
//!
//! In: asks (mailbox of [`MAILBOX_MAX`]; a full one refuses at once). Out: one answer each, at the latest at
//! the ask's deadline. At most `in_flight_max` asks are at the source at one time, the others wait in order.
//! A transient fault is tried again with growing, jittered pauses, a source's `Retry-After` being the least.
//! An ask whose asker has gone is dropped and gives its place back.
//!
//! A panic inside the source ends that ask with a fault and restarts the actor through its supervisor: the
//! source is built anew, waiting asks stay.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Supervised, Supervisor};
use common::ids::Name;
use common::observation::Observation;
use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::catalog::{Catalog, Entry};
use super::{Ask, Source, SourceFault};
use crate::metrics;

const MAILBOX_MAX: usize = 256;
/// Asks that wait for a place at the source.
const QUEUE_MAX: usize = 1_024;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long an unknown event is looked for again: nodes lag behind each other by a few blocks at most.
const NOT_FOUND_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) type Answer = Result<Vec<Observation>, SourceFault>;

/// The addresses of all source actors.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    actors: Rc<BTreeMap<Name, Addr<SourceActor>>>,
}

impl Sources {
    /// Starts one actor per source on the current thread.
    ///
    /// # Errors
    /// A source cannot be built, which the catalog has excluded before.
    pub(crate) fn start(catalog: &Catalog) -> Result<Self, String> {
        let mut actors = BTreeMap::new();
        for (name, entry) in &catalog.entries {
            let actor = SourceActor::new(name.clone(), entry.clone())?;
            actors.insert(name.clone(), actor.supervised());
        }
        Ok(Self { actors: Rc::new(actors) })
    }

    /// Asks a source and waits for its answer.
    pub(crate) async fn ask(&self, name: &Name, ask: Ask) -> Answer {
        let Some(actor) = self.actors.get(name) else {
            return Err(SourceFault::unavailable("the source is not configured in this collector"));
        };
        let (reply, answer) = oneshot::channel();
        if actor.try_send(Question { ask, reply }).is_err() {
            return Err(SourceFault::unavailable("too many requests wait for the source"));
        }
        answer.await.unwrap_or_else(|_| Err(SourceFault::unavailable("the source ended")))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Question {
    ask: Ask,
    reply: oneshot::Sender<Answer>,
}

/// An ask has left the source.
#[derive(Message)]
#[rtype(result = "()")]
struct Left {
    panicked: bool,
}

struct SourceActor {
    name: Name,
    entry: Entry,
    source: Rc<dyn Source>,
    in_flight: usize,
    waiting: VecDeque<Question>,
}

impl SourceActor {
    fn new(name: Name, entry: Entry) -> Result<Self, String> {
        let source = entry.build(&name)?;
        Ok(Self { name, entry, source, in_flight: 0, waiting: VecDeque::new() })
    }

    /// Starts the actor under a supervisor. The mailbox has its size before the first ask comes.
    fn supervised(self) -> Addr<Self> {
        Supervisor::start(|ctx: &mut Context<Self>| {
            ctx.set_mailbox_capacity(MAILBOX_MAX);
            self
        })
    }

    fn fill(&mut self, ctx: &Context<Self>) {
        while self.in_flight < self.entry.in_flight_max {
            let Some(question) = self.waiting.pop_front() else { return };
            if question.reply.is_closed() {
                continue;
            }
            self.in_flight += 1;
            let (source, name, actor) = (Rc::clone(&self.source), self.name.clone(), ctx.address());
            actix::spawn(async move {
                let panicked = serve(source, &name, question).await;
                actor.do_send(Left { panicked });
            });
        }
    }
}

/// Answers one question; tells whether the source panicked.
async fn serve(source: Rc<dyn Source>, name: &Name, mut question: Question) -> bool {
    let begun = Instant::now();
    let answered = tokio::select! {
        answered = AssertUnwindSafe(attempts(source.as_ref(), &question.ask)).catch_unwind() => answered,
        () = question.reply.closed() => return false,
    };
    let panicked = answered.is_err();
    let answer = answered.unwrap_or_else(|_| Err(SourceFault::unavailable("the source crashed")));
    metrics::source_answered(name, begun.elapsed(), answer.as_ref().err());
    // The asker may be gone by now; it has its own deadline.
    drop(question.reply.send(answer));
    panicked
}

/// Attempts until one succeeds, one fails for good, or the deadline comes.
async fn attempts(source: &dyn Source, ask: &Ask) -> Answer {
    let deadline = tokio::time::Instant::from_std(ask.deadline);
    let not_found_until = Instant::now() + NOT_FOUND_PATIENCE;
    let mut last = SourceFault::unavailable("no answer before the deadline");
    let mut attempt = 0;
    loop {
        match tokio::time::timeout_at(deadline, source.observe(ask)).await {
            Err(_) => return Err(last),
            Ok(Err(fault)) if fault.is_transient() => {
                let is_lost = matches!(fault, SourceFault::EventNotFound { .. });
                if is_lost && Instant::now() >= not_found_until {
                    return Err(fault);
                }
                last = fault;
            }
            Ok(answer) => return answer,
        }
        let pause = pause(attempt, &last, rand::random());
        // A source may ask for any pause; as an instant it need not exist.
        if pause >= ask.deadline.saturating_duration_since(Instant::now()) {
            return Err(last);
        }
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

/// The pause after failed attempt `attempt` (0-based): doubling, half of it jittered by `random`, at least
/// what the source asked for.
fn pause(attempt: u32, fault: &SourceFault, random: f64) -> Duration {
    let full = PAUSE_FIRST.saturating_mul(1 << attempt.min(10)).min(PAUSE_MAX);
    let jittered = full.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0));
    match fault {
        SourceFault::Unavailable { retry_after: Some(least), .. } => jittered.max(*least),
        _ => jittered,
    }
}

impl Actor for SourceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.fill(ctx);
    }
}

impl Supervised for SourceActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        metrics::source_restarted(&self.name);
        // The settings were built from before, so this does not fail; if it does, the old one stays.
        if let Ok(source) = self.entry.build(&self.name) {
            self.source = source;
        }
    }
}

impl Handler<Question> for SourceActor {
    type Result = ();

    fn handle(&mut self, question: Question, ctx: &mut Self::Context) {
        if self.waiting.len() >= QUEUE_MAX {
            drop(question.reply.send(Err(SourceFault::unavailable("too many requests wait for the source"))));
            return;
        }
        self.waiting.push_back(question);
        self.fill(ctx);
    }
}

impl Handler<Left> for SourceActor {
    type Result = ();

    fn handle(&mut self, left: Left, ctx: &mut Self::Context) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if left.panicked {
            ctx.stop();
        } else {
            self.fill(ctx);
        }
    }
}

#[cfg(test)]
mod tests;
