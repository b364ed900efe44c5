//! BEAT: an instance says in `:members` that it lives and how far it has read `:ctl`; a validator, `:log`.
//!
//! A member's value is `<ms> <ctl id>`, of a validator `<ms> <log id> <URL of its API>`. Members silent for 24 h are dropped. Reply: `OK <now ms>`.

use std::collections::BTreeMap;

use super::{Link, LinkError, StreamId, reply};

impl Link {
    /// Answers Redis' time in Unix ms.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn beat(&self, last_control: StreamId) -> Result<u64, LinkError> {
        self.beat_at(last_control, "").await
    }

    /// The same, and says under which URL others reach this instance; empty = not at all.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn beat_at(&self, last_control: StreamId, url: &str) -> Result<u64, LinkError> {
        let script = &self.scripts.beat;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(self.keys.members());
        invocation.arg(self.commands.instance().as_str()).arg(last_control.to_string()).arg(url);
        let mut reply = self.run(script, &invocation).await?;
        if reply.word() == "OK" { reply.next() } else { reply.unknown() }
    }

    /// All members: instance → (last heartbeat in Unix ms, last control id read).
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn members(&self) -> Result<BTreeMap<String, (u64, StreamId)>, LinkError> {
        let member = |(instance, member): (String, Member)| (instance, (member.beat_ms, member.read));
        Ok(self.all_members().await?.into_iter().map(member).collect())
    }

    /// The members that others can reach: instance → (last heartbeat in Unix ms, URL).
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn member_urls(&self) -> Result<BTreeMap<String, (u64, String)>, LinkError> {
        let url = |(instance, member): (String, Member)| Some((instance, (member.beat_ms, member.url?)));
        Ok(self.all_members().await?.into_iter().filter_map(url).collect())
    }

    async fn all_members(&self) -> Result<BTreeMap<String, Member>, LinkError> {
        const CALL: &str = "HGETALL members";
        let value = self.query(CALL, redis::cmd("HGETALL").arg(self.keys.members())).await?;
        let mut members = BTreeMap::new();
        for (instance, value) in reply::pairs(CALL, value)? {
            let text = String::from_utf8_lossy(&value).into_owned();
            let mut parts = text.splitn(3, ' ');
            let mut next = || parts.next().unwrap_or_default();
            let (beat_ms, read) = (reply::parse(CALL, next())?, reply::parse(CALL, next())?);
            let url = parts.next().map(str::to_owned);
            members.insert(instance, Member { beat_ms, read, url });
        }
        Ok(members)
    }
}

/// What one instance says of itself.
#[derive(Debug)]
struct Member {
    beat_ms: u64,
    read: StreamId,
    url: Option<String>,
}
