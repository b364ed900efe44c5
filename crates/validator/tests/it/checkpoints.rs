//! The routes of checkpoints: every process writes, lists and gives out its own.

use common::hash::Digest;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::bed::{Answer, Bed, Validator, eventually, mint, register};

const WRITE: &str = "/v1/checkpoints?shard=financial";

async fn order(validator: &Validator, path: &str, key: &str) -> Answer {
    validator.ask(Method::POST, path, key, &[]).await
}

/// The first one of a shard: a leader that is ready may have made no entry yet.
async fn first(validator: &Validator, path: &str) -> Answer {
    let written = async || {
        let answer = order(validator, path, "operate").await;
        (answer.status != StatusCode::CONFLICT).then_some(answer)
    };
    eventually("the shard has an entry", written).await
}

/// The financial shard's files.
async fn listed(validator: &Validator, key: &str) -> Vec<Value> {
    let answer = validator.ask(Method::GET, "/v1/checkpoints", key, &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["shards"].as_array().map(Vec::len), Some(4), "{answer:?}");
    let shard = &answer.body["shards"][0];
    assert_eq!((&shard["shard"], &shard["unreadable"]), (&"financial".into(), &0.into()), "{answer:?}");
    shard["checkpoints"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn an_operator_has_a_checkpoint_written_by_the_leader_and_by_a_standby_and_both_write_the_same() {
    let bed = Bed::new(&["base"]).await;
    let leader = bed.start();
    leader.ready().await;
    let empty = first(&leader, "/v1/checkpoints?shard=gaming").await;
    // The targets are its first entry.
    assert_eq!((empty.status, &empty.body["seq"]), (StatusCode::CREATED, &1.into()), "{empty:?}");
    let standby = bed.start();
    eventually("it stands by", async || (standby.healthcheck(&bed).await == 0).then_some(())).await;
    bed.decide(register("bond:A", &["base"])).await;
    let mut written = Vec::new();
    for _ in 0..3 {
        let seq = bed.decide(mint("bond:A", "acct:alice", 1)).await.seq.expect("a seq");
        for validator in [&leader, &standby] {
            eventually("it has the entry", async || {
                let answer = validator.get(&format!("/v1/shards/financial?min_seq={seq}")).await;
                (answer.status == StatusCode::OK).then_some(())
            })
            .await;
        }
        let answers = [order(&leader, WRITE, "operate").await, order(&standby, WRITE, "operate").await];
        for answer in &answers {
            assert_eq!(
                (answer.status, &answer.body["seq"]),
                (StatusCode::CREATED, &seq.into()),
                "{answer:?}"
            );
            assert_eq!(answer.oss_seq, Some(seq.to_string()));
        }
        assert_eq!(answers[0].body["hash"], answers[1].body["hash"]);
        let [first, _] = answers;
        written.push(first.body);
    }
    let shard = leader.get("/v1/shards/financial").await.body;
    assert_eq!((&written[2]["root"], &written[2]["digest"]), (&shard["root"], &shard["digest"]));
    // The two newest are kept, the newest first.
    let hashes = |list: &[Value]| list.iter().map(|file| file["hash"].clone()).collect::<Vec<Value>>();
    let expected = [written[2]["hash"].clone(), written[1]["hash"].clone()];
    for (validator, key) in [(&leader, "read"), (&standby, "operate"), (&standby, "peer")] {
        assert_eq!(hashes(&listed(validator, key).await), expected, "{key}");
    }
    let page = standby.metrics().await;
    let height = format!(r#"oss_validator_checkpoint_height{{shard="financial"}} {}"#, written[2]["seq"]);
    assert!(page.contains(&height), "{height}: {page}");
    let bytes = format!(r#"oss_validator_checkpoint_bytes{{shard="financial"}} {}"#, written[2]["bytes"]);
    assert!(page.contains(&bytes), "{bytes}: {page}");

    let hash = written[2]["hash"].as_str().expect("a hash");
    let place = format!("/v1/shards/financial/checkpoints/{hash}");
    for key in ["peer", "operate"] {
        let (status, file) = standby.part(&place, key).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(Digest::of(&[&file]).to_string(), hash);
        assert_eq!(Some(file.len() as u64), written[2]["bytes"].as_u64());
        let (_, rest) = standby.part(&format!("{place}?from_byte=9"), key).await;
        assert_eq!(rest, file[9..]);
        let (status, end) = standby.part(&format!("{place}?from_byte={}", file.len()), key).await;
        assert_eq!((status, end.len()), (StatusCode::OK, 0));
    }
    assert_eq!(standby.part(&place, "read").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_named_and_who_may_not_is_refused() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let none = format!("/v1/shards/financial/checkpoints/{}", Digest::ZERO);
    let written = first(&validator, WRITE).await.body;
    let place = format!("/v1/shards/financial/checkpoints/{}", written["hash"].as_str().expect("a hash"));
    let beyond = format!("{place}?from_byte=999999999");
    let letters = format!("{place}?from_byte=x");
    let (post, get) = (Method::POST, Method::GET);
    for (method, path, status, pointer) in [
        (&post, "/v1/checkpoints", 400, "#query/shard"),
        (&post, "/v1/checkpoints?shard=bonds", 400, "#query/shard"),
        (&post, "/v1/checkpoints?shards=gaming", 400, "#query"),
        (&get, "/v1/shards/bonds/checkpoints/0x00", 400, "#path/shard"),
        (&get, "/v1/shards/financial/checkpoints/0x00", 400, "#path/hash"),
        (&get, &beyond, 400, "#query/from_byte"),
        (&get, &letters, 400, "#query/from_byte"),
        (&get, &none, 404, ""),
    ] {
        let answer = validator.ask(method.clone(), path, "operate", &[]).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let named = answer.body["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(named, pointer, "{path}: {answer:?}");
    }
    for (method, path, key, status) in [
        (&post, WRITE, "read", 403),
        (&post, WRITE, "peer", 403),
        (&post, WRITE, "", 401),
        (&get, &place, "read", 403),
        (&get, "/v1/checkpoints", "", 401),
    ] {
        let answer = validator.ask(method.clone(), path, key, &[]).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
}
