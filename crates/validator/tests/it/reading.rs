//! The read API's conventions: keys, tenants, `OSS-Seq`, `min_seq`, pages of the log.

use common::ids::Rid;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::bed::{Bed, SHARD, register};

#[tokio::test]
async fn every_answer_carries_oss_seq_and_every_refusal_is_a_problem_with_its_code() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let rid = bed.submit(register("bond:A", &["base"])).await;
    let seq = bed.decided(rid).await.seq.expect("a seq");
    let reached = validator.get(&format!("/v1/assets/bond:A?min_seq={seq}")).await;
    assert_eq!((reached.status, reached.oss_seq), (StatusCode::OK, Some(seq.to_string())));
    let own = format!("/v1/decisions/{rid}");
    let unknown = format!("/v1/decisions/{}", Rid::fresh(SHARD));
    let cases: [(&str, &str, StatusCode, &str); 14] = [
        ("", "/v1/assets/bond:A", StatusCode::UNAUTHORIZED, "unauthorized"),
        ("nobody", "/v1/assets/bond:A", StatusCode::UNAUTHORIZED, "unauthorized"),
        ("read", "/v1/shards/financial/log", StatusCode::FORBIDDEN, "forbidden"),
        ("read", "/v1/assets/bond:NONE", StatusCode::NOT_FOUND, "not_found"),
        ("read", "/v1/holdings/bond:A/acct:nobody", StatusCode::NOT_FOUND, "not_found"),
        ("read", "/v1/assets/nonsense", StatusCode::BAD_REQUEST, "invalid_request"),
        ("read", "/v1/shards/nowhere", StatusCode::BAD_REQUEST, "invalid_request"),
        ("read", "/v1/assets/bond:A?sequence=1", StatusCode::BAD_REQUEST, "invalid_request"),
        ("read", "/v1/assets/bond:A?min_seq=9999", StatusCode::BAD_REQUEST, "invalid_request"),
        ("read", &unknown, StatusCode::NOT_FOUND, "not_found"),
        ("other", &own, StatusCode::NOT_FOUND, "not_found"),
        ("read", "/v1/assets/bond:A/proof?chain=base", StatusCode::CONFLICT, "no_final_root"),
        ("operate", "/v1/shards/financial/log?limit=1001", StatusCode::BAD_REQUEST, "invalid_request"),
        ("read", "/v1/nothing", StatusCode::NOT_FOUND, "not_found"),
    ];
    for (key, path, status, code) in cases {
        let answer = validator.ask(Method::GET, path, key, &[]).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{key} {path}");
        assert!(answer.oss_seq.is_some(), "{path}");
    }
    assert_eq!(validator.ask(Method::GET, &own, "read", &[]).await.body["outcome"], "APPLIED");
    let asset = validator.get("/v1/assets/bond:A").await.body;
    assert_eq!(
        (&asset["status"], &asset["chains"], &asset["shard"]),
        (&"ACTIVE".into(), &serde_json::json!(["base"]), &"financial".into())
    );
}

#[tokio::test]
async fn the_log_comes_in_bounded_pages_as_json_or_as_lines_with_the_exact_bodies() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    bed.decide(register("bond:B", &["base"])).await;
    validator.reach_head(&bed).await;
    let page = validator.get("/v1/shards/financial/log?limit=2").await.body;
    assert_eq!(
        (page["entries"].as_array().map(Vec::len), page["next_from_seq"].as_u64()),
        (Some(2), Some(3))
    );
    let rest = validator.get("/v1/shards/financial/log?from_seq=3").await.body;
    assert_eq!((rest["entries"].as_array().map(Vec::len), rest.get("next_from_seq")), (Some(1), None));
    let beyond = validator.get("/v1/shards/financial/log?from_seq=4").await.body;
    assert_eq!(beyond["entries"], Value::Array(Vec::new()));
    let lines = validator
        .ask(Method::GET, "/v1/shards/financial/log", "operate", &[("Accept", "application/x-ndjson")])
        .await;
    let Value::String(text) = lines.body else { panic!("lines are no single JSON value") };
    let stored = bed.link().log_range(1, 9).await.expect("reads");
    assert_eq!(text.lines().count(), stored.len());
    for (line, logged) in text.lines().zip(stored) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["body"].as_str().map(str::as_bytes), Some(logged.body.as_slice()));
        assert_eq!(line["digest"].as_str(), Some(logged.digest.to_string().as_str()));
    }
}

#[tokio::test]
async fn the_pipeline_shows_backlogs_watermarks_and_batches_of_every_shard() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let seq = bed.decide(register("bond:A", &["base"])).await.seq.expect("a seq");
    let shard = crate::bed::eventually("relayed", async || {
        let pipeline = validator.get("/v1/pipeline").await.body;
        let shard = pipeline["shards"][0].clone();
        (shard["targets"]["base"]["watermark"].as_u64() == Some(seq)).then_some(shard)
    })
    .await;
    assert_eq!((&shard["shard"], shard["head"].as_u64()), (&"financial".into(), Some(seq)));
    assert_eq!(
        (shard["targets"]["base"]["lag"].as_u64(), shard["backlog"]["in"].as_u64()),
        (Some(0), Some(0))
    );
    assert!(shard["batches"]["entries"].as_u64() >= Some(2));
    let shards = validator.get("/v1/shards").await;
    assert_eq!(shards.body["shards"].as_array().map(Vec::len), Some(4));
    assert!(shards.oss_seq.is_some_and(|seqs| seqs.starts_with(&format!("financial={seq},"))));
}

#[tokio::test]
async fn a_key_of_scope_peer_opens_the_log_and_the_checkpoints_and_nothing_else() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let (rid, log) = (Rid::fresh(SHARD).to_string(), format!("/v1/shards/{SHARD}/log"));
    let hash = common::hash::Digest::ZERO.to_string();
    let file = format!("/v1/shards/{SHARD}/checkpoints/{hash}");
    let fill = [
        ("asset", "bond:A"),
        ("account", "acct:a"),
        ("rid", rid.as_str()),
        ("shard", SHARD.name()),
        ("target", "base"),
        ("hash", hash.as_str()),
    ];
    let operations = testkit::generated::operations("validator.openapi.json", &fill);
    assert!(operations.contains(&("GET".to_owned(), log.clone())), "{operations:?}");
    for (method, path) in operations {
        let method: Method = method.parse().expect("a method");
        // What each route reads before it asks for the key is in order.
        let query = if path.ends_with("/rewind") { "?shard=financial" } else { "" };
        let body = (path == "/v1/rollbacks").then(|| serde_json::json!({ "rid": rid }));
        let place = format!("{path}{query}");
        let expected = match (&method, path.as_str()) {
            (&Method::GET, path) if path == log || path == "/v1/checkpoints" => StatusCode::OK,
            (&Method::GET, path) if path == file => StatusCode::NOT_FOUND,
            _ => StatusCode::FORBIDDEN,
        };
        let answer = validator.send(method.clone(), &place, "peer", &[], body.as_ref()).await;
        assert_eq!(answer.status, expected, "{method} {place}: {}", answer.body);
        // The control: another scope opens it.
        let answer = validator.send(method.clone(), &place, "operate", &[], body.as_ref()).await;
        assert_ne!(answer.status, StatusCode::FORBIDDEN, "{method} {place}: {}", answer.body);
    }
}
