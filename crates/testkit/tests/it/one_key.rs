//! One idempotency key, used by everybody at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::hash::Digest;
use common::ids::Rid;
use serde_json::json;
use testkit::stack::{Plan, Stack};

use crate::scene::{self, Must as _, planned};

const POSTS: usize = 1_000;
const KEY: &str = "the-one-key";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_posts_with_one_key_are_one_request() {
    let plan = Plan { collectors: 2, ..Plan::default() };
    let stack = Stack::start(plan).await.must();
    let register = json!([{"kind": "REGISTER", "decimals": 2, "chains": ["sink"]}]);
    let request = planned(KEY, json!({"asset": {"id": "bond:one"}, "state_changes": register}));

    // Clones share their turns, so both collectors are asked.
    let api = stack.api();
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..POSTS {
        let (api, body) = (api.clone(), request.body.clone());
        posts.spawn(async move { api.submit(KEY, &body, None).await.expect("a collector answers") });
    }
    let mut answers: BTreeMap<(u16, String, String), usize> = BTreeMap::new();
    while let Some(answer) = posts.join_next().await {
        let answer = answer.expect("the task ends");
        let replayed = answer.header("idempotency-replayed").to_owned();
        *answers.entry((answer.status, answer.text("/id").to_owned(), replayed)).or_default() += 1;
    }
    let ids: BTreeSet<(u16, &str)> = answers.keys().map(|(status, id, _)| (*status, id.as_str())).collect();
    assert_eq!(ids, BTreeSet::from([(202, request.rid.to_string().as_str())]), "{answers:?}");
    let first: usize =
        answers.iter().filter(|((.., replayed), _)| replayed.is_empty()).map(|(_, count)| count).sum();
    assert_eq!(first, 1, "all but the first are replays: {answers:?}");

    let acknowledged = [scene::acknowledged(&request)];
    let (evidence, summary) =
        scene::settle(&stack, std::slice::from_ref(&request), &acknowledged, Duration::from_secs(30)).await;
    assert_eq!((summary.applied, summary.not_applied), (1, 0));
    let of_rid: Vec<Rid> = decided(&evidence).into_iter().filter(|rid| *rid == request.rid).collect();
    assert_eq!(of_rid.len(), 1, "one deciding outcome in the log");

    let mint = json!([{"kind": "MINT", "to": "acct:a", "amount": "1"}]);
    let other = json!({"asset": {"id": "bond:one"}, "state_changes": mint});
    let refused = stack.api().submit(KEY, &other, None).await.expect("a collector answers");
    assert_eq!((refused.status, refused.text("/code")), (422, "idempotency_conflict"), "{}", refused.body);
    let again = stack.api().submit(KEY, &request.body, None).await.expect("a collector answers");
    assert_eq!((again.status, again.text("/id")), (202, request.rid.to_string().as_str()));
    let digests: BTreeSet<Digest> =
        BTreeSet::from([stack.api().position(request.rid.shard()).await.expect("leads").root]);
    assert!(digests.contains(&evidence_root(&evidence, request.rid)), "neither changed anything");
    eprintln!("one key: {POSTS} posts, 1 id, {first} accepted first, 1 decided; {summary:?}");
}

fn decided(evidence: &testkit::checker::Evidence) -> Vec<Rid> {
    let bodies = evidence.logs.values().flatten().map(|entry| entry.decode().expect("a body"));
    let outcomes = bodies.flat_map(|body| body.outcomes);
    outcomes.filter(|outcome| outcome.outcome.is_deciding()).map(|outcome| outcome.rid).collect()
}

fn evidence_root(evidence: &testkit::checker::Evidence, rid: Rid) -> Digest {
    let log = evidence.logs.get(&rid.shard()).expect("a log");
    log.last().and_then(|entry| entry.decode().ok()).expect("an entry").root
}
