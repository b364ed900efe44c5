//! The configured nodes of one chain: which is asked, and which may not be.
//!
//! In: one call. Out: its answer by the first node that gives one, and by which. The node that answered last is asked
//! first; one that fails is left for the next. Invariant: a node is asked for its chain id before its first use and after
//! every failure, and one of another chain is never used: what it says of nonces and receipts would be believed.

use std::cell::Cell;
use std::time::Duration;

use alloy::primitives::U64;
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RpcRecv, RpcSend};

use super::fault::{ChainError, Failure, Secrets};

/// What is known of the chain a node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It has to be asked first.
    Nothing,
    Right,
    Wrong {
        found: u64,
    },
}

#[derive(Debug)]
struct Node {
    client: RpcClient,
    secrets: Secrets,
    known: Cell<Known>,
}

#[derive(Debug)]
pub(super) struct Nodes {
    list: Vec<Node>,
    preferred: Cell<usize>,
    limit: Duration,
    chain_id: u64,
}

impl Nodes {
    /// `limit` bounds each call to each node.
    pub(super) fn new(urls: &[reqwest::Url], limit: Duration, chain_id: u64) -> Self {
        let node = |url: &reqwest::Url| Node {
            client: RpcClient::new_http(url.clone()),
            secrets: Secrets::of(url),
            known: Cell::new(Known::Nothing),
        };
        Self { list: urls.iter().map(node).collect(), preferred: Cell::new(0), limit, chain_id }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Asks the nodes in turn; answers also the index of the one that answered.
    pub(super) async fn call<P: RpcSend + Clone, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<(R, usize), ChainError> {
        let first = self.preferred.get();
        let mut failure = None;
        for offset in 0..self.list.len() {
            let index = first.wrapping_add(offset) % self.list.len();
            let Some(node) = self.list.get(index) else { continue };
            match self.ask_vetted(index, node, method, params.clone()).await {
                Ok(answer) => {
                    self.preferred.set(index);
                    return Ok((answer, index));
                }
                // A wrong node says least of why nothing answers.
                Err(error) if matches!(failure, None | Some(ChainError::WrongChain { .. })) => {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or(ChainError::Answer { method }))
    }

    /// Another node is asked first from now on.
    pub(super) fn avoid(&self, index: usize) {
        self.preferred.set(index.wrapping_add(1) % self.list.len().max(1));
    }

    /// Asks every node for its chain id, whatever is known of it.
    pub(super) async fn vet_all(&self) -> Vec<Result<(), ChainError>> {
        let vets = self.list.iter().enumerate().map(|(index, node)| {
            node.known.set(Known::Nothing);
            self.vet(index, node)
        });
        futures_util::future::join_all(vets).await
    }

    async fn ask_vetted<P: RpcSend, R: RpcRecv>(
        &self,
        index: usize,
        node: &Node,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        self.vet(index, node).await?;
        let answer = self.ask(index, node, method, params).await;
        if answer.as_ref().is_err_and(|error| !error.is_refusal()) {
            // What answers there next may be something else.
            node.known.set(Known::Nothing);
        }
        answer
    }

    async fn vet(&self, endpoint: usize, node: &Node) -> Result<(), ChainError> {
        if node.known.get() == Known::Nothing {
            let found: U64 = self.ask(endpoint, node, "eth_chainId", ()).await?;
            let found = found.to();
            node.known.set(if found == self.chain_id { Known::Right } else { Known::Wrong { found } });
        }
        match node.known.get() {
            Known::Wrong { found } => {
                Err(ChainError::WrongChain { endpoint, expected: self.chain_id, found })
            }
            Known::Right | Known::Nothing => Ok(()),
        }
    }

    async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        endpoint: usize,
        node: &Node,
        method: &'static str,
        params: P,
    ) -> Result<R, ChainError> {
        let call = node.client.request::<P, R>(method, params);
        let failure = match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::of(error, &node.secrets),
            Err(_) => Failure::TimedOut { limit_ms: self.limit.as_millis() },
        };
        Err(ChainError::Failed { method, endpoint, failure })
    }
}
