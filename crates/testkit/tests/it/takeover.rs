//! Two validators: the one that leads is killed, the other one takes over, again and again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use testkit::load::{Client, Generator, Planned, Shape};
use testkit::stack::{Plan, Role, Service, Stack};
use testkit::takeover;

use crate::scene::{self, Must as _};

const ROUNDS: usize = 4;
const REQUESTS_PER_ROUND: usize = 50;
const LED_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

async fn leader(stack: &Stack, not: Option<Service>) -> Service {
    let deadline = Instant::now() + LED_WITHIN;
    loop {
        match stack.leader().await {
            Some(service) if Some(service) != not => return service,
            _ => assert!(Instant::now() < deadline, "nobody takes over"),
        }
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leading_validator_is_killed_the_other_one_takes_over_and_loses_nothing() {
    let seed = scene::seed();
    let plan = Plan { validators: 2, ..Plan::default() };
    let mut stack = Stack::start(plan).await.must();
    let client = Client::new(stack.api(), Duration::from_mins(1));
    let shape = Shape { seed, tenant: scene::tenant(), chains: vec!["sink".to_owned()], source: None };
    let mut generator = Generator::new(shape);
    let mut sent: Vec<Planned> = generator.registrations();
    let mut acknowledged = client.send_all(sent.clone(), 1).await.must();

    let mut leaders = BTreeSet::new();
    for _ in 0..ROUNDS {
        let leading = leader(&stack, None).await;
        leaders.insert(leading);
        let slice: Vec<Planned> = (0..REQUESTS_PER_ROUND).map(|_| generator.request()).collect();
        sent.extend(slice.iter().cloned());
        let sender = client.clone();
        let slice = tokio::spawn(async move { sender.send_all(slice, 4).await });
        stack.kill(leading).must();
        leaders.insert(leader(&stack, Some(leading)).await);
        stack.launch(leading).must();
        acknowledged.extend(slice.await.expect("the senders end").must());
    }
    assert_eq!(leaders.len(), 2, "both have led");

    // `oss verify log` asks the first one.
    let first = Service { role: Role::Validator, index: 0 };
    let second = Service { role: Role::Validator, index: 1 };
    stack.kill(second).must();
    assert_eq!(leader(&stack, Some(second)).await, first);
    let (evidence, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_mins(1)).await;
    let epochs: BTreeSet<u64> =
        evidence.logs.values().flatten().map(|entry| entry.decode().expect("a body").epoch).collect();
    assert!(epochs.len() >= ROUNDS, "each lease has an epoch of its own: {epochs:?}");
    eprintln!("takeover: {ROUNDS} leaders killed, {} epochs; {summary:?}", epochs.len());
}

/// How much slower than the bound a busy machine may make it; `cargo run -p testkit -- takeover` allows nothing.
const SLOWNESS: u32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_time_the_leader_is_killed_the_standby_commits_in_every_shard_soon() {
    let options = takeover::Options { seed: scene::seed(), times: 3, per_second: 25 };
    let report = takeover::run(options).await.must();
    eprintln!("{report}");
    assert_eq!(report.within(takeover::BOUND * SLOWNESS), 3, "{report}");
    assert!(report.summary.acknowledged > 3 * 4 && report.epochs > 3 * 4, "{report}");
}

/// How long `:log` of a shard is, and whether its beginning is gone.
fn is_trimmed(stack: &Stack) -> bool {
    let key = common::keys::Keys::new(common::ids::Shard::Financial).log();
    let first = stack.redis().command(&["XRANGE", &key, "0-0", "1-0", "COUNT", "1"]).expect("redis answers");
    matches!(first, redis::Value::Array(entries) if entries.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_with_an_empty_folder_reads_the_log_from_the_leader_with_the_key_that_init_made() {
    let settings = vec![(Role::Validator, "OSS__LOG__KEEP_ENTRIES", "0".to_owned())];
    let plan = Plan { chains: vec![scene::CHAINS[0]], validators: 2, settings, ..Plan::default() };
    let mut stack = Stack::start(plan).await.must();
    let leading = leader(&stack, None).await;
    let other = Service { role: Role::Validator, index: 1 - leading.index };
    stack.kill(other).must();
    let shard = stack.api().read("/v1/shards/financial").await.must();
    let own = shard["node"].as_str().expect("a node").to_owned();
    for folder in std::fs::read_dir(stack.folder().join("validator")).expect("a folder") {
        let folder = folder.expect("an entry").path();
        if !folder.ends_with(&own) {
            std::fs::remove_dir_all(folder).expect("removes");
        }
    }
    let client = Client::new(stack.api(), Duration::from_mins(1));
    let chains = vec![scene::CHAINS[0].0.to_owned()];
    let shape = Shape { seed: scene::seed(), tenant: scene::tenant(), chains, source: None };
    let mut generator = Generator::new(shape);
    let mut sent: Vec<Planned> = generator.registrations();
    sent.extend((0..REQUESTS_PER_ROUND).map(|_| generator.request()));
    let acknowledged = client.send_all(sent.clone(), 1).await.must();
    until("the log's beginning is gone", async || is_trimmed(&stack)).await;

    stack.launch(other).must();
    until("it stands by", async || stack.state(other).await == "standby").await;
    stack.kill(leading).must();
    assert_eq!(leader(&stack, Some(leading)).await, other);
    // `oss verify log` asks the first one.
    if other.index == 1 {
        stack.launch(leading).must();
        until("both are there", async || stack.state(leading).await == "standby").await;
        stack.kill(other).must();
        assert_eq!(leader(&stack, Some(other)).await, leading);
    }
    scene::settle(&stack, &sent, &acknowledged, Duration::from_mins(1)).await;
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LED_WITHIN;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(POLL).await;
    }
}
