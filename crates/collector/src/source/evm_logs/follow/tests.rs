//! Verdicts: what one look sees, and what nodes that disagree make of it.

use std::sync::{Arc, Mutex};

use common::hash::Digest;
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;

/// A chain known from block 15 to its newest one, 20; 3 confirmations, 5 more blocks are followed.
fn chain() -> Chain {
    let mut chain = followed_on(Vec::new());
    let block = |number| Linked { number, hash: hash(number, 0), parent: hash(number - 1, 0) };
    chain.trail.restart(block(15));
    chain.trail.join((16..=20).rev().map(block).collect());
    chain.head = Some(block(20));
    chain
}

fn followed_on(nodes: Vec<Node>) -> Chain {
    Chain::new("chain".parse().expect("a name"), nodes, 3, 5, Duration::from_millis(50))
}

/// The hash of a block of one of several forks.
fn hash(number: u64, fork: u8) -> Digest {
    Digest::of(&[&number.to_be_bytes(), &[fork]])
}

#[test]
fn a_look_misses_a_block_only_if_another_one_stands_there_deep_enough_and_not_too_deep() {
    let chain = chain();
    let verdict = |block, block_hash| chain.verdict(BlockRef { block, block_hash });
    for (block, own, other) in [
        (21, Verdict::Unclear, Verdict::Unclear),
        (20, Verdict::Unclear, Verdict::Unclear),
        (19, Verdict::Unclear, Verdict::Unclear),
        (18, Verdict::Stands, Verdict::Gone),
        (15, Verdict::Stands, Verdict::Gone),
        // Not known yet: a later step goes down to it.
        (14, Verdict::Unclear, Verdict::Unclear),
        (13, Verdict::Unclear, Verdict::Unclear),
        (12, Verdict::Final, Verdict::Final),
        (0, Verdict::Final, Verdict::Final),
    ] {
        assert_eq!(verdict(block, hash(block, 0)), own, "{block}");
        assert_eq!(verdict(block, Digest::ZERO), other, "{block}");
    }
}

#[test]
fn who_rests_knows_nothing_of_what_was() {
    let mut chain = chain();
    chain.rest();
    let block = BlockRef { block: 18, block_hash: Digest::ZERO };
    assert_eq!(chain.verdict(block), Verdict::Unclear);
}

#[test]
fn only_what_is_still_there_when_it_is_deep_is_final() {
    let block = BlockRef { block: 7, block_hash: hash(7, 1) };
    let at = |fork| BTreeMap::from([(7, hash(7, fork))]);
    for (what, verdict, deep, expected) in [
        ("deep and there", Verdict::Final, at(1), Verdict::Final),
        ("another block is there", Verdict::Final, at(2), Verdict::Gone),
        ("nobody could be asked", Verdict::Final, BTreeMap::new(), Verdict::Unclear),
        ("not deep: the walk has compared it", Verdict::Stands, at(2), Verdict::Stands),
        ("gone", Verdict::Gone, BTreeMap::new(), Verdict::Gone),
    ] {
        assert_eq!(compared(block, verdict, &deep), expected, "{what}");
    }
}

/// A node: a chain of forks by number, or out of reach.
#[derive(Clone)]
struct Forks(Arc<Mutex<State>>);

struct State {
    is_up: bool,
    /// Which fork each block is of.
    blocks: Vec<u8>,
    /// How many blocks are made with each HTTP request.
    pace: usize,
}

impl Forks {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    fn grow(&self, blocks: usize, fork: u8) {
        self.change(|state| state.blocks.extend(vec![fork; blocks]));
    }

    /// Replaces all blocks from `number` on.
    fn reorganise(&self, number: usize, fork: u8) {
        self.change(|state| state.blocks.iter_mut().skip(number).for_each(|block| *block = fork));
    }

    fn is_up(&self, is_up: bool) {
        self.change(|state| state.is_up = is_up);
    }
}

