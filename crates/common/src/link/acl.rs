//! The Redis users: what each service may do with which keys. This table is the only place that says so.
//!
//! In: a password per user. Out: the ACL file that `redis-server --aclfile` loads. Invariants:
//! - Redis checks the caller's rights inside scripts as well, command by command. So EVALSHA may name any key of ours
//!   (Redis would ask for reading and writing of every declared one), and what a script then does is bound by the rows.
//! - A row is a selector of its own: these commands on these keys, and on no others. The tests run every script under the
//!   users that own it, compare the rows with what the scripts were seen to do, and refuse a row nobody needs.
//! - Nobody but `admin` has EVAL, KEYS, SCAN, FLUSHALL, CONFIG, DEBUG, ACL; `default` is off but keeps its rights, see
//!   [`DEFAULT_USER`]; `health` can only ping.
//!
//! A row that a new script needs is missing until Redis has loaded the file again: see `docs/operating.md`.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::keys::ALL_SHARDS;

/// The name of the user who may do everything: for backups and repairs, by people.
pub const ADMIN: &str = "admin";
/// The name of the user without a password who can only ping: for health checks.
pub const HEALTH: &str = "health";

/// Nobody can be this user: it is off and has no password. It keeps all rights because Redis reads its own append-only
/// file in this user's name: without them it leaves out every transaction there, which is what each of our scripts
/// becomes, and starts with an empty data set.
pub const DEFAULT_USER: &str = "user default off resetpass allkeys allchannels +@all";

/// What every service may do whatever the key. The scripts' own commands follow from the rows.
const ANYWHERE: &str = "ping time info script|load";

/// A service as Redis knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {
    Collector,
    Validator,
    Broadcaster,
}

/// Some commands on some keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// Globs of what follows a shard's tag, as in [`crate::keys::Keys`].
    pub keys: &'static [&'static str],
    /// As ACL rules name them, in lower case, separated by blanks.
    pub commands: &'static str,
}

const fn right(keys: &'static [&'static str], commands: &'static str) -> Right {
    Right { keys, commands }
}

/// Requests come in and go on; the log and the outboxes are none of its business.
const COLLECTOR: &[Right] = &[
    right(&["req:*"], "hget hmget hset hgetall hincrby"),
    right(
        &["requests"],
        "xlen xadd xack xdel xrange xpending xclaim xautoclaim xreadgroup xgroup|delconsumer xinfo|consumers",
    ),
    right(&["in", "inx"], "xlen xadd"),
    // The front of the express stream says what waits of a share.
    right(&["inx"], "xrange"),
    right(&["inx:*"], "xlen xadd xtrim"),
    right(&["idx"], "zcard zadd zpopmin zrange"),
    right(&["sent:*"], "get set"),
    right(&["handed:*"], "xlen xadd xrange xtrim"),
    right(&["status"], "xread xrange xrevrange"),
    right(&["prog:*"], "hgetall"),
    right(&["gen"], "get"),
    right(&["barrier:*"], "set"),
];

/// The single consumer of the inputs and the only writer of the log and of what leaves.
const VALIDATOR: &[Right] = &[
    right(&["req:*"], "hmget hgetall hset hdel pexpire"),
    right(&["lease"], "hmget hset"),
    right(&["head"], "hget hmget hset hgetall"),
    right(&["in", "inx", "receipts"], "xlen xrange xread xtrim"),
    right(&["in", "inx"], "xadd"),
    // Rights are per script: SEND counts shares, if not of what the validator sends.
    right(&["inx:*"], "xlen xadd xtrim"),
    right(&["log"], "xlen xadd xrange xtrim"),
    right(&["out:*"], "xlen xadd xrange"),
    right(&["prog:*"], "hlen hsetnx hset hincrby pexpire hgetall"),
    // What explain says of a lane and of what waits for collectors.
    right(&["lane:*"], "hgetall"),
    right(&["requests"], "xrange"),
    right(&["wait:*"], "zcard"),
    right(&["out:*", "wait:*"], "del"),
    right(&["status"], "xlen xadd"),
    right(&["requests"], "xlen xgroup|create"),
    right(&["parked"], "xlen xadd xrange xdel"),
    right(&["dlq"], "xlen xadd"),
    right(&["ctl"], "xlen xadd xrange xtrim"),
    right(&["att"], "hlen hget hset hdel"),
    right(&["sent:*"], "get set"),
    right(&["members:validator"], "hgetall hset hdel"),
    right(&["gen"], "get set"),
    right(&["barrier:*"], "set"),
];

