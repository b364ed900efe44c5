//! INIT: gives a shard its generation and the collectors' group.
//!
//! `:gen` is written once in the life of a Redis data set. A process that finds another generation than the
//! one it knows, or none, stands before a wiped or restored Redis and must stop (exit code 4).
//! Replies: `OK <generation>`, `MISSING` (there is none and the caller may not write one).

use super::error::LinkError;
use super::{COLLECTORS_GROUP, Link, reply};
use redis::Value;

/// What INIT answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Initialised {
    /// The shard's generation: the one given if it was written now, else the stored one.
    Ok { generation: String },
    /// There is no generation and writing one was not allowed.
    Missing,
}

impl Link {
    /// Ensures the group, and the generation if `may_create`: only a validator whose own database is empty
    /// too may create it. `generation` is random, made by the caller.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn init(&self, generation: &str, may_create: bool) -> Result<Initialised, LinkError> {
        let script = &self.scripts.init;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.generation()).key(self.keys.requests());
        invocation.arg(generation).arg(u8::from(may_create)).arg(COLLECTORS_GROUP);
        let mut reply = self.run(script, &invocation).await?;
        match reply.word() {
            "OK" => Ok(Initialised::Ok { generation: reply.next()? }),
            "MISSING" => Ok(Initialised::Missing),
            _ => reply.unknown(),
        }
    }

    /// The shard's generation, `None` if Redis holds none.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn generation(&self) -> Result<Option<String>, LinkError> {
        match self.query("GET gen", redis::cmd("GET").arg(self.keys.generation())).await? {
            Value::Nil => Ok(None),
            value => reply::text("GET gen", Some(value)).map(Some),
        }
    }
}