impl Respond for Forks {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        if !state.is_up {
            return ResponseTemplate::new(503);
        }
        let answer = match request.body_json().expect("JSON-RPC") {
            Value::Array(calls) => calls.iter().map(|call| state.answer(call)).collect(),
            call => state.answer(&call),
        };
        let (pace, fork) = (state.pace, *state.blocks.last().expect("a block"));
        state.blocks.extend(vec![fork; pace]);
        ResponseTemplate::new(200).set_body_json(answer)
    }
}

impl State {
    fn answer(&self, call: &Value) -> Value {
        let result = match call["method"].as_str() {
            Some("eth_chainId") => json!("0x1"),
            Some("eth_getBlockByNumber") => {
                let asked = call["params"][0].as_str().expect("a tag or a number");
                let number = asked.strip_prefix("0x").map_or(self.blocks.len() - 1, |digits| {
                    usize::from_str_radix(digits, 16).expect("a number")
                });
                self.block(number)
            }
            other => panic!("{other:?} is no call of a follower"),
        };
        json!({"jsonrpc": "2.0", "id": call["id"], "result": result})
    }

    fn block(&self, number: usize) -> Value {
        let Some(fork) = self.blocks.get(number) else { return Value::Null };
        let parent =
            number.checked_sub(1).map_or(Digest::ZERO, |below| hash(below as u64, self.blocks[below]));
        json!({"number": format!("{number:#x}"), "hash": hash(number as u64, *fork), "parentHash": parent})
    }
}

/// Nodes with blocks 0 to 20, all the same, and the chain followed on them in this order.
struct Bench {
    nodes: Vec<Forks>,
    chain: Chain,
    _servers: Vec<MockServer>,
}

/// What is watched.
const SEEN: usize = 17;

impl Bench {
    async fn new(count: usize) -> Self {
        let (mut nodes, mut servers, mut clients) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let forks = Forks(Arc::new(Mutex::new(State { is_up: true, blocks: vec![0; 21], pace: 0 })));
            let server = MockServer::start().await;
            Mock::given(method("POST")).respond_with(forks.clone()).mount(&server).await;
            clients.push(Node::new(&server.uri(), 1, reqwest::Client::new()).expect("a node"));
            nodes.push(forks);
            servers.push(server);
        }
        Self { nodes, chain: followed_on(clients), _servers: servers }
    }

    /// One step; gives the verdict on the block that is watched.
    async fn look(&mut self) -> Verdict {
        let seen = BlockRef { block: SEEN as u64, block_hash: hash(SEEN as u64, 0) };
        if self.chain.advance(seen.block).await.is_err() {
            return Verdict::Unclear;
        }
        self.chain.verdicts(&BTreeSet::from([seen])).await[&seen]
    }

    /// A step with another newest block in all nodes.
    async fn next_look(&mut self) -> Verdict {
        for node in &self.nodes {
            let fork = *node.0.lock().unwrap().blocks.last().expect("a block");
            node.grow(1, fork);
        }
        self.look().await
    }

    /// What is missed and not gone: for a second look, disputed, unheard.
    const fn doubts(&self) -> (usize, usize, usize) {
        let Doubts { second_look, disputed, unheard } = self.chain.doubts;
        (second_look, disputed, unheard)
    }
}

#[actix::test]
async fn a_block_is_gone_on_the_only_node_when_two_looks_at_different_newest_blocks_miss_it() {
    let mut bench = Bench::new(1).await;
    assert_eq!(bench.look().await, Verdict::Stands);
    bench.nodes[0].reorganise(SEEN, 1);
    assert_eq!((bench.look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    assert_eq!((bench.look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    // It comes back, and goes again.
    bench.nodes[0].reorganise(SEEN, 0);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Stands, (0, 0, 0)));
    bench.nodes[0].reorganise(SEEN, 2);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Gone, (0, 0, 0)));
}

