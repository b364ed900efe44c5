//! BEAT: an instance says in `:members` that it lives and how far it has read `:ctl`; a validator, `:log`.
//!
//! A member's value is `<ms> <ctl id>`. Members silent for 24 h are dropped. Reply: `OK <now ms>`.

use std::collections::BTreeMap;

use super::{Link, LinkError, StreamId, reply};

impl Link {
    /// Answers Redis' time in Unix ms.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn beat(&self, last_control: StreamId) -> Result<u64, LinkError> {
        let script = &self.scripts.beat;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.members());
        invocation.arg(self.commands.instance().as_str()).arg(last_control.to_string());
        let mut reply = self.run(script, &invocation).await?;
        if reply.word() == "OK" { reply.next() } else { reply.unknown() }
    }

    /// All members: instance → (last heartbeat in Unix ms, last control id read).
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn members(&self) -> Result<BTreeMap<String, (u64, StreamId)>, LinkError> {
        const CALL: &str = "HGETALL members";
        let value = self.query(CALL, redis::cmd("HGETALL").arg(self.keys.members())).await?;
        let mut members = BTreeMap::new();
        for (instance, value) in reply::pairs(CALL, value)? {
            let text = String::from_utf8_lossy(&value).into_owned();
            let (ms, control) = text.split_once(' ').unwrap_or((&text, ""));
            members.insert(instance, (reply::parse(CALL, ms)?, reply::parse(CALL, control)?));
        }
        Ok(members)
    }
}
