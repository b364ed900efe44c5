//! The leader's own facts: what it logs, or orders, because of the targets file and the log's targets.
//!
//! In: the file's last valid content and the logged list. Out: `local` inputs of the next entry, and the orders
//! that relay works under.

use std::sync::Arc;

use common::entry::InputStream;
use common::link::Fence;
use common::message::{Body, Message};
use common::targets::Targets;

use super::Runner;
use crate::engine::RawInput;
use crate::error::Failure;
use crate::pipeline::Intake;
use crate::relay::Orders;

impl Runner {
    /// Tells relay about the lease and the log's targets, when either is new or a lane has to begin anew.
    pub(super) fn order_relay(&self, fence: &Fence, ordered: &mut Option<(Targets, u64)>) {
        let targets = {
            let engine = self.shard.engine();
            let targets = &engine.position().targets;
            if ordered.as_ref().is_some_and(|(before, round)| before == targets && *round == self.round) {
                return;
            }
            targets.clone()
        };
        let orders = Orders { fence: fence.clone(), targets: Arc::new(targets.clone()), round: self.round };
        self.shard.order(Some(orders));
        *ordered = Some((targets, self.round));
    }

    /// The leader's own facts: a new target list, or receipts for what a retired target leaves open. A file whose
    /// list may not follow the log's changes nothing and is told.
    pub(super) async fn own_facts(&mut self) -> Result<Option<Intake>, Failure> {
        let wanted = Arc::clone(&self.duties.targets.borrow_and_update());
        let is_to_be_logged = {
            let shard = Arc::clone(&self.shard);
            let engine = shard.engine();
            let logged = &engine.position().targets;
            let is_to_be_logged = self.is_to_be_logged(&wanted, logged);
            // Nearly always: the file says what the log does, or stays refused, and nothing was open the last time.
            if !is_to_be_logged && self.settled.as_ref() == Some(logged) {
                return Ok(None);
            }
            is_to_be_logged
        };
        self.writer.join().await?;
        let logged = self.shard.engine().position().targets.clone();
        let bodies = if is_to_be_logged {
            vec![Body::Targets((*wanted).clone())]
        } else {
            crate::targets_entry::receipts_of_retired(&self.shard, &logged)?
        };
        if bodies.is_empty() {
            // Only a new list retires a target, and nothing new is opened for a retired one.
            self.settled = Some(logged);
            return Ok(None);
        }
        let now_ms = self.redis_ms().await?;
        let inputs = bodies.into_iter().map(|body| self.fact(body)).collect();
        Ok(Some(Intake { inputs, now_ms, ..Intake::default() }))
    }

    /// Redis TIME, Unix ms.
    pub(super) async fn redis_ms(&self) -> Result<u64, Failure> {
        let fronts =
            crate::retry::until_known("read the time", async || self.shard.link.fronts(1).await).await?;
        Ok(fronts.now_ms)
    }

    /// A fact of the leader's own, as an input.
    pub(super) fn fact(&self, body: Body) -> RawInput {
        let message = Message { id: self.duties.node.to_string(), traceparent: None, body };
        RawInput { stream: InputStream::Local, id: String::new(), bytes: message.encode() }
    }

    fn is_to_be_logged(&mut self, wanted: &Targets, logged: &Targets) -> bool {
        let is_other = wanted != logged;
        let refused = if is_other { wanted.check_follows(logged).err() } else { None };
        if self.refused != refused {
            let part = format!("targets.{}", self.shard.shard);
            match &refused {
                None => self.duties.readiness.set(&part, Ok("follow the log's")),
                Some(refused) => {
                    tracing::error!(shard = %self.shard.shard, %refused, "The targets file is not taken over");
                    self.duties.readiness.set(&part, Err(&refused.to_string()));
                }
            }
        }
        self.refused = refused;
        is_other && self.refused.is_none()
    }
}

#[cfg(test)]
mod tests;
