//! `Prefer: wait`, ETags and long polling.

use std::time::{Duration, Instant};

use common::ids::Shard;
use common::status::{OutcomeKind, Status};

use crate::bed::{Bed, Leader, mint, until};

#[actix_rt::test]
async fn a_waiting_post_is_answered_by_the_commit_not_by_the_clock() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let link = bed.link(Shard::Financial).await;
    let mut leader = Leader::new(link.clone()).await;
    // The watcher reads from `$`, so a warm-up commit shows that it is following.
    let begun = Instant::now();
    let (body, headers) = (mint("X"), [("prefer", "wait=30"), ("idempotency-key", "k")]);
    let posted = bed.post(&collector, &body, &headers);
    let decided = async {
        until("the request is in", async || bed.records() == 1).await;
        // A waiter re-reads every 2 s; committing well inside the first round leaves only the wake-up.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let rid =
            common::ids::Rid::from_key(&"demo".parse().unwrap(), &"k".parse().unwrap(), Shard::Financial);
        leader.decide(rid, Status::Committed, OutcomeKind::Applied, None).await
    };
    let (answer, seq) = futures_util::join!(posted, decided);
    assert!(begun.elapsed() < Duration::from_millis(1_900), "{:?}", begun.elapsed());
    assert_eq!((answer.status, answer.body["status"].as_str()), (200, Some("committed")));
    assert_eq!((answer.body["seq"].as_u64(), answer.body["outcome"].as_str()), (Some(seq), Some("APPLIED")));
    assert_eq!(answer.header("preference-applied"), Some("wait=30"));
    assert_eq!(answer.header("vary"), Some("Prefer"));
    collector.stop().await;
}

#[actix_rt::test]
async fn a_wait_without_a_leader_ends_in_202_and_a_rejection_ends_it_with_its_code() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let begun = Instant::now();
    let answer = bed.post(&collector, &mint("X"), &[("prefer", "wait=1")]).await;
    assert_eq!((answer.status, answer.body["status"].as_str()), (202, Some("accepted")));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    leader.decide(answer.rid(), Status::Rejected, OutcomeKind::Rejected, Some("INSUFFICIENT_BALANCE")).await;
    let shown = bed.get(&collector, answer.rid(), &[("prefer", "wait=30")]).await;
    assert_eq!((shown.status, shown.body["code"].as_str()), (200, Some("INSUFFICIENT_BALANCE")));
    collector.stop().await;
}

#[actix_rt::test]
async fn the_end_of_the_service_answers_those_who_wait() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let begun = Instant::now();
    let (body, headers) = (mint("X"), [("prefer", "wait=30")]);
    let base = collector.base.clone();
    let posting = bed.client.post(format!("{base}/v1/sync-requests")).bearer_auth(crate::bed::SUBMIT);
    let posting = posting.header("content-type", "application/json").header(headers[0].0, headers[0].1);
    let ending = async {
        until("the request is in", async || bed.records() == 1).await;
        collector.stop().await;
    };
    let (answer, ()) = futures_util::join!(posting.body(body.to_string()).send(), ending);
    assert_eq!(answer.expect("an answer").status(), 202);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[actix_rt::test]
async fn until_completed_waits_past_the_commit() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    leader.decide(rid, Status::Committed, OutcomeKind::Applied, None).await;
    let url = format!("{}/v1/sync-requests/{rid}", collector.base);
    let wait = async |query: &'static str, seconds: &'static str| {
        bed.ask(reqwest::Method::GET, crate::bed::READ, format!("{url}{query}"), &[("prefer", seconds)]).await
    };
    assert_eq!(wait("", "wait=30").await.body["status"], "committed");
    let begun = Instant::now();
    assert_eq!(wait("?until=completed", "wait=1").await.body["status"], "committed");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let completing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        leader.decide(rid, Status::Completed, OutcomeKind::Applied, None).await
    };
    let (shown, _) = futures_util::join!(wait("?until=completed", "wait=30"), completing);
    assert_eq!(shown.body["status"], "completed");
    collector.stop().await;
}

#[actix_rt::test]
async fn an_unchanged_request_is_304_and_a_long_poll_ends_with_the_change() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let posted = bed.post(&collector, &mint("X"), &[]).await;
    let rid = posted.rid();
    let etag = bed.get(&collector, rid, &[]).await.header("etag").unwrap().to_owned();
    let known = [("if-none-match", etag.as_str())];
    assert_eq!(bed.get(&collector, rid, &known).await.status, 304);
    let polling = [("if-none-match", etag.as_str()), ("prefer", "wait=1")];
    assert_eq!(bed.get(&collector, rid, &polling).await.status, 304);
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let polling = [("if-none-match", etag.as_str()), ("prefer", "wait=30")];
    let deciding = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        leader.decide(rid, Status::Rejected, OutcomeKind::Rejected, Some("X")).await
    };
    let (changed, _) = futures_util::join!(bed.get(&collector, rid, &polling), deciding);
    assert_eq!((changed.status, changed.body["status"].as_str()), (200, Some("rejected")));
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    collector.stop().await;
}
