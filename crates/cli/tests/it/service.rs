//! What the commands make of a service's answers: exit codes, problems, replays, waiting.

use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::oss::{Ended, oss, oss_with_input};

const RID: &str = "019ab0de-2c4b-7d3f-8f6e-5d0c6f3f2a00";
const TOKEN: &str = "oss_test_secret";

fn document(status: &str) -> Value {
    json!({"id": RID, "status": status, "version": 1, "later_field": true})
}

async fn with(service: &MockServer, args: &[&str]) -> Ended {
    let url = service.uri();
    let mut all = vec!["--url", &url, "--api-key", TOKEN];
    all.extend(args);
    oss_with_input(&all, br#"{"asset": {}}"#).await
}

/// A service that shows one request in one status.
async fn showing(status: &str) -> MockServer {
    let service = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path(format!("/v1/sync-requests/{RID}")))
        .and(header("authorization", format!("Bearer {TOKEN}").as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_json(document(status)))
        .mount(&service)
        .await;
    service
}

#[tokio::test]
async fn the_exit_code_of_get_and_watch_tells_how_the_request_ended() {
    let table = [
        ("completed", 0),
        ("rejected", 2),
        ("failed", 2),
        ("cancelled", 2),
        ("expired", 2),
        ("rolled_back", 3),
    ];
    for (status, code) in table {
        let service = showing(status).await;
        assert_eq!(with(&service, &["get", RID]).await.code, code, "get {status}");
        assert_eq!(with(&service, &["watch", RID]).await.code, code, "watch {status}");
    }
    assert_eq!(with(&showing("committed").await, &["get", RID]).await.code, 0);
}

#[tokio::test]
async fn json_output_is_the_services_document_with_nothing_lost() {
    let ended = with(&showing("committed").await, &["get", RID, "-o", "json"]).await;
    assert_eq!(ended.json(), document("committed"));
}

#[tokio::test]
async fn watching_a_request_that_does_not_move_times_out_with_4() {
    let ended = with(&showing("committed").await, &["watch", RID, "--timeout", "1"]).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("did not happen within 1 s"), "{ended:?}");
}

#[tokio::test]
async fn nobody_answering_is_5_and_so_is_a_service_that_cannot_serve() {
    let nobody = oss(&["--url", "http://127.0.0.1:1", "--api-key", TOKEN, "get", RID]).await;
    assert_eq!(nobody.code, 5, "{nobody:?}");
    let service = MockServer::start().await;
    let problem = json!({"type": "/problems/backpressure", "title": "Too much is waiting", "status": 503, "code": "backpressure"});
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(503).set_body_json(problem))
        .mount(&service)
        .await;
    let full = with(&service, &["submit", "-"]).await;
    assert_eq!(full.code, 5);
    assert!(full.stderr.contains("Too much is waiting") && full.stderr.contains("backpressure"), "{full:?}");
}

