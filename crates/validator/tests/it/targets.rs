//! The targets file: logged before anything else, whenever it differs from the log; and the rewind command.

use common::entry::EntryKind;
use common::status::{Delivery, Status};
use common::targets::Targets;
use reqwest::{Method, StatusCode};

use crate::audit;
use crate::bed::{Bed, Validator, eventually, mint, name, register};

async fn kinds(bed: &Bed, validator: &Validator) -> Vec<EntryKind> {
    validator.reach_head(bed).await;
    audit::log(validator).await.iter().map(|(_, body)| body.kind).collect()
}

async fn logged_targets(bed: &Bed) -> Option<String> {
    bed.link().head().await.expect("reads").targets.map(|digest| digest.to_string())
}

fn digest_of_file(bed: &Bed) -> String {
    Targets::load(&bed.path("targets.json")).expect("loads").digest().to_string()
}

#[tokio::test]
async fn the_file_is_logged_once_at_the_start_and_not_again_at_the_next() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    eventually("logged", async || (logged_targets(&bed).await == Some(digest_of_file(&bed))).then_some(()))
        .await;
    assert_eq!(kinds(&bed, &validator).await, [EntryKind::Targets]);
    validator.stop().await;
    let again = bed.start();
    again.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    assert_eq!(kinds(&bed, &again).await, [EntryKind::Targets, EntryKind::Batch]);
}

#[tokio::test]
async fn a_changed_file_is_logged_while_running_and_a_new_target_starts_after_that_entry() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    bed.write_targets(&["base", "op"]);
    eventually("logged", async || (logged_targets(&bed).await == Some(digest_of_file(&bed))).then_some(()))
        .await;
    let entry = bed.decide(register("bond:B", &["base", "op"])).await.seq.expect("a seq");
    eventually("relayed to both", async || (bed.outbox("op").await == [entry]).then_some(())).await;
    eventually("relayed to both", async || (bed.outbox("base").await.last() == Some(&entry)).then_some(()))
        .await;
    assert_eq!(
        kinds(&bed, &validator).await,
        [EntryKind::Targets, EntryKind::Batch, EntryKind::Targets, EntryKind::Batch]
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    std::fs::write(bed.path("targets.json"), "{").expect("writes");
    eventually("not ready", async || (!validator.is_ready().await).then_some(())).await;
    let record = bed.decide(register("bond:A", &["base"])).await;
    assert_eq!(record.status, Status::Committed);
    bed.write_targets(&["base"]);
    eventually("ready again", async || validator.is_ready().await.then_some(())).await;
    assert_eq!(kinds(&bed, &validator).await, [EntryKind::Targets, EntryKind::Batch]);
}

#[tokio::test]
async fn requests_that_wait_for_a_target_fail_when_it_is_retired_and_later_ones_do_not_wait_for_it() {
    let bed = Bed::new(&["base", "gone"]).await;
    let validator = bed.start();
    validator.ready().await;
    let rid = bed.submit(register("bond:A", &["base", "gone"])).await;
    let entry = bed.decided(rid).await.seq.expect("a seq");
    eventually("relayed", async || (bed.outbox("base").await == [entry]).then_some(())).await;
    let lane = bed.lane("base").await;
    bed.finish(&lane, "base", entry, Delivery::Final).await;
    bed.write_targets_with_retired(&["base"], &["gone"]);
    let record = eventually("ended", async || {
        let record = bed.record(rid).await;
        record.status.is_end().then_some(record)
    })
    .await;
    assert_eq!((record.status, record.code.as_deref()), (Status::Failed, Some("DELIVERY_FAILED")));

    let later = bed.submit(mint("bond:A", "acct:alice", 1)).await;
    let entry = bed.decided(later).await.seq.expect("a seq");
    eventually("relayed", async || bed.outbox("base").await.contains(&entry).then_some(())).await;
    bed.finish(&lane, "base", entry, Delivery::Final).await;
    eventually("completed", async || (bed.record(later).await.status == Status::Completed).then_some(()))
        .await;
    validator.reach_head(&bed).await;
    let proof = validator.get("/v1/assets/bond:A/proof").await;
    assert_eq!((proof.status, proof.body["seq"].as_u64()), (StatusCode::OK, Some(entry)), "{proof:?}");
    audit::check(&audit::log(&validator).await, &bed.submitted.lock().expect("lock").clone());
}

