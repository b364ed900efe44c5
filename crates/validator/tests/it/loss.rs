//! Redis lost or changed something: the process stops with exit code 4 and does not go on by itself.

use common::entry::Entry;
use common::link::LoggedEntry;
use serde_json::json;

use crate::bed::{Bed, SHARD, Validator, eventually, mint, register};

/// A bed whose validator has committed a few entries and stopped cleanly.
async fn used() -> Bed {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    bed.decide(mint("bond:A", "acct:alice", 5)).await;
    validator.stop().await;
    bed
}

fn key(suffix: &str) -> String {
    format!("{{oss:{SHARD}}}:{suffix}")
}

async fn ends_with_4(mut validator: Validator, because: &str) {
    assert_eq!(validator.exit().await, Some(4), "{}", validator.log());
    assert!(validator.log().contains(because), "expected {because:?} in\n{}", validator.log());
}

#[tokio::test]
async fn a_wiped_redis_stops_a_running_leader() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.redis.command(&["FLUSHALL"]).expect("flushes");
    ends_with_4(validator, "it was wiped").await;
}

#[tokio::test]
async fn a_wiped_redis_stops_the_next_start() {
    let bed = used().await;
    bed.redis.command(&["FLUSHALL"]).expect("flushes");
    ends_with_4(bed.start(), "it was wiped").await;
}

#[tokio::test]
async fn another_generation_stops_the_start() {
    let bed = used().await;
    bed.redis.command(&["SET", &key("gen"), "another"]).expect("writes");
    ends_with_4(bed.start(), "has generation another").await;
}

#[tokio::test]
async fn a_log_that_ends_before_the_view_stops_the_start() {
    let bed = used().await;
    let last = bed.link().head().await.expect("reads").seq;
    let kept = log(&bed).await.into_iter().nth(usize::try_from(last - 2).expect("small")).expect("an entry");
    bed.redis.command(&["XDEL", &key("log"), &format!("{last}-0")]).expect("deletes");
    let (seq, digest) = ((last - 1).to_string(), kept.digest.to_string());
    bed.redis.command(&["HSET", &key("head"), "seq", &seq, "digest", &digest]).expect("writes");
    ends_with_4(bed.start(), "Redis lost entries").await;
}

async fn log(bed: &Bed) -> Vec<LoggedEntry> {
    bed.link().log_range(1, 100).await.expect("reads")
}

/// Replaces the last log entry by one with another field, whose digest is right.
async fn forge_last(bed: &Bed, field: &str, value: serde_json::Value) {
    change_last(bed, field, value, |last| last.digest = common::entry::digest(last.prev, &last.body)).await;
}

async fn change_last(bed: &Bed, field: &str, value: serde_json::Value, seal: impl FnOnce(&mut LoggedEntry)) {
    let mut entries = log(bed).await;
    let last = entries.last_mut().expect("entries");
    let mut body: serde_json::Value = serde_json::from_slice(&last.body).expect("JSON");
    body[field] = value;
    last.body = serde_json::to_vec(&body).expect("JSON");
    seal(last);
    bed.redis.command(&["DEL", &key("log")]).expect("deletes");
    for entry in &entries {
        let body = String::from_utf8(entry.body.clone()).expect("text");
        let (seq, prev, digest) = (entry.seq.to_string(), entry.prev.to_string(), entry.digest.to_string());
        let id = format!("{seq}-0");
        bed.redis
            .command(&[
                "XADD",
                &key("log"),
                &id,
                "v",
                "1",
                "seq",
                &seq,
                "prev",
                &prev,
                "digest",
                &digest,
                "body",
                &body,
            ])
            .expect("writes");
    }
    let digest = entries.last().expect("entries").digest.to_string();
    bed.redis.command(&["HSET", &key("head"), "digest", &digest]).expect("writes");
}

