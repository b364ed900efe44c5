//! Source `evm_logs`: events of one contract on one EVM chain, by plain JSON-RPC.
//!
//! Settings, beside `name`, `kind` and `in_flight_max`:
//! - `rpc`: 1 to 8 node URLs, asked in this order until one gives a usable answer; each must be on `chain`;
//! - `chain`: CAIP-2 id, `eip155:<number>`; `address`: the contract; `asset`: what its events speak of;
//! - `topics`: event signatures (`Transfer(address,address,uint256)`) or their 0x hashes, 1 to 8;
//! - `event`: `transfer` (default), `mint` or `burn`: what such an event means; with `mint_from_zero` (false)
//!   a transfer from the zero address is a mint and one to it a burn;
//! - `words`: where the arguments stand, `{"from": "topics/1", "to": "topics/2", "amount": "data/0"}`;
//! - `accounts`: address → account; an address without one is `eip155:<number>:<lower-case address>`;
//! - `confirmations` (12): an event counts when its block has so many, itself included;
//! - `window_blocks` (100, at most 10000), `timeout_ms` per call (5000);
//! - `reorg_blocks` (256, at most 4096): so many blocks on top of its confirmations a block is followed after something of
//!   it was handed out, by a look every `poll_ms` (1000) ([`follow`]).
//!
//! An ask with events fetches exactly these logs by receipt: one observation of kind `event` each, `value` a
//! [`common::observation::LedgerEvent`], `identity` `<CAIP-2>/<tx hash>/<position within the transaction>`, `as_of_ms` the
//! block's time. An ask without: one observation of kind `logs`, evidence only:
//! `{from_block, to_block, truncated, logs[]}` of the last `window_blocks` confirmed blocks, newest kept. Either names its
//! block in its evidence (`block`, `block_hash`; of a window the newest), and stands only as long as that block does.
//!
//! Invariant: a log is taken only from a block that is at its height in the node's canonical chain.

mod follow;
mod mapping;
mod rpc;
mod trail;

use std::time::Duration;

use common::ids::{AssetId, Name};
use common::observation::{Observation, ObservationKind};
use common::request::{EventRef, limits};
use futures_util::future::{LocalBoxFuture, try_join_all};
use serde::Deserialize;
use serde_json::json;

use super::{Ask, Source, SourceFault};
pub(crate) use follow::{Chain, Verdict};
use mapping::Mapping;
use rpc::{Block, Log, Node, Receipt};

const CONFIRMATIONS_MAX: u64 = 10_000;
const WINDOW_BLOCKS_MAX: u64 = 10_000;
const REORG_BLOCKS_MAX: u64 = 4_096;
const POLL_MS_MIN: u64 = 50;
const POLL_MS_MAX: u64 = 60_000;
const URLS_MAX: usize = 8;
/// Room for the fields around the logs of a window.
const WINDOW_HEAD_BYTES: usize = 256;

/// The fields of its entry in the sources file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    rpc: Vec<String>,
    #[serde(default = "confirmations_default")]
    confirmations: u64,
    #[serde(default = "window_blocks_default")]
    window_blocks: u64,
    #[serde(default = "reorg_blocks_default")]
    reorg_blocks: u64,
    #[serde(default = "poll_ms_default")]
    poll_ms: u64,
    #[serde(default = "super::catalog::timeout_ms_default")]
    timeout_ms: u64,
    chain: String,
    address: common::bridge::Address,
    asset: AssetId,
    topics: Vec<String>,
    #[serde(default)]
    event: mapping::Meaning,
    #[serde(default)]
    mint_from_zero: bool,
    #[serde(default)]
    words: mapping::Words,
    #[serde(default)]
    accounts: std::collections::BTreeMap<common::bridge::Address, common::ids::Account>,
}

fn confirmations_default() -> u64 {
    12
}

fn window_blocks_default() -> u64 {
    100
}

fn reorg_blocks_default() -> u64 {
    256
}

fn poll_ms_default() -> u64 {
    1_000
}

impl Settings {
    /// The contract and the asset it is mapped to: no two sources may disagree about it.
    pub(super) fn claim(&self) -> (String, AssetId) {
        (format!("{}/{}", self.chain, self.address), self.asset.clone())
    }

    /// The chain to be followed for what is handed out of it.
    ///
    /// # Errors
    /// A fault of the settings, as a sentence part.
    pub(super) fn chain(&self, name: &Name) -> Result<Chain, String> {
        let nodes = self.nodes(Mapping::new(self)?.chain_id())?;
        let poll = Duration::from_millis(self.poll_ms);
        Ok(Chain::new(name.clone(), nodes, self.confirmations, self.reorg_blocks, poll))
    }

    fn nodes(&self, chain_id: u64) -> Result<Vec<Node>, String> {
        let timeout = super::catalog::timeout(self.timeout_ms)?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            .timeout(timeout)
            .build()
            .map_err(|error| error.to_string())?;
        self.rpc.iter().map(|url| Node::new(url, chain_id, client.clone())).collect()
    }
}

#[derive(Debug)]
pub(super) struct EvmLogs {
    name: Name,
    nodes: Vec<Node>,
    mapping: Mapping,
    confirmations: u64,
    window_blocks: u64,
}

