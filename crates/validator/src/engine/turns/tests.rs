//! Turns with several threads equal a plain run, on random programs of real requests; without the check of reads, or
//! with a graph that leaves something out, they do not. Also: a panic is an outcome, wherever it happens.

use std::collections::BTreeSet;

use common::entry::InputStream;
use common::ids::{Rid, Shard};
use common::request::{Op, SyncRequest};
use common::targets::Targets;
use serde_json::{Value, json};

use super::super::boundary::Execution;
use super::super::crew::{Alone, Crew, Parallel};
use super::super::draft::Draft;
use super::super::execute::{Conditions, Run, Verdict};
use super::super::intake::{Candidate, Context, intake};
use super::super::order;
use super::super::ready::ready_from;
use super::super::tests::crew::Eager;
use super::super::tests::traffic::{Ask, Random};
use super::super::tests::world::{START_MS, World, collected, raw, targets, verdict};
use super::super::waiting::Patience;
use super::super::work::{Slot, Work};
use super::super::{Engine, Plan};
use super::{Manner, take};

/// A request that mints to this account makes the engine panic, in tests alone.
const PANIC_ACCOUNT: &str = "test:panic";
/// Requests from which the programs of one pool are drawn.
const POOL: u64 = 28;

pub(in crate::engine) fn panic_if_asked(request: &SyncRequest) {
    for change in &request.state_changes {
        if let Op::Mint { to, .. } = &change.op {
            assert!(to.as_str() != PANIC_ACCOUNT, "asked to panic");
        }
    }
}

/// A state and requests that meet in it.
struct Pool {
    world: World,
    plan: Plan,
}

impl Pool {
    fn random(random: &mut Random) -> Self {
        let mut world = World::new();
        for first in [0, 20] {
            let asks: Vec<Ask> = (first..first + 20).map(|key| Self::ask(random, &world, key)).collect();
            world.commit(asks.iter().map(Ask::message).collect());
        }
        let asks: Vec<Ask> = (40..40 + POOL).map(|key| Self::ask(random, &world, key)).collect();
        let plan = Engine::read(asks.iter().map(Ask::message).collect());
        Self { world, plan }
    }

    fn ask(random: &mut Random, world: &World, key: u64) -> Ask {
        let version = |asset: &str| world.asset(asset).map_or(0, |asset| asset.version);
        let ask = Ask::random(random, key, world.time_ms, version);
        if random.chance(20) { ask.into_corporate(random) } else { ask }
    }
}

/// How many programs differed from a plain run, and how they were run.
#[derive(Debug, Default)]
struct Seen {
    differing: usize,
    requests: usize,
    ahead: usize,
    repeated: usize,
}

/// Verdicts and state after a program.
fn ran<'a>(
    run: &Run<'_, 'a>,
    mut work: Work,
    manner: Manner<'_>,
) -> (Vec<Verdict<'a>>, Vec<Slot>, Execution) {
    let (verdicts, execution) = take(run, &mut work, manner);
    (verdicts, work.slots, execution)
}

static NONE_BROKEN: BTreeSet<Rid> = BTreeSet::new();

fn under<'a>(targets: &'a Targets, draft: &'a Draft) -> Conditions<'a> {
    let patience = Patience::of(Shard::Financial);
    Conditions { seq: 9, time_ms: START_MS, targets, draft, patience, broken: &NONE_BROKEN }
}

fn programs(seed: u64, programs: usize, manner: impl Fn(&Eager) -> Manner<'_>) -> Seen {
    let (mut random, mut seen) = (Random(seed), Seen::default());
    for _ in 0..programs.div_ceil(250) {
        let Pool { world, plan } = Pool::random(&mut random);
        let loaded = world.load(&plan);
        let list = targets(&["base", "op", "arb"]);
        let mut draft = Draft::new(9, loaded.decisions, loaded.deliveries, loaded.withdrawals);
        let Plan { messages, keyspace, .. } = &plan;
        let tree = world.engine.history().newest();
        let work = Work::load(keyspace.clone(), loaded.values, tree).expect("loads");
        let context = Context { shard: world.engine.shard(), time_ms: START_MS, targets: &list };
        let pool = intake(messages, context, &mut draft).expect("judged");
        let conditions = under(&list, &draft);
        for _ in 0..250 {
            let candidates = program(&mut random, &pool);
            let order = order::of_candidates(&candidates);
            let run = Run::new(&candidates, &order, conditions);
            let eager = Eager { threads: random.pick(&[2, 3, 4]), seed: random.below(1 << 30) };
            let plain = ran(&run, work.clone(), Manner::of(&Alone));
            let (verdicts, slots, execution) = ran(&run, work.clone(), manner(&eager));
            seen.differing += usize::from((verdicts, slots) != (plain.0, plain.1));
            seen.requests += execution.requests;
            seen.ahead += execution.ahead;
            seen.repeated += execution.repeated;
        }
    }
    seen
}

/// Some of a pool, each once, in any order.
fn program<'a>(random: &mut Random, pool: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let mut left = pool.to_vec();
    let length = 2 + random.below(pool.len() as u64 - 8);
    let mut drawn = || left.swap_remove(usize::try_from(random.below(left.len() as u64)).expect("small"));
    (0..length).map(|_| drawn()).collect()
}

/// Everything at once, so that much of what was read ahead changes.
fn all_at_once(crew: &Eager) -> Manner<'_> {
    Manner { crew, waits: false, checks: true }
}

fn equal_all_at_once(seed: u64) {
    let seen = programs(seed, 5_000, all_at_once);
    assert_eq!(seen.differing, 0, "seed {seed}: {seen:?}");
    assert!(seen.ahead == seen.requests && seen.repeated * 10 > seen.requests, "{seen:?}");
}

