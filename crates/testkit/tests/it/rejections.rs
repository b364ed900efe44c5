//! Requests that only the state can refuse: accepted, then rejected with their code, and nothing changes.

use std::time::Duration;

use common::ids::{IdempotencyKey, Rid, Shard};
use serde_json::{Value, json};
use testkit::stack::{Plan, Stack};

use crate::scene::{self, Must as _, planned};

const ASSET: &str = "bond:rules";

fn of(asset: &str, changes: &Value) -> Value {
    json!({"asset": {"id": asset}, "state_changes": changes})
}

fn with(mut request: Value, field: &str, value: &Value) -> Value {
    request[field] = value.clone();
    request
}

fn rid(key: &str) -> Rid {
    let key: IdempotencyKey = key.parse().expect("a key");
    Rid::from_key(&scene::tenant(), &key, Shard::Financial)
}

/// What the request is, and the code it must be rejected with.
fn cases() -> Vec<(&'static str, Value)> {
    let mint = json!([{"kind": "MINT", "to": "acct:a", "amount": "1"}]);
    let transfer =
        |amount: &str| json!([{"kind": "TRANSFER", "from": "acct:a", "to": "acct:b", "amount": amount}]);
    let terms: Value =
        (0..60).map(|index| (format!("extra.{index}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    vec![
        ("NOT_REGISTERED", of("bond:unknown", &mint)),
        ("ALREADY_REGISTERED", of(ASSET, &json!([{"kind": "REGISTER", "decimals": 2, "chains": ["sink"]}]))),
        ("INSUFFICIENT_BALANCE", of(ASSET, &transfer("101"))),
        (
            "SUPPLY_OVERFLOW",
            of(ASSET, &json!([{"kind": "MINT", "to": "acct:a", "amount": u128::MAX.to_string()}])),
        ),
        ("VERSION_MISMATCH", with(of(ASSET, &mint), "expected_version", &json!(77))),
        ("ORDERING_CYCLE", with(of(ASSET, &mint), "depends_on", &json!([rid("case-5")]))),
        ("DEPENDENCY_REJECTED", with(of(ASSET, &mint), "depends_on", &json!([rid("case-0")]))),
        ("CHAIN_ALREADY_PRESENT", of(ASSET, &json!([{"kind": "ADD_CHAIN", "chain": "sink"}]))),
        ("TARGET_NOT_ON_ASSET", with(of(ASSET, &mint), "target_chains", &json!(["other"]))),
        ("TOO_MANY_TERMS", of(ASSET, &json!([{"kind": "SET_DATA", "terms": terms}]))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_state_knows_is_accepted_then_rejected_with_its_code_and_changes_nothing() {
    let plan = Plan { null_targets: vec!["sink", "other"], ..Plan::default() };
    let stack = Stack::start(plan).await.must();
    let api = stack.api();
    let terms: Value =
        (0..10).map(|index| (format!("term.{index}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    let setup = planned(
        "setup",
        of(
            ASSET,
            &json!([
                {"kind": "REGISTER", "decimals": 2, "chains": ["sink"], "terms": terms},
                {"kind": "MINT", "to": "acct:a", "amount": "100"},
            ]),
        ),
    );
    scene::complete(&api, &setup.key, &setup.body).await;
    let (mut sent, mut acknowledged) = (vec![setup.clone()], vec![scene::acknowledged(&setup)]);

    let before = api.position(Shard::Financial).await.expect("it leads");
    let cases = cases();
    for (index, (code, body)) in cases.iter().enumerate() {
        let request = planned(&format!("case-{index}"), body.clone());
        let accepted = api.submit(&request.key, &request.body, None).await.expect("the collector answers");
        assert_eq!(accepted.status, 202, "{code}: {}", accepted.body);
        let ended = scene::complete(&api, &request.key, &request.body).await;
        assert_eq!((ended.text("/status"), ended.text("/code")), ("rejected", *code), "{}", ended.body);
        assert!(ended.text("/errors/0/detail").len() > 1, "{code} tells why: {}", ended.body);
        let now = api.position(Shard::Financial).await.expect("it leads");
        assert_eq!(now.root, before.root, "{code} changed the state");
        acknowledged.push(scene::acknowledged(&request));
        sent.push(request);
    }

    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_secs(30)).await;
    assert_eq!((summary.applied, summary.not_applied), (1, cases.len()));
    // The control: the same asset does change when nothing speaks against it.
    let transfer = planned(
        "allowed",
        of(ASSET, &json!([{"kind": "TRANSFER", "from": "acct:a", "to": "acct:b", "amount": "100"}])),
    );
    assert_eq!(scene::complete(&api, &transfer.key, &transfer.body).await.text("/status"), "completed");
    assert_ne!(api.position(Shard::Financial).await.expect("it leads").root, before.root);
    eprintln!("rejections: {} kinds, root unchanged; {summary:?}", cases.len());
}
