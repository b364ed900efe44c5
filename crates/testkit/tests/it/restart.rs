//! Everything ends and comes back: state, statuses and chains are what they were.

use std::time::Duration;

use common::ids::Shard;
use serde_json::json;
use testkit::checker;
use testkit::stack::{Plan, Stack};

use crate::scene::{self, Must as _, planned};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_everything_state_statuses_and_chains_are_the_same() {
    let plan = Plan { chains: vec![scene::CHAINS[0]], ..Plan::default() };
    let mut stack = Stack::start(plan).await.must();
    let api = stack.api();
    let of = |changes| json!({"asset": {"id": "bond:again"}, "state_changes": changes});
    let mut sent = vec![
        planned(
            "setup",
            of(json!([
                {"kind": "REGISTER", "decimals": 2, "chains": ["base"]},
                {"kind": "MINT", "to": "acct:a", "amount": "100"},
            ])),
        ),
        planned("doomed", of(json!([{"kind": "BURN", "from": "acct:b", "amount": "1"}]))),
    ];
    let mut acknowledged = Vec::new();
    for request in &sent {
        scene::complete(&api, &request.key, &request.body).await;
        acknowledged.push(scene::acknowledged(request));
    }
    let (before, _) = scene::settle(&stack, &sent, &acknowledged, Duration::from_secs(30)).await;
    let mut statuses = Vec::new();
    for request in &sent {
        statuses.push(api.status(request.rid).await.expect("a status").body);
    }
    let position = api.position(Shard::Financial).await.expect("it leads");
    let holding = api.read("/v1/holdings/bond:again/acct:a").await.expect("a holding");

    for (service, status) in stack.stop_services().await.must() {
        assert!(status.success(), "{service:?} ends well on SIGTERM: {status}");
    }
    stack.kill_redis().expect("redis is killed");
    stack.stop_chain("base").expect("the chain stops");
    stack.restart_chain("base").expect("the chain is back");
    stack.restart_redis().expect("redis is back");
    stack.restart_services().await.must();

    let now = api.position(Shard::Financial).await.expect("it leads");
    assert_eq!(now, position);
    assert_eq!(api.read("/v1/holdings/bond:again/acct:a").await.expect("a holding"), holding);
    for (request, status) in sent.iter().zip(&statuses) {
        assert_eq!(&api.status(request.rid).await.expect("a status").body, status);
    }
    let after = checker::gather(&stack, &sent, &acknowledged).await.must();
    assert_eq!(after.chains, before.chains);
    assert_eq!(after.logs, before.logs);

    let request =
        planned("later", of(json!([{"kind": "TRANSFER", "from": "acct:a", "to": "acct:b", "amount": "40"}])));
    let answer = scene::complete(&api, &request.key, &request.body).await;
    assert_eq!(answer.text("/status"), "completed", "{}", answer.body);
    let epoch = api.position(Shard::Financial).await.expect("it leads").epoch;
    assert!(epoch > position.epoch, "a new lease has a new epoch");
    acknowledged.push(scene::acknowledged(&request));
    sent.push(request);
    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_secs(30)).await;
    assert_eq!((summary.applied, summary.not_applied), (2, 1));
    eprintln!(
        "restart: {} entries before and after, then {summary:?}",
        before.logs.values().map(Vec::len).sum::<usize>()
    );
}
