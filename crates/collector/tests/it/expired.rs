//! Requests whose record has expired or was cut: the validators' decisions answer.

use common::ids::{Rid, Shard};
use common::keys::Keys;
use common::status::{OutcomeKind, Status};
use reqwest::Method;
use serde_json::json;
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::bed::{Bed, Leader, READ, SUBMIT, mint};

#[actix_rt::test]
async fn an_expired_record_is_answered_from_the_decision_under_the_callers_own_key() {
    let bed = Bed::new().await;
    let (dead, validator) = ("http://127.0.0.1:1".to_owned(), MockServer::start().await);
    let (known, unknown) = (Rid::fresh(Shard::Financial), Rid::fresh(Shard::Financial));
    let decision = json!({"rid": known, "seq": 7, "outcome": "REJECTED", "code": "X", "more": true});
    let delivered = Rid::fresh(Shard::Financial);
    let completed = json!({"rid": delivered, "seq": 8, "outcome": "APPLIED", "status": "completed"});
    // A standby that lags knows neither; one that is dead says nothing.
    let lagging = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(404)).mount(&lagging).await;
    for (rid, template) in [
        (known, ResponseTemplate::new(200).set_body_json(&decision)),
        (delivered, ResponseTemplate::new(200).set_body_json(&completed)),
        (unknown, ResponseTemplate::new(404)),
    ] {
        for key in [READ, SUBMIT] {
            Mock::given(method("GET"))
                .and(path(format!("/v1/decisions/{rid}")))
                .and(header("authorization", format!("Bearer {key}").as_str()))
                .respond_with(template.clone())
                .mount(&validator)
                .await;
        }
    }
    let collector = bed.start_asking(vec![dead, lagging.uri(), validator.uri()]).await;
    let shown = bed.get(&collector, known, &[]).await;
    assert_eq!((shown.status, shown.body["record_expired"].as_bool()), (200, Some(true)));
    assert_eq!((shown.body["status"].as_str(), shown.body["code"].as_str()), (Some("rejected"), Some("X")));
    assert_eq!(shown.body["seq"], 7);
    assert_eq!(bed.get(&collector, delivered, &[]).await.body["status"], "completed");
    assert_eq!(bed.get(&collector, unknown, &[]).await.status, 404);
    let delete =
        |rid: Rid| bed.ask(Method::DELETE, SUBMIT, format!("{}/v1/sync-requests/{rid}", collector.base), &[]);
    assert_eq!(delete(known).await.status, 409);
    assert_eq!(delete(unknown).await.status, 404);
    collector.stop().await;
}

#[actix_rt::test]
async fn when_no_validator_can_be_asked_an_unknown_request_is_503_not_404() {
    let bed = Bed::new().await;
    let collector = bed.start_asking(vec!["http://127.0.0.1:1".to_owned()]).await;
    let answer = bed.get(&collector, Rid::fresh(Shard::Financial), &[]).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some("unavailable")));
    collector.stop().await;
}

#[actix_rt::test]
async fn what_a_cut_record_had_no_room_for_is_read_from_the_decision() {
    let bed = Bed::new().await;
    let validator = MockServer::start().await;
    let collector = bed.start_asking(vec![validator.uri()]).await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let seq = leader.decide(rid, Status::Rejected, OutcomeKind::Rejected, Some("X")).await;
    let record = Keys::new(Shard::Financial).request(rid);
    bed.redis.command(&["HSET", &record, "cut", "1"]).expect("cuts");

    // Nobody can be asked: what there is, and that it is not all; no tag names such an answer.
    let cut = bed.get(&collector, rid, &[]).await;
    assert_eq!((cut.status, cut.body["errors_cut"].as_bool(), cut.header("etag")), (200, Some(true), None));

    let errors =
        json!([{"pointer": "/a", "code": "X", "detail": "a"}, {"pointer": "/b", "code": "X", "detail": "b"}]);
    let decision =
        json!({"seq": seq, "outcome": "REJECTED", "code": "X", "errors": errors, "target_chains": ["base"]});
    Mock::given(method("GET"))
        .and(path(format!("/v1/decisions/{rid}")))
        .and(query_param("min_seq", seq.to_string()))
        .and(header("authorization", format!("Bearer {READ}").as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_json(&decision))
        .mount(&validator)
        .await;
    let whole = bed.get(&collector, rid, &[]).await;
    assert_eq!((&whole.body["errors"], &whole.body["target_chains"]), (&errors, &json!(["base"])));
    assert_eq!((whole.body.get("errors_cut"), whole.body.get("record_expired")), (None, None));
    let tag = whole.header("etag").expect("a tag").to_owned();
    assert_eq!(bed.get(&collector, rid, &[("if-none-match", &tag)]).await.status, 304);
    collector.stop().await;
}
