//! What reaches `:in` for requests that name sources.

use std::time::{Duration, Instant};

use common::ids::Shard;
use common::link::Stream;
use common::message::Message;
use common::observation::ObservationKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::bed::{Bed, Running, failure, observations, until, with};

fn waiting(name: &str, delay_ms: u64) -> Value {
    json!({"name": name, "kind": "null", "delay_ms": delay_ms})
}

async fn with_deadline(bed: &Bed, deadline_ms: u64) -> Running {
    let mut settings = bed.settings("collector-1");
    settings.collect.deadline_ms = deadline_ms;
    bed.start_with(settings).await
}

#[actix_rt::test]
async fn the_sources_of_a_request_are_asked_in_parallel() {
    let bed = Bed::new().await;
    bed.sources(&json!([waiting("a", 1_000), waiting("b", 1_000), waiting("c", 1_000)]));
    let collector = bed.start().await;
    let begun = Instant::now();
    let body = with("X", &json!({"event_sources": ["a", "b"], "external_apis": ["c"]}));
    let posted = bed.post(&collector, &body, &[]).await;
    assert_eq!(posted.body["sources"], json!({"a": "pending", "b": "pending", "c": "pending"}));
    let (_, message) = bed.input(1).await.remove(0);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");
    let seen: Vec<&str> = observations(&message).iter().map(|o| o.source.as_str()).collect();
    assert_eq!(seen, ["a", "b", "c"]);
    let shown = bed.get(&collector, posted.rid(), &[]).await;
    assert_eq!(shown.body["status"], "collected");
    assert_eq!(shown.body["sources"], json!({"a": "ok", "b": "ok", "c": "ok"}));
    assert_eq!(bed.messages(Stream::Requests).await.len(), 0);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_message_in_the_input_says_when_its_request_was_accepted() {
    let bed = Bed::new().await;
    bed.sources(&json!([waiting("a", 0)]));
    let collector = bed.start().await;
    let posted = bed.post(&collector, &with("X", &json!({"event_sources": ["a"]})), &[]).await;
    let (_, message) = bed.input(1).await.remove(0);
    let record = bed.link(Shard::Financial).await.record(posted.rid()).await.unwrap().unwrap();
    assert_eq!(message.about().unwrap().accepted_ms, Some(record.at_ms));
    assert_eq!(record.by.as_deref(), Some("collector-1"));
    collector.stop().await;
}

#[actix_rt::test]
async fn a_hanging_source_ends_at_the_deadline_and_holds_nobody_else_up() {
    let bed = Bed::new().await;
    bed.sources(&json!([waiting("hanging", 3_600_000), waiting("quick", 0)]));
    let collector = with_deadline(&bed, 1_500).await;
    let begun = Instant::now();
    for n in 0..10 {
        bed.post(&collector, &with(&format!("H{n}"), &json!({"event_sources": ["quick", "hanging"]})), &[])
            .await;
    }
    for n in 0..10 {
        bed.post(&collector, &with(&format!("Q{n}"), &json!({"event_sources": ["quick"]})), &[]).await;
    }
    let optional = json!({"event_sources": [{"source": "hanging", "required": false}, "quick"]});
    let optional = bed.post(&collector, &with("O", &optional), &[]).await;
    let quick = bed.input(10).await;
    assert!(
        begun.elapsed() < Duration::from_millis(1_500),
        "the quick ones did not wait: {:?}",
        begun.elapsed()
    );
    assert!(quick.iter().take(10).all(|(_, message)| observations(message).len() == 1));
    let all = bed.input(21).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    let (mut failed, mut collected) = (0, 0);
    for (_, message) in &all[10..] {
        if message.about().unwrap().rid == optional.rid() {
            collected += 1;
            assert_eq!(observations(message).len(), 1);
            continue;
        }
        failed += 1;
        let failure = failure(message);
        assert_eq!(
            (failure.code.as_str(), failure.pointer.as_deref()),
            ("SOURCE_UNAVAILABLE", Some("/event_sources/1"))
        );
        assert_eq!(failure.source.as_ref().unwrap().as_str(), "hanging");
    }
    assert_eq!((failed, collected), (10, 1));
    let shown = bed.get(&collector, optional.rid(), &[]).await;
    assert_eq!(shown.body["sources"], json!({"hanging": "SOURCE_UNAVAILABLE", "quick": "ok"}));
    collector.stop().await;
}

#[actix_rt::test]
async fn requests_that_wait_for_a_dead_source_leave_their_places_to_others() {
    let bed = Bed::new().await;
    bed.sources(&json!([waiting("dead", 3_600_000), waiting("quick", 0)]));
    let mut settings = bed.settings("collector-1");
    (settings.collect.in_flight_max, settings.collect.deadline_ms) = (4, 8_000);
    let collector = bed.start_with(settings).await;
    let begun = Instant::now();
    for n in 0..12 {
        bed.post(&collector, &with(&format!("D{n}"), &json!({"event_sources": ["dead"]})), &[]).await;
    }
    bed.post(&collector, &with("Q", &json!({"event_sources": ["quick"]})), &[]).await;
    let (_, first) = bed.input(1).await.remove(0);
    assert_eq!(observations(&first).len(), 1, "the quick one came past twelve dead ones");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    bed.input(13).await;
    collector.stop().await;
}

#[actix_rt::test]
async fn a_dead_source_above_its_share_fails_at_once_and_leaves_the_other_places_free() {
    let bed = Bed::new().await;
    bed.sources(&json!([waiting("dead", 3_600_000), waiting("quick", 0)]));
    let mut settings = bed.settings("collector-1");
    (settings.collect.in_flight_max, settings.collect.waiting_max) = (4, 8);
    let collector = bed.start_with(settings).await;
    let begun = Instant::now();
    for n in 0..12 {
        let sources = json!({"event_sources": ["quick", "dead"]});
        bed.post(&collector, &with(&format!("D{n}"), &sources), &[]).await;
    }
    let optional = json!({"event_sources": [{"source": "dead", "required": false}, "quick"]});
    let optional = bed.post(&collector, &with("O", &optional), &[]).await.rid();
    let quick = bed.post(&collector, &with("Q", &json!({"event_sources": ["quick"]})), &[]).await.rid();
    // Four of the twelve wait for the deadline, half of the places; nobody waits behind them.
    let early = bed.input(10).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(early.len(), 10);
    for (_, message) in &early {
        let rid = message.about().unwrap().rid;
        if rid == optional || rid == quick {
            assert_eq!(observations(message).len(), 1);
            continue;
        }
        let failure = failure(message);
        assert_eq!(
            (failure.code.as_str(), failure.pointer.as_deref()),
            ("SOURCE_UNAVAILABLE", Some("/event_sources/1"))
        );
        assert!(failure.detail.contains("saturated"), "{failure:?}");
    }
    collector.stop().await;
}

/// A source that reads `/doc` of a server.
fn rate_at(server: &str) -> Value {
    json!({
        "name": "rate", "kind": "http_json", "urls": [format!("{server}/doc?token=secret")],
        "hosts": ["127.0.0.1"], "allow_private": true, "pointer": "/rates/0/value", "bytes_max": 2_000,
        "timeout_ms": 300,
    })
}

/// A server of documents and the source that reads `/doc` from it.
async fn documents(bed: &Bed, fields: Value) -> MockServer {
    let server = MockServer::start().await;
    let mut source = rate_at(&server.uri());
    for (key, value) in fields.as_object().unwrap() {
        source[key] = value.clone();
    }
    bed.sources(&json!([source]));
    server
}

async fn answers(server: &MockServer, template: ResponseTemplate) {
    server.reset().await;
    Mock::given(method("GET")).and(path("/doc")).respond_with(template).mount(server).await;
}

fn json_body(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(text.to_owned(), "application/json; charset=utf-8")
}

/// What comes of a request for the rate.
async fn ask(bed: &Bed, collector: &Running, required: bool) -> Message {
    let before = bed.messages(Stream::Input).await.len();
    let body = with("X", &json!({"external_apis": [{"source": "rate", "required": required}]}));
    assert_eq!(bed.post(collector, &body, &[]).await.status, 202);
    bed.input(before + 1).await.pop().unwrap().1
}

#[actix_rt::test]
async fn a_value_keeps_its_digits_and_brings_its_time_and_evidence() {
    let bed = Bed::new().await;
    let server = documents(&bed, json!({"as_of_pointer": "/date"})).await;
    let collector = bed.start().await;
    answers(&server, json_body(r#"{"date": "2026-11-20", "rates": [{"value": 1.08500}]}"#)).await;
    let message = ask(&bed, &collector, true).await;
    let [observation] = observations(&message) else { panic!("{message:?}") };
    assert_eq!((observation.kind, observation.value.get()), (ObservationKind::HttpJson, "1.08500"));
    assert_eq!(observation.as_of_ms, 1_795_132_800_000);
    let evidence: Value = serde_json::from_str(observation.evidence.as_ref().unwrap().get()).unwrap();
    assert_eq!(evidence["url"], format!("{}/doc", server.uri()), "the query may hold a secret");
    assert_eq!(evidence["sha256"].as_str().map(str::len), Some(66));
    collector.stop().await;
}

#[actix_rt::test]
async fn answers_that_cannot_be_used_fail_a_required_source_at_once() {
    let bed = Bed::new().await;
    let server = documents(&bed, json!({})).await;
    let collector = with_deadline(&bed, 30_000).await;
    let long = format!(r#"{{"rates": [{{"value": "{}"}}]}}"#, "x".repeat(2_000));
    let elsewhere = format!("{}/other", server.uri());
    let good = r#"{"rates": [{"value": 1}]}"#;
    for (name, template) in [
        ("not JSON", json_body("rates: none")),
        ("nothing at the pointer", json_body(r#"{"rates": []}"#)),
        ("another type", ResponseTemplate::new(200).set_body_raw(good, "text/html")),
        ("no type", ResponseTemplate::new(200).set_body_bytes(good)),
        ("too long", json_body(&long)),
        ("a redirect", ResponseTemplate::new(302).insert_header("location", elsewhere.as_str())),
        ("not found", ResponseTemplate::new(404)),
    ] {
        answers(&server, template).await;
        let begun = Instant::now();
        let message = ask(&bed, &collector, true).await;
        let failure = failure(&message);
        assert_eq!(
            (failure.code.as_str(), failure.pointer.as_deref()),
            ("SOURCE_INVALID", Some("/external_apis/0")),
            "{name}: {failure:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{name} was tried again");
        assert!(server.received_requests().await.unwrap().iter().all(|r| r.url.path() == "/doc"), "{name}");
    }
    answers(&server, ResponseTemplate::new(404)).await;
    assert!(observations(&ask(&bed, &collector, false).await).is_empty(), "an optional source is left out");
    collector.stop().await;
}

#[actix_rt::test]
async fn an_answer_that_does_not_tell_its_length_is_read_only_as_far_as_the_limit() {
    let bed = Bed::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut source = rate_at(&format!("http://{}", listener.local_addr().expect("bound")));
    source["timeout_ms"] = json!(5_000);
    bed.sources(&json!([source]));
    actix_rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.read(&mut [0; 4_096]).await);
            let body = format!(r#"{{"rates": [{{"value": "{}"}}]}}"#, "x".repeat(2_000));
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let answer = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    let collector = with_deadline(&bed, 30_000).await;
    let message = ask(&bed, &collector, true).await;
    assert_eq!(failure(&message).code, "SOURCE_INVALID", "{message:?}");
    collector.stop().await;
}

#[actix_rt::test]
async fn a_failing_source_is_tried_again_until_the_deadline() {
    let bed = Bed::new().await;
    let server = documents(&bed, json!({})).await;
    let collector = with_deadline(&bed, 3_000).await;
    answers(&server, ResponseTemplate::new(503)).await;
    let healing = async {
        until("three attempts", async || server.received_requests().await.unwrap().len() >= 3).await;
        answers(&server, json_body(r#"{"rates": [{"value": 1}]}"#)).await;
    };
    let (message, ()) = futures_util::join!(ask(&bed, &collector, true), healing);
    assert_eq!(observations(&message).len(), 1);
    answers(&server, ResponseTemplate::new(503).set_delay(Duration::from_mins(1))).await;
    let message = ask(&bed, &collector, true).await;
    assert_eq!(failure(&message).code, "SOURCE_UNAVAILABLE");
    collector.stop().await;
}

#[actix_rt::test]
async fn observations_and_messages_are_bounded() {
    let bed = Bed::new().await;
    let server = MockServer::start().await;
    let half = format!("\"{}\"", "x".repeat(15_900));
    let over = format!("\"{}\"", "x".repeat(16_500));
    for (document, text) in [("/half", &half), ("/over", &over)] {
        Mock::given(path(document)).respond_with(json_body(text)).mount(&server).await;
    }
    let source = |name: &str, document: &str| {
        json!({"name": name, "kind": "http_json", "urls": [format!("{}{document}", server.uri())],
               "hosts": ["127.0.0.1"], "allow_private": true})
    };
    let mut sources: Vec<Value> = (0..8).map(|n| source(&format!("half{n}"), "/half")).collect();
    sources.push(source("over", "/over"));
    sources.push(waiting("hanging", 3_600_000));
    bed.sources(&json!(sources));
    let collector = bed.start().await;
    let names: Vec<String> = (0..8).map(|n| format!("half{n}")).collect();
    for (apis, events, code) in [
        (json!(["over"]), json!([]), Some("OBSERVATION_TOO_LARGE")),
        (json!(names[..7]), json!([]), None),
        (json!(names), json!([]), Some("MESSAGE_TOO_LARGE")),
        // Not worth waiting for the last one, which would fail the request at the deadline.
        (json!(names), json!(["hanging"]), Some("MESSAGE_TOO_LARGE")),
    ] {
        let before = bed.messages(Stream::Input).await.len();
        // The request itself takes room too: with eight observations it is over 128 KiB.
        let documents: serde_json::Map<String, Value> =
            (0..8).map(|n| (format!("t{n}"), json!("y".repeat(1_000)))).collect();
        let change = json!({"kind": "SET_DATA", "terms": documents});
        let body =
            with("X", &json!({"external_apis": apis, "event_sources": events, "state_changes": [change]}));
        assert_eq!(bed.post(&collector, &body, &[]).await.status, 202);
        let (stored, message) = bed.input(before + 1).await.pop().unwrap();
        assert!(stored.payload.len() <= 128 * 1024);
        match code {
            Some(code) => assert_eq!(failure(&message).code, code),
            None => assert_eq!(observations(&message).len(), 7),
        }
    }
    collector.stop().await;
}
