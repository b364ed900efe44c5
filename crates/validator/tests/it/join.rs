//! A process with an empty disk joins from another validator's checkpoint and the log after it, and takes nothing on trust.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use common::entry::Entry;
use common::hash::Digest;
use common::ids::Rid;
use common::status::Delivery;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit;
use crate::bed::{Bed, SHARD, Validator, eventually, mint, register, transfer};

/// Nothing stays in `:log` but what a live standby does not have yet.
const KEEP_NOTHING: (&str, &str) = ("OSS__LOG__KEEP_ENTRIES", "0");
/// No checkpoint is written but those that are ordered.
const SELDOM: (&str, &str) = ("OSS__CHECKPOINT__EVERY_ENTRIES", "1000000");
/// A rollback looks back so many entries, and a view keeps as many.
const WINDOW: u64 = 4_096;

const TOOK: &str = "Took a checkpoint of another validator";
const REFUSED: &str = "A checkpoint of another validator was not taken";

fn peer_key(bed: &Bed) -> String {
    let path = bed.path("peer.key");
    std::fs::write(&path, "oss_peer_secret\n").expect("writes");
    path.display().to_string()
}

/// Another process than the leader, with a folder of its own.
fn other(bed: &Bed, folder: &str) -> Validator {
    let (key, data) = (peer_key(bed), bed.path(folder).display().to_string());
    let second = bed.path(folder).join("validator-1");
    if !second.exists() {
        // Whoever asks is another one; the lock of the first folder lives as long as the test.
        std::fs::create_dir_all(&second).expect("makes");
        let lock = std::fs::File::create(second.join("lock")).expect("makes");
        lock.lock().expect("locks");
        std::mem::forget(lock);
    }
    bed.start_with(&[KEEP_NOTHING, SELDOM, ("OSS__DATA_DIR", &data), ("OSS__PEER__KEY_FILE", &key)])
}

async fn written(validator: &Validator) -> Value {
    let answer = validator.ask(Method::POST, "/v1/checkpoints?shard=financial", "operate", &[]).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.body
}

async fn stands_by(bed: &Bed, validator: &Validator) {
    eventually("it stands by", async || (validator.healthcheck(bed).await == 0).then_some(())).await;
}

/// Redis has nothing of the log but its end.
async fn is_trimmed(bed: &Bed, below: u64) {
    eventually("the log is trimmed", async || {
        let left = bed.link().log_range(1, 1).await.expect("reads");
        left.first().is_none_or(|first| first.seq > below).then_some(())
    })
    .await;
}

async fn root(bed: &Bed, validator: &Validator) -> Value {
    validator.reach_head(bed).await;
    let shard = validator.get("/v1/shards/financial").await.body;
    json!([shard["seq"], shard["root"], shard["digest"], shard["aux"]])
}

/// Makes the log longer than the window by entries of few requests.
async fn until(bed: &Bed, seq: u64) {
    let mut last = None;
    for round in 0.. {
        last = Some(bed.submit(mint("bond:A", "acct:alice", 1)).await);
        if round % 50 == 0 && bed.link().head().await.expect("reads").seq >= seq {
            break;
        }
    }
    bed.decided(last.expect("at least one")).await;
}

