//! Two processes: one leads; a leader that was away too long writes nothing when it comes back (I6).

use std::collections::BTreeSet;

use reqwest::StatusCode;

use crate::audit;
use crate::bed::{Bed, eventually, mint, register};

#[tokio::test]
async fn a_second_process_waits_not_ready_and_says_that_it_does_not_lead() {
    let bed = Bed::new(&["base"]).await;
    let first = bed.start();
    first.ready().await;
    let second = bed.start();
    assert_eq!(
        (first.node().await, second.node().await),
        ("validator-1".to_owned(), "validator-2".to_owned())
    );
    let answer = second.get("/v1/assets/bond:A").await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"no_leader".into()));
    assert!(answer.oss_seq.is_some(), "every answer carries OSS-Seq");
    // Alive and not ready while the lease is another's; ready soon after it was given back.
    assert!(!second.is_ready().await && first.is_ready().await);
    first.stop().await;
    second.ready().await;
}

#[tokio::test]
async fn a_leader_that_slept_through_its_lease_writes_nothing_afterwards() {
    let bed = Bed::new(&["base"]).await;
    let first = bed.start();
    first.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    let second = bed.start();
    second.node().await;
    first.signal("-STOP");
    // These wait: nobody leads until the lease has run out.
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(bed.submit(mint("bond:A", "acct:alice", 1)).await);
    }
    second.ready().await;
    for rid in waiting {
        bed.decided(rid).await;
    }
    first.signal("-CONT");
    for _ in 0..20 {
        bed.decide(mint("bond:A", "acct:alice", 1)).await;
    }
    eventually("the first one knows that it does not lead", async || {
        (first.get("/v1/shards").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    second.reach_head(&bed).await;
    let entries = audit::log(&second).await;
    audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    let takeover =
        entries.iter().position(|(_, body)| body.node == "validator-2").expect("the second one led");
    let after: BTreeSet<&str> = entries[takeover..].iter().map(|(_, body)| body.node.as_str()).collect();
    assert_eq!(after, BTreeSet::from(["validator-2"]));
    assert!(entries[takeover].1.epoch > entries[takeover - 1].1.epoch);
    let asset = second.get("/v1/assets/bond:A").await;
    assert_eq!(asset.body["supply"], "25");
}
