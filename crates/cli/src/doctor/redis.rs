//! Redis itself: version, durability, memory, clock, users.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use common::link::Server;
use common::link::acl::User;
use redis::Value;
use redis::aio::MultiplexedConnection;

use super::finding::Finding;

/// As whom to look: no service has the rights.
pub(super) const ADMIN: &str = common::link::acl::ADMIN;
/// What a reply may take beyond the two seconds that every one may.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// A clock further off makes times in logs and statuses misleading.
const SKEW_MAX_MS: u64 = 500;
/// Share of `maxmemory` from which new work will soon be refused.
const MEMORY_SHARE: u64 = 80;

/// What was seen.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) server: Server,
    pub(super) appendfsync: String,
    /// Redis TIME, Unix ms.
    pub(super) time_ms: u64,
    /// How far this machine's clock is from it.
    pub(super) skew_ms: u64,
    pub(super) users: Vec<UserFacts>,
}

/// What Redis says a user may do.
#[derive(Debug, Clone)]
pub(super) struct UserFacts {
    pub(super) name: &'static str,
    /// Commands of its own that it may not run.
    pub(super) lacks: Vec<String>,
    /// Commands it must not run and may.
    pub(super) exceeds: Vec<String>,
}

pub(super) async fn look(connection: &mut MultiplexedConnection) -> anyhow::Result<Facts> {
    let info: String = redis::cmd("INFO").query_async(connection).await?;
    let server = Server::parse(&info).context("INFO lacks what has to be in it")?;
    let settings: Vec<String> =
        redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await?;
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
    let time_ms = seconds * 1_000 + micros / 1_000;
    let here = UNIX_EPOCH.elapsed().map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let mut users = Vec::new();
    for user in User::ALL {
        users.push(of_user(connection, user).await?);
    }
    Ok(Facts {
        server,
        appendfsync: settings.into_iter().nth(1).unwrap_or_default(),
        time_ms,
        skew_ms: here.abs_diff(time_ms),
        users,
    })
}

/// What every service needs whatever its scripts, and what none may have.
const OWN: [&[&str]; 3] = [&["PING"], &["INFO"], &["GET", "{oss:financial}:gen"]];
const FOREIGN: [&[&str]; 3] = [&["FLUSHALL"], &["CONFIG", "GET", "*"], &["DEL", "{oss:financial}:log"]];
/// What validators alone may do: they send each other a key to where it says.
const MEMBER: &[&str] = &["HSET", "{oss:financial}:members:validator", "validator-1", "0 0-0"];

