//! Why a call to a chain brought nothing, in words that are safe to show.
//!
//! In: what the transport reports. Out: [`ChainError`] of method, endpoint number and kind of failure. Invariant: nothing of
//! an endpoint's URL is in it (URLs carry keys of node providers), and a node's own words are cut and cleaned of them.

use alloy::transports::{RpcError, TransportError, TransportErrorKind};

use crate::target::{DETAIL_BYTES_MAX, cut};

/// A call to a chain failed; nothing is known of its effect. Retry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChainError {
    /// `endpoint` is its place in the endpoints file, from 0.
    #[error("{method} failed at endpoint {endpoint}: {failure}")]
    Failed { method: &'static str, endpoint: usize, failure: Failure },
    #[error("{method} answered something unusable")]
    Answer { method: &'static str },
    /// The endpoint is not used.
    #[error("endpoint {endpoint} serves chain {found}, configured is {expected}")]
    WrongChain { endpoint: usize, expected: u64, found: u64 },
}

/// The kind of a failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no answer within {limit_ms} ms")]
    TimedOut { limit_ms: u128 },
    #[error("no connection")]
    Connection,
    #[error("HTTP status {status}")]
    Http { status: u16 },
    /// The node answered with an error of its own.
    #[error("{message} ({code})")]
    Refused { code: i64, message: String },
    #[error("the answer is not the JSON-RPC that was asked for")]
    Garbled,
}

impl ChainError {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Failed { failure: Failure::Refused { .. } | Failure::Garbled, .. }
            | Self::Answer { .. } => "CHAIN_ANSWER_UNUSABLE",
            Self::Failed { .. } => "CHAIN_UNREACHABLE",
            Self::WrongChain { .. } => "WRONG_CHAIN",
        }
    }

    /// Whether a node has answered, if only with an error.
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed { failure: Failure::Refused { .. }, .. })
    }
}

impl Failure {
    pub(super) fn of(error: TransportError, secrets: &Secrets) -> Self {
        match error {
            RpcError::ErrorResp(payload) => {
                Self::Refused { code: payload.code, message: secrets.shown(&payload.message) }
            }
            RpcError::Transport(
                TransportErrorKind::HttpError(error)
                | TransportErrorKind::HttpErrorWithRetryAfter { error, .. },
            ) => Self::Http { status: error.status },
            RpcError::Transport(_) | RpcError::LocalUsageError(_) => Self::Connection,
            _ => Self::Garbled,
        }
    }
}

/// What of an endpoint's URL must not be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// The URL itself, its user and password, and every part of its path and query: where providers put keys.
    pub(super) fn of(url: &reqwest::Url) -> Self {
        /// Shorter ones (`v2`) are words, not keys.
        const KEY_BYTES_MIN: usize = 6;
        let path = url.path_segments().into_iter().flatten().map(str::to_owned);
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        let account = [url.username(), url.password().unwrap_or_default()].map(str::to_owned);
        let parts = path.chain(query).chain(account).filter(|part| part.len() >= KEY_BYTES_MIN);
        Self(std::iter::once(url.to_string()).chain(parts).collect())
    }

    fn shown(&self, message: &str) -> String {
        let cleaned = self.0.iter().fold(message.to_owned(), |text, secret| text.replace(secret, "***"));
        cut(cleaned, DETAIL_BYTES_MAX)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ChainError, Failure, Secrets};
    use crate::target::evm::Rpc;

    #[test]
    fn a_nodes_words_are_cut_and_show_no_key() {
        let url = "https://user:pass-word@node.example/v2/abcdef0123456789?token=qwertyuiop";
        let secrets = Secrets::of(&url.parse().expect("a URL"));
        for (said, shown) in [
            ("insufficient funds for gas", "insufficient funds for gas"),
            ("project abcdef0123456789 is over its limit", "project *** is over its limit"),
            ("no token qwertyuiop", "no token ***"),
            (url, "***"),
            ("pass-word of v2", "*** of v2"),
        ] {
            assert_eq!(secrets.shown(said), shown);
        }
        assert_eq!(secrets.shown(&"é".repeat(1_000)).len(), 256);
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }

    /// A server that answers every request so.
    async fn answering(status: &'static str, body: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        actix::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4_096];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        format!("http://{address}/v3/0123456789abcdef")
    }

    #[actix_rt::test]
    async fn no_failure_shows_the_key_in_an_endpoints_url() {
        const REFUSAL: &str =
            r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32001,"message":"no key 0123456789abcdef"}}"#;
        let unused = "http://127.0.0.1:1/v3/0123456789abcdef".to_owned();
        let status = answering("403 Forbidden", "/0123456789abcdef").await;
        let text = answering("200 OK", "/0123456789abcdef").await;
        let refused = answering("200 OK", REFUSAL).await;
        for (url, expected) in [
            (unused, Failure::Connection),
            (status, Failure::Http { status: 403 }),
            (text, Failure::Garbled),
            (refused, Failure::Refused { code: -32_001, message: "no key ***".to_owned() }),
        ] {
            let rpc = Rpc::new(&[url.parse().expect("a URL")], Duration::from_secs(5), 1);
            let error = rpc.has_code(alloy::primitives::Address::ZERO).await.expect_err("nothing answers");
            let (shown, debugged) = (error.to_string(), format!("{error:?}"));
            assert!(!shown.contains("0123456789abcdef") && !debugged.contains("0123456789abcdef"), "{shown}");
            assert_eq!(error, ChainError::Failed { method: "eth_chainId", endpoint: 0, failure: expected });
        }
    }
}
