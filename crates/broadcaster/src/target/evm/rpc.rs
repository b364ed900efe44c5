//! One chain over JSON-RPC: typed reads and the send, each with a time limit, over the configured endpoints.
//!
//! Which node is asked is decided in [`super::nodes`]. Answers are facts of one moment and of one node: what follows from
//! them is decided in [`crate::nonce`].

use std::time::Duration;

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{Address, B256, Bytes, U64, U128, U256};
use alloy::rpc::json_rpc::{RpcRecv, RpcSend};
use alloy::rpc::types::{Block, TransactionReceipt};
use common::targets::Tier;

use super::fault::{ChainError, Failure};
use super::nodes::Nodes;
use crate::fee::{GWEI, Market};

/// The chain at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) next: u64,
    /// Index of the endpoint that told `next`.
    pub(crate) endpoint: usize,
    pub(crate) final_block: u64,
    /// The number of the newest block.
    pub(crate) head: u64,
    pub(crate) market: Market,
}

/// What a node said to a transaction. Neither answer is proof: the chain's own state decides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) enum SendAnswer {
    Accepted,
    /// See [`super::refusal`].
    Refused {
        code: i64,
        message: String,
    },
}

#[derive(Debug)]
pub(crate) struct Rpc {
    nodes: Nodes,
}

const fn tag(tier: Tier) -> BlockNumberOrTag {
    match tier {
        Tier::Latest => BlockNumberOrTag::Latest,
        Tier::Safe => BlockNumberOrTag::Safe,
        Tier::Finalized => BlockNumberOrTag::Finalized,
    }
}

impl Rpc {
    /// `limit` bounds each call to each endpoint; `chain_id` is what they have to serve.
    pub(crate) fn new(urls: &[reqwest::Url], limit: Duration, chain_id: u64) -> Self {
        Self { nodes: Nodes::new(urls, limit, chain_id) }
    }

    async fn call<P: RpcSend + Clone, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        self.nodes.call(method, params).await.map(|(answer, _)| answer)
    }

    pub(crate) fn endpoints(&self) -> usize {
        self.nodes.len()
    }

    /// Asks another endpoint first from now on.
    pub(crate) fn avoid(&self, endpoint: usize) {
        self.nodes.avoid(endpoint);
    }

    /// Whether each endpoint serves the configured chain.
    pub(crate) async fn vet_all(&self) -> Vec<Result<(), ChainError>> {
        self.nodes.vet_all().await
    }

    pub(crate) async fn has_code(&self, address: Address) -> Result<bool, ChainError> {
        let code: Bytes = self.call("eth_getCode", (address, BlockNumberOrTag::Latest)).await?;
        Ok(!code.is_empty())
    }

    pub(crate) async fn balance(&self, address: Address) -> Result<U256, ChainError> {
        self.call("eth_getBalance", (address, BlockNumberOrTag::Latest)).await
    }

    /// The chain as one lane's round needs it. The tier is read first: a receipt read later whose block is
    /// not above it is final.
    pub(crate) async fn view(&self, sender: Address, tier: Tier) -> Result<View, ChainError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let (final_block, head, (next, endpoint), tip) = futures_util::try_join!(
            self.call::<_, Option<Block>>(METHOD, (tag(tier), false)),
            self.call::<_, Option<Block>>(METHOD, (BlockNumberOrTag::Latest, false)),
            self.next_at(sender, BlockNumberOrTag::Latest),
            self.tip(),
        )?;
        let head = head.ok_or(ChainError::Answer { method: METHOD })?;
        self.nodes.seen(head.header.number);
        let market = Market { base_fee: head.header.base_fee_per_gas.unwrap_or(0).into(), tip };
        // A young chain may have no block of the tier yet: then nothing is final, and block 0 holds nothing of ours.
        let final_block = final_block.map_or(0, |block| block.header.number);
        Ok(View { next, endpoint, final_block, head: head.header.number, market })
    }

    /// The market at the newest block.
    pub(crate) async fn market(&self) -> Result<Market, ChainError> {
        const METHOD: &str = "eth_getBlockByNumber";
        let head = self.call::<_, Option<Block>>(METHOD, (BlockNumberOrTag::Latest, false));
        let (head, tip) = futures_util::try_join!(head, self.tip())?;
        let head = head.ok_or(ChainError::Answer { method: METHOD })?;
        Ok(Market { base_fee: head.header.base_fee_per_gas.unwrap_or(0).into(), tip })
    }

    /// The tip the node suggests. Not every node does; then one gwei, within the operator's cap.
    async fn tip(&self) -> Result<u128, ChainError> {
        match self.call::<_, U128>("eth_maxPriorityFeePerGas", ()).await {
            Ok(tip) => Ok(tip.to()),
            Err(error) if error.is_refusal() => Ok(GWEI),
            Err(error) => Err(error),
        }
    }

    async fn next_at(&self, sender: Address, block: BlockNumberOrTag) -> Result<(u64, usize), ChainError> {
        let answered = self.nodes.call::<_, U64>("eth_getTransactionCount", (sender, block)).await;
        answered.map(|(count, endpoint)| (count.to(), endpoint))
    }

    /// The sender's next nonce at the tier.
    pub(crate) async fn next_final(&self, sender: Address, tier: Tier) -> Result<u64, ChainError> {
        self.next_at(sender, tag(tier)).await.map(|(next, _)| next)
    }

    /// The receipt of a transaction; `None` = not in a block that this node knows.
    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        self.call("eth_getTransactionReceipt", (hash,)).await
    }

    /// The hash of the block of that number; `None` = the node has none.
    pub(crate) async fn block_hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        let tag = BlockNumberOrTag::Number(number);
        let block: Option<Block> = self.call("eth_getBlockByNumber", (tag, false)).await?;
        Ok(block.map(|block| block.header.hash))
    }

    /// Whether a node holds the transaction, in a block or waiting for one.
    pub(crate) async fn knows(&self, hash: B256) -> Result<bool, ChainError> {
        let known: Option<serde_json::Value> = self.call("eth_getTransactionByHash", (hash,)).await?;
        Ok(known.is_some())
    }

    /// What a node thinks the call would use now; `None` if it cannot tell, as when the call would revert.
    pub(crate) async fn estimate(&self, from: Address, to: Address, input: &Bytes) -> Option<u64> {
        let call = serde_json::json!({"from": from, "to": to, "data": input});
        self.call::<_, U64>("eth_estimateGas", (call,)).await.ok().map(|gas| gas.to())
    }

    /// Hands exactly these bytes to a node.
    pub(crate) async fn send(&self, raw: &[u8]) -> Result<SendAnswer, ChainError> {
        let sent = self.call::<_, B256>("eth_sendRawTransaction", (Bytes::copy_from_slice(raw),)).await;
        match sent {
            Ok(_) => Ok(SendAnswer::Accepted),
            Err(ChainError::Failed { failure: Failure::Refused { code, message }, .. }) => {
                Ok(SendAnswer::Refused { code, message })
            }
            Err(error) => Err(error),
        }
    }
}
