//! One EVM node by JSON-RPC 2.0 over HTTP: the calls `evm_logs` needs.
//!
//! Bounds: the client's time-out per call, [`ANSWER_BYTES_MAX`] per answer. A node answers only after its
//! `eth_chainId` was the configured one. Source: Ethereum JSON-RPC (execution-apis).

use std::cell::Cell;

use common::bridge::Address;
use common::hash::Digest;
use futures_util::StreamExt as _;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::source::SourceFault;

const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A JSON-RPC quantity: `0x` and hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Quantity(pub(super) u64);

impl TryFrom<String> for Quantity {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text:?} is not a quantity"))?;
        u64::from_str_radix(digits, 16).map(Self).map_err(|error| format!("{text:?}: {error}"))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    pub(super) block_number: Quantity,
    pub(super) block_hash: Digest,
    pub(super) logs: Vec<Log>,
}

/// A log; serialized as evidence.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    pub(super) address: Address,
    pub(super) topics: Vec<Digest>,
    pub(super) data: String,
    #[serde(default)]
    pub(super) block_number: Option<String>,
    #[serde(default)]
    pub(super) transaction_hash: Option<String>,
    /// Position within the block, as nodes count.
    #[serde(default, rename = "logIndex")]
    pub(super) index: Option<String>,
    #[serde(default, skip_serializing)]
    pub(super) removed: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Block {
    pub(super) number: Quantity,
    pub(super) hash: Digest,
    /// Unix seconds.
    pub(super) timestamp: Quantity,
}

/// A block as following a chain needs it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    pub(super) number: Quantity,
    pub(super) hash: Digest,
    pub(super) parent_hash: Digest,
}

#[derive(Debug)]
pub(super) struct Node {
    url: Url,
    chain_id: u64,
    client: reqwest::Client,
    is_checked: Cell<bool>,
}

impl Node {
    /// # Errors
    /// The URL is not one of http or https.
    pub(super) fn new(url: &str, chain_id: u64, client: reqwest::Client) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("rpc: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("rpc: scheme {:?} is not allowed", url.scheme()));
        }
        Ok(Self { url, chain_id, client, is_checked: Cell::new(false) })
    }

    /// Asks once per life of the source which chain this is.
    pub(super) async fn check_chain(&self) -> Result<(), SourceFault> {
        if self.is_checked.get() {
            return Ok(());
        }
        let found: Quantity = self.call("eth_chainId", json!([])).await?;
        if found.0 != self.chain_id {
            let detail = format!("the node is on chain {}, not on {}", found.0, self.chain_id);
            tracing::error!(host = self.url.host_str(), detail, "A node of a source is on another chain");
            return Err(SourceFault::unavailable(detail));
        }
        self.is_checked.set(true);
        Ok(())
    }

    pub(super) async fn head(&self) -> Result<u64, SourceFault> {
        self.call::<Quantity>("eth_blockNumber", json!([])).await.map(|number| number.0)
    }

    /// `None`: the node knows no such transaction in a block.
    pub(super) async fn receipt(&self, tx: Digest) -> Result<Option<Receipt>, SourceFault> {
        self.call("eth_getTransactionReceipt", json!([tx])).await
    }

    pub(super) async fn block(&self, number: u64) -> Result<Option<Block>, SourceFault> {
        self.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await
    }

    /// The newest block.
    pub(super) async fn newest(&self) -> Result<Header, SourceFault> {
        let newest: Option<Header> = self.call("eth_getBlockByNumber", json!(["latest", false])).await?;
        newest.ok_or_else(|| SourceFault::unavailable("the node has no newest block"))
    }

    /// `None`: the node has no block of this height yet.
    pub(super) async fn header(&self, number: u64) -> Result<Option<Header>, SourceFault> {
        self.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await
    }

    /// The logs of a contract with one of the topics, oldest first.
    pub(super) async fn logs(
        &self,
        from: u64,
        to: u64,
        address: Address,
        topics: &[Digest],
    ) -> Result<Vec<Log>, SourceFault> {
        let filter = json!({
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
            "address": address,
            "topics": [topics],
        });
        self.call("eth_getLogs", json!([filter])).await
    }

    async fn call<T: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<T, SourceFault> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let failed = |error: reqwest::Error| {
            let kind = if error.is_timeout() { "timed out" } else { "cannot be reached" };
            SourceFault::unavailable(format!("{method}: the node {kind}"))
        };
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = header.and_then(|text| text.parse().ok()).map(std::time::Duration::from_secs);
            let detail = format!("{method}: the node answered {status}");
            return Err(SourceFault::Unavailable { detail, retry_after });
        }
        let mut answer = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(SourceFault::invalid(format!("{method}: longer than {ANSWER_BYTES_MAX} bytes")));
            }
            answer.extend_from_slice(&chunk);
        }
        read_answer(method, &answer)
    }
}

fn read_answer<T: DeserializeOwned>(method: &'static str, answer: &[u8]) -> Result<T, SourceFault> {
    #[derive(Deserialize)]
    struct RpcError {
        code: i64,
    }
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Option<&'a serde_json::value::RawValue>,
        error: Option<RpcError>,
    }

    let invalid = |error: serde_json::Error| SourceFault::invalid(format!("{method}: {error}"));
    let answer: Answer<'_> = serde_json::from_slice(answer).map_err(invalid)?;
    // What a node refuses now (limits, pruned or missing blocks) another node or a later try may give.
    if let Some(error) = answer.error {
        return Err(SourceFault::unavailable(format!("{method}: the node answered error {}", error.code)));
    }
    // A result of null is an answer of its own; `Option` cannot tell it from a missing one, and neither
    // holds anything.
    let result = answer.result.map_or("null", serde_json::value::RawValue::get);
    serde_json::from_str(result).map_err(invalid)
}
