//! Orders of an authority through the whole path: the asset stands still, the chains are told, and it goes on.

use common::ids::Shard;
use serde_json::{Value, json};
use testkit::stack::{Api, Plan, Stack};

use crate::scene::{self, Must as _, complete};

const ASSET: &str = "bond:ordered";

fn of(changes: &Value) -> Value {
    json!({"asset": {"id": ASSET}, "state_changes": changes})
}

async fn order(api: &Api, key: &str, change: Value) {
    let mut body = of(&json!([change]));
    body["authority"] = json!({"id": "regulator", "order": key});
    let answer = api.order(key, &body).await.must();
    assert_eq!((answer.status, answer.text("/status")), (200, "completed"), "{key}: {}", answer.body);
}

async fn transfer(api: &Api, key: &str, amount: u64) -> (String, String) {
    let change = json!({"kind": "TRANSFER", "from": "acct:a", "to": "acct:b", "amount": amount.to_string()});
    let answer = api.submit(key, &of(&json!([change])), Some("wait=20")).await.must();
    (answer.text("/status").to_owned(), answer.text("/code").to_owned())
}

async fn holding(api: &Api, field: &str) -> Value {
    api.read(&format!("/v1/holdings/{ASSET}/acct:a")).await.must()[field].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_authority_stops_stands_still_until_it_lets_go() {
    let stack = Stack::start(Plan::default()).await.must();
    let api = stack.api();
    let setup = json!([
        {"kind": "REGISTER", "decimals": 2, "chains": ["sink"]}, {"kind": "MINT", "to": "acct:a", "amount": "100"},
    ]);
    complete(&api, "setup", &of(&setup)).await;

    order(&api, "stop", json!({"kind": "FREEZE"})).await;
    assert_eq!(api.read(&format!("/v1/assets/{ASSET}")).await.must()["status"], "FROZEN");
    assert_eq!(transfer(&api, "stopped", 1).await, ("rejected".to_owned(), "ASSET_BLOCKED".to_owned()));
    order(&api, "go", json!({"kind": "UNFREEZE"})).await;
    assert_eq!(transfer(&api, "gone", 10).await.0, "completed");

    order(&api, "part", json!({"kind": "FREEZE", "account": "acct:a", "amount": "85"})).await;
    assert_eq!(holding(&api, "frozen").await, "85");
    assert_eq!(transfer(&api, "beyond", 6).await.1, "INSUFFICIENT_BALANCE");
    order(&api, "custody", json!({"kind": "SEIZE", "account": "acct:a"})).await;
    assert_eq!(holding(&api, "state").await, "SEIZED");
    assert_eq!(transfer(&api, "seized", 1).await.1, "HOLDING_BLOCKED");
    order(&api, "sale", json!({"kind": "LIQUIDATE", "from": "acct:a", "to": "acct:c", "amount": "50"})).await;
    assert_eq!((holding(&api, "balance").await, holding(&api, "frozen").await), (json!("40"), json!("40")));
    scene::verify_log(&stack, Shard::Financial).await;
}
