//! The example token on the source chain, its real events, and mints that they back.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider as _;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};
use testkit::anvil::Anvil;
use testkit::load::Planned;
use testkit::stack::Stack;

use super::planned;

/// From the last mint on the source chain until it is deep enough.
const DEEP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
const HOLDER: usize = 3;

alloy::sol! {
    function mint(address to, uint256 amount) external;
}

/// The token that `oss init` deployed and configured as a source.
#[derive(Debug)]
pub(crate) struct Token {
    address: Address,
    holder: Address,
    asset: Value,
    source: Value,
    /// Blocks after the event's own one.
    depth: u64,
}

impl Token {
    pub(crate) fn of(stack: &Stack) -> Self {
        let bytes = std::fs::read(stack.folder().join("sources.json")).expect("the file is there");
        let sources: Value = serde_json::from_slice(&bytes).expect("JSON");
        let mut all = sources["sources"].as_array().expect("sources").iter();
        let source = all.find(|source| source["kind"] == "evm_logs").expect("oss init configures the token");
        Self {
            address: source["address"].as_str().expect("an address").parse().expect("an address"),
            holder: stack.source_chain().expect("a source chain").account(HOLDER),
            asset: source["asset"].clone(),
            source: source["name"].clone(),
            depth: source["confirmations"].as_u64().expect("a depth") + 1,
        }
    }

    /// What its events speak of.
    pub(crate) fn asset(&self) -> &str {
        self.asset.as_str().expect("an asset id")
    }

    /// Mints each amount in a transaction of its own and waits until the source takes the events.
    pub(crate) async fn emit(&self, chain: &Anvil, amounts: &[u64]) -> Vec<String> {
        let provider = chain.provider();
        let mut hashes: Vec<B256> = Vec::new();
        for amount in amounts {
            let call = mintCall { to: self.holder, amount: U256::from(*amount) }.abi_encode();
            let transaction = TransactionRequest::default().from(chain.account(0)).to(self.address);
            let transaction = transaction.input(Bytes::from(call).into());
            hashes.push(*provider.send_transaction(transaction).await.expect("the token mints").tx_hash());
        }
        let deadline = Instant::now() + DEEP_WITHIN;
        for hash in &hashes {
            loop {
                let receipt = provider.get_transaction_receipt(*hash).await.expect("the chain answers");
                let newest = provider.get_block_number().await.expect("the chain answers");
                let block = receipt.and_then(|receipt| receipt.block_number);
                if block.is_some_and(|block| newest >= block + self.depth) {
                    break;
                }
                assert!(Instant::now() < deadline, "the events are not deep enough in time");
                tokio::time::sleep(POLL).await;
            }
        }
        hashes.iter().map(|hash| format!("{hash}/0")).collect()
    }

    pub(crate) fn register(&self, chains: &[String]) -> Planned {
        let changes = json!([{"kind": "REGISTER", "decimals": 2, "chains": chains}]);
        planned("register", json!({"asset": {"id": self.asset}, "state_changes": changes}))
    }

    /// A mint that says an event backs it.
    pub(crate) fn mint(&self, key: &str, amount: u64, event: &str) -> Planned {
        let to = format!("eip155:1:{}", self.holder.to_string().to_lowercase());
        let backed_by = json!({"source": self.source, "event": event});
        let mint = json!({"kind": "MINT", "to": to, "amount": amount.to_string(), "backed_by": backed_by});
        let sources = json!([self.source]);
        let asset = json!({"id": self.asset});
        planned(key, json!({"asset": asset, "state_changes": [mint], "event_sources": sources}))
    }
}
