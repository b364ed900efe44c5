//! The HTTP API as a client sees it: bearer keys, problem documents, conditional and waiting requests.

use std::time::Duration;

use common::auth::Scope;
use common::ids::{IdempotencyKey, Rid};
use common::problem::Problem;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use crate::access::Access;
use crate::request_view::RequestView;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer may take the longest wait and this much more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The server's cap of `Prefer: wait`.
pub(crate) const WAIT_MAX_S: u64 = 30;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Retry: nobody answered.
    #[error("{url} cannot be reached")]
    Unreachable { url: String, source: reqwest::Error },
    /// Retry: something before the service answered in its place, a proxy or a load balancer.
    #[error("no service answers at {url}: {status}")]
    Elsewhere { url: String, status: StatusCode },
    /// Retry: the given time was over.
    #[error("{what} did not happen within {seconds} s")]
    Timeout { what: String, seconds: u64 },
    /// The service's own words; below 500 the request is at fault and a repetition gives the same.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Not one of our services, or another release.
    #[error("{url} gave an answer that cannot be read: {status}")]
    Answer { url: String, status: StatusCode, source: Option<reqwest::Error> },
}

/// A client of one stack.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    access: Access,
}

/// The answer to a submission or a conditional read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) view: RequestView,
    pub(crate) etag: Option<String>,
    /// The server had seen this key with this request before.
    pub(crate) replayed: bool,
}

/// Which service answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    Collector,
    Validator,
}

/// How long the server may hold an answer back, and until which status.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) seconds: u64,
    pub(crate) completed: bool,
}

impl Client {
    pub(crate) fn new(access: Access) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self { http, access })
    }

    /// `POST /v1/sync-requests`.
    pub(crate) async fn submit(
        &self,
        body: Vec<u8>,
        key: Option<&IdempotencyKey>,
        wait: Option<Wait>,
    ) -> Result<Answer, ClientError> {
        let mut request = self
            .request(Method::POST, Origin::Collector, &with_until("/v1/sync-requests", wait), Scope::Submit)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", format!("\"{key}\""));
        }
        let (status, headers, bytes) = exchange(waiting(request, wait)).await?;
        answer(status, &headers, &bytes)
    }

    /// `GET /v1/sync-requests/{rid}`; `None` when nothing has changed since `etag`.
    pub(crate) async fn request_status(
        &self,
        rid: Rid,
        etag: Option<&str>,
        wait: Option<Wait>,
    ) -> Result<Option<Answer>, ClientError> {
        let path = with_until(&format!("/v1/sync-requests/{rid}"), wait);
        let mut request = self.request(Method::GET, Origin::Collector, &path, Scope::Read);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let (status, headers, bytes) = exchange(waiting(request, wait)).await?;
        if status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        answer(status, &headers, &bytes).map(Some)
    }

    /// `POST /v1/rollbacks`: the answer as it came.
    pub(crate) async fn rollback(
        &self,
        rid: Rid,
        dry_run: bool,
        key: &IdempotencyKey,
        wait: Option<Wait>,
    ) -> Result<serde_json::Value, ClientError> {
        let path = with_until("/v1/rollbacks", wait);
        let mut body = serde_json::json!({ "rid": rid });
        if dry_run {
            body["dry_run"] = true.into();
        }
        let request = self
            .request(Method::POST, Origin::Validator, &path, Scope::Operate)
            .header("Idempotency-Key", format!("\"{key}\""))
            .json(&body);
        let (status, _, bytes) = exchange(waiting(request, wait)).await?;
        serde_json::from_slice(&bytes).map_err(|_| unreadable(self.base(Origin::Validator), &path, status))
    }

    /// `GET` of any JSON resource.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        origin: Origin,
        path: &str,
        scope: Scope,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::GET, origin, path, scope);
        let (status, _, bytes) = exchange(request.timeout(ANSWER_TIMEOUT)).await?;
        serde_json::from_slice(&bytes).map_err(|_| unreadable(self.base(origin), path, status))
    }

    fn base(&self, origin: Origin) -> &str {
        match origin {
            Origin::Collector => &self.access.collector,
            Origin::Validator => &self.access.validator,
        }
    }

    fn request(&self, method: Method, origin: Origin, path: &str, scope: Scope) -> RequestBuilder {
        let url = format!("{}{path}", self.base(origin));
        self.http.request(method, url).bearer_auth(self.access.token(scope)).timeout(ANSWER_TIMEOUT)
    }
}

fn with_until(path: &str, wait: Option<Wait>) -> String {
    if wait.is_some_and(|wait| wait.completed) { format!("{path}?until=completed") } else { path.to_owned() }
}

fn waiting(request: RequestBuilder, wait: Option<Wait>) -> RequestBuilder {
    let Some(wait) = wait else { return request };
    let seconds = wait.seconds.clamp(1, WAIT_MAX_S);
    request
        .header(
            "Prefer",
            HeaderValue::from(seconds).to_str().map_or_else(|_| String::new(), |s| format!("wait={s}")),
        )
        .timeout(Duration::from_secs(seconds) + ANSWER_TIMEOUT)
}

async fn exchange(request: RequestBuilder) -> Result<(StatusCode, HeaderMap, Vec<u8>), ClientError> {
    let unreachable = |source: reqwest::Error| {
        let url = source.url().map_or_else(String::new, ToString::to_string);
        ClientError::Unreachable { url, source: source.without_url() }
    };
    let response = request.send().await.map_err(unreachable)?;
    let (status, headers, url) = (response.status(), response.headers().clone(), response.url().to_string());
    let bytes = response.bytes().await.map_err(unreachable)?.to_vec();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok((status, headers, bytes));
    }
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
        Err(_) if status.is_server_error() => Err(ClientError::Elsewhere { url, status }),
        Err(_) => Err(ClientError::Answer { url, status, source: None }),
    }
}

fn answer(status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Result<Answer, ClientError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let view = serde_json::from_slice(bytes).map_err(|_| unreadable("", "/v1/sync-requests", status))?;
    Ok(Answer { view, etag: text("etag"), replayed: text("idempotency-replayed").as_deref() == Some("true") })
}

fn unreadable(base: &str, path: &str, status: StatusCode) -> ClientError {
    ClientError::Answer { url: format!("{base}{path}"), status, source: None }
}