#[tokio::test]
async fn a_target_that_vanishes_from_the_file_is_missed_and_loses_nothing() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let first = bed.submit(register("bond:A", &["base", "op"])).await;
    let first_entry = bed.decided(first).await.seq.expect("a seq");
    bed.write_targets(&["base"]);
    let why = eventually("not ready", async || {
        let answer = validator.admin("/readyz").await.1.to_string();
        answer.contains("target op is missing").then_some(answer)
    })
    .await;
    assert!(why.contains("retired"), "it says what to do instead: {why}");
    let second = bed.submit(mint("bond:A", "acct:alice", 1)).await;
    let second_entry = bed.decided(second).await.seq.expect("a seq");
    eventually("still relayed to both", async || {
        (bed.outbox("op").await == [first_entry, second_entry]).then_some(())
    })
    .await;
    assert_eq!(bed.record(first).await.status, Status::Committed, "nothing was given up");
    bed.write_targets(&["base", "op"]);
    eventually("ready again", async || validator.is_ready().await.then_some(())).await;
    // One that was given up does not come back, whatever the file says.
    bed.write_targets_with_retired(&["base"], &["op"]);
    eventually("ended", async || (bed.record(second).await.status == Status::Failed).then_some(())).await;
    bed.write_targets(&["base", "op"]);
    eventually("refused", async || {
        validator
            .admin("/readyz")
            .await
            .1
            .to_string()
            .contains("op was retired and cannot come back")
            .then_some(())
    })
    .await;
    let all = kinds(&bed, &validator).await;
    assert_eq!(all.iter().filter(|kind| **kind == EntryKind::Targets).count(), 2);
}

#[tokio::test]
async fn a_rewind_relays_what_the_target_has_not_finished_again_and_once() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let first = bed.decide(register("bond:A", &["base"])).await.seq.expect("a seq");
    let second = bed.decide(mint("bond:A", "acct:alice", 1)).await.seq.expect("a seq");
    let third = bed.decide(mint("bond:A", "acct:alice", 1)).await.seq.expect("a seq");
    eventually("relayed", async || (bed.outbox("base").await == [first, second, third]).then_some(())).await;
    let lane = bed.lane("base").await;
    bed.finish(&lane, "base", first, Delivery::Final).await;
    eventually("the receipt is in the log", async || {
        (bed.link().backlog().await.expect("reads").receipts == 0).then_some(())
    })
    .await;

    let path = "/v1/targets/base/rewind?shard=financial";
    let headers = [("Idempotency-Key", "again-1")];
    let answer = validator.ask(Method::POST, path, "operate", &headers).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let rid = answer.body["rid"].as_str().expect("a rid").to_owned();
    let decision = eventually("decided", async || {
        let answer = validator.get(&format!("/v1/decisions/{rid}")).await;
        (answer.status == StatusCode::OK).then_some(answer.body)
    })
    .await;
    assert_eq!(decision["outcome"], "APPLIED");
    let ordered_by = decision["seq"].as_u64();
    eventually("rewound", async || {
        (bed.link().head().await.expect("reads").rewinds.get("base").copied() == ordered_by).then_some(())
    })
    .await;
    eventually("relayed again", async || (bed.outbox("base").await == [second, third]).then_some(())).await;

    let repeated = validator.ask(Method::POST, path, "operate", &headers).await;
    assert_eq!((repeated.status, repeated.body["rid"].as_str()), (StatusCode::ACCEPTED, Some(rid.as_str())));
    for (key, headers, expected) in
        [("read", &headers[..], StatusCode::FORBIDDEN), ("operate", &[][..], StatusCode::BAD_REQUEST)]
    {
        assert_eq!(validator.ask(Method::POST, path, key, headers).await.status, expected, "{key}");
    }
    let unknown = "/v1/targets/nowhere/rewind?shard=financial";
    assert_eq!(validator.ask(Method::POST, unknown, "operate", &headers).await.status, StatusCode::NOT_FOUND);
    let marks = bed.link().head().await.expect("reads").rewinds;
    assert_eq!(marks.get(name("base").as_str()).copied(), ordered_by, "the repeat ordered nothing");
}

