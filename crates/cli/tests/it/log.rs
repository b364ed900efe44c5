//! `oss verify log` on a recorded log: the first entries of a stack that registered, minted and transferred.
//!
//! The record is from a real run and never made anew: that it still replays to the same roots is the promise
//! that an old log keeps its meaning.

use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::oss::{Ended, data, oss};

const RECORD: &str = "financial.ndjson";

fn lines() -> Vec<Value> {
    let text = std::fs::read_to_string(data(RECORD)).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

async fn verify(file: &str) -> Ended {
    oss(&["verify", "log", "--from-file", file, "-o", "json"]).await
}

async fn verify_lines(lines: &[Value]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.ndjson");
    let texts: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&path, texts.join("\n")).expect("written");
    verify(&path.display().to_string()).await
}

#[tokio::test]
async fn the_recorded_log_is_equal_to_its_replay() {
    let ended = verify(&data(RECORD)).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let (report, last) = (ended.json(), lines().pop().expect("entries"));
    assert_eq!(
        (&report["equal"], &report["entries"], &report["decided"]),
        (&json!(true), &json!(9), &json!(4))
    );
    assert_eq!(report["head"], last["digest"]);
    let body: Value = serde_json::from_str(last["body"].as_str().expect("text")).expect("json");
    assert_eq!((&report["root"], &report["aux"]), (&body["root"], &body["aux"]));
}

#[tokio::test]
async fn a_file_is_only_consistent_because_nothing_says_where_its_log_ends() {
    let table = oss(&["verify", "log", "--from-file", &data(RECORD)]).await;
    assert!(table.stdout.contains("consistent, its end unknown"), "{table:?}");
    assert!(table.stdout.contains("compared with") && table.stdout.contains("says no head"), "{table:?}");
    let cut = verify_lines(&lines()[..7]).await;
    assert_eq!((cut.code, &cut.json()["entries"]), (0, &json!(7)));
    assert_eq!(cut.json()["compared_with"], json!(null));
    let empty = verify_lines(&[]).await;
    assert_eq!(empty.code, 1);
    assert!(empty.stdout.is_empty() && empty.stderr.contains("nothing was checked"), "{empty:?}");
}

/// Where the shard stood after an entry, as `GET /v1/shards/{S}` shows it.
fn position(entry: &Value) -> Value {
    let body: Value = serde_json::from_str(entry["body"].as_str().expect("text")).expect("json");
    json!({
        "shard": "financial", "seq": entry["seq"], "digest": entry["digest"], "root": body["root"],
        "aux": body["aux"], "epoch": body["epoch"],
    })
}

/// Checks against a service that shows this position and gives these entries in two pages that speak of a head.
async fn verify_service(position: &Value, entries: &[Value], head: u64) -> Ended {
    let service = MockServer::start().await;
    let show = |answer: Value| ResponseTemplate::new(200).set_body_json(answer);
    Mock::given(method("GET"))
        .and(path("/v1/shards/financial"))
        .respond_with(show(position.clone()))
        .mount(&service)
        .await;
    let (first, second) = entries.split_at(entries.len().min(4));
    for (from_seq, page, next) in [("1", first, (!second.is_empty()).then_some(5)), ("5", second, None)] {
        let mut answer = json!({"shard": "financial", "head": head, "entries": page});
        if let Some(next) = next {
            answer["next_from_seq"] = json!(next);
        }
        Mock::given(method("GET"))
            .and(path("/v1/shards/financial/log"))
            .and(query_param("from_seq", from_seq))
            .respond_with(show(answer))
            .mount(&service)
            .await;
    }
    let url = service.uri();
    oss(&["--url", &url, "--api-key", "oss_test_secret", "verify", "log", "-o", "json"]).await
}

#[tokio::test]
async fn a_service_s_log_is_equal_when_its_replay_stands_at_the_head_that_is_shown() {
    let lines = lines();
    let head = position(&lines[8]);
    let ended = verify_service(&head, &lines, 9).await;
    assert_eq!((ended.code, &ended.json()["equal"]), (0, &json!(true)), "{ended:?}");
    for field in ["seq", "digest", "root", "aux"] {
        assert_eq!(ended.json()["compared_with"][field], head[field]);
    }
    // The log went on after the head was shown.
    let grown = verify_service(&position(&lines[6]), &lines, 9).await;
    assert_eq!((grown.code, &grown.json()["entries"]), (0, &json!(9)), "{grown:?}");
}

#[tokio::test]
async fn a_log_that_ends_before_the_head_is_different_whoever_names_the_head() {
    let lines = lines();
    let (head, cut_head) = (position(&lines[8]), position(&lines[6]));
    let table = [
        (&head, &lines[..7], 7, "entry 7"),
        (&head, &lines[..0], 0, "entry 0"),
        // Only the log's own pages know of more.
        (&cut_head, &lines[..7], 9, "entry 7"),
    ];
    for (position, entries, page_head, named) in table {
        let ended = verify_service(position, entries, page_head).await;
        assert_eq!((ended.code, &ended.json()["equal"]), (1, &json!(false)), "{ended:?}");
        let difference = ended.json()["difference"].to_string();
        assert!(difference.contains(named) && difference.contains("head is entry 9"), "{difference}");
    }
}

