//! Beside the steps: what was handed out of a chain is withdrawn when its block leaves the chain.
//!
//! In: `:handed:<source>` of every shard, which COLLECTED fills with the WITHDRAWN messages to be sent in that case, and
//! the source's [`Chain`]. Out: those messages, into `:inx`, by SEND. Every collector does this for itself and all that was
//! handed out, by whomever: what one of them sends, another one sends again to no effect (same message id; the validator
//! knows it). So nothing hangs on a collector's life, and none has to be chosen.
//!
//! What is too deep to be reorganised is compared with the chain once more, for it may have got there while nobody looked;
//! then it is forgotten, as what is withdrawn, and trimmed from the front ([`notes`]). While nothing is watched,
//! the chain is not asked. Bounds: the stream's own per source and shard
//! ([`HANDED_MAX`](common::link::HANDED_MAX)), and for what is kept here [`WATCHED_BYTES_MAX`] per process; the oldest go, counted. In
//! `:inx` withdrawals have a share of their own ([`SendTo::Withdrawals`]): a deep reorganisation keeps neither cancels nor commands out, nor they it.

mod notes;

use std::collections::{BTreeMap, BTreeSet};

use actix::{Actor, ActorFutureExt as _, AsyncContext, Context, WrapFuture as _};
use common::ids::{Name, Shard};
use common::link::{Commands, Disposition, EXPRESS_MAX, Link, LinkError, SendTo, Sent};
use common::observation::BlockRef;
use common::supervise::Lifeline;

use crate::generation::Generation;
use crate::metrics;
use crate::metrics::Dropped;
use crate::source::{Chain, Verdict};
use notes::{Notes, Read};

const READ_COUNT: usize = 1_000;
/// Most memory for the messages that are kept, about; the sources of a process have equal shares.
const WATCHED_BYTES_MAX: usize = 32 << 20;

/// The actor that follows the chain of one source. If it dies, the process ends: nobody would be told.
#[derive(Debug)]
pub(crate) struct Follower {
    watch: Option<Watch>,
    generation: Generation,
    _lifeline: Lifeline,
}

impl Follower {
    /// Starts the actor on the current thread; it is one of so many.
    pub(crate) fn start(
        source: Name,
        chain: Chain,
        sources: usize,
        commands: &Commands,
        generation: Generation,
        lifeline: Lifeline,
    ) {
        let outs = Shard::ALL.map(|shard| HandedOut::new(commands.shard(shard))).into();
        let bytes_max = WATCHED_BYTES_MAX / sources.max(1);
        let watch = Some(Watch { source, chain, bytes_max, outs });
        Actor::start(Self { watch, generation, _lifeline: lifeline });
    }

    fn step(&mut self, ctx: &mut Context<Self>) {
        let Some(mut watch) = self.watch.take() else { return };
        let generation = self.generation.clone();
        let stepped = async move {
            generation.known().await;
            if let Err(Failed { link, call, error }) = watch.step().await {
                match error.disposition() {
                    Disposition::Retry | Disposition::Backpressure => {
                        metrics::link_failed(link.shard(), call, &error);
                    }
                    Disposition::Reject | Disposition::Halt => generation.halt(&link, &error).await,
                }
            }
            watch
        };
        ctx.spawn(stepped.into_actor(self).map(|watch, follower, ctx| {
            let pause = watch.chain.poll();
            follower.watch = Some(watch);
            ctx.run_later(pause, Self::step);
        }));
    }
}

impl Actor for Follower {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.step(ctx);
    }
}

/// A call to Redis that did not go through.
struct Failed {
    link: Link,
    call: &'static str,
    error: LinkError,
}

/// One source's chain, and what was handed out of it.
#[derive(Debug)]
struct Watch {
    source: Name,
    chain: Chain,
    bytes_max: usize,
    /// One per shard.
    outs: Vec<HandedOut>,
}

impl Watch {
    async fn step(&mut self) -> Result<(), Failed> {
        for out in &mut self.outs {
            out.read(&self.source).await?;
        }
        let dropped = bound(self.outs.iter_mut().map(|out| &mut out.notes).collect(), self.bytes_max);
        metrics::watch_dropped(&self.source, Dropped::Memory, dropped);
        metrics::watched(&self.source, self.outs.iter().map(|out| out.notes.len()).sum());
        let blocks: BTreeSet<BlockRef> = self.outs.iter().flat_map(|out| out.notes.blocks()).collect();
        let Some(lowest) = blocks.first() else {
            self.chain.rest();
            return self.settle(&BTreeMap::new()).await;
        };
        if let Err(fault) = self.chain.advance(lowest.block).await {
            metrics::follow_failed(&self.source, &fault);
            return Ok(());
        }
        let verdicts = self.chain.verdicts(&blocks).await;
        self.settle(&verdicts).await
    }

    async fn settle(&mut self, verdicts: &BTreeMap<BlockRef, Verdict>) -> Result<(), Failed> {
        for out in &mut self.outs {
            out.settle(&self.source, verdicts).await?;
        }
        Ok(())
    }
}

/// Forgets the oldest of whoever has most until all fit; gives how many.
fn bound(mut all: Vec<&mut Notes>, bytes_max: usize) -> usize {
    let mut dropped = 0;
    while all.iter().map(|notes| notes.bytes()).sum::<usize>() > bytes_max
        && all.iter_mut().max_by_key(|notes| notes.bytes()).is_some_and(|notes| notes.drop_oldest())
    {
        dropped += 1;
    }
    dropped
}

/// What was handed out to one shard and may still be reorganised.
#[derive(Debug)]
struct HandedOut {
    link: Link,
    notes: Notes,
}

impl HandedOut {
    fn new(link: Link) -> Self {
        Self { link, notes: Notes::default() }
    }

    fn failed(&self, call: &'static str) -> impl Fn(LinkError) -> Failed {
        let link = self.link.clone();
        move |error| Failed { link: link.clone(), call, error }
    }

    /// Reads on to the end of the stream.
    async fn read(&mut self, source: &Name) -> Result<(), Failed> {
        loop {
            let read = self.link.handed_after(source, self.notes.cursor(), READ_COUNT).await;
            let entries = read.map_err(self.failed("XRANGE handed"))?;
            let is_end = entries.len() < READ_COUNT;
            for entry in entries {
                match self.notes.take(entry.id, entry.payload) {
                    Read::Noted => {}
                    Read::Unreadable => metrics::note_unreadable(source, self.link.shard(), entry.id),
                }
            }
            if is_end {
                metrics::watch_dropped(source, Dropped::Unreadable, self.notes.give_up());
                return Ok(());
            }
        }
    }

    /// Withdraws what is gone, forgets what is final, and trims what nobody needs any more.
    async fn settle(&mut self, source: &Name, verdicts: &BTreeMap<BlockRef, Verdict>) -> Result<(), Failed> {
        for (id, gone) in self.notes.judge(verdicts) {
            let sent =
                self.link.send(SendTo::Withdrawals, &gone.message_id, &gone.payload, EXPRESS_MAX).await;
            match sent.map_err(self.failed("SEND"))? {
                Sent::Ok { .. } => {
                    metrics::withdrawn(source, self.link.shard(), &gone.message_id, gone.block);
                }
                Sent::Dup { .. } => {}
                // The next step goes on.
                Sent::Busy => break,
            }
            self.notes.forget(id);
        }
        let Some(below) = self.notes.trim() else { return Ok(()) };
        self.link.trim_handed(source, below).await.map_err(self.failed("XTRIM handed"))?;
        self.notes.trimmed(below);
        Ok(())
    }
}
