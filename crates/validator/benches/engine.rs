//! The engine's cost per request: a batch of 256 simple transfers over 10,000 holdings of one asset.
//!
//! `cargo bench -p validator --bench engine`. `read` decodes the messages (JSON and input records); `run`
//! decides the batch: intake, order, execution, commit, state tree; `run_on_two_threads` does so with a crew that
//! takes no heed of what requests cost; `seal` writes and hashes the entry. A test run only checks that it works.

use std::collections::BTreeMap;
use std::hint::black_box;

use common::entry::{Entry, InputStream};
use common::hash::Digest;
use common::ids::{Rid, Shard, Tenant};
use common::message::{About, Body, Message};
use common::proof::{key_hash, value_hash};
use common::request::SyncRequest;
use common::targets::{Target, Targets};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use validator::engine::{Alone, Batch, Crew, Engine, Loaded, Plan, RawInput, Stamp};

const BATCH: usize = 256;
const ACCOUNTS_PER_REQUEST: usize = 16;

struct World {
    engine: Engine,
    values: BTreeMap<String, Vec<u8>>,
}

/// Two threads for any batch.
struct Two;

impl Crew for Two {
    fn threads_for(&self, ready: usize) -> usize {
        2.min(ready)
    }

    fn run(&self, _: usize, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            scope.spawn(|| (0..pieces / 2).for_each(piece));
            (pieces / 2..pieces).for_each(piece);
        });
    }

    fn alone(&self, requests: usize, work: &mut dyn FnMut()) {
        Alone.alone(requests, work);
    }
}

fn accounts() -> usize {
    if std::env::args().any(|argument| argument == "--bench") { 10_000 } else { 512 }
}

fn stamp() -> Stamp {
    Stamp { epoch: 1, node: "validator-1".to_owned(), time_ms: 1_700_000_000_000 }
}

fn message(key: &str, changes: &serde_json::Value) -> RawInput {
    let tenant: Tenant = "acme".parse().expect("tenant");
    let request = json!({"asset": {"id": "bond:US91282CLW90"}, "state_changes": changes});
    let request = SyncRequest::parse(&request).expect("a request");
    let rid = Rid::from_key(&tenant, &key.parse().expect("key"), Shard::Financial);
    let about = About { rid, tenant, fp: request.fingerprint(), accepted_ms: None };
    let body = Body::Collected { about, request: Box::new(request), observations: vec![] };
    let bytes = Message { id: key.to_owned(), traceparent: None, body }.encode();
    RawInput { stream: InputStream::In, id: "1700000000000-0".to_owned(), bytes }
}

impl World {
    fn new(accounts: usize) -> Self {
        let mut world = Self { engine: Engine::genesis(Shard::Financial), values: BTreeMap::new() };
        let names = ["base", "op", "arb"];
        let target = |name: &str| Target::null(name.parse().expect("name"));
        let targets = Targets::new(names.map(target).to_vec()).expect("targets");
        let bytes = Message { id: "t".to_owned(), traceparent: None, body: Body::Targets(targets) }.encode();
        world.commit(vec![RawInput { stream: InputStream::Local, id: String::new(), bytes }]);
        let terms =
            json!({"coupon": "4.25", "maturity": "2034-11-15", "issued": "2024-11-15", "currency": "USD"});
        let register = json!([{"kind": "REGISTER", "decimals": 2, "chains": names, "terms": terms}]);
        world.commit(vec![message("register", &register)]);
        let numbers: Vec<usize> = (0..accounts).collect();
        let mint = |(n, part): (usize, &[usize])| {
            let mint = |n: &usize| json!({"kind": "MINT", "to": account(*n), "amount": "1000000000"});
            message(&format!("mint-{n}"), &part.iter().map(mint).collect())
        };
        let mints: Vec<_> = numbers.chunks(ACCOUNTS_PER_REQUEST).enumerate().map(mint).collect();
        for part in mints.chunks(BATCH) {
            world.commit(part.to_vec());
        }
        world
    }

    fn load(&self, plan: &Plan) -> Loaded {
        let pick = |key: &String| Some((key.clone(), self.values.get(key)?.clone()));
        Loaded { values: plan.needs().keys.iter().filter_map(pick).collect(), ..Loaded::default() }
    }

    fn run(&self, plan: Plan, loaded: Loaded) -> Batch {
        self.engine.run(plan, loaded, stamp()).expect("runs")
    }

    fn commit(&mut self, inputs: Vec<RawInput>) {
        let plan = Engine::read(inputs);
        let loaded = self.load(&plan);
        let batch = self.run(plan, loaded);
        for (key, change) in batch.changes.values {
            match change.after {
                Some(after) => self.values.insert(key, after),
                None => self.values.remove(&key),
            };
        }
        self.engine.accept(batch.next).expect("follows");
        // The engine's root is checked against a full rebuild once, so that the bench measures real work.
        if self.values.len() < 600 {
            let leaves = self.values.iter().map(|(key, value)| (key_hash(key), value_hash(value)));
            let rebuilt = validator::engine::tree::Tree::from_leaves(leaves).root();
            assert_eq!(rebuilt, self.engine.position().root);
        }
    }
}

fn account(n: usize) -> String {
    format!("acct:{n}")
}

fn transfers(accounts: usize, round: usize) -> Vec<RawInput> {
    let transfer = |i: usize| {
        let n = (round * BATCH + i) * 7919;
        let (from, to) = (account(n % accounts), account((n + 101) % accounts));
        let change = json!([{"kind": "TRANSFER", "from": from, "to": to, "amount": "1"}]);
        message(&format!("t-{round}-{i}"), &change)
    };
    (0..BATCH).map(transfer).collect()
}

fn engine(c: &mut Criterion) {
    let accounts = accounts();
    let world = World::new(accounts);
    let rounds: Vec<_> = (0..16).map(|round| transfers(accounts, round)).collect();
    let mut round = 0;
    let mut next = || {
        round += 1;
        rounds[round % rounds.len()].clone()
    };
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("read", |b| b.iter_batched(&mut next, Engine::read, BatchSize::SmallInput));
    group.bench_function("run", |b| {
        let setup = || {
            let plan = Engine::read(next());
            let loaded = world.load(&plan);
            (plan, loaded)
        };
        b.iter_batched(setup, |(plan, loaded)| black_box(world.run(plan, loaded)), BatchSize::SmallInput);
    });
    group.bench_function("run_on_two_threads", |b| {
        let setup = || {
            let plan = Engine::read(next());
            let loaded = world.load(&plan);
            (plan, loaded)
        };
        let run =
            |(plan, loaded)| black_box(world.engine.run_with(&Two, plan, loaded, stamp()).expect("runs"));
        b.iter_batched(setup, run, BatchSize::SmallInput);
    });
    group.bench_function("seal", |b| {
        let plan = Engine::read(next());
        let loaded = world.load(&plan);
        let body = world.run(plan, loaded).body;
        assert_eq!(body.outcomes.iter().filter(|outcome| outcome.version.is_some()).count(), BATCH);
        b.iter(|| black_box(Entry::seal(Digest::ZERO, &body)));
    });
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