#[tokio::test]
async fn an_entry_that_is_not_the_fold_of_the_log_stops_the_replay_and_is_named() {
    for (field, pointer, value) in [
        ("root", "/root", json!(format!("0x{}", "11".repeat(32)))),
        ("aux", "/aux", json!(format!("0x{}", "22".repeat(32)))),
        ("outcomes", "/outcomes/0", json!([])),
        ("updates", "/updates/0", json!([])),
    ] {
        let bed = used().await;
        forge_last(&bed, field, value).await;
        let last = bed.link().head().await.expect("reads").seq;
        // A process with an empty folder has to replay everything.
        let other = bed.path("other").display().to_string();
        let validator = bed.start_with(&[("OSS__DATA_DIR", &other)]);
        let (node, others) = (validator.node().await, bed.path("other"));
        ends_with_4(
            validator,
            &format!("entry {last}: field {field} differs from the replay's at {pointer}"),
        )
        .await;
        let dump = others.join(node).join(format!("divergence-financial-{last}.json"));
        let dump: serde_json::Value =
            serde_json::from_slice(&std::fs::read(dump).expect("a dump")).expect("JSON");
        let difference = &dump["difference"];
        assert_eq!((&dump["field"], &difference["pointer"]), (&field.into(), &pointer.into()), "{dump}");
        assert_ne!(difference["logged"], difference["replayed"], "{dump}");
        let keys: Vec<&str> = dump["changes"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|change| change["key"].as_str())
            .collect();
        assert_eq!(keys, ["asset/bond:A", "holding/bond:A/acct:alice"], "{dump}");
        assert!(dump["changes"][1]["before"].is_null() && dump["changes"][1]["after"].is_string(), "{dump}");
        assert!(dump["entry"]["body"].as_str().is_some_and(|body| body.contains(field)), "{dump}");
    }
}

#[tokio::test]
async fn a_standby_that_computes_something_else_than_the_log_says_stops_and_leaves_a_dump() {
    let bed = Bed::new(&["base"]).await;
    let leader = bed.start();
    leader.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    let standby = bed.start();
    eventually("it stands by", async || (standby.healthcheck(&bed).await == 0).then_some(())).await;
    standby.signal("-STOP");
    bed.decide(mint("bond:A", "acct:alice", 5)).await;
    leader.reach_head(&bed).await;
    let last = bed.link().head().await.expect("reads").seq;
    forge_last(&bed, "root", json!(format!("0x{}", "11".repeat(32)))).await;
    standby.signal("-CONT");
    let node = standby.node().await;
    ends_with_4(standby, &format!("entry {last}: field root differs from the replay's at /root")).await;
    let dump = bed.path("data").join(node).join(format!("divergence-financial-{last}.json"));
    assert!(dump.exists(), "{}", dump.display());
}

#[tokio::test]
async fn a_changed_entry_is_found_by_its_digest() {
    let bed = used().await;
    let last = bed.link().head().await.expect("reads").seq;
    // No replay computes who wrote it, so that nothing else finds it.
    change_last(&bed, "node", json!("somebody"), |_| {}).await;
    let other = bed.path("other").display().to_string();
    let validator = bed.start_with(&[("OSS__DATA_DIR", &other)]);
    ends_with_4(validator, &format!("entry {last} has another digest than its content")).await;
}

#[tokio::test]
async fn a_changed_last_entry_is_found_by_the_own_copy() {
    let bed = used().await;
    let last = bed.link().head().await.expect("reads").seq;
    forge_last(&bed, "time_ms", json!(1)).await;
    ends_with_4(bed.start(), &format!("entry {last} has digest")).await;
}

#[tokio::test]
async fn a_new_process_rebuilds_everything_from_an_untrimmed_log() {
    let bed = used().await;
    let entries: Vec<Entry> = log(&bed)
        .await
        .into_iter()
        .map(|logged| Entry { seq: logged.seq, prev: logged.prev, digest: logged.digest, body: logged.body })
        .collect();
    let other = bed.path("other").display().to_string();
    let validator = bed.start_with(&[("OSS__DATA_DIR", &other)]);
    validator.ready().await;
    let rebuilt: Vec<Entry> =
        crate::audit::log(&validator).await.into_iter().map(|(entry, _)| entry).collect();
    assert_eq!(rebuilt, entries);
    assert_eq!(validator.get("/v1/holdings/bond:A/acct:alice").await.body["balance"], "5");
}
