//! `oss verify log` on a recorded log: the first entries of a stack that registered, minted and transferred.
//!
//! The record is from a real run and never made anew: that it still replays to the same roots is the promise
//! that an old log keeps its meaning.

use serde_json::{Value, json};

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
    let table = oss(&["verify", "log", "--from-file", &data(RECORD)]).await;
    assert!(table.stdout.contains("equal"), "{table:?}");
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
