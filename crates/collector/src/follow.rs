//! Beside the steps: what was handed out of a chain is withdrawn when its block leaves the chain.
//!
//! In: `:handed:<source>` of every shard, which COLLECTED fills with the WITHDRAWN messages to be sent in that case, and
//! the source's [`Chain`]. Out: those messages, into `:inx`, by SEND. Every collector does this for itself and all that was
//! handed out, by whomever: what one of them sends, another one sends again to no effect (same message id; the validator
//! knows it). So nothing hangs on a collector's life, and none has to be chosen.
//!
//! What is too deep to be reorganised, or withdrawn, is forgotten and trimmed from the front. While nothing is watched,
//! the chain is not asked. Bounds: [`HANDED_MAX`] per source and shard, the oldest go; of `:inx` at most
//! [`EXPRESS_SHARE`], so that cancels and commands get in beside a deep reorganisation.

use std::collections::BTreeMap;

use actix::{Actor, ActorFutureExt as _, AsyncContext, Context, WrapFuture as _};
use common::ids::{Name, Shard};
use common::link::{Commands, Disposition, HANDED_MAX, Link, LinkError, SendTo, Sent, StreamId};
use common::message::{Body, Message};
use common::observation::BlockRef;
use common::supervise::Lifeline;

use crate::generation::Generation;
use crate::metrics;
use crate::source::{Chain, Verdict};

const READ_COUNT: usize = 1_000;
/// How far withdrawals may fill `:inx`.
const EXPRESS_SHARE: u64 = 500;

/// The actor that follows the chain of one source. If it dies, the process ends: nobody would be told.
#[derive(Debug)]
pub(crate) struct Follower {
    watch: Option<Watch>,
    generation: Generation,
    _lifeline: Lifeline,
}

impl Follower {
    /// Starts the actor on the current thread.
    pub(crate) fn start(
        source: Name,
        chain: Chain,
        commands: &Commands,
        generation: Generation,
        lifeline: Lifeline,
    ) {
        let outs = Shard::ALL.map(|shard| HandedOut::new(commands.shard(shard))).into();
        Actor::start(Self { watch: Some(Watch { source, chain, outs }), generation, _lifeline: lifeline });
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
    /// One per shard.
    outs: Vec<HandedOut>,
}

impl Watch {
    async fn step(&mut self) -> Result<(), Failed> {
        for out in &mut self.outs {
            out.read(&self.source).await?;
        }
        metrics::watched(&self.source, self.outs.iter().map(|out| out.blocks.len()).sum());
        let Some(lowest) = self.outs.iter().filter_map(HandedOut::lowest).min() else {
            self.chain.rest();
            return Ok(());
        };
        if let Err(fault) = self.chain.advance(lowest).await {
            metrics::follow_failed(&self.source, &fault);
            return Ok(());
        }
        for out in &mut self.outs {
            out.settle(&self.source, &self.chain).await?;
        }
        Ok(())
    }
}

/// What was handed out to one shard and may still be reorganised.
#[derive(Debug)]
struct HandedOut {
    link: Link,
    cursor: StreamId,
    /// Where each entry's observation was seen. The messages stay in the stream.
    blocks: BTreeMap<StreamId, BlockRef>,
}

impl HandedOut {
    const fn new(link: Link) -> Self {
        Self { link, cursor: StreamId::ZERO, blocks: BTreeMap::new() }
    }

    fn failed(&self, call: &'static str) -> impl Fn(LinkError) -> Failed {
        let link = self.link.clone();
        move |error| Failed { link: link.clone(), call, error }
    }

    fn lowest(&self) -> Option<u64> {
        self.blocks.values().map(|block| block.block).min()
    }

    /// Reads on to the end of the stream.
    async fn read(&mut self, source: &Name) -> Result<(), Failed> {
        loop {
            let read = self.link.handed_after(source, self.cursor, READ_COUNT).await;
            let entries = read.map_err(self.failed("XRANGE handed"))?;
            for entry in &entries {
                self.cursor = entry.id;
                match withdrawal(&entry.payload) {
                    Some((_, block)) => {
                        self.blocks.insert(entry.id, block);
                    }
                    None => metrics::passed_on_unread(self.link.shard()),
                }
            }
            let surplus = self.blocks.len().saturating_sub(HANDED_MAX);
            for _ in 0..surplus {
                self.blocks.pop_first();
            }
            if surplus > 0 {
                metrics::watch_overflowed(source, surplus);
            }
            if entries.len() < READ_COUNT {
                return Ok(());
            }
        }
    }

    /// Withdraws what is gone, forgets what is final, and trims what nobody needs any more.
    async fn settle(&mut self, source: &Name, chain: &Chain) -> Result<(), Failed> {
        let before = self.blocks.len();
        let mut gone = Vec::new();
        self.blocks.retain(|id, block| match chain.verdict(*block) {
            Verdict::Stands | Verdict::Shallow => true,
            Verdict::Final => false,
            Verdict::Gone => {
                gone.push(*id);
                true
            }
        });
        for id in gone {
            let found = self.link.handed_at(source, id).await.map_err(self.failed("XRANGE handed"))?;
            // Another collector has sent it and trimmed the stream.
            let Some(entry) = found else {
                self.blocks.remove(&id);
                continue;
            };
            let Some((message, block)) = withdrawal(&entry.payload) else { continue };
            let sent = self.link.send(SendTo::Express, &message.id, &entry.payload, EXPRESS_SHARE).await;
            match sent.map_err(self.failed("SEND"))? {
                Sent::Ok { .. } => metrics::withdrawn(source, self.link.shard(), &message.id, block),
                Sent::Dup { .. } => {}
                // The next step goes on.
                Sent::Busy => break,
            }
            self.blocks.remove(&id);
        }
        if self.blocks.len() == before {
            return Ok(());
        }
        let below = self.blocks.first_key_value().map_or_else(|| self.cursor.next(), |(id, _)| *id);
        self.link.trim_handed(source, below).await.map_err(self.failed("XTRIM handed"))
    }
}

/// The message of an entry, and the block it speaks of.
fn withdrawal(payload: &[u8]) -> Option<(Message, BlockRef)> {
    let message = Message::decode(payload).ok()?;
    let Body::Withdrawn { withdrawn, .. } = &message.body else { return None };
    let block = BlockRef { block: withdrawn.block, block_hash: withdrawn.block_hash };
    Some((message, block))
}
