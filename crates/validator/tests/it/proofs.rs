//! Proofs check out with the public rules, against old roots too, and their roots are those of the log.

use common::proof::{Membership, StateProof};
use common::state::{AssetRecord, HoldingRecord};
use common::status::Delivery;
use reqwest::StatusCode;
use serde_json::Value;

use crate::audit;
use crate::bed::{Bed, SHARD, Validator, eventually, mint, register, transfer};

async fn proof(validator: &Validator, path: &str) -> StateProof {
    let answer = validator.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    serde_json::from_value(answer.body).expect("a proof")
}

fn balance(proof: &StateProof) -> u128 {
    let value = proof.value.as_deref().expect("a value");
    common::state::decode::<HoldingRecord>(value).expect("a holding").balance.units()
}

#[tokio::test]
async fn a_proof_against_every_old_entry_verifies_and_carries_that_entrys_root_and_value() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    let mut balances: Vec<(u64, u128)> = Vec::new();
    for n in 1..=6 {
        let seq = bed.decide(mint("bond:A", "acct:alice", 10)).await.seq.expect("a seq");
        balances.push((seq, n * 10));
    }
    let check = async |validator: &Validator| {
        validator.reach_head(&bed).await;
        let roots = audit::log(validator).await;
        for (seq, expected) in &balances {
            let proof = proof(validator, &format!("/v1/holdings/bond:A/acct:alice/proof?seq={seq}")).await;
            assert_eq!(proof.verify().expect("verifies"), Membership::Present);
            let root = roots[usize::try_from(*seq).expect("small") - 1].1.root;
            assert_eq!((proof.seq, proof.root, balance(&proof)), (*seq, root, *expected));
        }
        let before = proof(validator, "/v1/holdings/bond:A/acct:alice/proof?seq=2").await;
        assert_eq!((before.verify().expect("verifies"), before.value), (Membership::Absent, None));
    };
    check(&validator).await;
    validator.stop().await;
    // After a restart the old trees come back from undo records, and no proof has to rebuild one.
    let again = bed.start();
    again.ready().await;
    eventually("the old roots are back", async || {
        let line = format!("oss_validator_oldest_root{{shard=\"{SHARD}\"}} 0");
        again.metrics().await.lines().any(|found| found == line).then_some(())
    })
    .await;
    check(&again).await;
    let metrics = again.metrics().await;
    assert!(!metrics.contains("oss_validator_trees_rebuilt_total"), "{metrics}");
}

#[tokio::test]
async fn without_a_seq_a_proof_is_against_the_newest_root_final_on_all_of_the_assets_chains() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let first = bed.decide(register("bond:A", &["base", "op"])).await.seq.expect("a seq");
    let second = bed.decide(mint("bond:A", "acct:alice", 7)).await.seq.expect("a seq");
    let third = bed.decide(transfer("bond:A", "acct:alice", "acct:bob", 3)).await.seq.expect("a seq");
    validator.reach_head(&bed).await;
    let path = "/v1/holdings/bond:A/acct:alice/proof";
    let none = validator.get(path).await;
    assert_eq!((none.status, &none.body["code"]), (StatusCode::CONFLICT, &"no_common_root".into()));
    eventually("relayed", async || {
        (bed.outbox("op").await.len() + bed.outbox("base").await.len() == 6).then_some(())
    })
    .await;
    let (base, op) = (bed.lane("base").await, bed.lane("op").await);
    bed.finish(&base, "base", second, Delivery::Final).await;
    bed.finish(&base, "base", third, Delivery::Final).await;
    bed.finish(&op, "op", first, Delivery::Final).await;
    settled(&bed, &validator).await;
    let none = validator.get(path).await;
    assert_eq!((none.status, &none.body["code"]), (StatusCode::CONFLICT, &"no_common_root".into()));
    let usable: Vec<&str> = none.body["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .filter_map(|error| error["detail"].as_str())
        .collect();
    assert_eq!(usable, ["?chain=base", "?chain=op"]);
    let on_base = proof(&validator, &format!("{path}?chain=base")).await;
    assert_eq!((on_base.seq, balance(&on_base)), (third, 4));
    let on_op = proof(&validator, &format!("{path}?chain=op")).await;
    assert_eq!((on_op.seq, on_op.verify().expect("verifies")), (first, Membership::Absent));

    bed.finish(&op, "op", second, Delivery::Final).await;
    settled(&bed, &validator).await;
    let common = proof(&validator, path).await;
    assert_eq!(
        (common.seq, balance(&common), common.verify().expect("verifies")),
        (second, 7, Membership::Present)
    );
    let asset = proof(&validator, "/v1/assets/bond:A/proof").await;
    let record: AssetRecord =
        common::state::decode(asset.value.as_deref().expect("a value")).expect("an asset");
    assert_eq!((record.version, asset.verify().expect("verifies")), (2, Membership::Present));
}

/// Waits until no receipt is left in Redis and the view shows what they did.
async fn settled(bed: &Bed, validator: &Validator) {
    eventually("receipts are in the log", async || {
        let backlog = bed.link().backlog().await.expect("reads");
        (backlog.receipts == 0).then_some(())
    })
    .await;
    validator.reach_head(bed).await;
}

#[tokio::test]
async fn unknown_keys_get_a_proof_of_absence_and_a_changed_proof_does_not_verify() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let seq = bed.decide(register("bond:A", &["base"])).await.seq.expect("a seq");
    let absent = proof(&validator, "/v1/assets/bond:NONE/proof").await;
    assert_eq!(absent.verify().expect("verifies"), Membership::Absent);
    let present = validator.get(&format!("/v1/assets/bond:A/proof?seq={seq}")).await.body;
    for (field, value) in [("value", Value::Null), ("root", Value::String(format!("0x{}", "00".repeat(32))))]
    {
        let mut forged = present.clone();
        forged[field] = value;
        let forged: StateProof = serde_json::from_value(forged).expect("a proof");
        assert!(forged.verify().is_err(), "{field}");
    }
}
