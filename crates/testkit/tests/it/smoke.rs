//! The shortest whole path: one asset, one chain.

use std::time::Duration;

use serde_json::json;
use testkit::stack::{Plan, Stack};

use crate::scene::{self, Must as _, planned};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bond_is_registered_minted_and_transferred_to_completed_on_one_chain() {
    let plan = Plan { chains: vec![scene::CHAINS[0]], ..Plan::default() };
    let stack = Stack::start(plan).await.must();
    let asset = json!({"id": "bond:smoke"});
    let requests = [
        planned(
            "register",
            json!({"asset": asset, "state_changes": [{"kind": "REGISTER", "decimals": 2, "chains": ["base"]}]}),
        ),
        planned(
            "mint",
            json!({"asset": asset, "state_changes": [{"kind": "MINT", "to": "acct:alice", "amount": "500"}]}),
        ),
        planned(
            "transfer",
            json!({
                "asset": asset,
                "state_changes": [{"kind": "TRANSFER", "from": "acct:alice", "to": "acct:bob", "amount": "200"}],
                "external_apis": [testkit::stack::NULL_SOURCE],
            }),
        ),
    ];
    let mut acknowledged = Vec::new();
    for request in &requests {
        let answer = scene::complete(&stack.api(), &request.key, &request.body).await;
        assert_eq!(answer.text("/status"), "completed", "{}", answer.body);
        assert_eq!(answer.text("/targets/base/state"), "final", "{}", answer.body);
        assert_eq!(answer.text("/id"), request.rid.to_string());
        acknowledged.push(scene::acknowledged(request));
    }
    let holding = stack.api().read("/v1/holdings/bond:smoke/acct:bob").await.expect("a holding");
    assert!(holding.to_string().contains("\"200\""), "{holding}");

    let (_, summary) = scene::settle(&stack, &requests, &acknowledged, Duration::from_secs(30)).await;
    assert_eq!((summary.applied, summary.not_applied, summary.landed), (3, 0, 3), "{summary:?}");
    eprintln!("smoke: {summary:?}");
}
