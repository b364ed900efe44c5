//! The users of `common::link::acl` on a real server: each service can do all of its own work and nothing else.

mod observed;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::ids::Shard;
use common::keys::Keys;
use common::link::acl::{self, ADMIN, HEALTH, User};
use common::link::{
    Address, Commands, Disposition, Feed, LaneLeased, ReadFrom, Released, Route, SendTo, Sent, Stream,
    StreamId,
};
use redis::RedisError;
use secrecy::SecretString;
use testkit::redis::{RedisOptions, RedisServer, Users};

use crate::bed::{
    Bed, Check, NONE, Picture, Stage, TTL_MS, changed, locked, name, rid, server, submit, target,
};
use crate::cases::CASES;
use crate::same;

const BLOCK: Duration = Duration::from_millis(5);
/// Scripts of which validator and broadcaster have each a key of its own (`:lease` and `:lane:<target>`, `:members:validator`
/// and `:members:broadcaster`); the cases take the validator's.
pub(crate) const SHARED: [&str; 3] = ["lease", "release", "beat"];

pub(crate) fn password(user: &str) -> SecretString {
    SecretString::from(format!("password of {user}"))
}

/// A server that knows the services, an administrator and nobody else.
fn closed() -> Arc<Mutex<RedisServer>> {
    with_users(users_file())
}

fn users_file() -> String {
    let passwords = User::ALL.map(|user| (user, password(user.name()))).into();
    acl::file(&passwords, &password(ADMIN))
}

fn with_users(file: String) -> Arc<Mutex<RedisServer>> {
    let users = Users { file, admin: ADMIN, password: format!("password of {ADMIN}") };
    server(RedisOptions { users: Some(users), ..RedisOptions::default() })
}

/// The server through the eyes of a user.
async fn seen_by(server: &Arc<Mutex<RedisServer>>, user: &str) -> Check<Bed> {
    let address = Address::new(&locked(server).url(), Some(user), Some(&password(user)))?;
    let commands = Commands::connect(&address, &name("collector-1")).await?;
    let (link, keys) = (commands.shard(Shard::Financial), Keys::new(Shard::Financial));
    Ok(Bed { link, keys, server: Arc::clone(server) })
}

/// Everything a service does beside the scripts of the case table.
pub(crate) async fn plain(user: User, bed: &Bed, stage: &Stage) -> Check {
    let link = &bed.link;
    match user {
        User::Collector => {
            let mut group = link.group_reader(BLOCK);
            while !group.next(10).await?.is_empty() {}
            link.claim_idle(Duration::ZERO, StreamId::ZERO, 10).await?;
            link.renew(&[stage.request]).await?;
            link.deliveries(&[stage.request]).await?;
            link.reader(BLOCK).read(&[(Feed::Status, ReadFrom::New)], 1).await?;
            link.status_end().await?;
            link.status_after(StreamId::ZERO, 10).await?;
            link.indexed(None, 0, 10).await?;
            let source = name("chain");
            link.handed_after(&source, StreamId::ZERO, 10).await?;
            link.trim_handed(&source, StreamId::ZERO).await?;
            for (to, id) in [(SendTo::Cancels, "cancel"), (SendTo::Withdrawals, "withdrawal")] {
                same!(matches!(link.send(to, id, b"{}", 10).await?, Sent::Ok { .. }), true);
            }
        }
        User::Validator => {
            link.backlog().await?;
            link.after(Stream::Requests, StreamId::ZERO, 1).await?;
            link.lane_info(&target()).await?;
            link.fronts(10).await?;
            link.after(Stream::Parked, StreamId::ZERO, 10).await?;
            link.log_range(1, 10).await?;
            link.control_len().await?;
            let from = ReadFrom::After(StreamId::ZERO);
            let inputs = [Stream::Express, Stream::Receipts, Stream::Input];
            let feeds = inputs.map(|stream| (Feed::Messages(stream), from));
            link.reader(BLOCK).read(&feeds, 1).await?;
        }
        User::Broadcaster => {
            let held = link.lane_lease(&target(), &name("broadcaster-1"), &stage.lane.token, TTL_MS).await?;
            same!(matches!(held, LaneLeased::Held(_)), true);
            link.lane_info(&target()).await?;
            link.lane_state(&target()).await?;
            link.paused(&[target()]).await?;
            link.out_after(&target(), 0, 10).await?;
            link.control_after(StreamId::ZERO, 10).await?;
            link.dead_letters_after(StreamId::ZERO, 10).await?;
            link.reader(BLOCK).read(&[(Feed::Out(target()), ReadFrom::New)], 1).await?;
            same!(link.lane_release(&target(), &stage.lane).await?, Released::Ok);
        }
    }
    link.generation().await?;
    same!(link.server().await?.memory_policy, "noeviction");
    link.record(rid(1)).await?;
    link.progress(1).await?;
    if user != User::Collector {
        link.head().await?;
    }
    match user {
        User::Collector => {}
        User::Validator => drop(link.validators().await?),
        User::Broadcaster => {
            link.beat_broadcaster(StreamId::ZERO).await?;
            drop(link.broadcasters().await?);
        }
    }
    Ok(())
}

