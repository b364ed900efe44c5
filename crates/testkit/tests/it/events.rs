//! A real event of a token on the source chain backs one mint, ever.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider as _;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};
use testkit::anvil::Anvil;
use testkit::stack::{Plan, Stack};

use crate::scene::{self, Must as _, planned};

alloy::sol! {
    function mint(address to, uint256 amount) external;
}

/// Mints on the source chain and waits until the event is deep enough for the source; answers its transaction.
async fn emit(source: &Anvil, token: Address, to: Address, amount: u64, depth: u64) -> B256 {
    let call = mintCall { to, amount: U256::from(amount) }.abi_encode();
    let transaction =
        TransactionRequest::default().from(source.account(0)).to(token).input(Bytes::from(call).into());
    let provider = source.provider();
    let hash = *provider.send_transaction(transaction).await.expect("the token mints").tx_hash();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let receipt = provider.get_transaction_receipt(hash).await.expect("the chain answers");
        let newest = provider.get_block_number().await.expect("the chain answers");
        if receipt.and_then(|receipt| receipt.block_number).is_some_and(|block| newest >= block + depth) {
            return hash;
        }
        assert!(Instant::now() < deadline, "the event is not deep enough in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn file(stack: &Stack, name: &str) -> Value {
    let bytes = std::fs::read(stack.folder().join(name)).expect("the file is there");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_backs_one_mint_of_its_amount_and_no_other_one() {
    let plan = Plan { chains: vec![scene::CHAINS[0]], tier: "latest", ..Plan::default() };
    let stack = Stack::start(plan).await.must();
    let (sources, api) = (file(&stack, "sources.json"), stack.api());
    let source =
        sources["sources"].as_array().expect("sources").iter().find(|source| source["kind"] == "evm_logs");
    let source = source.expect("oss init configures the token").clone();
    let (asset, name) = (source["asset"].clone(), source["name"].clone());
    let token: Address = source["address"].as_str().expect("an address").parse().expect("an address");
    let chain = stack.source_chain().expect("a source chain");
    let holder = chain.account(3);
    let depth = source["confirmations"].as_u64().expect("a depth") + 1;
    let event = format!("{}/0", emit(chain, token, holder, 500, depth).await);

    let mint = |amount: &str, event: &str| {
        json!({
            "asset": {"id": asset},
            "state_changes": [{
                "kind": "MINT", "to": format!("eip155:1:{}", holder.to_string().to_lowercase()), "amount": amount,
                "backed_by": {"source": name, "event": event},
            }],
            "event_sources": [name],
        })
    };
    let register = json!([{"kind": "REGISTER", "decimals": 2, "chains": ["base"]}]);
    let cases = [
        (planned("register", json!({"asset": {"id": asset}, "state_changes": register})), "completed", ""),
        (planned("more", mint("501", &event)), "rejected", "EVENT_MISMATCH"),
        (planned("mint", mint("500", &event)), "completed", ""),
        (planned("again", mint("500", &event)), "rejected", "EVENT_ALREADY_USED"),
        (planned("none", mint("500", &format!("0x{}/0", "cd".repeat(32)))), "failed", "EVENT_NOT_FOUND"),
    ];
    for (request, status, code) in &cases {
        let answer = scene::complete(&api, &request.key, &request.body).await;
        assert_eq!((answer.text("/status"), answer.text("/code")), (*status, *code), "{}", answer.body);
    }
    let sent: Vec<_> = cases.into_iter().map(|(request, ..)| request).collect();
    let acknowledged: Vec<_> = sent.iter().map(scene::acknowledged).collect();
    let (_, summary) = scene::settle(&stack, &sent, &acknowledged, Duration::from_secs(30)).await;
    assert_eq!((summary.applied, summary.not_applied, summary.landed), (2, 3, 2));
    eprintln!("events: 1 event, 4 mints, 1 applied; {summary:?}");
}
