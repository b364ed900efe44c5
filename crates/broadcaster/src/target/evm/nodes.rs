//! The configured nodes of one chain: which is asked, and which may not be.
//!
//! In: one call. Out: its answer by the first node that gives one, and by which. The node that answered last is asked
//! first; one that fails is left for the next. Invariant: a node is asked for its chain id before its first use and after
//! every failure, and one of another chain is never used: what it says of nonces and receipts would be believed.

use std::cell::Cell;
use std::time::{Duration, Instant};

use alloy::primitives::U64;
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RpcRecv, RpcSend};

use super::fault::{ChainError, Failure, Secrets};
use crate::metrics;

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

    /// The newest block that one of them has told of.
    pub(super) fn seen(&self, block: u64) {
        metrics::chain_head(self.chain_id, block);
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
        let began = Instant::now();
        let call = node.client.request::<P, R>(method, params);
        let failure = match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(answer)) => {
                metrics::asked(self.chain_id, method, "ok", began.elapsed());
                return Ok(answer);
            }
            Ok(Err(error)) => Failure::of(error, &node.secrets),
            Err(_) => Failure::TimedOut { limit_ms: self.limit.as_millis() },
        };
        let error = ChainError::Failed { method, endpoint, failure };
        let outcome = if error.is_refusal() { "refused" } else { "failed" };
        metrics::asked(self.chain_id, method, outcome, began.elapsed());
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy::primitives::U64;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{ChainError, Failure, Nodes};

    /// A node that gives these answers, HTTP status and result, one per request in this order.
    async fn node(answers: &'static [(u16, &'static str)]) -> reqwest::Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        actix::spawn(async move {
            for (id, (status, result)) in answers.iter().enumerate() {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                drop(stream.read(&mut [0; 4_096]).await);
                let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"{result}"}}"#);
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
            }
        });
        format!("http://{address}").parse().expect("a URL")
    }

    async fn ask(nodes: &Nodes) -> Result<(u64, usize), ChainError> {
        nodes.call::<_, U64>("eth_blockNumber", ()).await.map(|(number, index)| (number.to(), index))
    }

    #[actix_rt::test]
    async fn a_node_is_asked_for_its_chain_before_its_first_use_and_after_a_failure() {
        // The chain, a number twice; then it fails, and something else answers at its address.
        let changing =
            node(&[(200, "0x7"), (200, "0x1"), (200, "0x2"), (500, ""), (200, "0x8"), (200, "0x3")]).await;
        let nodes = Nodes::new(&[changing], Duration::from_secs(5), 7);
        assert_eq!(ask(&nodes).await, Ok((1, 0)));
        assert_eq!(ask(&nodes).await, Ok((2, 0)), "it is asked once");
        let failed = ask(&nodes).await.expect_err("status 500");
        assert!(
            matches!(failed, ChainError::Failed { failure: Failure::Http { status: 500 }, .. }),
            "{failed}"
        );
        let wrong = ChainError::WrongChain { endpoint: 0, expected: 7, found: 8 };
        assert_eq!(ask(&nodes).await, Err(wrong.clone()));
        assert_eq!(ask(&nodes).await, Err(wrong), "nothing more is asked of it");
    }

    #[actix_rt::test]
    async fn a_wrong_node_is_passed_over_and_the_one_that_answers_is_asked_first() {
        // It would answer, if anybody asked.
        let wrong = node(&[(200, "0x8"), (200, "0x9"), (200, "0x9")]).await;
        let right = node(&[(200, "0x7"), (200, "0x1"), (200, "0x2")]).await;
        let nodes = Nodes::new(&[wrong, right], Duration::from_secs(5), 7);
        assert_eq!(ask(&nodes).await, Ok((1, 1)));
        nodes.avoid(1);
        assert_eq!(ask(&nodes).await, Ok((2, 1)), "what is known to be wrong is not asked again");
    }
}
