//! The whole path: requests in, entries, statuses and outboxes out; restarts and rebuilds give the same.

use common::entry::EntryKind;
use common::status::{Delivery, OutcomeKind, Status};
use serde_json::{Value, json};

use crate::audit;
use crate::bed::{Bed, Validator, change, eventually, mint, register, transfer};

#[tokio::test]
async fn requests_become_entries_statuses_and_work_for_their_targets_until_receipts_complete_them() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let registered = bed.submit(register("bond:A", &["base", "op"])).await;
    let record = bed.decided(registered).await;
    assert_eq!((record.status, record.outcome), (Status::Committed, Some(OutcomeKind::Applied)));
    let entry = record.seq.expect("a seq");
    let rejected = bed.decide(transfer("bond:A", "acct:alice", "acct:bob", 1)).await;
    assert_eq!((rejected.status, rejected.outcome), (Status::Rejected, Some(OutcomeKind::Rejected)));
    assert_eq!(rejected.code.as_deref(), Some("INSUFFICIENT_BALANCE"));
    assert!(rejected.ended_ms.is_some());

    validator.reach_head(&bed).await;
    let entries = audit::log(&validator).await;
    audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    assert_eq!(entries[0].1.kind, EntryKind::Targets, "the targets come first");
    eventually("relayed", async || (bed.outbox("op").await == [entry]).then_some(())).await;
    audit::check_outbox(&bed, "base", &entries).await;
    assert_eq!(bed.link().backlog().await.expect("reads").input, 0, "COMMIT consumes its inputs");

    for target in ["base", "op"] {
        assert_eq!(bed.record(registered).await.status, Status::Committed, "{target} is still to come");
        let lane = bed.lane(target).await;
        bed.finish(&lane, target, entry, Delivery::Final).await;
        if target == "base" {
            eventually("the first receipt is in the log", async || {
                (bed.link().backlog().await.expect("reads").receipts == 0).then_some(())
            })
            .await;
        }
    }
    eventually("completed", async || {
        (bed.record(registered).await.status == Status::Completed).then_some(())
    })
    .await;
    validator.reach_head(&bed).await;
    let decision = validator.get(&format!("/v1/decisions/{registered}")).await;
    assert_eq!(
        (&decision.body["outcome"], &decision.body["status"]),
        (&"APPLIED".into(), &"completed".into())
    );
}

/// Everything a reader can see of the state.
async fn seen(validator: &Validator) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "/v1/shards/financial/log?limit=1000",
        "/v1/assets/bond:A",
        "/v1/assets/bond:B",
        "/v1/holdings/bond:A/acct:alice",
        "/v1/holdings/bond:A/acct:bob",
        "/v1/holdings/bond:A/acct:bob/proof?seq=4",
        "/v1/assets/bond:A?seq=3",
        "/v1/assets/bond:A/proof?chain=base",
    ] {
        let answer = validator.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        seen.push(answer.body);
    }
    let mut shard = validator.get("/v1/shards/financial").await.body;
    shard.as_object_mut().expect("an object").remove("watermarks");
    seen.push(shard);
    seen
}

/// A bed with a few entries, one of them final on a target.
async fn with_history() -> (Bed, Validator) {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let first = bed.decide(register("bond:A", &["base"])).await.seq.expect("a seq");
    bed.decide(register("bond:B", &["base"])).await;
    bed.decide(mint("bond:A", "acct:alice", 100)).await;
    bed.decide(transfer("bond:A", "acct:alice", "acct:bob", 40)).await;
    bed.decide(transfer("bond:A", "acct:alice", "acct:bob", 1_000)).await;
    eventually("relayed", async || (bed.outbox("base").await.first() == Some(&first)).then_some(())).await;
    let lane = bed.lane("base").await;
    bed.finish(&lane, "base", first, Delivery::Final).await;
    eventually("the receipt is in the log", async || {
        (bed.link().backlog().await.expect("reads").receipts == 0).then_some(())
    })
    .await;
    // The entry after the receipt's: what follows sees all of it.
    bed.decide(mint("bond:A", "acct:bob", 2)).await;
    validator.reach_head(&bed).await;
    (bed, validator)
}

#[tokio::test]
async fn a_restart_shows_exactly_the_same_state_old_roots_and_old_proofs() {
    let (bed, validator) = with_history().await;
    let before = seen(&validator).await;
    validator.stop().await;
    let again = bed.start();
    again.ready().await;
    assert_eq!(again.node().await, "validator-1", "the same folder is found again");
    assert_eq!(seen(&again).await, before);
}

#[tokio::test]
async fn a_deleted_view_is_rebuilt_from_the_archive_to_exactly_the_same() {
    let (bed, validator) = with_history().await;
    let before = seen(&validator).await;
    validator.stop().await;
    assert_eq!(bed.run(&["rebuild-view"]), 0);
    // The archive is enough: nothing of what it holds is read from Redis.
    bed.redis.command(&["XTRIM", "{oss:financial}:log", "MAXLEN", "1"]).expect("trims");
    let again = bed.start();
    again.ready().await;
    assert_eq!(seen(&again).await, before);
    let restored = again.log();
    assert!(restored.contains("Replayed entries"), "{restored}");
}

