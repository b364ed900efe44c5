//! One chain over JSON-RPC: typed reads and the send, each with a time limit, over the configured endpoints.
//!
//! An endpoint that fails is left for the next one; the one that answered last is asked first. Answers are facts
//! of one moment and of one node: what follows from them is decided in [`crate::nonce`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::{Address, B256, Bytes, U64, U128, U256};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RpcRecv, RpcSend};
use alloy::rpc::types::{Block, TransactionReceipt};
use alloy::transports::TransportError;
use common::targets::Tier;

use crate::fee::{GWEI, Market};

/// A call to a chain failed; nothing is known of its effect. Retry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainError {
    #[error("{method} got no answer within {limit_ms} ms")]
    TimedOut { method: &'static str, limit_ms: u128 },
    #[error("{method} failed")]
    Transport {
        method: &'static str,
        #[source]
        source: TransportError,
    },
    #[error("{method} answered something unusable")]
    Answer { method: &'static str },
}

impl ChainError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::TimedOut { .. } | Self::Transport { .. } => "CHAIN_UNREACHABLE",
            Self::Answer { .. } => "CHAIN_ANSWER_UNUSABLE",
        }
    }
}

/// The chain at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) next: u64,
    /// Index of the endpoint that told `next`.
    pub(crate) endpoint: usize,
    pub(crate) final_block: u64,
    pub(crate) market: Market,
}

/// What a node said to a transaction. Neither answer is proof: the chain's own state decides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) enum SendAnswer {
    Accepted,
    /// "already known", "nonce too low", "insufficient funds" and all else that nodes word as they like.
    Refused {
        code: i64,
        message: String,
    },
}

#[derive(Debug)]
pub(crate) struct Rpc {
    endpoints: Vec<RpcClient>,
    preferred: AtomicUsize,
    limit: Duration,
}

const fn tag(tier: Tier) -> BlockNumberOrTag {
    match tier {
        Tier::Latest => BlockNumberOrTag::Latest,
        Tier::Safe => BlockNumberOrTag::Safe,
        Tier::Finalized => BlockNumberOrTag::Finalized,
    }
}

impl Rpc {
    /// `limit` bounds each call to each endpoint.
    pub(crate) fn new(urls: &[reqwest::Url], limit: Duration) -> Self {
        let endpoints = urls.iter().cloned().map(RpcClient::new_http).collect();
        Self { endpoints, preferred: AtomicUsize::new(0), limit }
    }

    async fn one<P: RpcSend, R: RpcRecv>(
        &self,
        endpoint: &RpcClient,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        let call = endpoint.request::<P, R>(method, params);
        match tokio::time::timeout(self.limit, call).await {
            Ok(answer) => answer.map_err(|source| ChainError::Transport { method, source }),
            Err(_) => Err(ChainError::TimedOut { method, limit_ms: self.limit.as_millis() }),
        }
    }

    /// Asks the endpoints in turn, the one that answered last first.
    async fn call<P: RpcSend + Clone, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        self.call_somewhere(method, params).await.map(|(answer, _)| answer)
    }

    /// As [`Self::call`]; answers also the index of the endpoint that answered.
    async fn call_somewhere<P: RpcSend + Clone, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<(R, usize), ChainError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = ChainError::Answer { method };
        for offset in 0..self.endpoints.len() {
            let index = first.wrapping_add(offset) % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            match self.one(endpoint, method, params.clone()).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok((answer, index));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    pub(crate) async fn chain_id(&self) -> Result<u64, ChainError> {
        self.call::<_, U64>("eth_chainId", ()).await.map(|id| id.to())
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
        let market = Market { base_fee: head.header.base_fee_per_gas.unwrap_or(0).into(), tip };
        // A young chain may have no block of the tier yet: then nothing is final, and block 0 holds nothing of ours.
        let final_block = final_block.map_or(0, |block| block.header.number);
        Ok(View { next, endpoint, final_block, market })
    }

    /// The tip the node suggests. Not every node does; then one gwei, within the operator's cap.
    async fn tip(&self) -> Result<u128, ChainError> {
        match self.call::<_, U128>("eth_maxPriorityFeePerGas", ()).await {
            Ok(tip) => Ok(tip.to()),
            Err(ChainError::Transport { source: TransportError::ErrorResp(_), .. }) => Ok(GWEI),
            Err(error) => Err(error),
        }
    }

    async fn next_at(&self, sender: Address, block: BlockNumberOrTag) -> Result<(u64, usize), ChainError> {
        let answered = self.call_somewhere::<_, U64>("eth_getTransactionCount", (sender, block)).await;
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

    /// Whether a node holds the transaction, in a block or waiting for one.
    pub(crate) async fn knows(&self, hash: B256) -> Result<bool, ChainError> {
        let known: Option<serde_json::Value> = self.call("eth_getTransactionByHash", (hash,)).await?;
        Ok(known.is_some())
    }

    /// Hands exactly these bytes to a node.
    pub(crate) async fn send(&self, raw: &[u8]) -> Result<SendAnswer, ChainError> {
        let sent = self.call::<_, B256>("eth_sendRawTransaction", (Bytes::copy_from_slice(raw),)).await;
        match sent {
            Ok(_) => Ok(SendAnswer::Accepted),
            Err(ChainError::Transport { source: TransportError::ErrorResp(payload), .. }) => {
                Ok(SendAnswer::Refused { code: payload.code, message: payload.message.into_owned() })
            }
            Err(error) => Err(error),
        }
    }
}
