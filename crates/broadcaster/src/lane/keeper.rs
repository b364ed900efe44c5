//! A lane's lease while it is held: renewed beside whatever the lane does.

use std::time::Duration;

use common::ids::Name;
use common::link::{Disposition, Fence, LaneLeased, Link, LinkError, Token};
use tokio::time::Instant;

/// What taking the lease brought.
#[derive(Debug)]
#[must_use]
pub(crate) enum Taken {
    Mine {
        keeper: Box<Keeper>,
        now_ms: u64,
    },
    /// Another replica holds it.
    Others,
}

/// The lease is not this process' any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

#[derive(Debug)]
pub(crate) struct Keeper {
    link: Link,
    target: Name,
    node: Name,
    fence: Fence,
    ttl: Duration,
    /// When the lease ends unless it is renewed; counted from before the call that took it.
    ends: Instant,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Keeper {
    pub(crate) async fn take(
        link: &Link,
        target: &Name,
        node: &Name,
        token: &Token,
        ttl: Duration,
    ) -> Result<Taken, LinkError> {
        let asked = Instant::now();
        let grant = match link.lane_lease(target, node, token, ms(ttl)).await? {
            LaneLeased::New(grant) | LaneLeased::Held(grant) => grant,
            LaneLeased::No { .. } => return Ok(Taken::Others),
        };
        let fence = Fence { epoch: grant.epoch, token: token.clone() };
        let keeper = Self {
            link: link.clone(),
            target: target.clone(),
            node: node.clone(),
            fence,
            ttl,
            ends: asked + ttl,
        };
        Ok(Taken::Mine { keeper: Box::new(keeper), now_ms: grant.now_ms })
    }

    pub(crate) const fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Runs `work` and renews the lease meanwhile. When the lease is lost the work is dropped: its writes would
    /// be refused, and what it sent is in the journal.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Lost> {
        let mut work = std::pin::pin!(work);
        loop {
            let renewal = self.ends - self.ttl * 2 / 3;
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep_until(renewal) => self.renew().await?,
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Lost> {
        let asked = Instant::now();
        match self.link.lane_lease(&self.target, &self.node, &self.fence.token, ms(self.ttl)).await {
            Ok(LaneLeased::Held(grant)) if grant.epoch == self.fence.epoch => {
                self.ends = asked + self.ttl;
                Ok(())
            }
            Ok(_) => Err(Lost),
            Err(error) if error.disposition() == Disposition::Retry && Instant::now() < self.ends => {
                // Tried again at once, until the lease must have ended.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(target = %self.target, %error, "A lane's lease could not be renewed");
                Err(Lost)
            }
        }
    }

    /// Gives the lease back, so that the next owner need not wait for its end.
    pub(crate) async fn release(self) {
        if let Err(error) = self.link.lane_release(&self.target, &self.fence).await {
            tracing::warn!(target = %self.target, %error, "A lane's lease could not be given back; it will run out");
        }
    }
}
