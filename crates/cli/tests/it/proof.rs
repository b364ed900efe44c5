//! `oss verify proof`, on a proof that a running stack gave.

use common::amount::Amount;
use common::hash::Digest;
use common::proof::{key_hash, leaf_hash, value_hash};
use common::request::limits;
use common::state::{AssetRecord, AssetStatus, encode};
use serde_json::{Value, json};

use crate::oss::{Ended, data, oss, oss_with_input};

fn recorded() -> Value {
    serde_json::from_slice(&std::fs::read(data("proof.json")).expect("a file")).expect("json")
}

async fn verify(proof: &Value) -> Ended {
    oss_with_input(&["verify", "proof", "-", "-o", "json"], proof.to_string().as_bytes()).await
}

#[tokio::test]
async fn a_recorded_proof_is_valid_from_a_file_and_from_stdin() {
    let file = oss(&["verify", "proof", &data("proof.json")]).await;
    assert_eq!(file.code, 0, "{file:?}");
    assert!(file.stdout.contains("valid") && file.stdout.contains("present"));
    let stdin = verify(&recorded()).await;
    assert_eq!((stdin.code, &stdin.json()["valid"]), (0, &json!(true)));
    assert_eq!(stdin.json()["root_checked"], json!(false));
}

#[tokio::test]
async fn the_root_given_from_elsewhere_decides() {
    let root = recorded()["root"].as_str().expect("a root").to_owned();
    let same = oss(&["verify", "proof", &data("proof.json"), "--root", &root, "-o", "json"]).await;
    assert_eq!((same.code, &same.json()["root_checked"]), (0, &json!(true)));
    let other = format!("0x{}", "ab".repeat(32));
    let different = oss(&["verify", "proof", &data("proof.json"), "--root", &other, "-o", "json"]).await;
    assert_eq!(different.code, 1);
    assert_eq!(different.json()["fault"]["pointer"], json!("/root"));
}

#[tokio::test]
async fn every_changed_field_is_found_and_named() {
    let other = json!(format!("0x{}", "ab".repeat(32)));
    let table = [
        ("/root", "/root", other.clone()),
        ("/key", "/key_hash", json!("holding/bond:US91282CLW90/acct:eve")),
        ("/key_hash", "/key_hash", other.clone()),
        ("/value", "/value_hash", json!("0x40ff1006")),
        ("/value_hash", "/value_hash", other.clone()),
        ("/leaf/value_hash", "/leaf/value_hash", other.clone()),
        ("/siblings/0", "/root", other),
    ];
    for (place, pointer, value) in table {
        let mut proof = recorded();
        *proof.pointer_mut(place).expect("a field") = value;
        let ended = verify(&proof).await;
        assert_eq!((ended.code, &ended.json()["valid"]), (1, &json!(false)), "{place}");
        assert_eq!(ended.json()["fault"]["pointer"], json!(pointer), "{place}");
    }
}

#[tokio::test]
async fn what_is_no_proof_is_an_error_and_not_a_verdict() {
    let mut cut = recorded();
    cut.as_object_mut().expect("an object").remove("leaf");
    for text in ["", "{}", &cut.to_string()] {
        let ended = oss_with_input(&["verify", "proof", "-"], text.as_bytes()).await;
        assert_eq!(ended.code, 1);
        assert!(ended.stdout.is_empty() && ended.stderr.contains("not a proof"), "{ended:?}");
    }
}

/// A proof of an asset with as many terms as one can have, in a tree of this one leaf.
fn of_a_large_asset() -> Value {
    let term = |number: usize| (format!("term.{number}"), "x".repeat(limits::TERM_VALUE_BYTES_MAX));
    let asset = AssetRecord {
        class: "bond".to_owned(),
        issuer: "demo".to_owned(),
        decimals: 2,
        supply: Amount::new(0),
        status: AssetStatus::Active,
        chains: vec!["base".to_owned()],
        terms: (0..limits::TERMS_MAX).map(term).collect(),
        documents: [].into(),
        version: 64,
        history_hash: Digest::ZERO,
        former_chains: [].into(),
        snapshots: 0,
    };
    let (key, value) = ("asset/bond:LARGE", encode(&asset));
    let (key_hash, value_hash) = (key_hash(key), value_hash(&value));
    json!({
        "shard": "financial", "seq": 64, "root": leaf_hash(&key_hash, &value_hash), "key": key,
        "key_hash": key_hash, "value": format!("0x{}", hex::encode(&value)), "value_hash": value_hash,
        "leaf": {"key_hash": key_hash, "value_hash": value_hash}, "siblings": [],
    })
}

#[tokio::test]
async fn the_proof_of_an_asset_that_is_longer_than_any_request_is_valid() {
    let proof = of_a_large_asset();
    assert!(proof.to_string().len() > 2 * limits::BODY_BYTES_MAX);
    let ended = verify(&proof).await;
    assert_eq!((ended.code, &ended.json()["membership"]), (0, &json!("present")), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_longer_than_any_proof_is_too_large_and_not_a_bad_proof() {
    let mut proof = recorded().to_string();
    proof.push_str(&" ".repeat((1 << 20) - proof.len()));
    let whole = oss_with_input(&["verify", "proof", "-"], proof.as_bytes()).await;
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    proof.push(' ');
    let ended = oss_with_input(&["verify", "proof", "-"], proof.as_bytes()).await;
    assert_eq!(ended.code, 1);
    assert!(
        ended.stdout.is_empty() && ended.stderr.contains("too large: at most 1048576 bytes"),
        "{ended:?}"
    );
}