async fn of_user(connection: &mut MultiplexedConnection, user: User) -> anyhow::Result<UserFacts> {
    let (mut lacks, mut exceeds) = (Vec::new(), Vec::new());
    let member: [&[&str]; 1] = [MEMBER];
    let samples: [(&[&[&str]], bool); 3] =
        [(&OWN, true), (&FOREIGN, false), (&member, user == User::Validator)];
    for (commands, is_own) in samples {
        for command in commands {
            let answer: Result<Value, redis::RedisError> =
                redis::cmd("ACL").arg("DRYRUN").arg(user.name()).arg(*command).query_async(connection).await;
            let may = matches!(answer, Ok(Value::Okay));
            let list = if is_own { &mut lacks } else { &mut exceeds };
            if may != is_own {
                list.push(command.join(" "));
            }
        }
    }
    Ok(UserFacts { name: user.name(), lacks, exceeds })
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let server = &facts.server;
    let major: u32 = server.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    let share = server.memory_used_bytes.saturating_mul(100).checked_div(server.memory_max_bytes);
    let memory = match share {
        None => Finding::warn("redis memory", "no maxmemory", "set maxmemory, at most 60 % of the machine"),
        Some(share) if share >= MEMORY_SHARE => Finding::fail(
            "redis memory",
            format!("{share} % of maxmemory in use"),
            "raise maxmemory or drain: see OssRedisMemory in docs/operating.md",
        ),
        Some(share) => Finding::ok("redis memory", format!("{share} % of maxmemory in use")),
    };
    let mut findings = vec![
        Finding::of(major >= 7, "redis version", &server.version, "install Redis 7.0 or Valkey 8 or later"),
        Finding::of(
            server.is_aof_on && facts.appendfsync == "always",
            "redis appendfsync",
            format!(
                "appendonly {}, appendfsync {}",
                if server.is_aof_on { "yes" } else { "no" },
                facts.appendfsync
            ),
            "set appendonly yes and appendfsync always (deploy/redis.conf): without them acknowledged requests can be lost",
        ),
        Finding::of(
            server.is_aof_sound,
            "redis append-only file",
            if server.is_aof_sound {
                "last write and rewrite succeeded"
            } else {
                "the last write or rewrite failed"
            },
            "free disk space, then BGREWRITEAOF as administrator",
        ),
        Finding::of(
            server.memory_policy == "noeviction",
            "redis maxmemory-policy",
            &server.memory_policy,
            "set maxmemory-policy noeviction: any other one deletes parts of the log",
        ),
        memory,
    ];
    let skew = format!("{} ms", facts.skew_ms);
    findings.push(if facts.skew_ms <= SKEW_MAX_MS {
        Finding::ok("clock", skew)
    } else {
        Finding::warn("clock", skew, "synchronise the clocks: this machine's and Redis' differ")
    });
    findings.extend(facts.users.iter().map(|user| {
        let mut wrong: Vec<String> = user.lacks.iter().map(|command| format!("may not {command}")).collect();
        wrong.extend(user.exceeds.iter().map(|command| format!("may {command}")));
        let evidence =
            if wrong.is_empty() { "rights as its release has them".to_owned() } else { wrong.join(", ") };
        let advice = "write users.acl anew with `oss init` and load it with ACL LOAD";
        Finding::of(wrong.is_empty(), format!("redis user {}", user.name), evidence, advice)
    }));
    findings
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::finding::{Broken, Verdict, assert_each_is_found};
    use super::*;

    pub(crate) fn sound() -> Facts {
        let server = Server {
            version: "7.0.15".to_owned(),
            memory_used_bytes: 10,
            memory_max_bytes: 100,
            memory_policy: "noeviction".to_owned(),
            is_aof_on: true,
            is_aof_sound: true,
        };
        let users = User::ALL.map(|user| UserFacts { name: user.name(), lacks: vec![], exceeds: vec![] });
        Facts { server, appendfsync: "always".to_owned(), time_ms: 0, skew_ms: 3, users: users.to_vec() }
    }

    #[test]
    fn a_sound_redis_has_nothing_to_do_and_each_fault_is_found_by_its_own_check() {
        assert!(
            judge(&sound()).iter().all(|finding| finding.verdict == Verdict::Ok && finding.advice.is_empty())
        );
        let faults: [Broken<'_, Facts>; 10] = [
            ("redis version", Verdict::Fail, |facts| facts.server.version = "6.2.7".to_owned()),
            ("redis appendfsync", Verdict::Fail, |facts| facts.appendfsync = "everysec".to_owned()),
            ("redis appendfsync", Verdict::Fail, |facts| facts.server.is_aof_on = false),
            ("redis append-only file", Verdict::Fail, |facts| facts.server.is_aof_sound = false),
            ("redis maxmemory-policy", Verdict::Fail, |facts| {
                facts.server.memory_policy = "allkeys-lru".to_owned();
            }),
            ("redis memory", Verdict::Fail, |facts| facts.server.memory_used_bytes = 80),
            ("redis memory", Verdict::Warn, |facts| facts.server.memory_max_bytes = 0),
            ("clock", Verdict::Warn, |facts| facts.skew_ms = 501),
            ("redis user validator", Verdict::Fail, |facts| facts.users[1].lacks.push("INFO".to_owned())),
            ("redis user collector", Verdict::Fail, |facts| {
                facts.users[0].exceeds.push("FLUSHALL".to_owned());
            }),
        ];
        assert_each_is_found(sound, |facts| judge(&facts), &faults);
    }
}
