//! `POST /v1/sync-requests/batch`: lines in, lines out, and what one batch may hold.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use common::ids::Rid;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::bed::{Answer, Bed, READ, Running, SUBMIT, mint, until, with};

const NDJSON: &str = "application/x-ndjson";

fn request(bed: &Bed, collector: &Running, key: &str, body: impl Into<Body>) -> reqwest::RequestBuilder {
    let url = format!("{}/v1/sync-requests/batch", collector.base);
    bed.client.post(url).bearer_auth(key).header("content-type", NDJSON).body(body)
}

/// The lines of a whole answer.
async fn batch(bed: &Bed, collector: &Running, body: impl Into<Body>) -> Vec<Value> {
    batch_as(bed, collector, SUBMIT, body).await
}

pub(crate) async fn batch_as(bed: &Bed, collector: &Running, key: &str, body: impl Into<Body>) -> Vec<Value> {
    let answer = request(bed, collector, key, body).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], NDJSON);
    let text = answer.text().await.expect("a whole body");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn keyed(name: &str, key: &str) -> String {
    with(name, &json!({ "idempotency_key": key })).to_string()
}

/// A batch whose lines are sent one by one.
struct Open {
    lines: mpsc::Sender<Result<String, std::io::Error>>,
    answer: BoxStream<'static, Vec<u8>>,
}

impl Open {
    async fn new(bed: &Bed, collector: &Running) -> Self {
        let (lines, sent) = mpsc::channel(1);
        let body = futures_util::stream::unfold(sent, async |mut sent: mpsc::Receiver<_>| {
            sent.recv().await.map(|line| (line, sent))
        });
        let answer = request(bed, collector, SUBMIT, Body::wrap_stream(body)).send().await.expect("a head");
        assert_eq!(answer.status(), 200);
        let answer = answer.bytes_stream().filter_map(async |piece| piece.ok().map(|piece| piece.to_vec()));
        Self { lines, answer: answer.boxed() }
    }

    async fn send(&self, line: &str) {
        self.lines.send(Ok(format!("{line}\n"))).await.expect("the body is read");
    }

    async fn result(&mut self) -> Value {
        let piece = self.answer.next().await.expect("a result");
        serde_json::from_slice(&piece).expect("one line at a time")
    }
}

#[actix_rt::test]
async fn every_line_has_its_result_in_its_place_and_a_bad_one_fails_alone() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let game = json!({
        "asset": {"id": "game_item:x"}, "state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}],
    });
    let long = format!("{{\"x\": \"{}\"}}", "x".repeat(64 * 1024));
    let lines = [
        keyed("A", "a"),
        String::new(),
        "{\"asset\": ".to_owned(),
        game.to_string(),
        keyed("A", "a"),
        keyed("B", "a"),
        with("C", &json!({"idempotency_key": "a b"})).to_string(),
        with("C", &json!({"ttl_seconds": 0})).to_string(),
        long,
        "[]".to_owned(),
        mint("D").to_string(),
    ];
    let results = batch(&bed, &collector, lines.join("\n")).await;
    let seen: Vec<_> = results
        .iter()
        .map(|result| {
            let problem = &result["problem"];
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
            (result["line"].as_u64(), result["status"].as_u64(), problem["code"].as_str(), pointer)
        })
        .collect();
    let expected = [
        (Some(1), Some(202), None, ""),
        (Some(3), Some(400), Some("malformed_json"), ""),
        (Some(4), Some(202), None, ""),
        (Some(5), Some(202), None, ""),
        (Some(6), Some(422), Some("idempotency_conflict"), "/idempotency_key"),
        (Some(7), Some(422), Some("invalid_request"), "/idempotency_key"),
        (Some(8), Some(422), Some("invalid_request"), "/ttl_seconds"),
        (Some(9), Some(413), Some("too_large"), ""),
        (Some(10), Some(422), Some("invalid_request"), ""),
        (Some(11), Some(202), None, ""),
        (None, None, None, ""),
    ];
    assert_eq!(seen, expected);
    let summary = json!({"summary": {"lines": 10, "accepted": 3, "replayed": 1, "failed": 6}});
    assert_eq!(results.last(), Some(&summary));
    assert_eq!((&results[0]["id"], results[3]["replayed"].as_bool()), (&results[3]["id"], Some(true)));
    assert_eq!((bed.records(), bed.entries()), (3, 3));
    // The same key alone is the same request.
    let alone = bed.post(&collector, &mint("A"), &[("idempotency-key", "a")]).await;
    assert_eq!(alone.header("idempotency-replayed"), Some("true"));
    assert_eq!(alone.rid().to_string(), results[0]["id"].as_str().unwrap());
    collector.stop().await;
}

