//! `kill -9` of every process and of redis at random moments of a run, then all invariants.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use common::exit;
use common::ids::Rid;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use testkit::checker::{self, Sightings};
use testkit::load::{Acknowledged, Client, Generator, Planned, Shape};
use testkit::stack::{Api, NULL_SOURCE, Plan, Role, Service, Stack};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::JoinHandle;

use crate::scene::{self, Must as _, Token};

const REQUESTS: usize = 2_000;
const KILLS: usize = 20;
const SENDERS: usize = 8;
/// How long one request may be repeated: longer than any part is away.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a killed part stays away.
const OUTAGE_MS_MAX: u64 = 1_500;
const DRAINED_WITHIN: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(200);

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

/// Mints behind real events. Each round has an event behind one mint, one behind two of the same round, and the
/// second event of the round before once more, under a third key: a kill lies between them.
#[derive(Debug)]
struct Backed {
    rounds: Vec<Vec<Planned>>,
    /// The requests of each event.
    of_event: Vec<Vec<Rid>>,
    /// Of all events.
    amount: u64,
}

impl Backed {
    async fn emit(stack: &Stack, token: &Token) -> Self {
        let amounts: Vec<u64> = (1_000..).take(2 * KILLS).collect();
        let events = token.emit(stack.source_chain().expect("a source chain"), &amounts).await;
        let mut rounds = vec![Vec::new(); KILLS];
        let mut of_event = Vec::new();
        for (index, (event, amount)) in events.iter().zip(&amounts).enumerate() {
            let round = index / 2;
            let keys = if index % 2 == 0 { &["once"][..] } else { &["first", "second", "later"] };
            let mut rids = Vec::new();
            for key in keys {
                let Some(round) = rounds.get_mut(round + usize::from(*key == "later")) else { continue };
                let mint = token.mint(&format!("event-{index}-{key}"), *amount, event);
                rids.push(mint.rid);
                round.push(mint);
            }
            of_event.push(rids);
        }
        Self { rounds, of_event, amount: amounts.iter().sum() }
    }

    /// Each event is behind one applied mint, and whatever else named it was told so.
    async fn are_used_once(&self, stack: &Stack, token: &Token) {
        let api = stack.api();
        for rids in &self.of_event {
            let mut applied = 0;
            for rid in rids {
                let answer = api.status(*rid).await.must();
                if answer.text("/status") == "completed" {
                    applied += 1;
                } else {
                    let said = (answer.text("/status"), answer.text("/code"));
                    assert_eq!(said, ("rejected", "EVENT_ALREADY_USED"), "{}", answer.body);
                }
            }
            assert_eq!(applied, 1, "{rids:?}");
        }
        let asset = api.read(&format!("/v1/assets/{}", token.asset())).await.must();
        assert_eq!(asset["supply"], self.amount.to_string(), "{asset}");
    }
}

/// Looks at every log while the run goes on, until told to stop.
fn look_on(api: Api) -> (oneshot::Sender<()>, JoinHandle<Sightings>) {
    let (stop, mut stopped) = oneshot::channel();
    let looking = tokio::spawn(async move {
        let mut sightings = Sightings::default();
        while stopped.try_recv().is_err_and(|state| state == TryRecvError::Empty) {
            sightings.look(&api).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        sightings
    });
    (stop, looking)
}

fn plan() -> Plan {
    let settings = vec![
        // A dead collector's requests are taken over soon, or the run would wait a minute for each.
        (Role::Collector, "OSS__COLLECT__CLAIM_IDLE_MS", "2000".to_owned()),
        (Role::Broadcaster, "OSS__LANE__LEASE_TTL_MS", "1500".to_owned()),
    ];
    Plan { chains: scene::CHAINS.to_vec(), collectors: 2, broadcasters: 2, settings, ..Plan::default() }
}

/// Sends requests and kills one part while they are on their way.
async fn round(
    stack: &mut Stack,
    client: &Client,
    requests: Vec<Planned>,
    victim: Victim,
    random: &mut StdRng,
    ended: &mut Vec<(Service, ExitStatus)>,
) -> Vec<Acknowledged> {
    let moment = client.count() + random.random_range(0..requests.len() as u64);
    let sender = client.clone();
    let sending = tokio::spawn(async move { sender.send_all(requests, SENDERS).await.must() });
    watch(stack, ended, || sending.is_finished() || client.count() >= moment).await;
    kill(stack, victim);
    let back = Instant::now() + Duration::from_millis(random.random_range(0..OUTAGE_MS_MAX));
    watch(stack, ended, || Instant::now() >= back).await;
    bring_back(stack, victim);
    watch(stack, ended, || sending.is_finished()).await;
    sending.await.expect("the senders end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_with_twenty_kills_keeps_every_invariant_and_drains() {
    let seed = scene::seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut stack = Stack::start(plan()).await.must();
    let client = Client::new(stack.api(), PATIENCE);
    let chains: Vec<String> = scene::CHAINS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let token = Token::of(&stack);
    let backed = Backed::emit(&stack, &token).await;
    let register = token.register(&chains);
    let mut generator =
        Generator::new(Shape { seed, tenant: scene::tenant(), chains, source: Some((NULL_SOURCE, 30)) });

    let started = Instant::now();
    let (stop_looking, looking) = look_on(stack.api());
    let mut sent: Vec<Planned> = generator.registrations();
    sent.push(register);
    let mut acknowledged = client.send_all(sent.clone(), 1).await.must();
    let (mut ended, mut killed) = (Vec::new(), BTreeMap::<Victim, usize>::new());
    for (victim, mints) in victims(&stack, &mut random).into_iter().zip(&backed.rounds) {
        let mut requests: Vec<Planned> =
            (mints.len()..REQUESTS / KILLS).map(|_| generator.request()).collect();
        for mint in mints {
            requests.insert(random.random_range(0..=requests.len()), mint.clone());
        }
        sent.extend(requests.iter().cloned());
        acknowledged.extend(round(&mut stack, &client, requests, victim, &mut random, &mut ended).await);
        *killed.entry(victim).or_default() += 1;
    }
    let loaded = started.elapsed();
    supervise(&mut stack, &mut ended);
    stack.wait_ready().await.must();

    let (mut evidence, summary) = scene::settle(&stack, &sent, &acknowledged, DRAINED_WITHIN).await;
    supervise(&mut stack, &mut ended);
    assert!(stop_looking.send(()).is_ok(), "somebody looked on to the end");
    evidence.seen = looking.await.expect("the looking ends").into_seen();
    checker::seen_stays(&evidence).must();
    let seen = evidence.seen.len();
    assert!(seen > summary.entries / 2, "{seen} of {} entries were seen on the way", summary.entries);
    assert_eq!(acknowledged.len(), sent.len());
    assert_eq!(killed.values().sum::<usize>(), KILLS);
    assert!(summary.applied > REQUESTS / 2 && summary.not_applied > REQUESTS / 50, "{summary:?}");
    scene::doomed_as_foretold(&stack, &acknowledged).await;
    backed.are_used_once(&stack, &token).await;
    let repeated = acknowledged.iter().filter(|request| request.sent > 1).count();
    eprintln!(
        "kills: seed {seed}, {KILLS} kills of {} parts, {} ended by themselves, {repeated} requests sent again, \
         {} events behind {} mints, {seen} entries seen on the way; loaded in {loaded:?}, whole run {:?}; {summary:?}",
        killed.len(),
        ended.len(),
        backed.of_event.len(),
        backed.of_event.iter().map(Vec::len).sum::<usize>(),
        started.elapsed(),
    );
}