#[tokio::test]
async fn a_head_that_the_replay_does_not_give_is_different_and_the_field_is_named() {
    let lines = lines();
    for field in ["digest", "root", "aux"] {
        let mut head = position(&lines[8]);
        head[field] = json!(format!("0x{}", "ab".repeat(32)));
        let ended = verify_service(&head, &lines, 9).await;
        assert_eq!((ended.code, &ended.json()["equal"]), (1, &json!(false)), "{field}");
        let difference = ended.json()["difference"].to_string();
        assert!(difference.contains(&format!("entry 9: the replay gives {field}")), "{difference}");
    }
    // A shard without entries stands somewhere too.
    let zero = format!("0x{}", "00".repeat(32));
    let none = json!({"seq": 0, "digest": zero, "root": format!("0x{}", "ab".repeat(32)), "aux": zero});
    let ended = verify_service(&none, &[], 0).await;
    assert!(ended.json()["difference"].to_string().contains("entry 0: the replay gives root"), "{ended:?}");
}

#[tokio::test]
async fn a_tampered_record_is_different_and_the_entry_is_named() {
    let mut changed = lines();
    let body = changed[4]["body"].as_str().expect("text").replace("100000000", "100000001");
    assert_ne!(changed[4]["body"], json!(body), "the change changes something");
    changed[4]["body"] = json!(body);
    let mut missing = lines();
    missing.remove(3);
    for (lines, named) in [(changed, "entry 5"), (missing, "entry 5 stands where entry 4")] {
        let ended = verify_lines(&lines).await;
        assert_eq!(ended.code, 1);
        let difference = ended.json()["difference"].to_string();
        assert!(difference.contains(named), "{difference}");
        assert_eq!(ended.json()["equal"], json!(false));
    }
}

#[tokio::test]
async fn the_log_of_another_shard_is_not_this_ones() {
    let ended =
        oss(&["verify", "log", "--shard", "gaming", "--from-file", &data(RECORD), "-o", "json"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.json()["difference"].to_string().contains("shard"), "{ended:?}");
}

#[tokio::test]
async fn a_file_of_something_else_is_an_error() {
    let ended = oss(&["verify", "log", "--from-file", &data("proof.json")]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("line 1"), "{ended:?}");
}

/// Checks against a service that keeps the log from its fifth entry on and has a checkpoint that states this digest.
async fn verify_cut(entries: &[Value], seq: u64, stated: &Value, arguments: &[&str]) -> Ended {
    let service = MockServer::start().await;
    let show = |answer: Value| ResponseTemplate::new(200).set_body_json(answer);
    let gone =
        json!({"type": "/problems/gone", "title": "Gone", "status": 410, "code": "gone", "first_seq": 5});
    let gone = ResponseTemplate::new(410).set_body_raw(gone.to_string(), "application/problem+json");
    let page = json!({"shard": "financial", "head": 9, "entries": entries});
    let list =
        json!({"shard": "financial", "unreadable": 0, "checkpoints": [{"seq": seq, "digest": stated}]});
    let log = || Mock::given(method("GET")).and(path("/v1/shards/financial/log"));
    log().and(query_param("from_seq", "1")).respond_with(gone).mount(&service).await;
    log().and(query_param("from_seq", "5")).respond_with(show(page)).mount(&service).await;
    let head = show(position(&lines()[8]));
    Mock::given(method("GET")).and(path("/v1/shards/financial")).respond_with(head).mount(&service).await;
    let list = show(json!({"node": "validator-1", "shards": [list]}));
    Mock::given(method("GET")).and(path("/v1/checkpoints")).respond_with(list).mount(&service).await;
    let url = service.uri();
    let all = [&["--url", &url, "--api-key", "oss_test_secret", "verify", "log"], arguments].concat();
    oss(&all).await
}

#[tokio::test]
async fn a_log_of_which_the_first_entries_are_gone_is_checked_as_a_chain_over_a_checkpoint_and_says_so() {
    let lines = lines();
    let stated = lines[6]["digest"].clone();
    let ended = verify_cut(&lines[4..], 7, &stated, &["-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let report = ended.json();
    assert_eq!(
        (
            &report["equal"],
            &report["computed"],
            &report["from_seq"],
            &report["entries"],
            &report["checkpoints"]
        ),
        (&json!(true), &json!(false), &json!(5), &json!(5), &json!([7]))
    );
    let table = verify_cut(&lines[4..], 7, &stated, &[]).await;
    assert!(table.stdout.contains("a whole chain, not computed again"), "{table:?}");
    assert!(table.stdout.contains("older ones are not kept"), "{table:?}");

    let other = verify_cut(&lines[4..], 7, &lines[5]["digest"], &["-o", "json"]).await;
    assert_eq!((other.code, &other.json()["equal"]), (1, &json!(false)), "{other:?}");
    let difference = other.json()["difference"].to_string();
    assert!(difference.contains("entry 7") && difference.contains("checkpoint"), "{difference}");
    let mut changed = lines[4..].to_vec();
    changed[1]["prev"] = lines[2]["digest"].clone();
    let broken = verify_cut(&changed, 7, &stated, &["-o", "json"]).await;
    assert_eq!((broken.code, &broken.json()["equal"]), (1, &json!(false)), "{broken:?}");
    // A checkpoint from before the first entry is none to begin from.
    let none = verify_cut(&lines[4..], 4, &lines[3]["digest"], &["-o", "json"]).await;
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no checkpoint to begin from"), "{none:?}");
}
