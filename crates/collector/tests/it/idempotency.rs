//! One key, one request, however often and however parallel it is posted.

use std::collections::BTreeSet;

use common::link::Stream;
use futures_util::future::join_all;
use serde_json::json;

use crate::bed::{Answer, Bed, mint, with};

#[actix_rt::test]
async fn a_thousand_concurrent_posts_with_one_key_are_one_request() {
    let bed = Bed::new().await;
    bed.sources(&json!([{"name": "slow", "kind": "null", "delay_ms": 200}]));
    let mut settings = bed.settings("collector-1");
    // Client and service share the machine's cores with everything else that runs.
    settings.limits.request_timeout_ms = 120_000;
    let collector = bed.start_with(settings).await;
    for body in [mint("X"), with("Y", &json!({"event_sources": ["slow"]}))] {
        let key = body["asset"]["id"].as_str().unwrap().to_owned();
        let headers = [("idempotency-key", key.as_str())];
        let answers = join_all((0..1_000).map(|_| bed.post(&collector, &body, &headers))).await;
        assert!(
            answers.iter().all(|answer| answer.status == 202),
            "{:?}",
            answers.iter().find(|a| a.status != 202)
        );
        let ids: BTreeSet<_> = answers.iter().map(Answer::rid).collect();
        assert_eq!(ids.len(), 1);
        let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
        assert_eq!(fresh, 1, "all but one are told that they are repeats");
    }
    assert_eq!(bed.input(2).await.len(), 2);
    assert_eq!(bed.messages(Stream::Requests).await.len(), 0);
    assert_eq!(bed.records(), 2);
    collector.stop().await;
}

#[actix_rt::test]
async fn another_body_under_a_used_key_is_a_conflict_and_changes_nothing() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let first = bed.post(&collector, &mint("X"), &[("idempotency-key", "k")]).await;
    let conflict = bed.post(&collector, &mint("Y"), &[("idempotency-key", "k")]).await;
    assert_eq!((conflict.status, conflict.body["code"].as_str()), (422, Some("idempotency_conflict")));
    assert_eq!(conflict.pointers(), ["#header/Idempotency-Key"]);
    assert_eq!((bed.records(), bed.entries()), (1, 1));
    // Another spelling of the same request and key is no other body: defaults left out, key quoted.
    let spelled =
        with("X", &json!({"ttl_seconds": 300, "event_sources": [], "proof": "none", "authority": null}));
    let replayed = bed.post(&collector, &spelled, &[("idempotency-key", "\"k\"")]).await;
    assert_eq!((replayed.status, replayed.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(replayed.rid(), first.rid());
    collector.stop().await;
}

#[actix_rt::test]
async fn without_a_key_every_post_is_a_request_of_its_own_and_names_its_place() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let answers = join_all((0..50).map(|_| async { bed.post(&collector, &mint("X"), &[]).await })).await;
    let ids: BTreeSet<_> = answers.iter().map(Answer::rid).collect();
    assert_eq!((ids.len(), bed.entries()), (50, 50));
    let first = &answers[0];
    assert_eq!(first.header("location"), Some(format!("/v1/sync-requests/{}", first.rid()).as_str()));
    assert_eq!((first.header("retry-after"), first.header("etag")), (Some("1"), Some("\"1.0\"")));
    assert_eq!(
        (first.body["status"].as_str(), first.body["asset"].as_str()),
        (Some("accepted"), Some("bond:X"))
    );
    let shown = bed.get(&collector, first.rid(), &[]).await;
    assert_eq!((shown.status, shown.body["at"].clone()), (200, first.body["at"].clone()));
    collector.stop().await;
}
