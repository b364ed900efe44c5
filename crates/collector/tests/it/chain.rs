//! A source chain that makes blocks only when told, with the example token on it.

use serde_json::{Value, json};
use testkit::anvil::{Anvil, AnvilOptions, Mining};

use crate::bed::with;

pub(crate) const ALICE: &str = "0x00000000000000000000000000000000000a11ce";
pub(crate) const BOB: &str = "0x0000000000000000000000000000000000000b0b";
const MINT: &str = "40c10f19";

pub(crate) struct Chain {
    pub(crate) anvil: Anvil,
    client: reqwest::Client,
    pub(crate) token: String,
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
    pub(crate) async fn new() -> Self {
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

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self.client.post(self.anvil.url()).header("content-type", "application/json");
        let text = request.body(body.to_string()).send().await.unwrap().text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Replaces the newest blocks by empty ones.
    pub(crate) async fn reorganise(&self, blocks: u64) {
        self.call("anvil_reorg", json!([blocks, []])).await;
    }

    pub(crate) async fn height(&self) -> u64 {
        let height = self.call("eth_blockNumber", json!([])).await;
        u64::from_str_radix(&height.as_str().expect("a quantity")[2..], 16).expect("a number")
    }

    /// The signed bytes of an event's transaction.
    pub(crate) async fn signed(&self, event: &str) -> Value {
        let tx = event.split('/').next().expect("a hash");
        self.call("eth_getRawTransactionByHash", json!([tx])).await
    }

    /// Sends signed bytes and mines them.
    pub(crate) async fn resend(&self, signed: &Value) {
        self.call("eth_sendRawTransaction", json!([signed])).await;
        self.mine(1).await;
    }

    pub(crate) async fn mine(&self, blocks: u64) {
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
    pub(crate) async fn mint(&self, to: &str, amount: &str) -> String {
        let data = format!("0x{MINT}{}{}", word(&to[2..]), word(amount));
        let receipt = self.send(json!({"to": self.token, "data": data})).await;
        format!("{}/0", receipt["transactionHash"].as_str().unwrap())
    }

    /// The sources file of it.
    pub(crate) fn source(&self, confirmations: u64) -> Value {
        json!([{
            "name": "chain", "kind": "evm_logs", "rpc": ["http://127.0.0.1:1", self.anvil.url()],
            "chain": "eip155:1", "address": self.token, "asset": "bond:X",
            "topics": ["Transfer(address,address,uint256)"], "mint_from_zero": true,
            "accounts": {ALICE: "acct:alice"}, "confirmations": confirmations, "window_blocks": 50,
        }])
    }
}

pub(crate) fn backed(event: &str) -> Value {
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
