//! A process with an empty folder beside a log that Redis has trimmed: what is missing comes from another validator.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use common::entry::Entry;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::audit;
use crate::bed::{Bed, SHARD, Validator, eventually, mint, register};

/// Nothing stays in `:log` but what a live standby does not have yet.
const KEEP_NOTHING: (&str, &str) = ("OSS__LOG__KEEP_ENTRIES", "0");
const SUPPLY: u64 = 20;

/// A leader whose log is no longer in Redis, but for its end.
async fn trimmed(bed: &Bed) -> Validator {
    let leader = bed.start_with(&[KEEP_NOTHING]);
    leader.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    for _ in 0..SUPPLY {
        bed.decide(mint("bond:A", "acct:alice", 1)).await;
    }
    leader.reach_head(bed).await;
    eventually("the log is trimmed", async || {
        let left = bed.link().log_range(1, 1).await.expect("reads");
        left.first().is_none_or(|first| first.seq > SUPPLY).then_some(())
    })
    .await;
    leader
}

/// The file with an API key that the test's key file knows.
fn key_file(bed: &Bed, key: &str) -> String {
    let path = bed.path(&format!("peer-{key}.key"));
    std::fs::write(&path, format!("oss_{key}_secret\n")).expect("writes");
    path.display().to_string()
}

/// What `/readyz` says of the replay of the first shard.
async fn said(validator: &Validator, part: &str) -> Value {
    let needle = part.to_owned();
    eventually("it says why", async || {
        let (_, body) = validator.admin("/readyz").await;
        let detail = body["checks"]["replay.financial"]["detail"].clone();
        detail.as_str().is_some_and(|detail| detail.contains(&needle)).then_some(body)
    })
    .await
}

#[tokio::test]
async fn a_process_with_an_empty_folder_fetches_what_redis_has_trimmed_and_can_then_lead() {
    let bed = Bed::new(&["base"]).await;
    let mut leader = trimmed(&bed).await;
    let before = audit::log(&leader).await;
    let key = key_file(&bed, "peer");
    let second = bed.start_with(&[KEEP_NOTHING, ("OSS__PEER__KEY_FILE", &key)]);
    eventually("it stands by", async || (second.healthcheck(&bed).await == 0).then_some(())).await;
    let asset = second.get("/v1/assets/bond:A").await;
    assert_eq!((asset.status, &asset.body["supply"]), (StatusCode::OK, &SUPPLY.to_string().into()));
    leader.kill();
    second.ready().await;
    bed.decide(mint("bond:A", "acct:alice", 1)).await;
    second.reach_head(&bed).await;
    let entries = audit::log(&second).await;
    audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    let digests = |entries: &[(Entry, _)]| entries.iter().map(|(entry, _)| entry.digest).collect::<Vec<_>>();
    assert_eq!(digests(&entries)[..before.len()], digests(&before));
    assert_eq!(second.get("/v1/assets/bond:A").await.body["supply"], (SUPPLY + 1).to_string());
}

#[tokio::test]
async fn a_process_that_may_not_ask_another_one_says_why_it_cannot_catch_up() {
    let bed = Bed::new(&["base"]).await;
    let _leader = trimmed(&bed).await;
    let without = bed.start_with(&[KEEP_NOTHING]);
    let body = said(&without, "peer.key_file is not set").await;
    assert_eq!(body["state"], "not_ready", "{body}");
    assert!(body["checks"]["leader"]["detail"].as_str().is_some_and(|text| text.starts_with("catching up")));
    assert_eq!(without.get("/v1/assets/bond:A").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let key = key_file(&bed, "read");
    let other = bed.path("other").display().to_string();
    let refused = bed.start_with(&[KEEP_NOTHING, ("OSS__DATA_DIR", &other), ("OSS__PEER__KEY_FILE", &key)]);
    said(&refused, "answers 403").await;
}

/// Answers every request with this page of the log; gives the URL.
fn false_peer(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        let body = String::from_utf8(entry.body.clone()).expect("text");
        json!({"seq": entry.seq, "prev": entry.prev, "digest": entry.digest, "body": body})
    };
    let lines: Vec<Value> = entries.iter().map(line).collect();
    let body = json!({ "shard": "financial", "head": lines.len(), "entries": lines }).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let request = BufReader::new(stream.try_clone().expect("clones")).lines();
            // The head of the request ends with an empty line.
            request.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
        }
    });
    url
}

/// Makes the page that a false peer gives out of the true log.
type Forge<'a> = dyn Fn(&[Entry]) -> Vec<Entry> + 'a;

#[tokio::test]
async fn what_another_process_gives_is_checked_like_what_redis_gives() {
    let changed = |entry: &Entry| {
        let body = String::from_utf8(entry.body.clone()).expect("text").replace("validator-1", "validator-7");
        Entry { body: body.into_bytes(), ..entry.clone() }
    };
    let sealed = |entry: &Entry| {
        let mut body = entry.decode().expect("a body");
        body.root = common::hash::Digest::ZERO;
        Entry::seal(entry.prev, &body)
    };
    let cases: [(&Forge<'_>, &str); 3] = [
        (&|log| vec![log[0].clone(), changed(&log[1])], "entry 2 has another digest than its content"),
        (&|log| vec![log[0].clone(), sealed(&log[1])], "entry 2: field root differs"),
        (&|log| vec![log[1].clone()], "entry 2 does not follow entry 1"),
    ];
    for (forge, because) in cases {
        let bed = Bed::new(&["base"]).await;
        let mut leader = trimmed(&bed).await;
        let log: Vec<Entry> = audit::log(&leader).await.into_iter().map(|(entry, _)| entry).collect();
        leader.kill();
        // In the place of the leader, whose URL it takes.
        let url = false_peer(&forge(&log));
        let members = common::keys::Keys::new(SHARD).validators();
        let told = format!("9999999999999 0-0 {url}");
        bed.redis.command(&["HSET", &members, "validator-1", &told]).expect("writes");
        let key = key_file(&bed, "peer");
        let other = bed.path("other").display().to_string();
        // A process that asks is another one.
        std::fs::create_dir_all(bed.path("other/validator-1")).expect("makes");
        let lock = std::fs::File::create(bed.path("other/validator-1/lock")).expect("makes");
        lock.lock().expect("locks");
        let mut second =
            bed.start_with(&[KEEP_NOTHING, ("OSS__DATA_DIR", &other), ("OSS__PEER__KEY_FILE", &key)]);
        assert_eq!(second.exit().await, Some(4), "{}", second.log());
        assert!(second.log().contains(because), "expected {because:?} in\n{}", second.log());
    }
}