#[tokio::test]
async fn an_empty_disk_joins_from_a_checkpoint_and_leads_with_the_same_root_and_the_same_rollbacks() {
    let bed = Bed::new(&["base"]).await;
    let mut leader = bed.start_with(&[KEEP_NOTHING, SELDOM]);
    leader.ready().await;
    let old = bed.submit(register("bond:A", &["base"])).await;
    let entry = bed.decided(old).await.seq.expect("a seq");
    let lane = bed.lane("base").await;
    let rejected = bed.submit(transfer("bond:A", "acct:nobody", "acct:bob", 1)).await;
    bed.decided(rejected).await;
    // The target takes what comes, so that nothing holds the log back on its behalf.
    until(&bed, WINDOW + 100).await;
    let undone = bed.submit(mint("bond:A", "acct:carol", 7)).await;
    bed.decided(undone).await;
    leader.reach_head(&bed).await;
    let checkpoint = written(&leader).await;
    let seq = checkpoint["seq"].as_u64().expect("a seq");
    bed.decide(register("bond:B", &["base"])).await;
    leader.reach_head(&bed).await;
    is_trimmed(&bed, seq).await;

    let joined = other(&bed, "other");
    joined.says(TOOK).await;
    stands_by(&bed, &joined).await;
    assert_eq!(root(&bed, &joined).await, root(&bed, &leader).await);
    // What a view keeps is here, and the entries beside it; of what is older, what was decided.
    for (entry, status) in [(seq - WINDOW + 2, StatusCode::OK), (seq - WINDOW + 1, StatusCode::GONE)] {
        let path = format!("/v1/assets/bond:A?seq={entry}");
        let (ours, theirs) = (joined.get(&path).await, leader.get(&path).await);
        assert_eq!((ours.status, theirs.status), (status, status), "{ours:?}");
        assert_eq!(ours.body.get("version"), theirs.body.get("version"), "{ours:?}");
    }
    let decision = joined.get(&format!("/v1/decisions/{rejected}")).await;
    assert_eq!((decision.status, &decision.body["code"]), (StatusCode::OK, &"INSUFFICIENT_BALANCE".into()));
    let of_leader = leader.get(&format!("/v1/decisions/{rejected}")).await.body;
    assert!(of_leader.get("entry_gone").is_none() && of_leader["errors"].is_array(), "{of_leader}");
    // It has the file, as its own.
    let listed = joined.get("/v1/checkpoints").await.body;
    assert_eq!(listed["shards"][0]["checkpoints"][0]["hash"], checkpoint["hash"], "{listed}");
    // The target has finished nothing, so its first entry is needed and is here.
    let first = joined.get(&format!("/v1/shards/financial/log?from_seq={entry}&limit=1")).await;
    assert_eq!((first.status, &first.body["entries"][0]["seq"]), (StatusCode::OK, &entry.into()));
    let gone = joined.get("/v1/shards/financial/log?from_seq=1").await;
    assert_eq!((gone.status, &gone.body["code"]), (StatusCode::GONE, &"gone".into()), "{gone:?}");
    assert_eq!(gone.body["first_seq"], entry, "{gone:?}");

    leader.kill();
    joined.ready().await;
    let undo = json!({ "rid": undone });
    let key = [("Idempotency-Key", "undo-1")];
    let answer = joined.send(Method::POST, "/v1/rollbacks", "operate", &key, Some(&undo)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    eventually("it is undone", async || {
        let decision = joined.get(&format!("/v1/decisions/{undone}")).await.body;
        (decision["status"] == "rolled_back").then_some(())
    })
    .await;
    assert_eq!(joined.get("/v1/holdings/bond:A/acct:carol").await.status, StatusCode::NOT_FOUND);
    bed.finish(&lane, "base", entry, Delivery::Final).await;
    bed.decide(mint("bond:A", "acct:bob", 3)).await;
    // Everything that it made itself is the fold of the log on another process too.
    let follows = bed.start_with(&[KEEP_NOTHING, SELDOM]);
    stands_by(&bed, &follows).await;
    assert_eq!(root(&bed, &follows).await, root(&bed, &joined).await);
}

/// The archive is cut where nobody needs it.
const CUT: (&str, &str) = ("OSS__LOG__ARCHIVE", "trimmed");

/// The first entry that the process keeps.
async fn first_kept(validator: &Validator) -> u64 {
    let log = validator.get("/v1/shards/financial/log?from_seq=1&limit=1").await;
    match log.status {
        StatusCode::OK => log.body["entries"][0]["seq"].as_u64().expect("a seq"),
        _ => log.body["first_seq"].as_u64().expect("where it begins"),
    }
}

#[tokio::test]
async fn an_archive_is_cut_behind_two_checkpoints_and_targets_and_a_new_disk_and_a_new_view_go_on_from_it() {
    let bed = Bed::new(&["base"]).await;
    let settings = [KEEP_NOTHING, SELDOM, CUT];
    let leader = bed.start_with(&settings);
    leader.ready().await;
    let registered = bed.submit(register("bond:A", &["base"])).await;
    let entry = bed.decided(registered).await.seq.expect("a seq");
    let rejected = bed.submit(transfer("bond:A", "acct:nobody", "acct:bob", 1)).await;
    bed.decided(rejected).await;
    until(&bed, WINDOW + 50).await;
    leader.reach_head(&bed).await;
    let older = written(&leader).await["seq"].as_u64().expect("a seq");
    bed.decide(register("bond:B", &["base"])).await;
    leader.reach_head(&bed).await;
    assert_eq!(first_kept(&leader).await, 1, "one checkpoint is not enough");
    written(&leader).await;
    // The target has finished nothing: its first entry stays, and all after it.
    eventually("what it needs is kept", async || (first_kept(&leader).await == entry).then_some(())).await;
    bed.write_targets_with_retired(&["op"], &["base"]);
    let cut = older - WINDOW;
    eventually("nobody needs it any more", async || (first_kept(&leader).await == cut).then_some(())).await;
    bed.decide(register("bond:C", &["op"])).await;
    leader.reach_head(&bed).await;
    assert_eq!(first_kept(&leader).await, cut);
    let decision = leader.get(&format!("/v1/decisions/{rejected}")).await;
    assert_eq!((decision.status, &decision.body["code"]), (StatusCode::OK, &"INSUFFICIENT_BALANCE".into()));
    assert_eq!(decision.body["entry_gone"], true, "{decision:?}");
    let explained = leader.get(&format!("/v1/sync-requests/{rejected}/explain")).await;
    assert_eq!(explained.status, StatusCode::OK, "{explained:?}");
    assert_eq!(explained.body["cause"]["code"], "INSUFFICIENT_BALANCE", "{explained:?}");
    let page = leader.metrics().await;
    let counted = format!(r#"oss_validator_archive_cut_total{{shard="financial"}} {}"#, cut - 1);
    assert!(page.contains(&counted), "{counted}: {page}");

    // Neither Redis nor another archive has the first entries.
    let joined = other(&bed, "other");
    joined.says(TOOK).await;
    stands_by(&bed, &joined).await;
    assert_eq!(root(&bed, &joined).await, root(&bed, &leader).await);
    assert!(first_kept(&joined).await >= cut);
    joined.stop().await;
    // The leader's own view comes back from its own checkpoint.
    let before = root(&bed, &leader).await;
    leader.stop().await;
    assert_eq!(bed.run(&["rebuild-view"]), 0);
    let again = bed.start_with(&settings);
    again.ready().await;
    assert_eq!(root(&bed, &again).await, before);
    again.stop().await;
    // More undo records than there are could only come from the first entry: the view stays what it is.
    let mut more = bed.start_with(&[KEEP_NOTHING, CUT, ("OSS__VIEW__UNDO_ENTRIES", "5000")]);
    assert_eq!(more.exit().await, Some(70), "{}", more.log());
    let again = bed.start_with(&settings);
    again.ready().await;
    assert_eq!(root(&bed, &again).await, before);
}

/// What a validator gives out that is none.
#[derive(Clone)]
struct FalsePeer {
    seq: u64,
    file: Vec<u8>,
    /// As which it lists the file; `None` = as what it is.
    hash: Option<Digest>,
    log: Vec<Entry>,
}

impl FalsePeer {
    fn answer(&self, place: &str) -> Vec<u8> {
        let query = |name: &str| {
            let value = place.split(['?', '&']).find_map(|part| part.strip_prefix(&format!("{name}=")));
            value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
        };
        if place.starts_with("/v1/checkpoints") {
            let hash = self.hash.unwrap_or_else(|| Digest::of(&[&self.file]));
            let listed = json!({"seq": self.seq, "hash": hash, "bytes": self.file.len()});
            let shard = json!({"shard": "financial", "checkpoints": [listed], "unreadable": 0});
            return json!({"node": "validator-1", "shards": [shard]}).to_string().into_bytes();
        }
        if place.starts_with("/v1/shards/financial/checkpoints/") {
            return self.file[usize::try_from(query("from_byte")).expect("small")..].to_vec();
        }
        let line = |entry: &Entry| {
            let body = String::from_utf8(entry.body.clone()).expect("text");
            json!({"seq": entry.seq, "prev": entry.prev, "digest": entry.digest, "body": body})
        };
        let from = query("from_seq");
        let lines: Vec<Value> = self.log.iter().filter(|entry| entry.seq >= from).map(line).collect();
        json!({ "shard": "financial", "head": self.log.len(), "entries": lines }).to_string().into_bytes()
    }

    /// Answers from now on; gives the URL.
    fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let lines = BufReader::new(stream.try_clone().expect("clones")).lines();
                // The head of the request ends with an empty line.
                let head: Vec<String> =
                    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let place = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
                let body = self.answer(place);
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).ok();
            }
        });
        url
    }
}

