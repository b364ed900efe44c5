//! kill -9 at every step, then a restart: the log is gapless, nothing is lost, nothing happens twice.

use common::ids::Rid;
use common::link::{Fence, SendTo};
use common::message::{About, Body, Message};
use common::request::SyncRequest;
use common::status::{Delivery, OutcomeKind, Status};

use crate::audit;
use crate::bed::{Bed, SHARD, Validator, eventually, mint, register, tenant, transfer};

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

/// Waits until `done` holds or nobody is left to bring it about.
async fn unless_ended(doomed: &mut Validator, what: &str, mut done: impl AsyncFnMut() -> bool) {
    eventually(what, async || (done().await || doomed.has_ended()).then_some(())).await;
}

/// Finishes what is in the target's outbox, entry by entry, each consumed before the next comes.
async fn finish_all(bed: &Bed, doomed: &mut Validator, fence: &Fence, target: &str) {
    for seq in bed.outbox(target).await {
        bed.finish(fence, target, seq, Delivery::Final).await;
        unless_ended(doomed, "the receipt is consumed", async || {
            bed.link().backlog().await.expect("reads").receipts == 0
        })
        .await;
    }
}

/// A load whose entries are always the same, after the four with the shards' targets: REGISTER, the receipt of
/// each of its two targets, a CANCEL that comes before its request, that request, a MINT and its receipts. Whatever
/// the process does not live to see waits in Redis.
async fn load_with_receipts(bed: &Bed, doomed: &mut Validator, lanes: &[(&str, Fence); 2]) -> Rid {
    let settle = async |bed: &Bed, doomed: &mut Validator, rid: Rid| {
        unless_ended(doomed, "decided", async || {
            bed.record(rid).await.status.rank() >= Status::Committed.rank()
        })
        .await;
    };
    let deliver = async |bed: &Bed, doomed: &mut Validator| {
        for (target, fence) in lanes {
            unless_ended(doomed, "relayed", async || !bed.outbox(target).await.is_empty()).await;
            finish_all(bed, doomed, fence, target).await;
        }
    };
    let register = bed.submit(register("bond:A", &["base", "op"])).await;
    settle(bed, doomed, register).await;
    deliver(bed, doomed).await;
    let (cancelled, request) = (Rid::fresh(SHARD), mint("bond:A", "acct:mallory", 1_000));
    let fp = SyncRequest::parse(&request).expect("a valid request").fingerprint();
    let about = About { rid: cancelled, tenant: tenant(), fp, accepted_ms: None };
    let id = format!("cancel:{cancelled}");
    let message = Message { id: id.clone(), traceparent: None, body: Body::Cancel { about } };
    let sent = bed.link().send(SendTo::Express, &id, &message.encode(), 1_000).await.expect("sends");
    assert!(matches!(sent, common::link::Sent::Ok { .. }), "{sent:?}");
    unless_ended(doomed, "the cancel is consumed", async || {
        bed.link().backlog().await.expect("reads").express == 0
    })
    .await;
    bed.submit_as(&tenant(), cancelled, request).await;
    settle(bed, doomed, cancelled).await;
    let mint = bed.submit(mint("bond:A", "acct:alice", 10)).await;
    settle(bed, doomed, mint).await;
    deliver(bed, doomed).await;
    cancelled
}

/// Dies at `point` around entries that consume receipts and a cancel, starts again: every delivery counts once,
/// the cancelled request has no effect.
async fn survives_with_receipts(point: &str) {
    let bed = Bed::new(&["base", "op"]).await;
    let mut doomed = bed.start_with(&[("OSS_CRASH_POINT", point), ("OSS__LOG__KEEP_ENTRIES", "0")]);
    let lanes = [("base", bed.lane("base").await), ("op", bed.lane("op").await)];
    let cancelled = load_with_receipts(&bed, &mut doomed, &lanes).await;
    assert_eq!(doomed.exit().await, None, "{point}: must die by a signal\n{}", doomed.log());

    let mut validator = bed.start();
    validator.ready().await;
    let submitted = bed.submitted.lock().expect("lock").clone();
    for rid in submitted.keys() {
        bed.decided(*rid).await;
    }
    // What was not relayed or finished when the process died is now.
    eventually("everything is delivered", async || {
        for (target, fence) in &lanes {
            finish_all(&bed, &mut validator, fence, target).await;
        }
        for rid in submitted.keys().filter(|rid| **rid != cancelled) {
            if bed.record(*rid).await.status != Status::Completed {
                return None;
            }
        }
        Some(())
    })
    .await;
    validator.reach_head(&bed).await;
    let entries = audit::log(&validator).await;
    audit::check(&entries, &submitted);
    let receipts = entries.iter().flat_map(|(_, body)| &body.inputs);
    let receipts = receipts.filter(|input| input.s == common::entry::InputStream::Receipts).count();
    assert_eq!(receipts, 4, "{point}: two entries on two targets, each receipt logged once");
    let record = bed.record(cancelled).await;
    assert_eq!((record.status, record.outcome), (Status::Cancelled, Some(OutcomeKind::Cancelled)), "{point}");
    let asset = validator.get("/v1/assets/bond:A").await.body;
    assert_eq!((asset["supply"].as_str(), asset["version"].as_u64()), (Some("10"), Some(2)), "{point}");
}

// Entries 1 to 4 are the shards' targets, 5 is REGISTER, 6 and 7 are its receipts, 8 is the CANCEL, 9 the request that
// was cancelled, 10 MINT, 11 and 12 its receipts.
#[tokio::test]
async fn a_crash_around_an_entry_that_consumes_a_receipt_counts_every_delivery_once() {
    for point in [
        "validator.after_read:6",
        "validator.before_commit:7",
        "link.commit.before:6",
        "link.commit.after:7",
        "validator.after_commit:6",
        "validator.after_commit:12",
        "validator.after_view:7",
    ] {
        survives_with_receipts(point).await;
    }
}

#[tokio::test]
async fn a_crash_around_the_entry_of_a_cancel_neither_loses_it_nor_applies_its_request() {
    for point in [
        "validator.before_commit:8",
        "link.commit.after:8",
        "validator.after_commit:8",
        "validator.after_view:9",
    ] {
        survives_with_receipts(point).await;
    }
}