/// Empties the outboxes and says what became of it; the log's head is there to be read.
const BROADCASTER: &[Right] = &[
    right(&["lane:*"], "hlen hget hmget hgetall hset hdel hincrby"),
    right(&["head"], "hmget hgetall"),
    right(&["out:*"], "xrange xread xdel"),
    right(&["bind:*"], "hlen hget hgetall hvals hset hdel"),
    right(&["raw:*"], "hlen hmget hgetall hset del"),
    right(&["wait:*"], "zcard zrange zadd zrem"),
    right(&["prog:*"], "hlen hmget hgetall hset hincrby"),
    right(&["receipts"], "xlen xadd"),
    right(&["status"], "xlen xadd"),
    right(&["ctl", "dlq"], "xrange"),
    right(&["members:broadcaster"], "hgetall hset hdel"),
    right(&["req:*"], "hgetall"),
    right(&["gen"], "get"),
    right(&["barrier:*"], "set"),
];

impl User {
    pub const ALL: [Self; 3] = [Self::Collector, Self::Validator, Self::Broadcaster];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Validator => "validator",
            Self::Broadcaster => "broadcaster",
        }
    }

    /// The scripts this service runs, as in [`super::Scripts::SOURCES`].
    #[must_use]
    pub const fn scripts(self) -> &'static [&'static str] {
        match self {
            Self::Collector => &["barrier", "submit", "collecting", "collected", "leave", "forget", "send"],
            Self::Validator => &[
                "init",
                "barrier",
                "beat",
                "send",
                "lease",
                "release",
                "attempt",
                "commit",
                "unpark",
                "start",
                "relay",
                "rewind",
                "trim",
                "trim_control",
            ],
            Self::Broadcaster => &[
                "barrier", "beat", "lease", "release", "sender", "bind", "store", "rebind", "wait",
                "progress", "done", "pause",
            ],
        }
    }

    /// All it may do beside `ANYWHERE`.
    #[must_use]
    pub const fn rights(self) -> &'static [Right] {
        match self {
            Self::Collector => COLLECTOR,
            Self::Validator => VALIDATOR,
            Self::Broadcaster => BROADCASTER,
        }
    }

    /// Its line of the ACL file.
    #[must_use]
    pub fn line(self, password: &SecretString) -> String {
        let mut parts = vec![format!("user {} on #{}", self.name(), hashed(password))];
        parts.push(format!("resetkeys resetchannels -@all {}", allowed(ANYWHERE)));
        parts.extend(self.rights().iter().map(Right::selector));
        parts.push(format!("(~{ALL_SHARDS}* +evalsha)"));
        parts.join(" ")
    }
}

impl Right {
    fn selector(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|key| format!("~{ALL_SHARDS}{key}")).collect();
        format!("({} {})", keys.join(" "), allowed(self.commands))
    }
}

/// The whole ACL file: services with a password, the administrator, the health check, and nobody else. It holds
/// hashes only.
#[must_use]
pub fn file(passwords: &BTreeMap<User, SecretString>, admin: &SecretString) -> String {
    let mut lines = vec![DEFAULT_USER.to_owned()];
    lines.extend(passwords.iter().map(|(user, password)| user.line(password)));
    lines.push(format!("user {ADMIN} on #{} allkeys allchannels +@all", hashed(admin)));
    lines.push(format!("user {HEALTH} on nopass resetkeys resetchannels -@all +ping"));
    lines.join("\n") + "\n"
}

fn allowed(commands: &str) -> String {
    commands.split(' ').map(|command| format!("+{command}")).collect::<Vec<_>>().join(" ")
}

/// As Redis keeps it. Passwords are random and long: a plain hash gives nothing away.
fn hashed(password: &SecretString) -> String {
    hex::encode(Sha256::digest(password.expose_secret().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Scripts;

    fn passwords() -> BTreeMap<User, SecretString> {
        User::ALL.map(|user| (user, SecretString::from(format!("password of {}", user.name())))).into()
    }

    #[test]
    fn the_file_names_every_user_once_holds_no_password_and_switches_the_default_off() {
        let text = file(&passwords(), &SecretString::from("password of admin"));
        let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(names, ["default", "collector", "validator", "broadcaster", ADMIN, HEALTH]);
        assert!(text.starts_with("user default off resetpass "));
        assert!(!text.contains("password"));
        assert!(text.contains(" (~{oss:*}:in ~{oss:*}:inx +xlen +xadd)"), "{text}");
    }

    #[test]
    fn every_script_has_an_owner_and_every_owner_a_script() {
        let known: Vec<&str> = Scripts::SOURCES.iter().map(|(script, _)| *script).collect();
        for script in &known {
            assert!(User::ALL.iter().any(|user| user.scripts().contains(script)), "nobody runs {script}");
        }
        for user in User::ALL {
            assert!(user.scripts().iter().all(|script| known.contains(script)), "{}", user.name());
        }
    }
}
