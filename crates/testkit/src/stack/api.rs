//! The services' HTTP API as a test uses it: raw answers, and the few resources the checks need.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::entry::Entry;
use common::hash::Digest;
use common::ids::{Rid, Shard};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::Tokens;

const TIMEOUT: Duration = Duration::from_secs(40);
const LOG_PAGE: usize = 1_000;
/// Only the validator that leads answers this.
const LEADERS_OWN: &str = "/v1/pipeline";

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Try again: nobody answered, or what answered was cut off.
    #[error("nobody answered")]
    Unreachable(#[from] reqwest::Error),
    #[error("{path}: unexpected answer {status}: {body}")]
    Unexpected { path: String, status: u16, body: String },
}

/// One HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Null if the body is not JSON.
    pub body: Value,
}

impl Answer {
    /// A header's text; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A field of the body as text; empty if there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn expect_ok(self, path: &str) -> Result<Value, ApiError> {
        if self.status == 200 {
            return Ok(self.body);
        }
        Err(ApiError::Unexpected { path: path.to_owned(), status: self.status, body: self.body.to_string() })
    }
}

/// Where a shard stands: what `GET /v1/shards/{S}` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Position {
    pub seq: u64,
    pub root: Digest,
    pub digest: Digest,
    pub aux: Digest,
    pub epoch: u64,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
    prev: Digest,
    digest: Digest,
    body: String,
}

/// A client of one stack. Submissions go round its collectors, reads to the validator that leads.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    collectors: Vec<String>,
    validators: Vec<String>,
    tokens: Tokens,
    next: Arc<AtomicUsize>,
}

pub(super) fn http() -> reqwest::Client {
    // Built from nothing that could be wrong.
    reqwest::Client::builder().timeout(TIMEOUT).build().unwrap_or_default()
}

impl Api {
    /// A client of services that stand behind one URL.
    #[must_use]
    pub fn remote(url: &str, tokens: Tokens) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self::new(http(), vec![url.clone()], vec![url], tokens)
    }

    pub(super) fn new(
        http: reqwest::Client,
        collectors: Vec<String>,
        validators: Vec<String>,
        tokens: Tokens,
    ) -> Self {
        Self { http, collectors, validators, tokens, next: Arc::default() }
    }

    /// The collectors take turns.
    fn collector(&self) -> &str {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.collectors.get(turn % self.collectors.len().max(1)).map_or("", String::as_str)
    }

    /// A request to a collector with the key that may submit and read; for unusual requests.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.collector())).bearer_auth(&self.tokens.submit)
    }

    /// Sends whatever was built.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn send(request: RequestBuilder) -> Result<Answer, ApiError> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        Ok(Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }

    /// `POST /v1/sync-requests`; `wait` is the `Prefer` header.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn submit(&self, key: &str, body: &Value, wait: Option<&str>) -> Result<Answer, ApiError> {
        let path = if wait.is_some() { "/v1/sync-requests?until=completed" } else { "/v1/sync-requests" };
        let mut request = self.request(Method::POST, path).header("Idempotency-Key", key).json(body);
        if let Some(wait) = wait {
            request = request.header("Prefer", wait);
        }
        Self::send(request).await
    }

    /// The same with the key of an authority.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn order(&self, key: &str, body: &Value) -> Result<Answer, ApiError> {
        let url = format!("{}/v1/sync-requests?until=completed", self.collector());
        let request = self.http.post(url).bearer_auth(&self.tokens.regulate).json(body);
        Self::send(request.header("Idempotency-Key", key).header("Prefer", "wait=20")).await
    }

    /// `GET /v1/sync-requests/{rid}`.
    ///
    /// # Errors
    /// Nobody answered.
    pub async fn status(&self, rid: Rid) -> Result<Answer, ApiError> {
        Self::send(self.request(Method::GET, &format!("/v1/sync-requests/{rid}"))).await
    }

    /// A read of the validator that leads, with the key that may do everything there.
    ///
    /// # Errors
    /// Nobody leads, or the answer is not 200.
    pub async fn read(&self, path: &str) -> Result<Value, ApiError> {
        let mut last = None;
        for validator in &self.validators {
            match self.ask(validator, path).await {
                Ok(answer) if answer.status == 503 => last = Some(answer.expect_ok(path)),
                Ok(answer) => return answer.expect_ok(path),
                Err(error) => last = Some(Err(error)),
            }
        }
        last.unwrap_or_else(|| {
            Err(ApiError::Unexpected { path: path.to_owned(), status: 0, body: "no validator".to_owned() })
        })
    }

    /// Asks one validator. One that only follows is passed over: it would answer as of its own head.
    async fn ask(&self, validator: &str, path: &str) -> Result<Answer, ApiError> {
        let get = |path: &str| self.http.get(format!("{validator}{path}")).bearer_auth(&self.tokens.operate);
        if self.validators.len() > 1 {
            let probe = Self::send(get(LEADERS_OWN)).await?;
            if probe.status != 200 {
                return Ok(probe);
            }
        }
        Self::send(get(path)).await
    }

    /// Whether the first validator leads.
    pub async fn leads(&self) -> bool {
        self.read(LEADERS_OWN).await.is_ok()
    }

    /// Where a shard stands.
    ///
    /// # Errors
    /// As [`Api::read`].
    pub async fn position(&self, shard: Shard) -> Result<Position, ApiError> {
        let path = format!("/v1/shards/{shard}");
        let body = self.read(&path).await?;
        serde_json::from_value(body.clone()).map_err(|_| unreadable(path, &body))
    }

    /// The whole log of a shard.
    ///
    /// # Errors
    /// As [`Api::read`].
    pub async fn log(&self, shard: Shard) -> Result<Vec<Entry>, ApiError> {
        let mut log: Vec<Entry> = Vec::new();
        loop {
            let page = self.log_page(shard, log.last().map_or(1, |entry| entry.seq + 1)).await?;
            if page.is_empty() {
                return Ok(log);
            }
            log.extend(page);
        }
    }

    /// Entries from a number on, as many as the service gives at once; empty after the head.
    ///
    /// # Errors
    /// As [`Api::read`].
    pub async fn log_page(&self, shard: Shard, from_seq: u64) -> Result<Vec<Entry>, ApiError> {
        let path = format!("/v1/shards/{shard}/log?from_seq={from_seq}&limit={LOG_PAGE}");
        let body = self.read(&path).await?;
        let page: Page = serde_json::from_value(body.clone()).map_err(|_| unreadable(path, &body))?;
        let entry = |line: Line| Entry {
            seq: line.seq,
            prev: line.prev,
            digest: line.digest,
            body: line.body.into_bytes(),
        };
        Ok(page.entries.into_iter().map(entry).collect())
    }
}

fn unreadable(path: String, body: &Value) -> ApiError {
    ApiError::Unexpected { path, status: 200, body: body.to_string() }
}
