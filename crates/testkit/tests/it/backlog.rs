//! The bound of what waits: refused with a hint, accepted later.

use std::time::{Duration, Instant};

use common::ids::Shard;
use serde_json::json;
use testkit::load::Client;
use testkit::stack::{Plan, Role, Service, Stack};

use crate::scene::{self, Must as _, planned};

const BACKLOG_MAX: usize = 20;
/// A collector looks at the length now and then, so a few more than the bound may pass.
const SENT_MAX: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_backlog_bound_requests_are_refused_with_retry_after_and_accepted_later() {
    let settings = vec![(Role::Collector, "OSS__LIMITS__BACKLOG_MAX", BACKLOG_MAX.to_string())];
    let mut stack = Stack::start(Plan { settings, ..Plan::default() }).await.must();
    let (api, validator) = (stack.api(), Service { role: Role::Validator, index: 0 });
    let register = json!([{"kind": "REGISTER", "decimals": 2, "chains": ["sink"]}]);
    let first = planned("register", json!({"asset": {"id": "bond:full"}, "state_changes": register}));
    scene::complete(&api, &first.key, &first.body).await;
    let (mut sent, mut acknowledged) = (vec![first.clone()], vec![scene::acknowledged(&first)]);

    stack.kill(validator).expect("it is killed");
    let refused = loop {
        let mint = json!([{"kind": "MINT", "to": "acct:a", "amount": "1"}]);
        let request = planned(
            &format!("mint-{}", sent.len()),
            json!({"asset": {"id": "bond:full"}, "state_changes": mint}),
        );
        sent.push(request.clone());
        let answer = api.submit(&request.key, &request.body, None).await.expect("the collector answers");
        if answer.status == 503 {
            assert_eq!(answer.text("/code"), "backpressure", "{}", answer.body);
            assert!(
                answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0),
                "a hint in seconds"
            );
            break request;
        }
        assert_eq!(answer.status, 202, "{}", answer.body);
        acknowledged.push(scene::acknowledged(&request));
        assert!(sent.len() < SENT_MAX, "never refused");
    };
    let waiting = stack.redis().command(&["XLEN", &common::keys::Keys::new(Shard::Financial).input()]);
    let waiting: usize = redis::from_redis_value(waiting.expect("redis answers")).expect("a number");
    assert!((1..=BACKLOG_MAX).contains(&waiting), "{waiting} wait");
    assert!(acknowledged.len() > BACKLOG_MAX / 2, "the bound is reached, not guessed");

    let retried = tokio::spawn({
        let client = Client::new(api.clone(), Duration::from_mins(1));
        async move { client.send(&refused).await }
    });
    let started = Instant::now();
    stack.launch(validator).expect("it starts");
    stack.wait_ready().await.must();
    acknowledged.push(retried.await.expect("the task ends").must());
    let accepted_after = started.elapsed();

    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_mins(1)).await;
    assert_eq!(summary.applied, acknowledged.len());
    eprintln!(
        "backlog: bound {BACKLOG_MAX}, {waiting} waited, accepted {accepted_after:?} after the restart; {summary:?}"
    );
}
