//! The state tree beside crate `jmt` with its nodes in memory: microseconds per batch.
//!
//! `cargo bench -p validator --bench tree` measures trees of 10,000 and 1,000,000 keys (the latter take
//! about 5 GB and two minutes to build, nearly all of it `jmt`'s). A test run only checks that it works.
//!
//! `entry` is what one log entry costs: update, undo record, and the history dropping its oldest version.
//! `jmt` computes root and node batch but stores nothing.

use std::hint::black_box;

use common::hash::Digest;
use common::ids::Shard;
use common::proof::{StateProof, key_hash, value_hash};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jmt::mock::MockTreeStore;
use jmt::{KeyHash, Sha256Jmt};
use validator::engine::tree::{History, HistoryLimits, LeafWrite, Tree};

const BATCHES: [usize; 3] = [1, 100, 1000];
const HISTORY: HistoryLimits = HistoryLimits { versions_max: 64, nodes_max: 2_000_000 };
/// Keys that a measurement goes through in turn, at least, so that caches do not see the same paths.
const KEYS_MIN: usize = 16_384;

fn sizes() -> &'static [usize] {
    if std::env::args().any(|argument| argument == "--bench") { &[10_000, 1_000_000] } else { &[500] }
}

fn key(n: usize) -> String {
    format!("holding/bond:US91282CLW90/acct:{n}")
}

fn value(n: usize, version: usize) -> Vec<u8> {
    Digest::of(&[&n.to_be_bytes(), &version.to_be_bytes()]).0.to_vec()
}

fn tree_of(size: usize) -> Tree {
    Tree::from_leaves((0..size).map(|n| (key_hash(&key(n)), value_hash(&value(n, 0)))))
}

fn jmt_of(size: usize) -> MockTreeStore {
    let store = MockTreeStore::default();
    let values = (0..size).map(|n| (KeyHash(key_hash(&key(n)).0), Some(value(n, 0))));
    let (_, batch) = Sha256Jmt::new(&store).put_value_set(values, 0).expect("builds");
    store.write_tree_update_batch(batch).expect("stores");
    store
}

/// Existing keys, spread by a step that no size here has a factor in common with.
fn batch(size: usize, count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| (round * count + i) * 7919 % size)
}

/// Batches to go through again and again. The second half writes the first half's keys once more with
/// other values, so that no write ever finds its own value there.
fn rounds<T>(size: usize, count: usize, write: impl Fn(usize, &[u8]) -> T) -> Vec<Vec<T>> {
    let half = (KEYS_MIN / count).max(16);
    let round = |round| batch(size, count, round % half).map(|n| write(n, &value(n, round + 1))).collect();
    (0..2 * half).map(round).collect()
}

fn leaf_write(n: usize, value: &[u8]) -> LeafWrite {
    LeafWrite { key_hash: key_hash(&key(n)), value_hash: Some(value_hash(value)) }
}

fn jmt_write(n: usize, value: &[u8]) -> (KeyHash, Option<Vec<u8>>) {
    (KeyHash(key_hash(&key(n)).0), Some(value.to_vec()))
}

fn updates(c: &mut Criterion) {
    for &size in sizes() {
        let tree = tree_of(size);
        let store = jmt_of(size);
        let oracle = Sha256Jmt::new(&store);
        let mut group = c.benchmark_group(format!("update/{size}_keys"));
        group.sample_size(20);
        for count in BATCHES {
            group.throughput(Throughput::Elements(count as u64));
            let batches = rounds(size, count, leaf_write);
            let mut history = History::new(0, tree.clone(), HISTORY);
            let mut round = 0;
            group.bench_function(BenchmarkId::new("entry", count), |b| {
                b.iter(|| {
                    round += 1;
                    let update = history.newest().update(&batches[round % batches.len()]);
                    black_box(history.push(history.newest_seq() + 1, update).expect("next"))
                });
            });
            let batches = rounds(size, count, jmt_write);
            group.bench_function(BenchmarkId::new("jmt", count), |b| {
                b.iter_batched(
                    || {
                        round += 1;
                        batches[round % batches.len()].clone()
                    },
                    |values| black_box(oracle.put_value_set(values, 1).expect("updates")),
                    BatchSize::SmallInput,
                );
            });
        }
        group.finish();
    }
}

fn proofs(c: &mut Criterion) {
    for &size in sizes() {
        let tree = tree_of(size);
        let store = jmt_of(size);
        let oracle = Sha256Jmt::new(&store);
        let mut group = c.benchmark_group(format!("proof/{size}_keys"));
        let mut n = 0;
        let mut next = || {
            n = (n + 7919) % size;
            n
        };
        group.bench_function("prove", |b| {
            b.iter_batched(|| key_hash(&key(next())), |key| tree.prove(&key), BatchSize::SmallInput);
        });
        group.bench_function("prove_jmt", |b| {
            b.iter_batched(
                || KeyHash(key_hash(&key(next())).0),
                |key| oracle.get_with_proof(key, 0).expect("proof"),
                BatchSize::SmallInput,
            );
        });
        let proof = |n: usize| {
            StateProof::new(
                Shard::Financial,
                1,
                tree.root(),
                key(n),
                Some(value(n, 0)),
                tree.prove(&key_hash(&key(n))),
            )
        };
        group.bench_function("verify", |b| {
            b.iter_batched(|| proof(next()), |proof| proof.verify().expect("valid"), BatchSize::SmallInput);
        });
        group.finish();
    }
}

fn builds(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    group.sample_size(10);
    for &size in sizes() {
        let leaves: Vec<_> = (0..size).map(|n| (key_hash(&key(n)), value_hash(&value(n, 0)))).collect();
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| Tree::from_leaves(leaves.iter().copied()));
        });
    }
    group.finish();
}

criterion_group!(benches, updates, proofs, builds);
criterion_main!(benches);