/// Orders a rewind of `base`, and waits until it is decided and carried out.
async fn rewind(bed: &Bed, validator: &Validator) {
    let path = "/v1/targets/base/rewind?shard=financial";
    let headers = [("Idempotency-Key", "again")];
    let answer = validator.ask(Method::POST, path, "operate", &headers).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    eventually("rewound", async || {
        bed.link().head().await.expect("reads").rewinds.contains_key("base").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rewind_with_nothing_to_relay_is_carried_out_all_the_same() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    rewind(&bed, &validator).await;
    let entry = bed.decide(register("bond:A", &["base"])).await.seq.expect("a seq");
    eventually("relayed", async || (bed.outbox("base").await == [entry]).then_some(())).await;
}

#[tokio::test]
async fn a_rewind_does_not_relay_what_the_target_has_finished_between_the_others() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let first = bed.decide(register("bond:A", &["base"])).await.seq.expect("a seq");
    let second = bed.decide(mint("bond:A", "acct:alice", 1)).await.seq.expect("a seq");
    let third = bed.decide(mint("bond:A", "acct:alice", 1)).await.seq.expect("a seq");
    eventually("relayed", async || (bed.outbox("base").await == [first, second, third]).then_some(())).await;
    let lane = bed.lane("base").await;
    bed.finish(&lane, "base", second, Delivery::Final).await;
    eventually("the receipt is in the log", async || {
        (bed.link().backlog().await.expect("reads").receipts == 0).then_some(())
    })
    .await;
    rewind(&bed, &validator).await;
    eventually("relayed again up to the head", async || {
        let head = bed.link().head().await.expect("reads");
        (head.watermarks.get("base") == Some(&head.seq)).then_some(())
    })
    .await;
    assert_eq!(bed.outbox("base").await, [first, third]);
}

/// How many entries were built for `base`.
async fn prepared(validator: &Validator) -> u64 {
    let page = validator.metrics().await;
    let lines = page.lines().filter(|line| line.starts_with("oss_validator_relay_prepared_total"));
    let values = lines.filter(|line| line.contains(r#"target="base""#));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn a_full_outbox_is_asked_again_without_building_its_entries_again() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start_with(&[("OSS__RELAY__OUT_MAX", "2"), ("OSS__RELAY__FULL_RETRY_MS", "5")]);
    validator.ready().await;
    let mut entries = vec![bed.decide(register("bond:A", &["base"])).await.seq.expect("a seq")];
    for _ in 0..5 {
        entries.push(bed.decide(mint("bond:A", "acct:alice", 1)).await.seq.expect("a seq"));
    }
    let full = async || {
        let answer = validator.get("/v1/pipeline").await;
        answer.body["shards"][0]["targets"]["base"]["outbox_full"].as_u64().unwrap_or(0)
    };
    eventually("it was found full several times", async || (full().await >= 6).then_some(())).await;
    assert_eq!(bed.outbox("base").await, entries[..2]);
    // A healthy lane of the same thread goes on.
    let other = bed.decide(register("bond:B", &["op"])).await.seq.expect("a seq");
    eventually("relayed", async || (bed.outbox("op").await == [other]).then_some(())).await;

    let lane = bed.lane("base").await;
    for entry in &entries {
        eventually("relayed", async || bed.outbox("base").await.contains(entry).then_some(())).await;
        bed.finish(&lane, "base", *entry, Delivery::Final).await;
    }
    assert_eq!(prepared(&validator).await, entries.len() as u64, "each was built once");
}
