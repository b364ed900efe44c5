//! The table of rights beside what the scripts were seen to do: every scenario of every guard and every case runs under
//! MONITOR, each command of a script is asked for in the name of its owners, and each right must have been used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use common::link::acl::User;
use common::link::{Commit, Consumed, Paused, Scripts, StreamId};
use futures_util::StreamExt as _;
use redis::Value;
use testkit::redis::RedisServer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{SHARED, password, plain, set};
use crate::bed::{Bed, Check, Stage, commit, entry, locked, standalone, target};
use crate::cases::CASES;
use crate::{directed, same};

/// One command that a service needs.
type Need = (User, Vec<String>);

/// Follows MONITOR until the test is over.
async fn monitor(url: &str) -> Check<UnboundedReceiver<String>> {
    let mut monitor = redis::Client::open(url)?.get_async_monitor().await?;
    let (lines, follow) = unbounded_channel();
    tokio::spawn(async move {
        let mut messages = monitor.on_message::<String>();
        while let Some(line) = messages.next().await {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    Ok(follow)
}

/// `<time> [<db> <client>] "<word>" …` → whether a script spoke, and the words with their escapes resolved.
fn parsed(line: &str) -> Option<(bool, Vec<String>)> {
    let (head, words) = line.split_once("] ")?;
    let mut rest = words.chars();
    let (mut list, mut word) = (Vec::new(), None::<String>);
    while let Some(c) = rest.next() {
        match (c, &mut word) {
            ('"', None) => word = Some(String::new()),
            ('"', Some(_)) => list.extend(word.take()),
            // Payloads are of no interest: one character for each escape will do.
            ('\\', Some(text)) => text.extend(rest.next()),
            (c, Some(text)) => text.push(c),
            (_, None) => {}
        }
    }
    Some((head.ends_with(" lua"), list))
}

/// What a script's or a service's command needs a right for: the command, its subcommand, the last parts of its keys.
fn shape(words: &[String]) -> Vec<String> {
    let mut shape = vec![words.first().map(|word| word.to_lowercase()).unwrap_or_default()];
    if matches!(shape[0].as_str(), "xgroup" | "xinfo" | "script") {
        shape[0] =
            format!("{}|{}", shape[0], words.get(1).map(|word| word.to_lowercase()).unwrap_or_default());
    }
    shape.extend(words.iter().filter(|word| word.starts_with("{oss:")).map(|key| glob(key)));
    shape
}

/// The glob of the table that a key belongs to: `req:*`, `log`. Of the members' hashes each has rights of its own.
fn glob(key: &str) -> String {
    let suffix = key.split_once("}:").map_or("", |(_, suffix)| suffix);
    match suffix.split_once(':') {
        Some((kind, _)) if kind != "members" => format!("{kind}:*"),
        _ => suffix.to_owned(),
    }
}

fn owners(script: &str, words: &[String]) -> Vec<User> {
    if SHARED.contains(&script) {
        let is_broadcasters =
            words.iter().any(|word| matches!(glob(word).as_str(), "lane:*" | "members:broadcaster"));
        return vec![if is_broadcasters { User::Broadcaster } else { User::Validator }];
    }
    User::ALL.into_iter().filter(|user| user.scripts().contains(&script)).collect()
}

/// Runs everything and collects, for every service and shape, one command that showed it.
async fn needs() -> Check<(std::sync::Arc<Mutex<RedisServer>>, BTreeMap<(User, Vec<String>), Need>)> {
    let server = standalone();
    let url = locked(&server).url();
    let mut lines = monitor(&url).await?;
    let echo = |text: &str| locked(&server).command(&["ECHO", text]).map(drop);
    for guarded in directed::all() {
        (guarded.run)(Bed::empty(&server, Scripts::standard()).await).await?;
    }
    for case in CASES {
        let bed = Bed::empty(&server, Scripts::standard()).await;
        let stage = Stage::set(&bed).await?;
        case.call(&bed, &stage).await?;
    }
    // What no case comes by.
    let bed = Bed::empty(&server, Scripts::standard()).await;
    let stage = Stage::set(&bed).await?;
    let all = Some(StreamId::new(u64::MAX - 1, 0));
    let consumed = Consumed { express: all, receipts: all, input: all };
    commit(&bed.link, &stage.leader, &Commit { consumed, ..entry(4) }).await?;
    for by in [Some("operator-1"), None] {
        same!(bed.link.pause(&target(), by).await?, Paused::Ok);
    }
    for user in User::ALL {
        let bed = Bed::empty(&server, Scripts::standard()).await;
        let stage = set(&bed).await?;
        echo(user.name())?;
        plain(user, &bed, &stage).await?;
        echo("nobody")?;
    }
    echo("end")?;

    let hashes: BTreeMap<String, &str> = Scripts::SOURCES
        .iter()
        .map(|(script, source)| (redis::Script::new(source).get_hash().to_owned(), *script))
        .collect();
    let (mut needs, mut script, mut reader) = (BTreeMap::new(), None, None);
    while let Some(line) = lines.recv().await {
        let Some((is_script, words)) = parsed(&line) else { continue };
        let first = words.first().map(|word| word.to_lowercase()).unwrap_or_default();
        let users = match (is_script, first.as_str()) {
            (true, _) => script.map_or_else(Vec::new, |script| owners(script, &words)),
            (false, "echo") if words.get(1).is_some_and(|word| word == "end") => break,
            (false, "echo") => {
                reader = User::ALL.into_iter().find(|user| words.get(1).is_some_and(|w| w == user.name()));
                Vec::new()
            }
            (false, _) => {
                script = words.get(1).and_then(|hash| hashes.get(hash)).copied();
                reader.into_iter().collect()
            }
        };
        for user in users {
            needs.entry((user, shape(&words))).or_insert_with(|| (user, words.clone()));
        }
    }
    Ok((server, needs))
}

#[tokio::test]
async fn every_command_that_scripts_and_readers_were_seen_to_use_is_allowed_and_no_right_is_without_use()
-> Check {
    let (server, needs) = needs().await?;
    for user in User::ALL {
        let line = user.line(&password(user.name()));
        let rules: Vec<&str> = line.split(' ').skip(1).collect();
        locked(&server).command(&[&["ACL", "SETUSER"], rules.as_slice()].concat())?;
    }
    assert!(needs.len() > 100, "MONITOR showed {} commands only", needs.len());
    let mut refused = BTreeSet::new();
    for ((user, shape), (_, words)) in &needs {
        let mut ask = vec!["ACL", "DRYRUN", user.name()];
        ask.extend(words.iter().map(String::as_str));
        let answer = locked(&server).command(&ask)?;
        if answer != Value::Okay {
            refused.insert(format!("{} {shape:?}", user.name()));
        }
    }
    assert_eq!(refused, BTreeSet::new(), "these rights are missing");
    let mut idle = BTreeSet::new();
    for user in User::ALL {
        for right in user.rights() {
            for (key, command) in
                right.keys.iter().flat_map(|key| right.commands.split(' ').map(move |command| (key, command)))
            {
                let is_used = needs.keys().any(|(by, shape)| {
                    let (used, keys) = shape.split_first().expect("a command");
                    *by == user && used == command && keys.iter().any(|found| found == key)
                });
                if !is_used {
                    idle.insert(format!("{}: {command} {key}", user.name()));
                }
            }
        }
    }
    assert_eq!(idle, BTreeSet::new(), "nobody was seen to need these rights");
    Ok(())
}

#[test]
fn a_line_of_monitor_is_read_with_its_escapes() {
    let line = r#"1.2 [0 lua] "HSET" "{oss:financial}:att" "a\"] b" "\x00\\""#;
    let (is_script, words) = parsed(line).expect("a line");
    assert!(is_script);
    assert_eq!(words, ["HSET", "{oss:financial}:att", "a\"] b", "x00\\"]);
    assert_eq!(shape(&words), ["hset", "att"]);
    assert_eq!(parsed("OK"), None);
}
