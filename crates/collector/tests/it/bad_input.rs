//! Every kind of bad input a collector can see: a problem with its place, and nothing written.

use serde_json::{Value, json};

use crate::bed::{Bed, SUBMIT, mint, with};

struct Case {
    name: &'static str,
    body: String,
    headers: Vec<(&'static str, String)>,
    status: u16,
    code: &'static str,
    pointer: &'static str,
}

fn case(name: &'static str, body: &Value, status: u16, code: &'static str, pointer: &'static str) -> Case {
    Case { name, body: body.to_string(), headers: Vec::new(), status, code, pointer }
}

fn raw(name: &'static str, body: &str, status: u16, code: &'static str, pointer: &'static str) -> Case {
    Case { name, body: body.to_owned(), headers: Vec::new(), status, code, pointer }
}

fn change(change: &Value) -> Value {
    with("X", &json!({ "state_changes": [change] }))
}

/// A request with one field set.
fn field(name: &str, value: &Value) -> Value {
    with("X", &json!({ name: value }))
}

fn json_cases() -> Vec<Case> {
    let deep = format!(r#"{{"asset": {}1{}}}"#, "[".repeat(16), "]".repeat(16));
    vec![
        raw("not JSON", "{\"asset\": ", 400, "malformed_json", ""),
        raw("no body", "", 411, "length_required", "#header/Content-Length"),
        raw("nested too deep", &deep, 400, "too_deep", "/asset/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0"),
    ]
}

fn form_cases() -> Vec<Case> {
    vec![
        raw("not an object", "[]", 422, "invalid_request", ""),
        case(
            "no asset",
            &json!({"state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}]}),
            422,
            "invalid_request",
            "/asset",
        ),
        case(
            "a malformed asset id",
            &field("asset", &json!({"id": "Bond X"})),
            422,
            "invalid_request",
            "/asset/id",
        ),
        case("an unknown field", &field("priority", &json!(1)), 422, "invalid_request", "/priority"),
        case("no change", &field("state_changes", &json!([])), 422, "invalid_request", "/state_changes"),
        case(
            "an unknown kind",
            &change(&json!({"kind": "PRINT"})),
            422,
            "invalid_request",
            "/state_changes/0/kind",
        ),
        case(
            "a kind of a later version",
            &change(&json!({"kind": "SET_PARTY"})),
            422,
            "not_supported",
            "/state_changes/0/kind",
        ),
        case(
            "an amount that is a number",
            &change(&json!({"kind": "MINT", "to": "a", "amount": 1})),
            422,
            "invalid_request",
            "/state_changes/0/amount",
        ),
        case(
            "a negative amount",
            &change(&json!({"kind": "MINT", "to": "a", "amount": "-1"})),
            422,
            "invalid_request",
            "/state_changes/0/amount",
        ),
        case(
            "an account with a space",
            &change(&json!({"kind": "MINT", "to": "a b", "amount": "1"})),
            422,
            "invalid_request",
            "/state_changes/0/to",
        ),
    ]
}

fn limit_cases() -> Vec<Case> {
    let other_shard = "00000000-0000-7000-8000-000000000001";
    vec![
        case(
            "a feature of a later version",
            &field("atomicity", &json!("ALL_OR_NOTHING")),
            422,
            "not_supported",
            "/atomicity",
        ),
        case(
            "a time without an offset",
            &field("effective_at", &json!("2026-11-22T00:00:00")),
            422,
            "invalid_request",
            "/effective_at",
        ),
        case("an authority", &field("authority", &json!("\0")), 422, "invalid_request", "/authority"),
        case("proofs of a later version", &field("proof", &json!("groth16")), 422, "not_supported", "/proof"),
        case(
            "a dependency in another shard",
            &field("depends_on", &json!([other_shard])),
            422,
            "CROSS_SHARD",
            "/depends_on/0",
        ),
        case(
            "33 changes",
            &field("state_changes", &json!(vec![json!({"kind": "MINT", "to": "a", "amount": "1"}); 33])),
            422,
            "invalid_request",
            "/state_changes",
        ),
        case("a ttl of nothing", &field("ttl_seconds", &json!(0)), 422, "invalid_request", "/ttl_seconds"),
        case(
            "an asset of another shard in a change",
            &change(&json!({"kind": "MINT", "asset": "game_item:x", "to": "a", "amount": "1"})),
            422,
            "CROSS_SHARD",
            "/state_changes/0/asset",
        ),
        case(
            "a source that is named twice",
            &field("event_sources", &json!(["slow", "slow"])),
            422,
            "invalid_request",
            "/event_sources/1",
        ),
    ]
}

fn configuration_cases() -> Vec<Case> {
    let event = format!("0x{}/0", "ab".repeat(32));
    vec![
        case(
            "an unknown event source",
            &field("event_sources", &json!(["nobody"])),
            422,
            "not_configured",
            "/event_sources/0",
        ),
        case(
            "an unknown optional API",
            &field("external_apis", &json!([{"source": "nobody", "required": false}])),
            422,
            "not_configured",
            "/external_apis/0/source",
        ),
        case(
            "an API as an event source",
            &field("event_sources", &json!(["rate"])),
            422,
            "not_configured",
            "/event_sources/0",
        ),
        case(
            "an unknown target chain",
            &field("target_chains", &json!(["base", "moon"])),
            422,
            "not_configured",
            "/target_chains/1",
        ),
        case(
            "a registration on an unknown chain",
            &change(&json!({"kind": "REGISTER", "decimals": 2, "chains": ["moon"]})),
            422,
            "not_configured",
            "/state_changes/0/chains/0",
        ),
        case(
            "adding an unknown chain",
            &change(&json!({"kind": "ADD_CHAIN", "chain": "moon"})),
            422,
            "not_configured",
            "/state_changes/0/chain",
        ),
        case(
            "an event of a source without events",
            &with(
                "X",
                &json!({
                    "state_changes": [{"kind": "MINT", "to": "a", "amount": "1", "backed_by": {"source": "slow", "event": event}}],
                    "event_sources": ["slow"],
                }),
            ),
            422,
            "invalid_request",
            "/state_changes/0/backed_by/source",
        ),
        case(
            "an event of a source that is not listed",
            &change(&json!({
                "kind": "MINT", "to": "a", "amount": "1", "backed_by": {"source": "slow", "event": event},
            })),
            422,
            "invalid_request",
            "/state_changes/0/backed_by/source",
        ),
    ]
}

fn header_cases() -> Vec<Case> {
    let with_header = |name, header: &'static str, value: &str, status, code, pointer| Case {
        headers: vec![(header, value.to_owned())],
        ..raw(name, &mint("X").to_string(), status, code, pointer)
    };
    vec![
        with_header(
            "an idempotency key with a space",
            "idempotency-key",
            "a b",
            400,
            "invalid_header",
            "#header/Idempotency-Key",
        ),
        with_header(
            "an idempotency key that is too long",
            "idempotency-key",
            &"x".repeat(256),
            400,
            "invalid_header",
            "#header/Idempotency-Key",
        ),
        with_header(
            "a compressed body",
            "content-encoding",
            "gzip",
            415,
            "unsupported_media_type",
            "#header/Content-Encoding",
        ),
        raw(
            "a body above 64 KiB",
            &format!("{{\"x\": \"{}\"}}", "y".repeat(64 * 1024)),
            413,
            "too_large",
            "",
        ),
    ]
}

#[actix_rt::test]
async fn bad_input_is_a_problem_with_its_place_and_leaves_nothing_behind() {
    let bed = Bed::new().await;
    bed.sources(&json!([
        {"name": "rate", "kind": "http_json", "urls": ["https://rates.example/"], "hosts": ["rates.example"]},
        {"name": "slow", "kind": "null"},
    ]));
    let collector = bed.start().await;
    let cases: Vec<Case> = json_cases()
        .into_iter()
        .chain(form_cases())
        .chain(limit_cases())
        .chain(configuration_cases())
        .chain(header_cases())
        .collect();
    assert!(cases.len() >= 20);
    for case in &cases {
        let headers: Vec<(&str, &str)> =
            case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = bed.post_as(&collector, SUBMIT, case.body.clone(), &headers).await;
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (case.status, Some(case.code)),
            "{}: {answer:?}",
            case.name
        );
        assert!(answer.pointers().iter().any(|pointer| pointer == case.pointer), "{}: {answer:?}", case.name);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", case.name);
        assert!(
            answer.body["trace_id"].is_string() && answer.header("x-request-id").is_some(),
            "{}",
            case.name
        );
    }
    let no_type = bed.client.post(format!("{}/v1/sync-requests", collector.base)).bearer_auth(SUBMIT);
    assert_eq!(no_type.body("{}").send().await.unwrap().status(), 415);
    assert_eq!((bed.records(), bed.entries()), (0, 0));

    // The control: the same collector takes in what is well formed, so the counts can move.
    assert_eq!(bed.post(&collector, &mint("X"), &[]).await.status, 202);
    assert_eq!((bed.records(), bed.entries()), (1, 1));
    collector.stop().await;
}

#[actix_rt::test]
async fn every_fault_of_a_request_is_told_at_once() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let event = format!("0x{}/0", "ab".repeat(32));
    let body = json!({
        "asset": {"id": "?"}, "ttl_seconds": -1, "x": 1,
        "event_sources": ["a", "a"], "external_apis": ["?"], "depends_on": ["?"],
        "state_changes": [
            {"kind": "MINT", "to": "a"},
            {"kind": "PRINT"},
            // Whether its source is listed cannot be said: one of the lists cannot be read.
            {"kind": "MINT", "to": "a", "amount": "1", "backed_by": {"source": "b", "event": event}},
        ],
    });
    let answer = bed.post(&collector, &body, &[]).await;
    assert_eq!(answer.status, 422);
    let mut pointers = answer.pointers();
    pointers.sort();
    let expected = [
        "/asset/id",
        "/depends_on/0",
        "/event_sources/1",
        "/external_apis/0",
        "/state_changes/0/amount",
        "/state_changes/1/kind",
        "/ttl_seconds",
        "/x",
    ];
    assert_eq!(pointers, expected, "{answer:?}");
    collector.stop().await;
}

#[actix_rt::test]
async fn addresses_and_methods_that_do_not_exist_are_problems_too() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    for (method, path, status, allow) in [
        (reqwest::Method::GET, "/nowhere", 404, None),
        (reqwest::Method::GET, "/v1/nowhere", 404, None),
        (reqwest::Method::PUT, "/v1/sync-requests", 405, Some("GET, POST")),
        (
            reqwest::Method::POST,
            "/v1/sync-requests/0193b3f4-8a5e-7cc3-9d3f-1f2e3d4c5b00",
            405,
            Some("GET, DELETE"),
        ),
        (reqwest::Method::GET, "/v1/sync-requests/not-an-id", 404, None),
    ] {
        let answer = bed.ask(method.clone(), SUBMIT, format!("{}{path}", collector.base), &[]).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        assert_eq!(answer.body["instance"], path);
    }
    // A body of unknown length needs a declared one, or chunks.
    let mut stream = std::net::TcpStream::connect(collector.base.trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST /v1/sync-requests HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SUBMIT}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    );
    let answer = actix_rt::task::spawn_blocking(move || {
        use std::io::{Read as _, Write as _};
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 411"));
    collector.stop().await;
}

/// Every route of the origin that exists, whichever service answers it.
const ROUTES: [&str; 29] = [
    "DELETE /v1/sync-requests/{rid}",
    "GET /v1/assets/{asset}",
    "GET /v1/assets/{asset}/proof",
    "GET /v1/checkpoints",
    "GET /v1/decisions/{rid}",
    "GET /v1/deliveries/{rid}",
    "GET /v1/dlq",
    "GET /v1/holdings/{asset}/{account}",
    "GET /v1/holdings/{asset}/{account}/proof",
    "GET /v1/locks",
    "GET /v1/locks/events",
    "GET /v1/pipeline",
    "GET /v1/shards",
    "GET /v1/shards/{shard}",
    "GET /v1/shards/{shard}/checkpoints/{hash}",
    "GET /v1/shards/{shard}/log",
    "GET /v1/stream",
    "GET /v1/sync-requests",
    "GET /v1/sync-requests/{rid}",
    "GET /v1/sync-requests/{rid}/events",
    "GET /v1/sync-requests/{rid}/explain",
    "GET /v1/targets",
    "POST /v1/checkpoints",
    "POST /v1/rollbacks",
    "POST /v1/sync-requests",
    "POST /v1/sync-requests/batch",
    "POST /v1/targets/{id}/pause",
    "POST /v1/targets/{id}/resume",
    "POST /v1/targets/{target}/rewind",
];

#[actix_rt::test]
async fn the_description_and_its_page_are_served_without_anything_from_outside() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let description =
        bed.ask(reqwest::Method::GET, "", format!("{}/openapi.json", collector.base), &[]).await;
    let paths = description.body["paths"].as_object().expect("paths");
    let mut routes: Vec<String> = Vec::new();
    let mut operations = std::collections::BTreeSet::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            routes.push(format!("{} {path}", method.to_uppercase()));
            let id = operation["operationId"].as_str().expect("an operation id");
            assert!(operations.insert(id.to_owned()), "{id} names two operations");
        }
    }
    routes.sort();
    assert_eq!(routes, ROUTES);
    let post = &description.body["paths"]["/v1/sync-requests"]["post"];
    for status in ["200", "202", "400", "401", "403", "411", "413", "415", "422", "503"] {
        assert!(post["responses"][status].is_object(), "{status}");
    }
    assert!(description.body["components"]["schemas"]["Problem"].is_object());
    let page = bed.ask(reqwest::Method::GET, "", format!("{}/docs", collector.base), &[]).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.to_string().contains("https://"), "the page loads nothing from elsewhere");
    let script =
        bed.ask(reqwest::Method::GET, "", format!("{}/docs/swagger-ui-bundle.js", collector.base), &[]).await;
    assert_eq!(script.status, 200);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_client_finds_its_own_names_in_the_answer_and_its_trace_in_the_message() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", traceparent), ("x-request-id", "my-request.1")];
    let refused = bed.post(&collector, &json!({}), &headers).await;
    assert_eq!(refused.body["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(refused.header("x-request-id"), Some("my-request.1"));
    assert_eq!(bed.post(&collector, &mint("X"), &headers).await.status, 202);
    let (_, message) = bed.input(1).await.remove(0);
    assert_eq!(message.traceparent.as_deref(), Some(traceparent));
    let forged = [("traceparent", "00-xyz"), ("x-request-id", "a b")];
    let answer = bed.post(&collector, &json!({}), &forged).await;
    assert_ne!(answer.header("x-request-id"), Some("a b"));
    assert_eq!(answer.body["trace_id"].as_str().map(str::len), Some(32));
    collector.stop().await;
}
