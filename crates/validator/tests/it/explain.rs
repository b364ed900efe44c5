//! What explain says of requests in every stage, and their time budgets, which no restart and no expiry may change.

use common::ids::Rid;
use common::link::{Paused, Progress, ProgressReply, ProgressWrite, Route, Submission, SubmitBounds};
use common::request::SyncRequest;
use common::status::{Delivery, Status};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bed::{Bed, SHARD, Validator, eventually, name, register, tenant, transfer};

async fn explain(validator: &Validator, rid: Rid) -> Value {
    let answer = validator.get(&format!("/v1/sync-requests/{rid}/explain")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body
}

/// Stage and code.
async fn cause(validator: &Validator, rid: Rid) -> (String, String) {
    let body = explain(validator, rid).await;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&body["stage"]), text(&body["cause"]["code"]))
}

async fn until_cause(validator: &Validator, rid: Rid, code: &str) -> Value {
    let mut last = Value::Null;
    eventually(&format!("explain says {code}"), async || {
        last = explain(validator, rid).await;
        (last["cause"]["code"] == code).then(|| last.clone())
    })
    .await
}

/// The stages, and that they add up.
fn stages(body: &Value) -> [Option<u64>; 5] {
    let ms = |stage: &str| body["budget"][format!("{stage}_ms")].as_u64();
    let stages = ["collect", "queue", "validate", "broadcast", "confirm"].map(ms);
    assert_eq!(ms("total"), Some(stages.iter().flatten().sum()), "{body}");
    stages
}

