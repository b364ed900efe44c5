//! What the Redis server says of itself: version, memory, append-only file.

use std::collections::BTreeMap;

use super::reply;
use super::{Link, LinkError};

/// The part of `INFO` that an operator has to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Of the protocol, `7.0.15`: Valkey names the Redis it is compatible with.
    pub version: String,
    pub memory_used_bytes: u64,
    /// 0 = no bound.
    pub memory_max_bytes: u64,
    /// `noeviction` is the only right one.
    pub memory_policy: String,
    pub is_aof_on: bool,
    /// The last write to the append-only file and its last rewrite succeeded.
    pub is_aof_sound: bool,
}

impl Server {
    /// Reads the text of `INFO`; `None` if what has to be there is not.
    #[must_use]
    pub fn parse(info: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let number = |name| fields.get(name).and_then(|text| text.parse().ok());
        let is_ok = |name| fields.get(name) == Some(&"ok");
        Some(Self {
            version: (*fields.get("redis_version")?).to_owned(),
            memory_used_bytes: number("used_memory")?,
            memory_max_bytes: number("maxmemory")?,
            memory_policy: (*fields.get("maxmemory_policy")?).to_owned(),
            is_aof_on: fields.get("aof_enabled") == Some(&"1"),
            is_aof_sound: is_ok("aof_last_write_status") && is_ok("aof_last_bgrewrite_status"),
        })
    }
}

impl Link {
    /// # Errors
    /// See [`LinkError`].
    pub async fn server(&self) -> Result<Server, LinkError> {
        const CALL: &str = "INFO";
        let text = reply::text(CALL, Some(self.query(CALL, &redis::cmd(CALL)).await?))?;
        Server::parse(&text).ok_or_else(|| reply::odd(CALL, &redis::Value::Nil))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\n\
        maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\naof_last_bgrewrite_status:ok\r\n\
        aof_last_write_status:ok\r\n";

    #[test]
    fn what_the_server_says_of_itself_is_read_and_nothing_is_guessed() {
        let server = Server::parse(INFO).expect("complete");
        let expected = Server {
            version: "7.0.15".to_owned(),
            memory_used_bytes: 1_048_576,
            memory_max_bytes: 0,
            memory_policy: "noeviction".to_owned(),
            is_aof_on: true,
            is_aof_sound: true,
        };
        assert_eq!(server, expected);
        for (said, instead) in
            [("write_status:ok", "write_status:err"), ("rewrite_status:ok", "rewrite_status:err")]
        {
            assert!(!Server::parse(&INFO.replace(said, instead)).expect("complete").is_aof_sound, "{said}");
        }
        for line in INFO
            .lines()
            .filter(|line| line.contains("mem") || line.contains("version"))
            .filter(|line| line.contains(':'))
        {
            assert_eq!(Server::parse(&INFO.replace(line, "")), None, "{line}");
        }
    }
}