/// The stage, and a request that was deleted after it had been delivered.
pub(crate) async fn set(bed: &Bed) -> Check<Stage> {
    let stage = Stage::set(bed).await?;
    let gone = submit(&bed.link, 7, Route::Requests).await?.to_string();
    let requests = bed.keys.requests();
    bed.command(&["XREADGROUP", "GROUP", "collectors", "collector-1", "STREAMS", &requests, ">"]);
    bed.command(&["XDEL", &requests, &gone]);
    Ok(stage)
}

#[tokio::test]
async fn each_service_can_run_every_script_and_read_of_its_own() -> Check {
    let server = closed();
    let admin = seen_by(&server, ADMIN).await?;
    for user in User::ALL {
        let bed = seen_by(&server, user.name()).await?;
        let own = CASES.iter().filter(|case| user.scripts().contains(&case.script));
        for case in own.filter(|case| user != User::Broadcaster || !SHARED.contains(&case.script)) {
            bed.command(&["FLUSHALL"]);
            let stage = Stage::set(&admin).await?;
            let answer = case.call(&bed, &stage).await;
            let answer = answer.map_err(|error| format!("{user:?} {}: {error:?}", case.script))?;
            assert!(answer.starts_with(case.first), "{user:?} {}: {answer}", case.script);
        }
        bed.command(&["FLUSHALL"]);
        let stage = set(&admin).await?;
        plain(user, &bed, &stage).await.map_err(|error| format!("{user:?}: {error:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_service_cannot_run_the_scripts_of_another() -> Check {
    let server = closed();
    let admin = seen_by(&server, ADMIN).await?;
    for user in User::ALL {
        let bed = seen_by(&server, user.name()).await?;
        // Of a script that two services run, the case is one of its owner's calls.
        let foreign = CASES.iter().filter(|case| {
            let is_own = user.scripts().contains(&case.script);
            !is_own || (user == User::Broadcaster && SHARED.contains(&case.script))
        });
        for case in foreign {
            bed.command(&["FLUSHALL"]);
            let stage = Stage::set(&admin).await?;
            assert!(case.call(&bed, &stage).await.is_err(), "{user:?} runs {}", case.script);
        }
    }
    Ok(())
}

/// What nobody but the administrator may do.
const FORBIDDEN: [&[&str]; 14] = [
    &["FLUSHALL"],
    &["FLUSHDB"],
    &["CONFIG", "GET", "*"],
    &["CONFIG", "SET", "appendfsync", "no"],
    &["KEYS", "*"],
    &["SCAN", "0"],
    &["DEBUG", "SLEEP", "0"],
    &["ACL", "LIST"],
    &["EVAL", "return 1", "0"],
    &["SCRIPT", "FLUSH"],
    &["SHUTDOWN", "NOSAVE"],
    &["REPLICAOF", "127.0.0.1", "1"],
    &["MONITOR"],
    &["SET", "another", "1"],
];

/// What the others may and this one may not.
const NOT_ITS_OWN: &[(User, &[&str])] = &[
    (User::Collector, &["XADD", "{oss:financial}:log", "*", "body", "{}"]),
    (User::Collector, &["XRANGE", "{oss:financial}:log", "-", "+"]),
    (User::Collector, &["XRANGE", "{oss:financial}:out:base", "-", "+"]),
    (User::Collector, &["XREAD", "STREAMS", "{oss:financial}:out:base", "0"]),
    (User::Collector, &["XADD", "{oss:financial}:out:base", "*", "m", "{}"]),
    (User::Collector, &["XADD", "{oss:financial}:receipts", "*", "m", "{}"]),
    (User::Collector, &["XRANGE", "{oss:financial}:in", "-", "+"]),
    (User::Collector, &["XDEL", "{oss:financial}:in", "1-1"]),
    (User::Collector, &["HSET", "{oss:financial}:lease", "epoch", "9"]),
    (User::Collector, &["HSET", "{oss:financial}:head", "seq", "9"]),
    (User::Collector, &["HGETALL", "{oss:financial}:raw:base:0"]),
    (User::Collector, &["SET", "{oss:financial}:gen", "other"]),
    // Where validators send their key to is for validators to say.
    (User::Collector, &["HSET", "{oss:financial}:members:validator", "validator-9", "9 0-0 http://x"]),
    (User::Broadcaster, &["HSET", "{oss:financial}:members:validator", "validator-9", "9 0-0 http://x"]),
    (User::Broadcaster, &["HDEL", "{oss:financial}:members:validator", "validator-1"]),
    (User::Validator, &["HSET", "{oss:financial}:members:broadcaster", "broadcaster-9", "9 0-0"]),
    (
        User::Validator,
        &["XREADGROUP", "GROUP", "collectors", "v", "STREAMS", "{oss:financial}:requests", ">"],
    ),
    (User::Validator, &["HSET", "{oss:financial}:raw:base:0", "a1", "00"]),
    (User::Validator, &["HSET", "{oss:financial}:bind:base", "1/0", "0"]),
    (User::Validator, &["HSET", "{oss:financial}:lane:base", "epoch", "9"]),
    (User::Validator, &["DEL", "{oss:financial}:log"]),
    (User::Broadcaster, &["XADD", "{oss:financial}:log", "*", "body", "{}"]),
    (User::Broadcaster, &["XRANGE", "{oss:financial}:log", "-", "+"]),
    (User::Broadcaster, &["XADD", "{oss:financial}:in", "*", "m", "{}"]),
    (User::Broadcaster, &["XADD", "{oss:financial}:inx", "*", "m", "{}"]),
    (User::Broadcaster, &["XADD", "{oss:financial}:requests", "*", "m", "{}"]),
    (User::Broadcaster, &["XADD", "{oss:financial}:out:base", "*", "m", "{}"]),
    (User::Broadcaster, &["HSET", "{oss:financial}:head", "seq", "9"]),
    (User::Broadcaster, &["HSET", "{oss:financial}:lease", "epoch", "9"]),
    (User::Broadcaster, &["HSET", "{oss:financial}:req:x", "status", "completed"]),
    (User::Broadcaster, &["XTRIM", "{oss:financial}:receipts", "MAXLEN", "0"]),
    (User::Broadcaster, &["SET", "{oss:financial}:gen", "other"]),
];

/// Runs a command as a user on a connection of its own; the code of the refusal, if it was one.
fn refusal(server: &Mutex<RedisServer>, user: &str, parts: &[&str]) -> Check<Option<String>> {
    let url = locked(server).url().replace("redis://", &format!("redis://{user}:password%20of%20{user}@"));
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let mut command = redis::Cmd::new();
    command.arg(parts);
    let answer: Result<redis::Value, RedisError> = command.query(&mut connection);
    Ok(answer.err().and_then(|error| error.code().map(str::to_owned)))
}

fn may(server: &Mutex<RedisServer>, user: &str, parts: &[&str]) -> bool {
    let answer = locked(server).command(&[&["ACL", "DRYRUN", user], parts].concat());
    matches!(answer, Ok(redis::Value::Okay))
}

#[test]
fn what_is_not_its_own_is_refused_to_each_service_and_not_to_the_administrator() -> Check {
    let server = closed();
    let forbidden = User::ALL.into_iter().flat_map(|user| FORBIDDEN.map(|command| (user, command)));
    for (user, command) in forbidden.chain(NOT_ITS_OWN.iter().copied()) {
        let code = refusal(&server, user.name(), command)?;
        // Redis refuses DEBUG to everybody before it looks at rights.
        let expected = if command[0] == "DEBUG" { "ERR" } else { "NOPERM" };
        assert_eq!(code.as_deref(), Some(expected), "{user:?} {command:?}");
        assert!(!may(&server, user.name(), command), "{user:?} {command:?}");
        // The control: it is a command that Redis takes.
        assert!(may(&server, ADMIN, command), "{command:?}");
    }
    Ok(())
}

#[test]
fn a_script_of_ones_own_reaches_no_further_than_its_caller() -> Check {
    let server = closed();
    let write = "#!lua\nreturn redis.call('XADD', KEYS[1], '*', 'm', '{}')";
    let hash = redis::Script::new(write).get_hash().to_owned();
    let keys = Keys::new(Shard::General);
    for user in User::ALL {
        same!(refusal(&server, user.name(), &["SCRIPT", "LOAD", write])?, None);
        // The validator puts parked messages back into `:in`.
        for (key, writers) in [
            (keys.receipts(), &[User::Broadcaster][..]),
            (keys.input(), &[User::Collector, User::Validator]),
            (keys.log(), &[User::Validator]),
        ] {
            let refused = refusal(&server, user.name(), &["EVALSHA", &hash, "1", &key])?;
            assert_eq!(refused.is_none(), writers.contains(&user), "{user:?} {key}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_a_password_or_with_a_wrong_one_nothing_works_but_the_health_checks_ping() -> Check {
    let server = closed();
    let url = locked(&server).url();
    let mut nobody = redis::Client::open(url.as_str())?.get_connection()?;
    let answer: Result<redis::Value, RedisError> = redis::cmd("PING").query(&mut nobody);
    same!(answer.err().and_then(|error| error.code().map(str::to_owned)), Some("NOAUTH".to_owned()));
    let wrong = Address::new(&url, Some("collector"), Some(&password("validator")))?;
    let refused = Commands::connect(&wrong, &name("collector-1")).await.err();
    same!(refused.map(|error| error.disposition()), Some(Disposition::Halt));
    for guess in ["default", ""] {
        let user = Address::new(&url, Some("default"), Some(&SecretString::from(guess)))?;
        same!(Commands::connect(&user, &name("collector-1")).await.is_err(), true);
    }
    same!(refusal(&server, HEALTH, &["PING"])?, None);
    same!(refusal(&server, HEALTH, &["INFO"])?, Some("NOPERM".to_owned()));
    Ok(())
}

/// The data set before a crash of the server and after it.
async fn over_a_crash(file: String) -> Check<(Picture, Picture)> {
    let server = with_users(file);
    let bed = seen_by(&server, ADMIN).await?;
    Stage::set(&bed).await?;
    let before = bed.picture();
    locked(&server).kill()?;
    locked(&server).restart()?;
    Ok((before, bed.picture()))
}

#[tokio::test]
async fn what_the_scripts_wrote_is_there_after_a_crash() -> Check {
    let (before, after) = over_a_crash(users_file()).await?;
    same!(before.len() > 8, true);
    same!(changed(&before, &after), NONE);
    Ok(())
}

/// Should a later Redis read its file whatever the rights of `default` are, this fails, and they can go.
#[tokio::test]
async fn control_a_default_user_without_rights_costs_all_that_the_scripts_wrote() -> Check {
    let without_rights = "user default off resetpass resetkeys resetchannels -@all";
    let (before, after) = over_a_crash(users_file().replace(acl::DEFAULT_USER, without_rights)).await?;
    same!(before.keys().any(|key| key.ends_with(":log")), true);
    same!(after.keys().any(|key| key.ends_with(":log")), false);
    Ok(())
}