impl EvmLogs {
    /// # Errors
    /// A fault of the settings, as a sentence part.
    pub(super) fn new(name: Name, settings: &Settings) -> Result<Self, String> {
        if settings.rpc.is_empty() || settings.rpc.len() > URLS_MAX {
            return Err(format!("rpc: expected 1 to {URLS_MAX} URLs"));
        }
        for (field, value, min, max) in [
            ("confirmations", settings.confirmations, 1, CONFIRMATIONS_MAX),
            ("window_blocks", settings.window_blocks, 1, WINDOW_BLOCKS_MAX),
            ("reorg_blocks", settings.reorg_blocks, 1, REORG_BLOCKS_MAX),
            ("poll_ms", settings.poll_ms, POLL_MS_MIN, POLL_MS_MAX),
        ] {
            if !(min..=max).contains(&value) {
                return Err(format!("{field}: expected {min} to {max}"));
            }
        }
        let mapping = Mapping::new(settings)?;
        let nodes = settings.nodes(mapping.chain_id())?;
        let (confirmations, window_blocks) = (settings.confirmations, settings.window_blocks);
        Ok(Self { name, nodes, mapping, confirmations, window_blocks })
    }

    async fn observe_on(&self, node: &Node, ask: &Ask) -> Result<Vec<Observation>, SourceFault> {
        node.check_chain().await?;
        let head = node.head().await?;
        if ask.events.is_empty() {
            return Ok(vec![self.window(node, head).await?]);
        }
        try_join_all(ask.events.iter().map(|event| self.event(node, head, event))).await
    }

    async fn event(&self, node: &Node, head: u64, event: &EventRef) -> Result<Observation, SourceFault> {
        let missing = |detail| SourceFault::EventNotFound { event: event.clone(), detail };
        let receipt: Receipt =
            node.receipt(event.tx).await?.ok_or_else(|| missing("the transaction is not in a block"))?;
        let depth = (head + 1).saturating_sub(receipt.block_number.0);
        if depth < self.confirmations {
            let needed = self.confirmations;
            return Err(SourceFault::EventNotConfirmed { event: event.clone(), depth, needed });
        }
        let block: Block =
            node.block(receipt.block_number.0).await?.ok_or_else(|| missing("its block is gone"))?;
        if block.hash != receipt.block_hash {
            return Err(missing("its block is not in the canonical chain"));
        }
        let mismatch = |detail: String| SourceFault::EventMismatch { event: event.clone(), detail };
        let position = usize::try_from(event.position).unwrap_or(usize::MAX);
        let log = receipt
            .logs
            .get(position)
            .ok_or_else(|| mismatch(format!("the transaction has {} logs", receipt.logs.len())))?;
        let ledger_event = self.mapping.event(log).map_err(mismatch)?;
        super::bounded(Observation {
            source: self.name.clone(),
            kind: ObservationKind::Event,
            value: super::raw(&ledger_event),
            as_of_ms: block.timestamp.0.saturating_mul(1000),
            identity: Some(format!("{}/{event}", self.mapping.chain())),
            evidence: Some(super::raw(&json!({
                "block": block.number.0,
                "block_hash": block.hash,
                "address": log.address,
                "topics": log.topics,
                "data": log.data,
            }))),
        })
    }

    /// The matching logs of the last confirmed blocks; the newest that fit.
    async fn window(&self, node: &Node, head: u64) -> Result<Observation, SourceFault> {
        let to = (head + 1).checked_sub(self.confirmations).ok_or_else(|| {
            SourceFault::unavailable(format!("the chain has fewer than {} blocks", self.confirmations))
        })?;
        let from = (to + 1).saturating_sub(self.window_blocks);
        let block: Block =
            node.block(to).await?.ok_or_else(|| SourceFault::unavailable("the newest block is gone"))?;
        let logs: Vec<Log> = node.logs(from, to, self.mapping.address(), self.mapping.topics()).await?;
        let mut bytes = WINDOW_HEAD_BYTES;
        let mut kept: Vec<_> = logs
            .iter()
            .rev()
            .map(super::raw)
            .take_while(|log| {
                bytes += log.get().len() + 1;
                bytes <= limits::OBSERVATION_BYTES_MAX
            })
            .collect();
        kept.reverse();
        super::bounded(Observation {
            source: self.name.clone(),
            kind: ObservationKind::Logs,
            value: super::raw(&json!({
                "from_block": from,
                "to_block": to,
                "truncated": kept.len() < logs.len(),
                "logs": kept,
            })),
            as_of_ms: block.timestamp.0.saturating_mul(1000),
            identity: None,
            evidence: Some(super::raw(&json!({ "block": block.number.0, "block_hash": block.hash }))),
        })
    }
}

impl Source for EvmLogs {
    fn observe<'a>(&'a self, ask: &'a Ask) -> LocalBoxFuture<'a, Result<Vec<Observation>, SourceFault>> {
        Box::pin(async move {
            let mut fault: Option<SourceFault> = None;
            for node in &self.nodes {
                match self.observe_on(node, ask).await {
                    Ok(observations) => return Ok(observations),
                    // What is in the chain is the same on every node.
                    Err(fact @ (SourceFault::EventMismatch { .. } | SourceFault::TooLarge { .. })) => {
                        return Err(fact);
                    }
                    // Another node may know more, or answer in a form that can be read.
                    Err(later) => fault = Some(SourceFault::prefer(fault, later)),
                }
            }
            Err(fault.unwrap_or_else(|| SourceFault::unavailable("no node is configured")))
        })
    }
}

#[cfg(test)]
mod tests;