#[actix_rt::test]
async fn results_come_while_lines_are_still_sent_and_a_silent_batch_ends() {
    let bed = Bed::new().await;
    let mut settings = bed.settings("collector-1");
    settings.limits.request_timeout_ms = 1_000;
    let collector = bed.start_with(settings).await;
    let mut open = Open::new(&bed, &collector).await;
    for n in 1..=3_u64 {
        open.send(&mint("X").to_string()).await;
        let result = open.result().await;
        assert_eq!((result["line"].as_u64(), result["status"].as_u64()), (Some(n), Some(202)));
        let rid: Rid = result["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(bed.get(&collector, rid, &[]).await.status, 200);
    }
    let begun = Instant::now();
    assert_eq!(open.result().await["summary"]["stopped"], "too_slow");
    assert!(begun.elapsed() >= Duration::from_millis(800), "{:?}", begun.elapsed());
    collector.stop().await;
}

#[actix_rt::test]
async fn lines_above_the_bound_are_not_read_and_the_summary_says_so() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    // Blank lines count.
    let last = format!("{}{}\n", "\n".repeat(9_999), mint("X"));
    let results = batch(&bed, &collector, last.clone()).await;
    assert_eq!((results[0]["line"].as_u64(), results[1]["summary"].get("stopped")), (Some(10_000), None));
    let results = batch(&bed, &collector, format!("{last}{}\n", mint("Y"))).await;
    assert_eq!(results[1]["summary"]["stopped"], "too_many_lines");
    assert_eq!((results.len(), bed.records()), (2, 2));
    collector.stop().await;
}

#[actix_rt::test]
async fn a_full_backlog_fails_its_lines_and_tells_each_when_to_try_again() {
    let bed = Bed::new().await;
    let mut settings = bed.settings("collector-1");
    settings.limits.backlog_max = 3;
    let collector = bed.start_with(settings).await;
    let lines: Vec<String> = (0..100).map(|n| mint(&format!("A{n}")).to_string()).collect();
    let results = batch(&bed, &collector, lines.join("\n")).await;
    let accepted = results.iter().filter(|result| result["status"] == 202).count();
    let refused: Vec<&Value> = results.iter().filter(|result| result["status"] == 503).collect();
    assert_eq!((accepted, refused.len()), (3, 97));
    for result in refused {
        assert_eq!(result["problem"]["code"], "backpressure");
        assert!(result["problem"]["retry_after"].as_u64().is_some_and(|seconds| seconds > 0));
    }
    assert_eq!(results.last().unwrap()["summary"]["failed"], 97);
    collector.stop().await;
}

#[actix_rt::test]
async fn one_batch_more_than_there_are_places_is_refused_and_its_place_comes_back() {
    let bed = Bed::new().await;
    let mut settings = bed.settings("collector-1");
    settings.limits.batches_max = 1;
    let collector = bed.start_with(settings).await;
    let mut open = Open::new(&bed, &collector).await;
    open.send(&mint("X").to_string()).await;
    open.result().await;
    let further = async || {
        let line = mint("Y").to_string();
        Answer::of(request(&bed, &collector, SUBMIT, line).send().await.expect("an answer")).await
    };
    let refused = further().await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (503, Some("backpressure")));
    assert!(refused.header("retry-after").is_some());
    // It holds nothing that a single request needs.
    assert_eq!(bed.post(&collector, &mint("Z"), &[]).await.status, 202);
    // Its client goes away in the middle of it.
    drop(open);
    until("the place is free", async || further().await.status == 200).await;
    collector.stop().await;
}