/// The file with its content changed, and whole otherwise.
fn with_content(peer: &mut FalsePeer, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = zstd::decode_all(peer.file.as_slice()).expect("a frame");
    change(&mut content);
    peer.file = zstd::encode_all(content.as_slice(), 3).expect("encodes");
}

/// Replaces what stands there exactly once.
fn replace(content: &mut [u8], from: &[u8], to: &[u8]) {
    let places: Vec<usize> =
        (0..=content.len() - from.len()).filter(|at| content[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), 1, "{from:?}");
    content[places[0]..places[0] + to.len()].copy_from_slice(to);
}

/// Makes something false of what a peer gives out, with the checkpoint's last entry.
type Forge = fn(&mut FalsePeer, &Entry);

const FORGED: [(Forge, &str); 7] = [
    (|peer, _| peer.hash = Some(Digest::of(&[b"another"])), "which is not its name: it is damaged"),
    (
        |peer, _| {
            peer.hash = Some(Digest::of(&[&peer.file]));
            peer.file.pop();
        },
        "which is not its name: it is damaged",
    ),
    (
        |peer, _| {
            with_content(peer, |content| {
                let key = b"holding/bond:A/acct:alice";
                let at = content.windows(key.len()).position(|found| found == key).expect("a holding");
                // Behind the key and the value's length: a byte of the balance.
                content[at + key.len() + 4] ^= 1;
            });
        },
        "its values give",
    ),
    (
        |peer, last| with_content(peer, |content| replace(content, &last.digest.0, &[7; 32])),
        "states digest 0x0707",
    ),
    (
        |peer, last| {
            let aux = last.decode().expect("a body").aux;
            with_content(peer, |content| replace(content, &aux.0, &[7; 32]));
        },
        "states another aux than entry",
    ),
    (
        |peer, _| {
            let body = String::from_utf8(peer.log[2].body.clone()).expect("text");
            peer.log[2].body = body.replace("validator-1", "validator-7").into_bytes();
        },
        "does not follow what comes before it, or is damaged",
    ),
    (
        // Intact and a chain of its own, up to what Redis knows of.
        |peer, true_last| {
            let mut prev = Digest::ZERO;
            for entry in &mut peer.log {
                let mut body = entry.decode().expect("a body");
                "validator-7".clone_into(&mut body.node);
                *entry = Entry::seal(prev, &body);
                prev = entry.digest;
            }
            let last = peer.log[usize::try_from(peer.seq - 1).expect("small")].digest;
            with_content(peer, |content| replace(content, &true_last.digest.0, &last.0));
        },
        "does not follow what comes before it, or is damaged",
    ),
];