#[actix::test]
async fn a_block_that_another_node_still_has_is_not_gone_until_that_node_says_so_too() {
    let mut bench = Bench::new(3).await;
    assert_eq!(bench.look().await, Verdict::Stands);
    // The node that is followed is on a fork of its own.
    bench.nodes[0].reorganise(SEEN - 1, 1);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (0, 1, 0)));
    bench.nodes[1].reorganise(SEEN - 1, 1);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (0, 1, 0)));
    // However deep the block becomes meanwhile.
    for node in &bench.nodes {
        let fork = *node.0.lock().unwrap().blocks.last().expect("a block");
        node.grow(10, fork);
    }
    assert_eq!((bench.look().await, bench.doubts()), (Verdict::Unclear, (0, 1, 0)));
    bench.nodes[2].reorganise(SEEN - 1, 1);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Gone, (0, 0, 0)));
}

#[actix::test]
async fn a_node_that_comes_back_from_its_fork_takes_nothing_with_it() {
    let mut bench = Bench::new(2).await;
    assert_eq!(bench.look().await, Verdict::Stands);
    bench.nodes[0].reorganise(SEEN, 1);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (0, 1, 0)));
    bench.nodes[0].reorganise(SEEN, 0);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Stands, (0, 0, 0)));
}

#[actix::test]
async fn while_no_other_node_answers_nothing_is_gone() {
    let mut bench = Bench::new(3).await;
    assert_eq!(bench.look().await, Verdict::Stands);
    bench.nodes[1].is_up(false);
    bench.nodes[2].is_up(false);
    bench.nodes[0].reorganise(SEEN, 1);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    for _ in 0..3 {
        assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (0, 0, 1)));
    }
    // One that lags behind the block cannot speak of it.
    bench.nodes[1].change(|state| state.blocks.truncate(SEEN));
    bench.nodes[1].is_up(true);
    assert_eq!((bench.look().await, bench.doubts()), (Verdict::Unclear, (0, 0, 1)));
    bench.nodes[1].grow(5, 1);
    assert_eq!((bench.look().await, bench.doubts()), (Verdict::Gone, (0, 0, 0)));
}

#[actix::test]
async fn a_node_that_lags_on_a_fork_the_others_have_left_takes_nothing_away() {
    let mut bench = Bench::new(2).await;
    // What was handed out is of the chain after a reorganisation that the first node has not seen.
    bench.nodes[0].reorganise(SEEN - 1, 1);
    assert_eq!((bench.look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Unclear, (0, 1, 0)));
    // It is out of reach, and the other one is followed.
    bench.nodes[0].is_up(false);
    assert_eq!((bench.next_look().await, bench.doubts()), (Verdict::Stands, (0, 0, 0)));
}

#[actix::test]
async fn a_chain_that_makes_blocks_faster_than_its_node_answers_is_caught_up_with() {
    let mut bench = Bench::new(1).await;
    bench.chain.kept = 20_000;
    assert_eq!(bench.look().await, Verdict::Stands);
    let oldest = bench.chain.trail.oldest();
    // Far behind, and 20 blocks more with each HTTP request.
    bench.nodes[0].grow(3_000, 0);
    bench.nodes[0].change(|state| state.pace = 20);
    let mut behind = usize::MAX;
    for _ in 0..10 {
        assert_eq!(bench.look().await, Verdict::Stands);
        let seen = usize::try_from(bench.chain.head.expect("a block").number).expect("a number");
        behind = bench.nodes[0].0.lock().unwrap().blocks.len() - 1 - seen;
    }
    assert!(behind <= 60, "{behind} blocks were made while the last look went on");
    assert_eq!(bench.chain.trail.oldest(), oldest, "the walk has met what was known");
    // A reorganisation is followed in batches too.
    bench.nodes[0].reorganise(SEEN, 1);
    assert_eq!((bench.look().await, bench.doubts()), (Verdict::Unclear, (1, 0, 0)));
    assert_eq!(bench.look().await, Verdict::Gone);
}
