//! `kill -9` of every process and of redis at random moments of a run, then all invariants.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use common::exit;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use testkit::load::{Client, Generator, Planned, Shape};
use testkit::stack::{NULL_SOURCE, Plan, Role, Service, Stack};

use crate::scene::{self, Must as _};

const REQUESTS: usize = 2_000;
const KILLS: usize = 20;
const SENDERS: usize = 8;
/// How long one request may be repeated: longer than any part is away.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a killed part stays away.
const OUTAGE_MS_MAX: u64 = 1_500;
const DRAINED_WITHIN: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(20);

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Service(Service),
    Redis,
}

/// Every part in turn, in an order of its own each round, so that each is killed several times.
fn victims(stack: &Stack, random: &mut StdRng) -> Vec<Victim> {
    let mut parts: Vec<Victim> = stack.services().into_iter().map(Victim::Service).collect();
    parts.push(Victim::Redis);
    let mut victims = Vec::new();
    while victims.len() < KILLS {
        parts.shuffle(random);
        victims.extend(&parts);
    }
    victims.truncate(KILLS);
    victims
}

fn kill(stack: &mut Stack, victim: Victim) {
    match victim {
        Victim::Service(service) => stack.kill(service).must(),
        Victim::Redis => stack.kill_redis().must(),
    }
}

fn bring_back(stack: &mut Stack, victim: Victim) {
    match victim {
        Victim::Service(service) => stack.launch(service).must(),
        Victim::Redis => stack.restart_redis().must(),
    }
}

/// Starts again what ended by itself. A process may give up without redis, but never claim that data is lost.
fn supervise(stack: &mut Stack, ended: &mut Vec<(Service, ExitStatus)>) {
    for (service, status) in stack.revive().must() {
        let code = status.code();
        let is_final = code.is_some_and(|code| [exit::DATA_LOSS, exit::CONFIG].contains(&code));
        assert!(!is_final, "{service:?} ended with {status}");
        ended.push((service, status));
    }
}

/// Supervises until something is so.
async fn watch(stack: &mut Stack, ended: &mut Vec<(Service, ExitStatus)>, until: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !until() {
        supervise(stack, ended);
        assert!(Instant::now() < deadline, "the senders stand still");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_twenty_kills_keeps_every_invariant_and_drains() {
    let seed = scene::seed();
    let mut random = StdRng::seed_from_u64(seed);
    let settings = vec![
        // A dead collector's requests are taken over soon, or the run would wait a minute for each.
        (Role::Collector, "OSS__COLLECT__CLAIM_IDLE_MS", "2000".to_owned()),
        (Role::Broadcaster, "OSS__LANE__LEASE_TTL_MS", "1500".to_owned()),
    ];
    let plan =
        Plan { chains: scene::CHAINS.to_vec(), collectors: 2, broadcasters: 2, settings, ..Plan::default() };
    let mut stack = Stack::start(plan).await.must();
    let client = Client::new(stack.api(), PATIENCE);
    let chains = scene::CHAINS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut generator =
        Generator::new(Shape { seed, tenant: scene::tenant(), chains, source: Some((NULL_SOURCE, 30)) });

    let started = Instant::now();
    let mut sent: Vec<Planned> = generator.registrations();
    let mut acknowledged = client.send_all(sent.clone(), 1).await.must();
    let (mut ended, mut killed) = (Vec::new(), BTreeMap::<Victim, usize>::new());
    let victims = victims(&stack, &mut random);
    for victim in victims {
        let slice: Vec<Planned> = (0..REQUESTS / KILLS).map(|_| generator.request()).collect();
        sent.extend(slice.iter().cloned());
        let moment = client.count() + random.random_range(0..slice.len() as u64);
        let sender = client.clone();
        let slice = tokio::spawn(async move { sender.send_all(slice, SENDERS).await.must() });
        watch(&mut stack, &mut ended, || slice.is_finished() || client.count() >= moment).await;
        kill(&mut stack, victim);
        let back = Instant::now() + Duration::from_millis(random.random_range(0..OUTAGE_MS_MAX));
        watch(&mut stack, &mut ended, || Instant::now() >= back).await;
        bring_back(&mut stack, victim);
        *killed.entry(victim).or_default() += 1;
        watch(&mut stack, &mut ended, || slice.is_finished()).await;
        acknowledged.extend(slice.await.expect("the senders end"));
    }
    let loaded = started.elapsed();
    supervise(&mut stack, &mut ended);
    stack.wait_ready().await.must();

    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, DRAINED_WITHIN).await;
    supervise(&mut stack, &mut ended);
    assert_eq!(acknowledged.len(), sent.len());
    assert_eq!(killed.values().sum::<usize>(), KILLS);
    assert!(summary.applied > REQUESTS / 2 && summary.not_applied > REQUESTS / 50, "{summary:?}");
    scene::doomed_as_foretold(&stack, &acknowledged).await;
    let repeated = acknowledged.iter().filter(|request| request.sent > 1).count();
    eprintln!(
        "kills: seed {seed}, {KILLS} kills of {} parts, {} ended by themselves, {repeated} requests sent again; \
         loaded in {loaded:?}, whole run {:?}; {summary:?}",
        killed.len(),
        ended.len(),
        started.elapsed(),
    );
}