#[tokio::test]
async fn a_checkpoint_that_is_not_what_the_log_says_is_refused_and_named() {
    for (forge, because) in FORGED {
        let bed = Bed::new(&["base"]).await;
        let mut leader = bed.start_with(&[KEEP_NOTHING, SELDOM]);
        leader.ready().await;
        bed.decide(register("bond:A", &["base"])).await;
        for _ in 0..5 {
            bed.decide(mint("bond:A", "acct:alice", 1)).await;
        }
        leader.reach_head(&bed).await;
        let checkpoint = written(&leader).await;
        let seq = checkpoint["seq"].as_u64().expect("a seq");
        for _ in 0..3 {
            bed.decide(mint("bond:A", "acct:alice", 1)).await;
        }
        leader.reach_head(&bed).await;
        is_trimmed(&bed, seq + 1).await;
        let hash = checkpoint["hash"].as_str().expect("a hash");
        let (_, file) = leader.part(&format!("/v1/shards/financial/checkpoints/{hash}"), "peer").await;
        let log: Vec<Entry> = audit::log(&leader).await.into_iter().map(|(entry, _)| entry).collect();
        leader.kill();
        let last = log[usize::try_from(seq - 1).expect("small")].clone();
        let mut peer = FalsePeer { seq, file, hash: None, log };
        forge(&mut peer, &last);
        // In the place of the leader, whose URL it takes.
        let members = common::keys::Keys::new(SHARD).validators();
        let told = format!("9999999999999 0-0 {}", peer.serve());
        bed.redis.command(&["HSET", &members, "validator-1", &told]).expect("writes");
        let joins = other(&bed, "other");
        joins.says(REFUSED).await;
        let said = joins.log();
        assert!(said.contains(because) && !said.contains(TOOK), "expected {because:?} in\n{said}");
        assert!(said.contains(&format!("\"seq\":{seq}")), "{said}");
    }
}

#[tokio::test]
async fn a_checkpoint_at_the_head_is_taken_unless_its_entry_asks_something_of_redis() {
    let bed = Bed::new(&["base"]).await;
    let leader = bed.start_with(&[KEEP_NOTHING, SELDOM]);
    leader.ready().await;
    // The first entry starts the target.
    leader.reach_head(&bed).await;
    let first = written(&leader).await;
    assert_eq!(first["seq"], 1);
    is_trimmed(&bed, 0).await;
    eventually("the first entry is on disk", async || {
        bed.redis.command(&["XTRIM", "{oss:financial}:log", "MAXLEN", "=", "0"]).expect("trims");
        Some(())
    })
    .await;
    let joins = other(&bed, "other");
    joins.says(REFUSED).await;
    assert!(joins.log().contains("may not be carried out yet"), "{}", joins.log());
    // It goes on by the log.
    stands_by(&bed, &joins).await;
    let rid: Rid = bed.submit(register("bond:A", &["base"])).await;
    bed.decided(rid).await;
    leader.reach_head(&bed).await;
    written(&leader).await;
    bed.redis.command(&["XTRIM", "{oss:financial}:log", "MAXLEN", "=", "0"]).expect("trims");
    let third = other(&bed, "third");
    third.says(TOOK).await;
    stands_by(&bed, &third).await;
    assert_eq!(root(&bed, &third).await, root(&bed, &leader).await);
}
