//! The validator key is replaced while work is on its way: batches of the old set land during its grace, not after it was
//! ended, and the rewind command has them signed again under the new set.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, Bytes};
use alloy::providers::Provider as _;
use alloy::rpc::types::TransactionRequest;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use common::hash::Digest;
use common::ids::{IdempotencyKey, Rid, Shard};
use serde_json::{Value, json};
use testkit::load::Planned;
use testkit::stack::{Plan, Role, Service, Stack};

use crate::scene::{self, Must as _, planned};

const WITHIN: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);
const REWIND_KEY: &str = "rewind-after-rotation";

mod abi {
    alloy::sol! {
        function verifier() external view returns (address);
        function currentSetId() external view returns (uint64);
        function isSetValid(uint64 setId) external view returns (bool);
        function proposeSet(address[] calldata members, uint16 threshold) external;
        function executeSet() external;
        function revokePrevious() external;
    }
}

/// What the stack's operator has: the contract's owner, the folder with the files, the keys.
struct Operator<'a> {
    stack: &'a Stack,
    http: reqwest::Client,
    /// `oss init` deploys with the chain's first account, which owns the contracts.
    owner: Address,
    verifier: Address,
}

impl<'a> Operator<'a> {
    async fn of(stack: &'a Stack) -> Self {
        let chain = &stack.chains()[0];
        let mut operator = Self {
            stack,
            http: reqwest::Client::new(),
            owner: chain.anvil.account(0),
            verifier: chain.contract.parse().expect("an address"),
        };
        // The bridge names its verifier.
        operator.verifier = operator.call(abi::verifierCall {}).await;
        operator
    }

    async fn call<C: SolCall>(&self, call: C) -> C::Return {
        let request =
            TransactionRequest::default().to(self.verifier).input(Bytes::from(call.abi_encode()).into());
        let answer = self.stack.chains()[0].anvil.provider().call(request).await.expect("a call");
        C::abi_decode_returns(&answer).expect("an answer")
    }

    /// Sends to the verifier as the owner and waits for the block.
    async fn send(&self, call: impl SolCall) {
        let provider = self.stack.chains()[0].anvil.provider();
        let request = TransactionRequest::default().from(self.owner).to(self.verifier);
        let request = request.input(Bytes::from(call.abi_encode()).into());
        let hash = *provider.send_transaction(request).await.expect("the owner may").tx_hash();
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(receipt) = provider.get_transaction_receipt(hash).await.expect("an answer") {
                assert!(receipt.status(), "the owner's transaction was reverted");
                return;
            }
            assert!(Instant::now() < deadline, "not mined");
            tokio::time::sleep(POLL).await;
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stack.folder().join(name)
    }