#[actix_rt::test]
async fn a_client_that_does_not_read_is_not_read_from_and_loses_its_place() {
    let bed = Bed::new().await;
    let mut settings = bed.settings("collector-1");
    settings.limits.batches_max = 1;
    settings.limits.request_timeout_ms = 1_000;
    let collector = bed.start_with(settings).await;
    // The system keeps little for a client that says so, so that what it does not read is soon noticed: a collector
    // that has to work through megabytes first takes as long for it as the machine is busy.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = collector.base.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    // Small lines of several faults: the results are larger than what was sent.
    let faulty = with("X", &json!({"state_changes": vec![json!({"kind": "MINT"}); 8]}));
    let line = format!("{faulty}\n");
    let beginning = tokio::task::spawn_blocking(move || {
        let total = line.len() * 10_000;
        let head = format!(
            "POST /v1/sync-requests/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SUBMIT}\r\n\
             content-type: {NDJSON}\r\ncontent-length: {total}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The head of its answer: the batch has its place.
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        (stream, line)
    });
    let (mut stream, line) = beginning.await.unwrap();
    let mut writer = stream.try_clone().unwrap();
    // It writes as long as anything is taken from it: on a busy machine that has pauses, and who stops by itself
    // is a client that is silent, which is another end.
    let writing = tokio::task::spawn_blocking(move || {
        (0..10_000).take_while(|_| writer.write_all(line.as_bytes()).is_ok()).for_each(drop);
    });
    // Read to its end, so that its own place is free again.
    let further = async || {
        let answer = request(&bed, &collector, SUBMIT, mint("Y").to_string()).send().await.unwrap();
        Answer::of(answer).await.status
    };
    assert_eq!(further().await, 503, "the batch has the place");
    until("its place is free", async || further().await == 200).await;
    // What is left of the body is nobody's: it may be taken and thrown away, or not.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    writing.await.unwrap();
    // What it gets when it reads at last has no summary: it broke off.
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(!String::from_utf8_lossy(&answer).contains("\"summary\""));
    collector.stop().await;
}

#[actix_rt::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let wrong = request(&bed, &collector, SUBMIT, "{}").header("content-encoding", "gzip");
    let wrong = Answer::of(wrong.send().await.unwrap()).await;
    assert_eq!((wrong.status, wrong.pointers()), (415, vec!["#header/Content-Encoding".to_owned()]));
    let url = format!("{}/v1/sync-requests/batch", collector.base);
    let json = bed.client.post(&url).bearer_auth(SUBMIT).header("content-type", "application/json");
    assert_eq!(json.body("{}").send().await.unwrap().status(), 415);
    assert_eq!(request(&bed, &collector, READ, "{}").send().await.unwrap().status(), 403);
    assert_eq!(request(&bed, &collector, "", "{}").send().await.unwrap().status(), 401);
    let wrong = bed.ask(reqwest::Method::GET, READ, url, &[]).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let empty = batch(&bed, &collector, "").await;
    assert_eq!(empty, [json!({"summary": {"lines": 0, "accepted": 0, "replayed": 0, "failed": 0}})]);
    assert_eq!(bed.records(), 0);
    collector.stop().await;
}

#[actix_rt::test]
async fn the_end_of_the_service_ends_a_batch_with_its_summary() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let mut open = Open::new(&bed, &collector).await;
    open.send(&mint("X").to_string()).await;
    open.result().await;
    let begun = Instant::now();
    let (summary, ()) = futures_util::join!(open.result(), collector.stop());
    assert_eq!(summary["summary"]["stopped"], "unavailable");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
