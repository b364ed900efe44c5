//! Running by level equals running one after another, on batches of real requests. The controls leave out
//! one kind of edge; WAW has its control beside [`levels`](super::levels), since real requests read what they
//! write. Also: a panic is an outcome.

use std::collections::BTreeSet;

use common::entry::InputStream;
use common::request::{Op, SyncRequest};
use serde_json::{Value, json};

use super::super::draft::Draft;
use super::super::intake::{Context, intake};
use super::super::levels::Edges;
use super::super::order;
use super::super::tests::world::{START_MS, World, collected, raw, targets, verdict};
use super::super::work::Work;
use super::super::{Engine, Plan};
use super::{Conditions, Verdict, execute};

/// A request that mints to this account makes the engine panic, in tests alone.
const PANIC_ACCOUNT: &str = "test:panic";

pub(super) fn panic_if_asked(request: &SyncRequest) {
    for change in &request.state_changes {
        if let Op::Mint { to, .. } = &change.op {
            assert!(to.as_str() != PANIC_ACCOUNT, "asked to panic");
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Few accounts of one asset, versions expected near the real one, chains that may just have come.
    fn request(&mut self) -> Value {
        let accounts = ["alice", "bob", "carol", "dave"];
        let from = self.below(4);
        let to = accounts[usize::try_from((from + 1 + self.below(3)) % 4).expect("small")];
        let from = accounts[usize::try_from(from).expect("small")];
        let amount = (1 + self.below(60)).to_string();
        let change = match self.below(12) {
            0 => json!({"kind": "MINT", "to": to, "amount": amount}),
            1 => json!({"kind": "BURN", "from": from, "amount": amount}),
            2 => json!({"kind": "SET_DATA", "terms": {"t": amount}}),
            3 => json!({"kind": "ADD_CHAIN", "chain": if self.below(2) == 0 { "arb" } else { "x" }}),
            _ => json!({"kind": "TRANSFER", "from": from, "to": to, "amount": amount}),
        };
        let mut request = json!({"asset": {"id": "bond:a"}, "state_changes": [change]});
        match self.below(6) {
            0 => request["expected_version"] = json!(1 + self.below(8)),
            1 => request["target_chains"] = json!(["base", "arb"]),
            _ => {}
        }
        request
    }
}

/// Verdicts and state after a batch, run by level with these edges, or one request after another.
fn ran(world: &World, plan: &Plan, edges: Option<Edges>) -> (Vec<String>, String) {
    let Plan { messages, keyspace, .. } = plan;
    let loaded = world.load(plan);
    let list = targets(&["base", "op", "arb"]);
    let mut draft = Draft::new(9, loaded.decisions, loaded.deliveries, loaded.withdrawals);
    let mut work =
        Work::load(keyspace.clone(), loaded.values, world.engine.history().newest()).expect("loads");
    let context = Context { shard: world.engine.shard(), time_ms: START_MS, targets: &list };
    let candidates = intake(messages, context, &mut draft).expect("judged");
    let order = order::of_candidates(&candidates);
    let conditions =
        Conditions { seq: 9, time_ms: START_MS, targets: &list, draft: &draft, broken: &BTreeSet::new() };
    let verdicts = if let Some(edges) = edges {
        execute(&candidates, &order, &mut work, conditions, edges)
    } else {
        let one =
            |placed| execute(&candidates, std::slice::from_ref(placed), &mut work, conditions, Edges::ALL);
        order.iter().flat_map(one).collect()
    };
    let told = |verdict| match verdict {
        Verdict::Applied(_) => "applied".to_owned(),
        Verdict::Rejected(errors) => format!("{errors:?}"),
    };
    (verdicts.into_iter().map(told).collect(), format!("{:?}", work.slots))
}

fn differences(edges: Edges) -> usize {
    let world = World::with_bond();
    let mut random = Random(3);
    let mut differs = |batch: usize| {
        let input = |n| raw(InputStream::In, collected(&format!("{batch}-{n}"), &random.request(), vec![]));
        let plan = Engine::read((0..12).map(input).collect());
        ran(&world, &plan, Some(edges)) != ran(&world, &plan, None)
    };
    (0..200).filter(|batch| differs(*batch)).count()
}

#[test]
fn running_by_level_equals_running_one_after_another() {
    assert_eq!(differences(Edges::ALL), 0);
}

#[test]
fn without_read_after_write_edges_it_does_not() {
    assert!(differences(Edges { raw: false, ..Edges::ALL }) > 10);
}

#[test]
fn without_write_after_read_edges_it_does_not() {
    assert!(differences(Edges { war: false, ..Edges::ALL }) > 10);
}

#[test]
fn transfers_between_different_accounts_of_one_asset_share_a_level() {
    let world = World::with_bond();
    let transfer = |key: &str, from: &str, to: &str| {
        let change = json!({"kind": "TRANSFER", "from": from, "to": to, "amount": "1"});
        raw(
            InputStream::In,
            collected(key, &json!({"asset": {"id": "bond:a"}, "state_changes": [change]}), vec![]),
        )
    };
    let plan = Engine::read(vec![
        transfer("a", "alice", "bob"),
        transfer("b", "carol", "dave"),
        transfer("c", "bob", "carol"),
    ]);
    let list = targets(&["base", "op"]);
    let mut draft = Draft::default();
    let context = Context { shard: world.engine.shard(), time_ms: START_MS, targets: &list };
    let candidates = intake(&plan.messages, context, &mut draft).expect("judged");
    let order = order::of_candidates(&candidates);
    let conditions =
        Conditions { seq: 9, time_ms: START_MS, targets: &list, draft: &draft, broken: &BTreeSet::new() };
    let slots = plan.needs().keys.len();
    let accesses = super::Run::new(&candidates, &order, conditions).accesses(slots);
    assert_eq!(super::levels(&accesses, slots * 2, Edges::ALL), [0, 0, 1]);
}

#[test]
fn a_panic_rejects_its_request_alone() {
    let mut world = World::with_bond();
    let mint = |key: &str, to: &str| {
        let changes = json!([{"kind": "MINT", "to": to, "amount": "1"}]);
        collected(key, &json!({"asset": {"id": "bond:a"}, "state_changes": changes}), vec![])
    };
    let batch = world.commit_in(vec![mint("a", "bob"), mint("b", PANIC_ACCOUNT), mint("c", "bob")]);
    let verdicts: Vec<String> = batch.body.outcomes.iter().map(verdict).collect();
    assert_eq!(verdicts, ["APPLIED 2", "REJECTED INTERNAL", "APPLIED 3"]);
}
