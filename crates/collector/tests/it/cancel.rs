//! DELETE: on its way, too late, or won.

use std::time::Duration;

use common::ids::Shard;
use common::link::Stream;
use common::message::Body;
use common::status::{OutcomeKind, Status};
use reqwest::Method;

use crate::bed::{Bed, Leader, SUBMIT, mint, until};

#[actix_rt::test]
async fn a_cancel_goes_to_the_express_input_once_and_is_not_yet_an_end() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let posted = bed.post(&collector, &mint("X"), &[]).await;
    let url = format!("{}/v1/sync-requests/{}", collector.base, posted.rid());
    for _ in 0..3 {
        let answer = bed.ask(Method::DELETE, SUBMIT, url.clone(), &[]).await;
        assert_eq!((answer.status, answer.body["status"].as_str()), (202, Some("accepted")));
    }
    let express = bed.messages(Stream::Express).await;
    assert_eq!(express.len(), 1);
    let Body::Cancel { about } = &express[0].1.body else { panic!("{express:?}") };
    let record = bed.link(Shard::Financial).await.record(posted.rid()).await.unwrap().unwrap();
    assert_eq!((about.rid, about.fp, about.tenant.as_str()), (posted.rid(), record.fp, "demo"));
    assert_eq!(about.accepted_ms, Some(record.at_ms));
    collector.stop().await;
}

#[actix_rt::test]
async fn what_is_decided_cannot_be_cancelled_and_the_outcome_is_told() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    for (status, outcome) in
        [(Status::Committed, OutcomeKind::Applied), (Status::Rejected, OutcomeKind::Rejected)]
    {
        let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
        let seq = leader.decide(rid, status, outcome, None).await;
        let url = format!("{}/v1/sync-requests/{rid}", collector.base);
        let answer = bed.ask(Method::DELETE, SUBMIT, url, &[]).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (409, Some("already_decided")));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.body["instance"], format!("/v1/sync-requests/{rid}"));
        assert_eq!(answer.body["trace_id"].as_str().map(str::len), Some(32), "{answer:?}");
        assert!(answer.header("x-request-id").is_some());
        assert_eq!(answer.body["request"]["status"], status.name());
        assert_eq!(answer.body["request"]["outcome"], outcome.name());
        assert_eq!(answer.body["request"]["seq"], seq);
    }
    assert_eq!(bed.messages(Stream::Express).await.len(), 0);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_waiting_cancel_tells_who_won() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let link = bed.link(Shard::Financial).await;
    let mut leader = Leader::new(link.clone()).await;
    for (status, outcome, answered) in
        [(Status::Cancelled, OutcomeKind::Cancelled, 200), (Status::Committed, OutcomeKind::Applied, 409)]
    {
        let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
        let url = format!("{}/v1/sync-requests/{rid}", collector.base);
        let deciding = async {
            let id = format!("cancel:{rid}");
            until("the cancel is in", async || {
                bed.messages(Stream::Express).await.iter().any(|(_, wire)| wire.id == id)
            })
            .await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            leader.decide(rid, status, outcome, None).await
        };
        let cancelled = bed.ask(Method::DELETE, SUBMIT, url, &[("prefer", "wait=30")]);
        let (answer, _) = futures_util::join!(cancelled, deciding);
        assert_eq!(answer.status, answered, "{answer:?}");
    }
    // Nobody decides: the cancel stays on its way.
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let url = format!("{}/v1/sync-requests/{rid}", collector.base);
    assert_eq!(bed.ask(Method::DELETE, SUBMIT, url, &[("prefer", "wait=1")]).await.status, 202);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_request_that_has_changed_since_it_was_seen_is_not_cancelled() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let posted = bed.post(&collector, &mint("X"), &[]).await;
    let url = format!("{}/v1/sync-requests/{}", collector.base, posted.rid());
    let seen = posted.header("etag").unwrap().to_owned();
    let delete = async |tag: &str| bed.ask(Method::DELETE, SUBMIT, url.clone(), &[("if-match", tag)]).await;
    // Weak tags never match strongly; what is no tag matches nothing.
    for tag in ["\"1.1\"", "\"0.0\", \"1.7\"", &format!("W/{seen}"), "1.0", ""] {
        let refused = delete(tag).await;
        assert_eq!(
            (refused.status, refused.body["code"].as_str()),
            (412, Some("precondition_failed")),
            "{tag}"
        );
        assert_eq!(refused.pointers(), ["#header/If-Match"]);
        assert_eq!(refused.body["request"]["status"], "accepted");
    }
    assert_eq!(bed.messages(Stream::Express).await.len(), 0);
    for tag in [seen.clone(), format!("\"0.0\", {seen}"), "*".to_owned()] {
        assert_eq!(delete(&tag).await.status, 202, "{tag}");
    }
    assert_eq!(bed.messages(Stream::Express).await.len(), 1);
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    leader.decide(posted.rid(), Status::Rejected, OutcomeKind::Rejected, None).await;
    assert_eq!(delete(&seen).await.status, 412);
    assert_eq!(delete("*").await.status, 409);
    collector.stop().await;
}