#[tokio::test]
async fn a_deleted_view_comes_back_from_a_checkpoint_to_exactly_the_same() {
    let (bed, validator) = with_history().await;
    let before = seen(&validator).await;
    validator.stop().await;
    let often = bed.start_with(&[("OSS__CHECKPOINT__EVERY_ENTRIES", "1")]);
    often.ready().await;
    often.says("Wrote a checkpoint").await;
    often.stop().await;
    assert_eq!(bed.run(&["rebuild-view"]), 0);
    let again = bed.start();
    again.ready().await;
    assert_eq!(seen(&again).await, before);
    let restored = again.log();
    assert!(restored.contains("Took a checkpoint"), "{restored}");
}

#[tokio::test]
async fn a_kill_between_two_syncs_is_made_good_from_the_log() {
    let bed = Bed::new(&["base"]).await;
    // Nothing is synced by itself, so the kill takes every write; and what is not synced is never trimmed,
    // however eagerly everything else would be.
    let eager =
        [("OSS__VIEW__SYNC_MS", "3600000"), ("OSS__LOG__KEEP_ENTRIES", "0"), ("OSS__LOG__TRIM_MS", "5")];
    let mut validator = bed.start_with(&eager);
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    bed.decide(mint("bond:A", "acct:alice", 7)).await;
    for _ in 0..5 {
        bed.decide(change("bond:A", json!({"kind": "SET_DATA", "terms": {"n": "1"}}))).await;
    }
    validator.reach_head(&bed).await;
    let root = validator.get("/v1/shards/financial").await.body["root"].clone();
    validator.kill();
    let again = bed.start();
    again.ready().await;
    let shard = again.get("/v1/shards/financial").await;
    assert_eq!(shard.body["root"], root);
    assert_eq!(again.get("/v1/holdings/bond:A/acct:alice").await.body["balance"], "7");
}

#[tokio::test]
async fn the_log_in_redis_is_trimmed_to_what_is_on_disk_and_the_archive_stays_whole() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start_with(&[("OSS__LOG__KEEP_ENTRIES", "2")]);
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    for _ in 0..8 {
        bed.decide(mint("bond:A", "acct:alice", 1)).await;
    }
    eventually("trimmed", async || (bed.link().backlog().await.expect("reads").log <= 2).then_some(())).await;
    validator.reach_head(&bed).await;
    let entries = audit::log(&validator).await;
    audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    assert!(entries.len() >= 10);
}

#[tokio::test]
async fn a_full_outbox_stops_only_its_own_target() {
    let bed = Bed::new(&["dead", "live"]).await;
    let validator = bed.start_with(&[("OSS__RELAY__OUT_MAX", "3"), ("OSS__LOG__KEEP_ENTRIES", "0")]);
    validator.ready().await;
    bed.decide(register("bond:A", &["dead", "live"])).await;
    let lane = bed.lane("live").await;
    let mut last = 0;
    for _ in 0..10 {
        last = bed.decide(mint("bond:A", "acct:alice", 1)).await.seq.expect("a seq");
        // The live target keeps up, the dead one finishes nothing.
        eventually("the live target gets the entry", async || {
            let waiting = bed.outbox("live").await;
            for seq in &waiting {
                bed.finish(&lane, "live", *seq, Delivery::Final).await;
            }
            let marks = bed.link().head().await.expect("reads").watermarks;
            (marks.get("live") >= Some(&last)).then_some(())
        })
        .await;
    }
    assert_eq!(bed.outbox("dead").await.len(), 3);
    let pipeline = validator.get("/v1/pipeline").await;
    let shard = &pipeline.body["shards"][0];
    assert!(
        shard["targets"]["dead"]["lag"].as_u64() > Some(0)
            && shard["targets"]["dead"]["outbox_full"].as_u64() > Some(0)
    );
    assert_eq!(shard["backlog"]["in"], 0, "intake goes on");
    // What waited comes from the archive, as the log is trimmed: in order, each entry once.
    let lane = bed.lane("dead").await;
    let mut got = Vec::new();
    eventually("the dead target catches up", async || {
        for seq in bed.outbox("dead").await {
            bed.finish(&lane, "dead", seq, Delivery::Final).await;
            got.push(seq);
        }
        (got.last() == Some(&last)).then_some(())
    })
    .await;
    validator.reach_head(&bed).await;
    let entries = audit::log(&validator).await;
    let named = entries.iter().filter(|(_, body)| !body.updates.is_empty() && body.seq <= last);
    assert_eq!(got, named.map(|(_, body)| body.seq).collect::<Vec<u64>>());
}
