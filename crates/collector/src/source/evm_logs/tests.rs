//! The source against a stand-in that answers by method, in the shapes of a real node (the same calls run
//! against a real anvil in `tests/it/evm.rs`).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::observation::{LedgerEvent, ObservationKind};
use common::request::EventRef;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::{EvmLogs, Settings};
use crate::source::{Ask, Source as _, SourceFault};

const CONTRACT: &str = "0x00000000000000000000000000000000000000aa";
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// A chain of one transaction: what the node answers, changed by a test at will.
#[derive(Clone)]
struct Chain(Arc<Mutex<Answers>>);

struct Answers {
    chain_id: u64,
    head: u64,
    receipt: Value,
    block_hash: String,
    logs: Vec<Value>,
    calls: Vec<String>,
}

impl Respond for Chain {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let call: Value = request.body_json().expect("JSON-RPC");
        let mut answers = self.0.lock().unwrap();
        let method = call["method"].as_str().expect("a method").to_owned();
        answers.calls.push(method.clone());
        let result = match method.as_str() {
            "eth_chainId" => json!(format!("{:#x}", answers.chain_id)),
            "eth_blockNumber" => json!(format!("{:#x}", answers.head)),
            "eth_getTransactionReceipt" => answers.receipt.clone(),
            "eth_getBlockByNumber" => {
                json!({"number": call["params"][0], "hash": answers.block_hash, "timestamp": "0x64"})
            }
            "eth_getLogs" => {
                assert_eq!(call["params"][0]["address"], CONTRACT);
                assert_eq!(call["params"][0]["topics"], json!([[TRANSFER]]));
                json!(answers.logs)
            }
            other => panic!("{other} is not a call of this source"),
        };
        ResponseTemplate::new(200).set_body_json(json!({"jsonrpc": "2.0", "id": 1, "result": result}))
    }
}

fn hash(byte: &str) -> String {
    format!("0x{}", byte.repeat(32))
}

fn log(amount: u8) -> Value {
    json!({
        "address": CONTRACT,
        "topics": [TRANSFER, format!("0x{:064}", 0), format!("0x{:0>64}", "b0b")],
        "data": format!("0x{amount:064x}"),
        "blockNumber": "0xa", "transactionHash": hash("cd"), "logIndex": "0x5", "removed": false,
    })
}

struct Bench {
    chain: Chain,
    source: EvmLogs,
    server: MockServer,
}

async fn bench(confirmations: u64) -> Bench {
    bench_behind(confirmations, &[]).await
}

fn settings(confirmations: u64, rpc: &[String]) -> Settings {
    serde_json::from_value(json!({
        "rpc": rpc, "chain": "eip155:1", "address": CONTRACT, "asset": "bond:X",
        "topics": ["Transfer(address,address,uint256)"], "mint_from_zero": true,
        "confirmations": confirmations, "window_blocks": 5,
    }))
    .expect("settings")
}

/// The chain behind other nodes, which are asked first.
async fn bench_behind(confirmations: u64, first: &[String]) -> Bench {
    let chain = Chain(Arc::new(Mutex::new(Answers {
        chain_id: 1,
        head: 12,
        receipt: json!({"blockNumber": "0xa", "blockHash": hash("bb"), "logs": [log(1), log(2)]}),
        block_hash: hash("bb"),
        logs: Vec::new(),
        calls: Vec::new(),
    })));
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::method("POST")).respond_with(chain.clone()).mount(&server).await;
    let rpc = [first, &[server.uri()]].concat();
    let source = EvmLogs::new("chain".parse().unwrap(), &settings(confirmations, &rpc)).expect("a source");
    Bench { chain, source, server }
}

impl Bench {
    fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.chain.0.lock().unwrap());
    }

    async fn event(&self, position: u32) -> Result<common::observation::Observation, SourceFault> {
        let event: EventRef = format!("{}/{position}", hash("cd")).try_into().unwrap();
        let ask = Ask { events: vec![event], deadline: Instant::now() + Duration::from_secs(5) };
        self.source.observe(&ask).await.map(|mut observations| observations.remove(0))
    }
}

#[actix::test]
async fn the_log_at_its_position_is_taken_and_named_free_of_our_names() {
    let bench = bench(3).await;
    let observation = bench.event(1).await.expect("an event");
    assert_eq!(observation.kind, ObservationKind::Event);
    assert_eq!(observation.identity.as_deref(), Some(format!("eip155:1/{}/1", hash("cd")).as_str()));
    assert_eq!(observation.as_of_ms, 100_000);
    let event: LedgerEvent = serde_json::from_str(observation.value.get()).unwrap();
    assert_eq!(event.amount.units(), 2);
    let evidence: Value = serde_json::from_str(observation.evidence.unwrap().get()).unwrap();
    assert_eq!((evidence["block"].clone(), evidence["block_hash"].clone()), (json!(10), json!(hash("bb"))));
}