#[tokio::test]
async fn a_delivery_is_explained_from_the_relay_to_its_end_and_its_budget_survives_restart_and_expiry() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let rid = bed.submit(register("bond:A", &["base"])).await;
    let seq = bed.decided(rid).await.seq.expect("a seq");
    // Nobody drives the lane.
    let body = until_cause(&validator, rid, "LANE_UNOWNED").await;
    assert_eq!((&body["stage"], &body["status"]), (&json!("broadcast"), &json!("committed")));
    eventually("relayed", async || (bed.outbox("base").await == [seq]).then_some(())).await;
    let lane = bed.lane("base").await;
    assert_eq!(cause(&validator, rid).await, ("broadcast".to_owned(), "LANE_WORKING".to_owned()));
    assert_eq!(bed.link().pause(&name("base"), Some("operate")).await.expect("pauses"), Paused::Ok);
    let body = explain(&validator, rid).await;
    assert_eq!(body["cause"]["code"], "LANE_PAUSED");
    assert!(body["verbs"].to_string().contains("POST /v1/targets/base/resume"), "{body}");
    assert!(body["evidence"].to_string().contains(r#"{"fact":"paused_by","value":"operate"}"#), "{body}");
    assert_eq!(bed.link().pause(&name("base"), None).await.expect("resumes"), Paused::Ok);
    let sent = Progress { state: Delivery::Sent, block: None, tx: vec!["0xaa".to_owned()] };
    let write = [ProgressWrite { seq, progress: sent }];
    let answer = bed.link().set_progress(&lane, &name("base"), &write).await.expect("writes");
    assert!(matches!(answer, ProgressReply::Ok(_)));
    let body = explain(&validator, rid).await;
    assert_eq!((&body["stage"], &body["status"]), (&json!("confirm"), &json!("broadcasting")));
    assert_eq!(body["cause"]["code"], "TIER_AWAITED");
    let underway = stages(&body);
    assert!(underway[..4].iter().all(Option::is_some) && underway[4].is_none(), "{body}");

    bed.finish(&lane, "base", seq, Delivery::Final).await;
    let body = until_cause(&validator, rid, "COMPLETED").await;
    let complete = stages(&body);
    assert_eq!((&complete[..4], complete[4].is_some()), (&underway[..4], true), "{body}");
    validator.stop().await;
    let again = bed.start();
    again.ready().await;
    assert_eq!(explain(&again, rid).await, body, "a restart changes nothing");
    // Record and progress expire: the log is left, with the same total.
    for key in [format!("req:{rid}"), format!("prog:{seq}")] {
        bed.redis.command(&["DEL", &format!("{{oss:{SHARD}}}:{key}")]).expect("deletes");
    }
    let expired = explain(&again, rid).await;
    assert_eq!((&expired["cause"]["code"], &expired["status"]), (&json!("COMPLETED"), &json!("completed")));
    assert_eq!((stages(&expired)[2], stages(&expired)[3]), (None, None), "{expired}");
    assert_eq!(
        (&stages(&expired)[..2], &expired["budget"]["total_ms"]),
        (&complete[..2], &body["budget"]["total_ms"])
    );
}

#[tokio::test]
async fn an_undecided_request_is_explained_by_what_it_waits_for() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    // It names a source, and no collector is there.
    let request = json!({
        "asset": {"id": "bond:A"}, "ttl_seconds": 600, "external_apis": ["ecb"],
        "state_changes": [{"kind": "REGISTER", "decimals": 2, "chains": ["base"]}],
    });
    let fp = SyncRequest::parse(&request).expect("valid").fingerprint();
    let (rid, tenant) = (Rid::fresh(SHARD), tenant());
    let payload = json!({"v": 1, "rid": rid, "tenant": tenant, "fp": fp, "request": request}).to_string();
    let submission = Submission {
        rid,
        tenant: &tenant,
        fp,
        route: Route::Requests,
        payload: payload.as_bytes(),
        targets: "",
        source_state: "ecb=pending",
    };
    let bounds = SubmitBounds::with_backlog(100);
    assert_eq!(bed.link().submit(&[submission], bounds).await.expect("submits").len(), 1);
    let body = explain(&validator, rid).await;
    assert_eq!((&body["stage"], &body["cause"]["code"]), (&json!("collect"), &json!("COLLECTOR_AWAITED")));
    assert!(body["evidence"].to_string().contains("ecb=pending"), "{body}");
    let accepted_ms = bed.record(rid).await.at_ms;
    assert_eq!(body["next"]["at_ms"], json!(accepted_ms + 600_000), "when it expires");
    assert_eq!((stages(&body), &body["budget"]["total_ms"]), ([None; 5], &json!(0)));

    // Intake stands still: what was submitted waits for what it depends on.
    let fill = "for _ = 1, 10000 do redis.call('XADD', KEYS[1], '*', 'stage', 'test', 'attempts', '1') end";
    bed.redis.command(&["EVAL", fill, "1", "{oss:financial}:dlq"]).expect("fills");
    bed.submit_payload(&tenant, Rid::fresh(SHARD), fp, b"not a message").await;
    let mut dependent = transfer("bond:A", "acct:alice", "acct:bob", 1);
    let waiting = bed.submit(dependent.clone()).await;
    until_cause(&validator, waiting, "INTAKE_BLOCKED").await;
    dependent["depends_on"] = json!([rid]);
    let dependent = bed.submit(dependent).await;
    let body = until_cause(&validator, dependent, "INTAKE_BLOCKED").await;
    assert!(body["evidence"].to_string().contains(r#""fact":"messages_ahead","value":2"#), "{body}");
    assert!(body["evidence"].to_string().contains(&rid.to_string()), "what it depends on: {body}");
    assert_eq!((stages(&body)[0], stages(&body)[1]), (Some(0), None), "{body}");
}

#[tokio::test]
async fn what_ended_is_explained_with_its_code_and_another_tenant_learns_nothing() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let rid = bed.submit(transfer("bond:A", "acct:alice", "acct:bob", 1)).await;
    assert_eq!(bed.decided(rid).await.status, Status::Rejected);
    validator.reach_head(&bed).await;
    let body = explain(&validator, rid).await;
    assert_eq!((&body["stage"], &body["cause"]["code"]), (&json!("ended"), &json!("NOT_REGISTERED")));
    assert_eq!(body["cause"]["page"], "docs/causes/NOT_REGISTERED.md");
    assert!(stages(&body)[..2].iter().all(Option::is_some), "{body}");
    let path = format!("/v1/sync-requests/{rid}/explain");
    let other = validator.ask(Method::GET, &path, "other", &[]).await;
    assert_eq!((other.status, &other.body["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let unknown = validator.get(&format!("/v1/sync-requests/{}/explain", Rid::fresh(SHARD))).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(validator.ask(Method::GET, &path, "", &[]).await.status, StatusCode::UNAUTHORIZED);
}
