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

/// The transaction of an event.
fn transaction(event: &str) -> B256 {
    event.split_once('/').expect("<hash>/<position>").0.parse().expect("a hash")
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
        for hash in &hashes {
            self.until_deep(chain, *hash).await;
        }
        hashes.iter().map(|hash| format!("{hash}/0")).collect()
    }

    /// Waits until the source takes the events of a transaction; gives its block.
    async fn until_deep(&self, chain: &Anvil, tx: B256) -> u64 {
        let (provider, deadline) = (chain.provider(), Instant::now() + DEEP_WITHIN);
        loop {
            let receipt = provider.get_transaction_receipt(tx).await.expect("the chain answers");
            let newest = provider.get_block_number().await.expect("the chain answers");
            let block = receipt.and_then(|receipt| receipt.block_number);
            if let Some(block) = block.filter(|block| newest >= block + self.depth) {
                return block;
            }
            assert!(Instant::now() < deadline, "the events are not deep enough in time");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes the event's block and all after it out of the chain. Gives the signed bytes of its transaction.
    pub(crate) async fn reorganise(&self, chain: &Anvil, event: &str) -> Bytes {
        let (tx, provider) = (transaction(event), chain.provider());
        let signed = provider.get_raw_transaction_by_hash(tx).await.expect("the chain answers");
        let block = self.until_deep(chain, tx).await;
        chain.reorganise(|newest| newest - block + 1).await.expect("the chain is reorganised");
        signed.expect("the transaction is known")
    }

    /// Brings an event back in another block, and waits until the source takes it.
    pub(crate) async fn bring_back(&self, chain: &Anvil, event: &str, signed: &Bytes) {
        drop(chain.provider().send_raw_transaction(signed).await.expect("the token mints again"));
        self.until_deep(chain, transaction(event)).await;
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