#[tokio::test]
async fn a_proxy_s_own_error_page_is_5_and_an_unreadable_refusal_is_1() {
    for (status, code) in [(502, 5), (503, 5), (504, 5), (404, 1)] {
        let service = MockServer::start().await;
        let page = "<html><body><h1>Service Unavailable</h1></body></html>";
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(status).set_body_raw(page, "text/html"))
            .mount(&service)
            .await;
        let ended = with(&service, &["get", RID]).await;
        assert_eq!(ended.code, code, "{status}: {ended:?}");
        assert!(ended.stderr.contains(&status.to_string()) && ended.stdout.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_2_and_prints_the_problem_with_pointers_and_trace_id() {
    let service = MockServer::start().await;
    let problem = json!({
        "type": "/problems/invalid_request", "title": "The request is not valid", "status": 422,
        "code": "invalid_request", "detail": "one fault", "trace_id": "4bf92f3577b34da6",
        "errors": [{"pointer": "/asset/id", "code": "missing", "detail": "is required"}],
    });
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(422).set_body_json(problem))
        .mount(&service)
        .await;
    let ended = with(&service, &["submit", "-"]).await;
    assert_eq!(ended.code, 2);
    for part in [
        "The request is not valid",
        "invalid_request",
        "one fault",
        "/asset/id",
        "is required",
        "4bf92f3577b34da6",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    assert!(ended.stdout.is_empty());
}

#[tokio::test]
async fn submit_sends_body_and_key_and_says_when_it_was_a_replay() {
    let service = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/sync-requests"))
        .and(header("idempotency-key", "\"order-1\""))
        .and(header("content-type", "application/json"))
        .and(body_json(json!({"asset": {}})))
        .respond_with(
            ResponseTemplate::new(202)
                .set_body_json(document("accepted"))
                .insert_header("Idempotency-Replayed", "true"),
        )
        .expect(1)
        .mount(&service)
        .await;
    let ended = with(&service, &["submit", "-", "--key", "order-1"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("replayed") && ended.stdout.contains(RID));
    let quiet = with(&service, &["submit", "-", "--key", "order-2", "--quiet"]).await;
    assert_ne!(quiet.code, 0, "another key is another request");
}

#[tokio::test]
async fn until_completed_asks_the_service_to_hold_its_answer_back() {
    let service = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(
            ResponseTemplate::new(202).set_body_json(document("accepted")).insert_header("ETag", "\"1.0\""),
        )
        .mount(&service)
        .await;
    Mock::given(method("GET"))
        .and(query_param("until", "completed"))
        .and(header("if-none-match", "\"1.0\""))
        .and(header("prefer", "wait=30"))
        .respond_with(ResponseTemplate::new(200).set_body_json(document("completed")))
        .expect(1)
        .mount(&service)
        .await;
    let ended = with(&service, &["submit", "-", "--until", "completed"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("accepted") && ended.stdout.contains("completed"));
}

#[tokio::test]
async fn quiet_leaves_stderr_empty() {
    let ended = with(&showing("completed").await, &["watch", RID, "--quiet"]).await;
    assert!(ended.stderr.is_empty() && !ended.stdout.is_empty(), "{ended:?}");
}

/// A validator that answers a rollback first with 202 and then with `last`.
async fn rolling_back(last: ResponseTemplate) -> MockServer {
    let service = MockServer::start().await;
    let post = || {
        Mock::given(method("POST"))
            .and(path("/v1/rollbacks"))
            .and(query_param("until", "completed"))
            .and(header("idempotency-key", "\"undo-1\""))
            .and(body_json(json!({"rid": RID})))
    };
    let accepted = json!({"rid": COMMAND, "undoes": RID, "status": "accepted"});
    post()
        .respond_with(ResponseTemplate::new(202).set_body_json(accepted))
        .up_to_n_times(1)
        .mount(&service)
        .await;
    post().respond_with(last).mount(&service).await;
    service
}

const COMMAND: &str = "bf70c582-18e4-8359-aee5-9cb4d6f46e00";

#[tokio::test]
async fn a_rollback_is_followed_under_its_key_until_every_chain_has_it() {
    let done = json!({"rid": COMMAND, "undoes": RID, "status": "completed", "seq": 12, "later_field": 1});
    let service = rolling_back(ResponseTemplate::new(200).set_body_json(&done)).await;
    let ended = with(&service, &["rollback", RID, "--key", "undo-1", "-o", "json"]).await;
    assert_eq!((ended.code, ended.json()), (0, done), "{}", ended.stderr);
    assert!(ended.stderr.contains("accepted") && ended.stderr.contains("completed"), "{}", ended.stderr);
    let failed = json!({"rid": COMMAND, "undoes": RID, "status": "failed", "seq": 12});
    let service = rolling_back(ResponseTemplate::new(200).set_body_json(failed)).await;
    let ended = with(&service, &["rollback", RID, "--key", "undo-1", "--quiet"]).await;
    assert_eq!(ended.code, 2, "given up on a chain: {ended:?}");
    assert!(ended.stderr.is_empty() && ended.stdout.contains("financial 12"), "{ended:?}");
}

#[tokio::test]
async fn a_rollback_that_is_refused_ends_with_2_and_names_who_rests_on_the_request() {
    let problem = json!({
        "type": "/problems/HAS_DEPENDENTS", "title": "The request cannot be undone", "status": 409,
        "code": "HAS_DEPENDENTS", "detail": "1 later requests rest on it", "dependents": [COMMAND],
    });
    let service = rolling_back(ResponseTemplate::new(409).set_body_json(problem)).await;
    let ended = with(&service, &["rollback", RID, "--key", "undo-1"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("HAS_DEPENDENTS") && ended.stderr.contains(COMMAND), "{}", ended.stderr);
    let late = with(
        &rolling_back(ResponseTemplate::new(202).set_body_json(json!({
            "rid": COMMAND, "undoes": RID, "status": "accepted",
        })))
        .await,
        &["rollback", RID, "--key", "undo-1", "--timeout", "1"],
    )
    .await;
    assert_eq!(late.code, 4, "{late:?}");
}

#[tokio::test]
async fn a_dry_run_of_a_rollback_shows_what_is_in_the_way_and_its_exit_code_tells_too() {
    let service = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/rollbacks"))
        .and(body_json(json!({"rid": RID, "dry_run": true})))
        .respond_with(ResponseTemplate::new(200).set_body_json(
            json!({"undone": [], "blocked_by": [COMMAND], "code": "HAS_DEPENDENTS", "detail": "1 later"}),
        ))
        .mount(&service)
        .await;
    let ended = with(&service, &["rollback", RID, "--dry-run"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stdout.contains(COMMAND) && ended.stdout.contains("HAS_DEPENDENTS"), "{ended:?}");
}
