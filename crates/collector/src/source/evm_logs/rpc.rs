//! One EVM node by JSON-RPC 2.0 over HTTP: the calls `evm_logs` needs.
//!
//! Bounds: the client's time-out per HTTP request, [`ANSWER_BYTES_MAX`] per answer, [`BATCH_MAX`] calls in a batch: headers are asked
//! for in batches. Nodes have bounds of their own, in calls or in bytes: a batch that is refused is halved and asked for again, down to
//! single calls; each one that is answered makes the next one longer by one. A node answers only after its
//! `eth_chainId` was the configured one. Source: Ethereum JSON-RPC (execution-apis), JSON-RPC 2.0 §6.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use common::bridge::Address;
use common::hash::Digest;
use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::source::SourceFault;

const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most calls in one HTTP request.
pub(super) const BATCH_MAX: usize = 50;
const HEADERS: &str = "eth_getBlockByNumber";

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
    /// How many calls the next batch has at most.
    batch: Cell<usize>,
}

/// Why an HTTP request brought nothing.
#[derive(Debug)]
enum Failed {
    /// The node did not like it; a shorter batch may do.
    Refused(SourceFault),
    /// The node cannot be reached or asks to be left alone.
    Unanswered(SourceFault),
}

impl From<Failed> for SourceFault {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(fault) | Failed::Unanswered(fault) => fault,
        }
    }
}

impl Node {
    /// # Errors
    /// The URL is not one of http or https.
    pub(super) fn new(url: &str, chain_id: u64, client: reqwest::Client) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("rpc: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("rpc: scheme {:?} is not allowed", url.scheme()));
        }
        Ok(Self { url, chain_id, client, is_checked: Cell::new(false), batch: Cell::new(BATCH_MAX) })
    }

    /// Whether both are the same address.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.url == other.url
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

    /// The blocks at these heights, in their order; `None`: the node's chain has none there.
    pub(super) async fn headers(&self, numbers: &[u64]) -> Result<Vec<Option<Header>>, SourceFault> {
        let mut headers = Vec::with_capacity(numbers.len());
        while let Some(rest) = numbers.get(headers.len()..).filter(|rest| !rest.is_empty()) {
            let size = self.batch.get().min(rest.len());
            match self.batch(rest.get(..size).unwrap_or(rest)).await {
                Ok(batch) => {
                    headers.extend(batch);
                    self.batch.set(self.batch.get().saturating_add(1).min(BATCH_MAX));
                }
                Err(Failed::Refused(_)) if size > 1 => self.batch.set(size / 2),
                Err(failed) => {
                    self.batch.set((size / 2).max(1));
                    return Err(failed.into());
                }
            }
        }
        Ok(headers)
    }

    /// The same, all in one HTTP request.
    async fn batch(&self, numbers: &[u64]) -> Result<Vec<Option<Header>>, Failed> {
        let params = |number: u64| json!([format!("{number:#x}"), false]);
        let headers = if let [number] = numbers {
            let answer = self.post(HEADERS, call(0, HEADERS, &params(*number))).await?;
            vec![read_answer(HEADERS, &answer).map_err(Failed::Refused)?]
        } else {
            let calls = numbers.iter().enumerate();
            let calls: Vec<_> = calls.map(|(id, number)| call(id, HEADERS, &params(*number))).collect();
            let answer = self.post(HEADERS, Value::Array(calls)).await?;
            read_answers(HEADERS, &answer, numbers.len()).map_err(Failed::Refused)?
        };
        let is_of = |(header, number): (&Option<Header>, &u64)| {
            header.is_none_or(|header: Header| header.number.0 == *number)
        };
        if headers.iter().zip(numbers).all(is_of) {
            return Ok(headers);
        }
        Err(Failed::Refused(SourceFault::invalid(format!("{HEADERS}: the answer is another block"))))
    }

    /// The hashes of the blocks at these heights; a height that the node's chain does not have is left out.
    pub(super) async fn hashes(&self, numbers: &BTreeSet<u64>) -> Result<BTreeMap<u64, Digest>, SourceFault> {
        self.check_chain().await?;
        let numbers: Vec<u64> = numbers.iter().copied().collect();
        let headers = self.headers(&numbers).await?;
        Ok(headers.into_iter().flatten().map(|header| (header.number.0, header.hash)).collect())
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
        let answer = self.post(method, call(1, method, &params)).await?;
        read_answer(method, &answer)
    }

    /// One HTTP request; gives the answer's bytes.
    async fn post(&self, method: &'static str, body: Value) -> Result<Vec<u8>, Failed> {
        let failed = |error: reqwest::Error| {
            let kind = if error.is_timeout() { "timed out" } else { "cannot be reached" };
            Failed::Unanswered(SourceFault::unavailable(format!("{method}: the node {kind}")))
        };
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let response = request.body(body.to_string()).send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = header.and_then(|text| text.parse().ok()).map(std::time::Duration::from_secs);
            let detail = format!("{method}: the node answered {status}");
            let fault = SourceFault::Unavailable { detail, retry_after };
            let is_refused = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
            return Err(if is_refused { Failed::Refused(fault) } else { Failed::Unanswered(fault) });
        }
        let mut answer = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(failed)?;
            if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
                let detail = format!("{method}: longer than {ANSWER_BYTES_MAX} bytes");
                return Err(Failed::Refused(SourceFault::invalid(detail)));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

fn call(id: usize, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
}

/// An answer, or one of a batch.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow)]
    result: Option<&'a serde_json::value::RawValue>,
    error: Option<RpcError>,
}

fn read_answer<T: DeserializeOwned>(method: &'static str, answer: &[u8]) -> Result<T, SourceFault> {
    let answer = serde_json::from_slice(answer).map_err(|error| unreadable(method, &error))?;
    result(method, &answer)
}

/// The answers to the calls 0 to `count` of a batch, which may come in any order.
fn read_answers<T: DeserializeOwned>(
    method: &'static str,
    answer: &[u8],
    count: usize,
) -> Result<Vec<T>, SourceFault> {
    let answers: Vec<Answer<'_>> =
        serde_json::from_slice(answer).map_err(|error| unreadable(method, &error))?;
    let by_id: BTreeMap<_, _> =
        answers.iter().filter_map(|answer| answer.id.as_u64().map(|id| (id, answer))).collect();
    let missing = |id: u64| SourceFault::invalid(format!("{method}: call {id} of a batch has no answer"));
    (0..count as u64).map(|id| result(method, by_id.get(&id).ok_or_else(|| missing(id))?)).collect()
}

fn unreadable(method: &'static str, error: &serde_json::Error) -> SourceFault {
    SourceFault::invalid(format!("{method}: {error}"))
}

fn result<T: DeserializeOwned>(method: &'static str, answer: &Answer<'_>) -> Result<T, SourceFault> {
    // What a node refuses now (limits, pruned or missing blocks) another node or a later try may give.
    if let Some(error) = &answer.error {
        return Err(SourceFault::unavailable(format!("{method}: the node answered error {}", error.code)));
    }
    // A result of null is an answer of its own; `Option` cannot tell it from a missing one, and neither
    // holds anything.
    let result = answer.result.map_or("null", serde_json::value::RawValue::get);
    serde_json::from_str(result).map_err(|error| unreadable(method, &error))
}

#[cfg(test)]
mod tests;
