//! Source `evm_logs` against a real node: a token's own Transfer events, confirmations, evidence.

use common::observation::{LedgerEvent, LedgerEventKind, ObservationKind};
use serde_json::{Value, json};
use testkit::anvil::{Anvil, AnvilOptions, Mining};

use crate::bed::{Bed, failure, observations, with};

const ALICE: &str = "0x00000000000000000000000000000000000a11ce";
const BOB: &str = "0x0000000000000000000000000000000000000b0b";
const MINT: &str = "40c10f19";

struct Chain {
    anvil: Anvil,
    client: reqwest::Client,
    token: String,
    owner: String,
}

fn word(hex_digits: &str) -> String {
    format!("{hex_digits:0>64}")
}

/// A string of at most 32 bytes as ABI tail.
fn tail(text: &str) -> String {
    format!("{}{:0<64}", word(&format!("{:x}", text.len())), hex::encode(text))
}

impl Chain {
    /// A chain that makes blocks only when told, with the example token on it.
    async fn new() -> Self {
        let options = AnvilOptions { chain_id: 1, mining: Mining::Manual, keep_state: false };
        let anvil = Anvil::start(options).expect("anvil starts; set OSS_ANVIL");
        let client = reqwest::Client::new();
        let mut chain = Self { anvil, client, token: String::new(), owner: String::new() };
        let accounts = chain.call("eth_accounts", json!([])).await;
        accounts[0].as_str().expect("an account").clone_into(&mut chain.owner);
        let artifact = include_str!("../../../../contracts/artifacts/ExampleBondToken.json");
        let artifact: Value = serde_json::from_str(artifact).unwrap();
        let bytecode = artifact["bytecode"].as_str().unwrap();
        let owner = word(&chain.owner[2..]);
        // constructor(string, string, uint8, address)
        let arguments = [word("80"), word("c0"), word("2"), owner, tail("Bond"), tail("BND")].concat();
        let receipt = chain.send(json!({"data": format!("{bytecode}{arguments}")})).await;
        receipt["contractAddress"].as_str().expect("deployed").clone_into(&mut chain.token);
        chain
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.client.post(self.anvil.url()).header("content-type", "application/json");
        let text = request.body(body.to_string()).send().await.unwrap().text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    async fn mine(&self, blocks: u64) {
        self.call("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    /// Sends a transaction from the owner and mines it.
    async fn send(&self, mut transaction: Value) -> Value {
        transaction["from"] = json!(self.owner);
        transaction["gas"] = json!("0x4c4b40");
        let hash = self.call("eth_sendTransaction", json!([transaction])).await;
        self.mine(1).await;
        let receipt = self.call("eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    /// Mints and answers the event as a request names it.
    async fn mint(&self, to: &str, amount: &str) -> String {
        let data = format!("0x{MINT}{}{}", word(&to[2..]), word(amount));
        let receipt = self.send(json!({"to": self.token, "data": data})).await;
        format!("{}/0", receipt["transactionHash"].as_str().unwrap())
    }

    fn source(&self, confirmations: u64) -> Value {
        json!([{
            "name": "chain", "kind": "evm_logs", "rpc": ["http://127.0.0.1:1", self.anvil.url()],
            "chain": "eip155:1", "address": self.token, "asset": "bond:X",
            "topics": ["Transfer(address,address,uint256)"], "mint_from_zero": true,
            "accounts": {ALICE: "acct:alice"}, "confirmations": confirmations, "window_blocks": 50,
        }])
    }
}

fn backed(event: &str) -> Value {
    with(
        "X",
        &json!({
            "event_sources": ["chain"],
            "state_changes": [
                {"kind": "SET_DATA", "terms": {"a": "b"}},
                {"kind": "MINT", "to": "acct:alice", "amount": "42", "backed_by": {"source": "chain", "event": event}},
            ],
        }),
    )
}

#[actix_rt::test]
async fn a_real_transfer_event_backs_a_change_once_it_is_deep_enough() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&chain.source(3));
    let collector = bed.start().await;
    let event = chain.mint(ALICE, "2a").await;
    assert_eq!(bed.post(&collector, &backed(&event), &[]).await.status, 202);
    // One confirmation so far: the collector waits; the chain goes on under it.
    chain.mine(1).await;
    assert!(bed.messages(common::link::Stream::Input).await.is_empty());
    chain.mine(1).await;
    let (_, message) = bed.input(1).await.remove(0);
    let [observation] = observations(&message) else { panic!("{message:?}") };
    assert_eq!(observation.kind, ObservationKind::Event);
    assert_eq!(observation.identity.as_deref(), Some(format!("eip155:1/{event}").as_str()));
    let seen: LedgerEvent = serde_json::from_str(observation.value.get()).unwrap();
    assert_eq!((seen.event, seen.from, seen.amount.units()), (LedgerEventKind::Mint, None, 42));
    assert_eq!((seen.to.unwrap().as_str(), seen.asset.as_str()), ("acct:alice", "bond:X"));
    let block = chain.call("eth_getBlockByNumber", json!(["0x2", false])).await;
    let seconds = u64::from_str_radix(&block["timestamp"].as_str().unwrap()[2..], 16).unwrap();
    assert_eq!(observation.as_of_ms, seconds * 1_000);
    collector.stop().await;
}

#[actix_rt::test]
async fn events_that_do_not_back_a_change_fail_with_their_place() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&chain.source(1_000));
    let mut settings = bed.settings("collector-1");
    settings.collect.deadline_ms = 1_000;
    let collector = bed.start_with(settings).await;
    let shallow = chain.mint(ALICE, "2a").await;
    let unknown = format!("0x{}/0", "ab".repeat(32));
    for (event, code) in [(shallow, "EVENT_NOT_CONFIRMED"), (unknown, "EVENT_NOT_FOUND")] {
        let before = bed.messages(common::link::Stream::Input).await.len();
        bed.post(&collector, &backed(&event), &[]).await;
        let (_, message) = bed.input(before + 1).await.pop().unwrap();
        let failure = failure(&message);
        assert_eq!(failure.code, code, "{failure:?}");
        assert_eq!(failure.pointer.as_deref(), Some("/state_changes/1/backed_by/event"));
    }
    chain.mine(1_000).await;
    let deep = chain.mint(BOB, "1").await;
    chain.mine(1_000).await;
    let position = deep.replace("/0", "/1");
    let before = bed.messages(common::link::Stream::Input).await.len();
    bed.post(&collector, &backed(&position), &[]).await;
    let (_, message) = bed.input(before + 1).await.pop().unwrap();
    assert_eq!(failure(&message).code, "EVENT_MISMATCH");
    collector.stop().await;
}

#[actix_rt::test]
async fn a_source_without_an_event_gives_its_window_as_evidence() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&chain.source(2));
    let collector = bed.start().await;
    chain.mint(ALICE, "2a").await;
    chain.mint(BOB, "1").await;
    bed.post(&collector, &with("X", &json!({"event_sources": ["chain"]})), &[]).await;
    let (_, message) = bed.input(1).await.remove(0);
    let [observation] = observations(&message) else { panic!("{message:?}") };
    assert_eq!((observation.kind, observation.identity.as_deref()), (ObservationKind::Logs, None));
    let value: Value = serde_json::from_str(observation.value.get()).unwrap();
    let logs = value["logs"].as_array().unwrap();
    assert_eq!(logs.len(), 1, "the newest block is not confirmed yet: {value}");
    assert_eq!(logs[0]["address"], chain.token);
    assert_eq!((value["to_block"].clone(), value["truncated"].clone()), (json!(2), json!(false)));
    collector.stop().await;
}