#[actix::test]
async fn an_event_counts_from_its_depth_on_and_only_in_the_canonical_chain() {
    let bench = bench(3).await;
    bench.change(|answers| answers.head = 11);
    assert!(matches!(bench.event(0).await, Err(SourceFault::EventNotConfirmed { depth: 2, needed: 3, .. })));
    bench.change(|answers| answers.head = 12);
    assert!(bench.event(0).await.is_ok());
    bench.change(|answers| answers.block_hash = hash("ee"));
    assert!(matches!(bench.event(0).await, Err(SourceFault::EventNotFound { .. })));
}

#[actix::test]
async fn an_unknown_transaction_is_worth_waiting_for_and_a_wrong_log_is_not() {
    let bench = bench(1).await;
    assert_eq!(bench.event(2).await.unwrap_err().code(), "EVENT_MISMATCH");
    assert!(!bench.event(2).await.unwrap_err().is_transient());
    bench.change(|answers| answers.receipt = Value::Null);
    let fault = bench.event(0).await.unwrap_err();
    assert_eq!((fault.code(), fault.is_transient()), ("EVENT_NOT_FOUND", true));
}

#[actix::test]
async fn a_node_of_another_chain_is_never_believed() {
    let bench = bench(1).await;
    bench.change(|answers| answers.chain_id = 5);
    assert_eq!(bench.event(0).await.unwrap_err().code(), "SOURCE_UNAVAILABLE");
    assert_eq!(bench.chain.0.lock().unwrap().calls, ["eth_chainId"]);
    bench.change(|answers| answers.chain_id = 1);
    assert!(bench.event(0).await.is_ok());
}

/// A node that answers everything with `template`.
async fn node(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(template).mount(&server).await;
    server
}

#[actix::test]
async fn a_node_whose_answer_cannot_be_read_does_not_end_the_search() {
    let html = node(ResponseTemplate::new(200).set_body_raw("<html>", "text/html")).await;
    let long = node(ResponseTemplate::new(200).set_body_bytes(vec![b' '; 4 * 1024 * 1024 + 1])).await;
    let down = node(ResponseTemplate::new(503)).await;
    for bad in [&html, &long, &down] {
        let bench = bench_behind(1, &[bad.uri()]).await;
        assert!(bench.event(0).await.is_ok());
        // A fact about the chain needs no second opinion, and no second attempt.
        assert_eq!(bench.event(2).await.unwrap_err().code(), "EVENT_MISMATCH");
    }
    let settings = |rpc: [&MockServer; 2]| settings(1, &rpc.map(MockServer::uri));
    for rpc in [[&html, &down], [&down, &html]] {
        let source = EvmLogs::new("chain".parse().unwrap(), &settings(rpc)).unwrap();
        let ask = Ask { events: Vec::new(), deadline: Instant::now() + Duration::from_secs(5) };
        let fault = source.observe(&ask).await.unwrap_err();
        assert!(fault.is_transient(), "one of them may come back: {fault}");
    }
}

#[actix::test]
async fn a_fact_about_the_chain_is_not_asked_for_again() {
    let unasked = node(ResponseTemplate::new(503)).await;
    let mut bench = bench(1).await;
    let rpc = [bench.server.uri(), unasked.uri()];
    bench.source = EvmLogs::new("chain".parse().unwrap(), &settings(1, &rpc)).unwrap();
    assert_eq!(bench.event(2).await.unwrap_err().code(), "EVENT_MISMATCH");
    assert!(unasked.received_requests().await.unwrap().is_empty());
}

#[actix::test]
async fn without_events_the_window_is_evidence_bounded_in_range_and_size() {
    let bench = bench(3).await;
    bench.change(|answers| answers.logs = (0..200).map(log).collect());
    let ask = Ask { events: Vec::new(), deadline: Instant::now() + Duration::from_secs(5) };
    let observation = bench.source.observe(&ask).await.expect("a window").remove(0);
    assert_eq!((observation.kind, observation.identity.as_deref()), (ObservationKind::Logs, None));
    assert!(observation.value.get().len() <= 16 * 1024);
    let value: Value = serde_json::from_str(observation.value.get()).unwrap();
    assert_eq!((value["from_block"].clone(), value["to_block"].clone()), (json!(6), json!(10)));
    assert_eq!(value["truncated"], true);
    let kept = value["logs"].as_array().unwrap();
    assert_eq!(kept.last().unwrap()["data"], log(199)["data"], "the newest are kept");
}

#[test]
fn a_node_is_named_once() {
    let twice = ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b", "http://127.0.0.1:1/a"].map(str::to_owned);
    let source = |rpc: &[String]| EvmLogs::new("chain".parse().unwrap(), &settings(1, rpc)).map(drop);
    assert_eq!(source(&twice[..2]), Ok(()));
    assert_eq!(source(&twice), Err("rpc: http://127.0.0.1:1/a is named twice".to_owned()));
}