#[test]
fn random_programs_run_at_once_equal_a_plain_run_1() {
    equal_all_at_once(1);
}

#[test]
fn random_programs_run_at_once_equal_a_plain_run_2() {
    equal_all_at_once(2);
}

#[test]
fn random_programs_run_at_once_equal_a_plain_run_3() {
    equal_all_at_once(3);
}

#[test]
fn random_programs_run_when_ready_equal_a_plain_run_and_nothing_runs_twice() {
    let seen = programs(4, 6_000, |crew| Manner::of(crew));
    assert_eq!((seen.differing, seen.repeated), (0, 0), "{seen:?}");
    assert!(seen.ahead * 4 > seen.requests, "{seen:?}");
}

#[test]
fn without_the_check_of_reads_programs_run_at_once_differ() {
    let seen = programs(5, 1_000, |crew| Manner { checks: false, ..all_at_once(crew) });
    assert!(seen.differing > 400, "{seen:?}");
}

#[test]
fn whoever_is_ready_sees_what_it_sees_in_its_turn() {
    let seen = programs(6, 1_000, |crew| Manner { checks: false, ..Manner::of(crew) });
    assert_eq!(seen.differing, 0, "{seen:?}");
}

fn transfer(key: &str, from: &str, to: &str) -> common::message::Body {
    let change = json!([{"kind": "TRANSFER", "from": from, "to": to, "amount": "1"}]);
    collected(key, &json!({"asset": {"id": "bond:a"}, "state_changes": change}), vec![])
}

#[test]
fn transfers_between_different_accounts_of_one_asset_wait_for_nobody() {
    let world = World::with_bond();
    let transfers =
        [transfer("a", "alice", "bob"), transfer("b", "carol", "dave"), transfer("c", "bob", "carol")];
    let plan = Engine::read(transfers.map(|body| raw(InputStream::In, body)).to_vec());
    let list = targets(&["base", "op"]);
    let mut draft = Draft::default();
    let context = Context { shard: world.engine.shard(), time_ms: START_MS, targets: &list };
    let candidates = intake(&plan.messages, context, &mut draft).expect("judged");
    let order = order::of_candidates(&candidates);
    let conditions = under(&list, &draft);
    let slots = plan.needs().keys.len() + plan.needs().locks.len();
    let accesses = Run::new(&candidates, &order, conditions).accesses(slots);
    assert_eq!(ready_from(&accesses, slots * 2), [0, 0, 2]);
}

fn mint(key: &str, to: &str) -> common::message::Body {
    let changes = json!([{"kind": "MINT", "to": to, "amount": "1"}]);
    collected(key, &json!({"asset": {"id": "bond:a"}, "state_changes": changes}), vec![])
}

#[test]
fn a_panic_rejects_its_request_alone() {
    let mut world = World::with_bond();
    let batch = world.commit_in(vec![mint("a", "bob"), mint("b", PANIC_ACCOUNT), mint("c", "bob")]);
    let verdicts: Vec<String> = batch.body.outcomes.iter().map(verdict).collect();
    assert_eq!(verdicts, ["APPLIED 2", "REJECTED INTERNAL", "APPLIED 3"]);
}

#[test]
fn a_panic_on_another_thread_rejects_its_request_alone() {
    let mut world = World::with_bond();
    let batch = world.commit_in(vec![
        transfer("a", "alice", "bob"),
        mint("b", PANIC_ACCOUNT),
        transfer("c", "carol", "dave"),
    ]);
    let verdicts: Vec<String> = batch.body.outcomes.iter().map(verdict).collect();
    assert_eq!(verdicts, ["APPLIED 2", "REJECTED INTERNAL", "REJECTED INSUFFICIENT_BALANCE"]);
    assert!(batch.execution.ahead > 1, "{:?}", batch.execution);
}

/// Says what a shell's crew would, and runs nothing on other threads.
struct Measured(Parallel);

impl Crew for Measured {
    fn threads_for(&self, ready: usize) -> usize {
        self.0.threads_for(ready)
    }

    fn run(&self, threads: usize, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        Alone.run(threads, pieces, piece);
    }

    fn alone(&self, requests: usize, work: &mut dyn FnMut()) {
        Alone.alone(requests, work);
    }
}

#[test]
fn a_full_batch_of_todays_requests_runs_on_one_thread_and_one_of_expensive_requests_does_not() {
    let world = World::with_bond();
    let one = |n: usize| raw(InputStream::In, transfer(&format!("t{n}"), "alice", &format!("acct:{n}")));
    let other = |n: usize| raw(InputStream::In, mint(&format!("m{n}"), &format!("acct:{n}")));
    let disjoint = |n: usize| {
        let change = json!([{"kind": "TRANSFER", "from": format!("from:{n}"), "to": format!("to:{n}"), "amount": "1"}]);
        let request: Value = json!({"asset": {"id": "bond:a"}, "state_changes": change});
        raw(InputStream::In, collected(&format!("d{n}"), &request, vec![]))
    };
    let ahead = |cost_us: u64, make: &dyn Fn(usize) -> crate::engine::RawInput| {
        let plan = Engine::read((0..256).map(make).collect());
        let loaded = world.load(&plan);
        let crew = Measured(Parallel { threads: 4, cost_ns: cost_us * 1_000 });
        world.engine.run_with(&crew, plan, loaded, world.stamp()).expect("runs").execution.ahead
    };
    // What one costs here is a few microseconds at most: `cargo bench --bench engine`.
    assert_eq!([1, 5, 20].map(|cost_us| ahead(cost_us, &disjoint)), [0, 0, 0]);
    assert_eq!(ahead(50, &disjoint), 256);
    assert_eq!((ahead(50, &one), ahead(50, &other)), (0, 0), "a chain has nothing to share");
}
