//! PAUSE: an operator holds a lane back, or lets it go on.
//!
//! `paused_by` in `:lane:<target>` names the key of the operator; it outlives processes and leases. A paused lane
//! binds nothing new and follows what is bound. Not fenced: the operator is no lane owner.
//! Replies: `OK`, `SAME` (it was so before).

use std::collections::BTreeSet;

use redis::Value;

use super::{Link, LinkError, reply};
use crate::ids::Name;

/// What PAUSE answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Paused {
    Ok,
    /// The lane was in that state before.
    Same,
}

/// Who drives a lane and what an operator did to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneInfo {
    /// The instance that holds the lease or held it last.
    pub node: Option<String>,
    /// When the lease ends, Unix ms of Redis; 0 = released.
    pub expires_ms: u64,
    pub epoch: u64,
    pub next_nonce: u64,
    pub attempts: u64,
    pub paused_by: Option<String>,
}

impl Link {
    /// Pauses the lane to `target` in the name of `by`, or resumes it (`None`).
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn pause(&self, target: &Name, by: Option<&str>) -> Result<Paused, LinkError> {
        let script = &self.scripts.pause;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.lane(target)).arg(by.unwrap_or_default());
        let reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Paused::Ok),
            "SAME" => Ok(Paused::Same),
            _ => reply.unknown(),
        }
    }

    /// Which of these lanes are paused, in one round trip.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn paused(&self, targets: &[Name]) -> Result<BTreeSet<Name>, LinkError> {
        const CALL: &str = "HGET lane";
        if targets.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut pipeline = redis::pipe();
        for target in targets {
            pipeline.cmd("HGET").arg(self.keys.lane(target)).arg("paused_by");
        }
        let values = self.commands.query_all(&self.keys, CALL, &pipeline).await?;
        let paused = targets.iter().zip(values).filter(|(_, value)| *value != Value::Nil);
        Ok(paused.map(|(target, _)| target.clone()).collect())
    }

    /// A lane as operators see it.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lane_info(&self, target: &Name) -> Result<LaneInfo, LinkError> {
        const CALL: &str = "HGETALL lane";
        let value = self.query(CALL, redis::cmd("HGETALL").arg(self.keys.lane(target))).await?;
        let mut info = LaneInfo::default();
        for (field, value) in reply::pairs(CALL, value)? {
            let text = String::from_utf8_lossy(&value).into_owned();
            match field.as_str() {
                "node" => info.node = Some(text),
                "exp" => info.expires_ms = reply::parse(CALL, &text)?,
                "epoch" => info.epoch = reply::parse(CALL, &text)?,
                "next_nonce" => info.next_nonce = reply::parse(CALL, &text)?,
                "attempts" => info.attempts = reply::parse(CALL, &text)?,
                "paused_by" => info.paused_by = Some(text),
                _ => {}
            }
        }
        Ok(info)
    }
}
