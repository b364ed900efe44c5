//! BEAT: a validator says in `:members:validator` that it lives, how far it has the log on its disk and under which URL
//! others reach it; a broadcaster says in `:members:broadcaster` that it lives and how far it has read `:ctl`.
//!
//! A hash per service, so that Redis can let each write its own alone. A value is `<ms> <stream id>`, of a validator
//! `<ms> <stream id> <URL>`. Members silent for 24 h are dropped. Reply: `OK <now ms>`.

use std::collections::BTreeMap;

use super::{Link, LinkError, StreamId, reply};

/// What one instance says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its last heartbeat, Unix ms of Redis' clock.
    pub beat_ms: u64,
    /// How far it is: a validator in `:log`, on its disk; a broadcaster in `:ctl`, read.
    pub read: StreamId,
    /// Where others reach it; `None` = it does not say.
    pub url: Option<String>,
}

impl Link {
    /// As a validator: the log is on its disk up to `archived`; `url` empty = others cannot reach it. Answers Redis' time
    /// in Unix ms.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn beat_validator(&self, archived: StreamId, url: &str) -> Result<u64, LinkError> {
        self.beat(self.keys.validators(), archived, url).await
    }

    /// As a broadcaster: `:ctl` is read up to `control`. Answers Redis' time in Unix ms.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn beat_broadcaster(&self, control: StreamId) -> Result<u64, LinkError> {
        self.beat(self.keys.broadcasters(), control, "").await
    }

    async fn beat(&self, members: String, read: StreamId, url: &str) -> Result<u64, LinkError> {
        let script = &self.scripts.beat;
        let mut invocation = script.script.prepare_invoke();
        invocation.key(members);
        invocation.arg(self.commands.instance().as_str()).arg(read.to_string()).arg(url);
        let mut reply = self.run(script, &invocation).await?;
        if reply.word() == "OK" { reply.next() } else { reply.unknown() }
    }

    /// All validators by instance, also those that have fallen silent within the last day.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn validators(&self) -> Result<BTreeMap<String, Member>, LinkError> {
        self.members(self.keys.validators()).await
    }

    /// All broadcasters by instance, also those that have fallen silent within the last day.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn broadcasters(&self) -> Result<BTreeMap<String, Member>, LinkError> {
        self.members(self.keys.broadcasters()).await
    }

    async fn members(&self, key: String) -> Result<BTreeMap<String, Member>, LinkError> {
        const CALL: &str = "HGETALL members";
        let value = self.query(CALL, redis::cmd("HGETALL").arg(key)).await?;
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
