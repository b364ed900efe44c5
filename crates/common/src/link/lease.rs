//! LEASE and RELEASE: who leads a shard, who drives a lane.
//!
//! A lease (`:lease`, `:lane:<target>`) is `epoch token node exp`. (epoch, token) is the fence that every
//! leader's and lane's script checks; `exp` is liveness only. A new epoch is above every one known: the
//! stored one and the caller's floor (its database, the log), so a Redis that lost its tail hands out none
//! twice. Lane leases carry the lane's counters too. Replies: `NEW <epoch> <now>`, `HELD <epoch> <now>`
//! (each + `<next_nonce> <attempts>`), `NO <epoch> <remaining ms> <node>`; RELEASE: `OK`, `FENCED`.

use std::fmt;

use super::{Link, LinkError};
use crate::ids::Name;

/// Random per process start: tells two holders of an equal epoch apart.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.0).finish()
    }
}

/// What a leader or lane owner shows with every write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub epoch: u64,
    pub token: Token,
}

/// What LEASE answers for a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Leased {
    /// The lease is the caller's, under a new epoch: forget everything held under an older one.
    New { epoch: u64, now_ms: u64 },
    /// The lease was the caller's and is extended.
    Held { epoch: u64, now_ms: u64 },
    /// Somebody else holds it.
    No { epoch: u64, remaining_ms: u64, node: String },
}

/// A lane's lease with its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneGrant {
    pub epoch: u64,
    pub now_ms: u64,
    /// The lowest chain nonce BIND has not handed out.
    pub next_nonce: u64,
    /// Transactions stored since the last DONE: how long the lane has been without progress.
    pub attempts: u64,
}

/// What LEASE answers for a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum LaneLeased {
    New(LaneGrant),
    Held(LaneGrant),
    No { epoch: u64, remaining_ms: u64, node: String },
}

/// What RELEASE answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Released {
    /// The lease is free at once.
    Ok,
    /// It was not the caller's any more.
    Fenced,
}

impl Link {
    /// Takes or extends the shard's lease for `ttl_ms`. `floor_epoch` is the highest epoch the caller knows.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lease(
        &self,
        node: &Name,
        token: &Token,
        ttl_ms: u64,
        floor_epoch: u64,
    ) -> Result<Leased, LinkError> {
        Ok(match self.take(self.keys.lease(), node, token, ttl_ms, floor_epoch).await? {
            LaneLeased::New(grant) => Leased::New { epoch: grant.epoch, now_ms: grant.now_ms },
            LaneLeased::Held(grant) => Leased::Held { epoch: grant.epoch, now_ms: grant.now_ms },
            LaneLeased::No { epoch, remaining_ms, node } => Leased::No { epoch, remaining_ms, node },
        })
    }

    /// Gives the shard's lease back, so that another process need not wait for its end.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn release(&self, fence: &Fence) -> Result<Released, LinkError> {
        self.give_back(self.keys.lease(), fence).await
    }

    /// Takes or extends the lease of the lane to `target`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lane_lease(
        &self,
        target: &Name,
        node: &Name,
        token: &Token,
        ttl_ms: u64,
    ) -> Result<LaneLeased, LinkError> {
        self.take(self.keys.lane(target), node, token, ttl_ms, 0).await
    }

    /// Gives a lane's lease back.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lane_release(&self, target: &Name, fence: &Fence) -> Result<Released, LinkError> {
        self.give_back(self.keys.lane(target), fence).await
    }

    async fn take(
        &self,
        key: String,
        node: &Name,
        token: &Token,
        ttl_ms: u64,
        floor_epoch: u64,
    ) -> Result<LaneLeased, LinkError> {
        let script = &self.scripts.lease;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(key);
        invocation.arg(node.as_str()).arg(token.as_str()).arg(ttl_ms).arg(floor_epoch);
        let mut reply = self.run(script, &invocation).await?;
        let is_new = match reply.word() {
            "NEW" => true,
            "HELD" => false,
            "NO" => {
                return Ok(LaneLeased::No {
                    epoch: reply.next()?,
                    remaining_ms: reply.next()?,
                    node: reply.next()?,
                });
            }
            _ => return reply.unknown(),
        };
        let grant = LaneGrant {
            epoch: reply.next()?,
            now_ms: reply.next()?,
            next_nonce: reply.next()?,
            attempts: reply.next()?,
        };
        Ok(if is_new { LaneLeased::New(grant) } else { LaneLeased::Held(grant) })
    }

    async fn give_back(&self, key: String, fence: &Fence) -> Result<Released, LinkError> {
        let script = &self.scripts.release;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(key).arg(fence.epoch).arg(fence.token.as_str());
        let reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Released::Ok),
            "FENCED" => Ok(Released::Fenced),
            _ => reply.unknown(),
        }
    }
}