    fn json(&self, name: &str) -> Value {
        let bytes = std::fs::read(self.file(name)).expect("the stack's file");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// The signing key and the set id, as the next start of the validator finds them.
    fn switch_to(&self, signer: &PrivateKeySigner, set_id: u64) {
        let secret = hex::encode_prefixed(signer.to_bytes());
        std::fs::write(self.file("secrets/validator/validator.key"), secret).expect("the key is written");
        let mut targets = self.json("targets.json");
        for target in targets["targets"].as_array_mut().expect("a list") {
            target["set_id"] = set_id.into();
        }
        let bytes = serde_json::to_vec_pretty(&targets).expect("JSON");
        std::fs::write(self.file("targets.json"), bytes).expect("the list is written");
    }

    /// Status and body of a request to a service, with the operator's key.
    async fn ask(&self, method: reqwest::Method, service: &str, path: &str) -> (u16, Value) {
        let stack = self.json("secrets/operator/stack.json");
        let url = format!("{}{path}", stack[service].as_str().expect("a URL"));
        let request = self.http.request(method, url).header("Idempotency-Key", REWIND_KEY);
        let key = stack["keys"]["operate"].as_str().expect("a key");
        match request.bearer_auth(key).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or_default()),
            // It may be starting anew.
            Err(_) => (0, Value::Null),
        }
    }

    /// Waits until the broadcaster's lane of the financial shard holds.
    async fn lane(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let (_, body) = self.ask(reqwest::Method::GET, "broadcaster", "/v1/targets").await;
            let lanes = body.pointer("/targets/0/lanes").and_then(Value::as_array).cloned();
            let lane = lanes.into_iter().flatten().find(|lane| lane["shard"] == "financial");
            if lane.as_ref().is_some_and(&holds) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {lane:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until a request has this status.
    async fn status(&self, rid: Rid, status: &str) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = self.stack.api().status(rid).await.expect("a status");
            if answer.text("/status") == status {
                return;
            }
            assert!(Instant::now() < deadline, "not {status}: {}", answer.body);
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The command as the log will name it; nobody submits it to a collector.
fn rewind_command() -> Planned {
    let key: IdempotencyKey = REWIND_KEY.parse().expect("a key");
    let fp = Digest::of(&[b"oss/command/1", b"rewind", b"base"]);
    let rid = Rid::from_key(&scene::tenant(), &key, Shard::Financial);
    Planned { key: REWIND_KEY.to_owned(), rid, fp, body: Value::Null, doomed: None }
}

fn register(key: &str, asset: &str) -> Planned {
    let change = json!({"kind": "REGISTER", "decimals": 2, "chains": ["base"]});
    planned(key, json!({"asset": {"id": asset}, "state_changes": [change]}))
}

fn mint(key: &str) -> Planned {
    let change = json!({"kind": "MINT", "to": "acct:alice", "amount": "100"});
    planned(key, json!({"asset": {"id": "bond:rotated"}, "state_changes": [change]}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_key_rotation_stuck_batches_are_signed_again_and_everything_completes() {
    let plan = Plan { chains: vec![scene::CHAINS[0]], ..Plan::default() };
    let mut stack = Stack::start(plan).await.must();
    let operator = Operator::of(&stack).await;
    let api = stack.api();
    let (first, graced, later) =
        (register("register", "bond:rotated"), mint("under-grace"), mint("under-set-2"));
    // Two assets, so that they are two updates even if they share an entry.
    let stuck = [mint("stuck-1"), register("stuck-2", "bond:rotated-too")];

    let answer = scene::complete(&api, &first.key, &first.body).await;
    assert_eq!(answer.text("/status"), "completed", "{}", answer.body);

    // Set 2 is put in place; what is signed under set 1 still lands.
    let fresh = PrivateKeySigner::random();
    operator.send(abi::proposeSetCall { members: vec![fresh.address()], threshold: 1 }).await;
    operator.send(abi::executeSetCall {}).await;
    assert_eq!(operator.call(abi::currentSetIdCall {}).await, 2);
    assert!(operator.call(abi::isSetValidCall { setId: 1 }).await, "the grace of 7 days");
    let answer = scene::complete(&api, &graced.key, &graced.body).await;
    assert_eq!(answer.text("/status"), "completed", "{}", answer.body);

    // The grace is ended at once: the lane alarms and nothing of set 1 is final any more.
    operator.send(abi::revokePreviousCall {}).await;
    for request in &stuck {
        let answer = api.submit(&request.key, &request.body, None).await.expect("accepted");
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    operator.lane("the alarm", |lane| lane["last_error"]["code"] == "BATCH_REJECTED_SET_NOT_VALID").await;
    for request in &stuck {
        let answer = api.status(request.rid).await.expect("a status");
        assert_ne!(answer.text("/status"), "completed", "{}", answer.body);
    }

    // Key and list are switched; only the validator is restarted, the broadcaster takes the list over by itself.
    operator.switch_to(&fresh, 2);
    let validator = Service { role: Role::Validator, index: 0 };
    drop(operator);
    stack.kill(validator).must();
    stack.launch(validator).must();
    stack.wait_ready().await.must();
    let operator = Operator::of(&stack).await;
    let path = "/v1/targets/base/rewind?shard=financial";
    let (status, body) = operator.ask(reqwest::Method::POST, "validator", path).await;
    assert_eq!(status, 202, "{body}");
    for request in &stuck {
        operator.status(request.rid, "completed").await;
    }
    operator.lane("nothing is left", |lane| lane["oldest_seq"].is_null() && lane["in_flight"] == 0).await;
    let answer = scene::complete(&api, &later.key, &later.body).await;
    assert_eq!(answer.text("/status"), "completed", "{}", answer.body);
    assert!(!operator.call(abi::isSetValidCall { setId: 1 }).await, "set 1 stays ended");

    // The chain's versions and state hashes are the log's, each update once (I9, I10).
    let [stuck_1, stuck_2] = stuck;
    let submitted = [first, graced, stuck_1, stuck_2, later];
    let acknowledged: Vec<_> = submitted.iter().map(scene::acknowledged).collect();
    let sent: Vec<Planned> = submitted.into_iter().chain([rewind_command()]).collect();
    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_secs(30)).await;
    // The rewind counts as applied too.
    assert_eq!((summary.applied, summary.not_applied, summary.landed), (6, 0, 5), "{summary:?}");
    eprintln!("rotation: {summary:?}");
}
