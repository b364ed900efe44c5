//! kill -9 at every step, then a restart: the log is gapless, nothing is lost, nothing happens twice.

use common::status::Status;

use crate::audit;
use crate::bed::{Bed, Validator, eventually, mint, register, transfer};

/// Submits a mixed load: what is applied, and what is rejected because of what was applied before it. The first
/// requests come one by one as long as somebody decides them, so that there are several entries.
async fn load(bed: &Bed, doomed: &mut Validator) {
    for first in [register("bond:A", &["base", "op"]), register("bond:B", &["op"])] {
        let rid = bed.submit(first).await;
        eventually("decided, or nobody is left to decide", async || {
            let decided = bed.record(rid).await.status.rank() >= Status::Committed.rank();
            (decided || doomed.has_ended()).then_some(())
        })
        .await;
    }
    for n in 0..12 {
        bed.submit(mint("bond:A", "acct:alice", 10)).await;
        bed.submit(transfer("bond:A", "acct:alice", "acct:bob", if n % 3 == 0 { 1_000_000 } else { 5 }))
            .await;
        bed.submit(mint("bond:B", "acct:carol", 1)).await;
    }
}

/// Dies at `point` under load, starts again, and everything must be as if it had not died.
async fn survives(point: &str) {
    let bed = Bed::new(&["base", "op"]).await;
    let trim_all = ("OSS__LOG__KEEP_ENTRIES", "0");
    let mut doomed = bed.start_with(&[("OSS_CRASH_POINT", point), trim_all]);
    load(&bed, &mut doomed).await;
    assert_eq!(doomed.exit().await, None, "{point}: must die by a signal\n{}", doomed.log());

    let validator = bed.start_with(&[trim_all]);
    validator.ready().await;
    let submitted = bed.submitted.lock().expect("lock").clone();
    for rid in submitted.keys() {
        bed.decided(*rid).await;
    }
    validator.reach_head(&bed).await;
    let entries = audit::log(&validator).await;
    audit::check(&entries, &submitted);
    let head = entries.len() as u64;
    eventually("everything is relayed", async || {
        let marks = bed.link().head().await.expect("reads").watermarks;
        (marks.len() == 2 && marks.values().all(|mark| *mark == head)).then_some(())
    })
    .await;
    audit::check_outbox(&bed, "base", &entries).await;
    audit::check_outbox(&bed, "op", &entries).await;
    let asset = validator.get("/v1/assets/bond:A").await;
    assert_eq!(
        (asset.body["supply"].as_str(), asset.body["version"].as_u64()),
        (Some("120"), Some(21)),
        "{point}"
    );
    let balance = validator.get("/v1/holdings/bond:A/acct:bob").await;
    assert_eq!(balance.body["balance"], "40", "{point}");
}

#[tokio::test]
async fn a_crash_before_or_after_commit_loses_nothing_and_repeats_nothing() {
    for point in [
        "validator.after_read:2",
        "validator.before_commit:2",
        "link.commit.before:2",
        "link.commit.after:2",
        "validator.after_commit:1",
        "validator.after_commit:2",
        "validator.after_view:2",
    ] {
        survives(point).await;
    }
}

#[tokio::test]
async fn a_crash_before_or_after_relay_loses_nothing_and_repeats_nothing() {
    for point in [
        "validator.before_relay:2",
        "link.relay.before:1",
        "link.relay.after:1",
        "link.relay.after:3",
        "validator.after_relay:2",
    ] {
        survives(point).await;
    }
}

#[tokio::test]
async fn a_crash_while_starting_leading_or_trimming_loses_nothing() {
    for point in [
        "link.init.after:1",
        "link.lease.after:1",
        "validator.before_start_target:1",
        "link.start.after:2",
        "link.trim.before:1",
        "link.trim.after:1",
    ] {
        survives(point).await;
    }
}
