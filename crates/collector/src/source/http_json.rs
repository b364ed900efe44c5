//! Source `http_json`: one JSON document, or a part of it, by HTTP GET.
//!
//! Settings, beside `name`, `kind` and `in_flight_max`:
//! - `urls`: 1 to 8, asked in this order until one gives a usable answer (copies of one document; no quorum);
//! - `hosts`: the only hosts the URLs may name;
//! - `pointer`: JSON pointer (RFC 6901) to the part that is kept; the whole document if left out;
//! - `as_of_pointer`: pointer, into the whole document, to the document's own time: an RFC 3339 time, a date
//!   (midnight UTC) or Unix seconds or ms. Left out: the time of fetching;
//! - `bytes_max` (65536, at most 1 MiB), `timeout_ms` per attempt (5000), `content_types`
//!   (`["application/json"]`);
//! - `allow_private` (false): admit hosts with loopback or private addresses. `http` URLs need it and reach
//!   such addresses only; everything else is `https` to public addresses.
//!
//! Never followed: redirects, proxies of the environment. The value is kept as the document's own text, so
//! a number keeps its digits. Evidence: `{url, sha256, fetched_ms}`; the URL without query and user.

mod guard;
mod select;

use std::time::Duration;

use common::hash::Digest;
use common::ids::Name;
use common::observation::{Observation, ObservationKind};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, Source, SourceFault};

const BYTES_MAX: usize = 1024 * 1024;
const URLS_MAX: usize = 8;

/// The fields of its entry in the sources file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    urls: Vec<String>,
    hosts: Vec<String>,
    #[serde(default)]
    pointer: String,
    as_of_pointer: Option<String>,
    #[serde(default = "bytes_max_default")]
    bytes_max: usize,
    #[serde(default = "super::catalog::timeout_ms_default")]
    timeout_ms: u64,
    #[serde(default = "content_types_default")]
    content_types: Vec<String>,
    #[serde(default)]
    allow_private: bool,
}

fn bytes_max_default() -> usize {
    64 * 1024
}

fn content_types_default() -> Vec<String> {
    vec!["application/json".to_owned()]
}

#[derive(Debug)]
pub(super) struct HttpJson {
    name: Name,
    urls: Vec<Url>,
    pointer: String,
    as_of_pointer: Option<String>,
    bytes_max: usize,
    content_types: Vec<String>,
    client: reqwest::Client,
}

impl HttpJson {
    /// # Errors
    /// A fault of the settings, as a sentence part.
    pub(super) fn new(name: Name, settings: &Settings) -> Result<Self, String> {
        if settings.urls.is_empty() || settings.urls.len() > URLS_MAX {
            return Err(format!("urls: expected 1 to {URLS_MAX}"));
        }
        if !(1..=BYTES_MAX).contains(&settings.bytes_max) {
            return Err(format!("bytes_max: expected 1 to {BYTES_MAX}"));
        }
        if settings.content_types.is_empty() {
            return Err("content_types: expected at least one".to_owned());
        }
        let timeout = super::catalog::timeout(settings.timeout_ms)?;
        for pointer in [Some(&settings.pointer), settings.as_of_pointer.as_ref()].into_iter().flatten() {
            select::check(pointer)?;
        }
        let urls = settings
            .urls
            .iter()
            .map(|url| guard::admit(url, &settings.hosts, settings.allow_private))
            .collect::<Result<Vec<_>, _>>()?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            .timeout(timeout)
            .dns_resolver(guard::Resolver::new(&urls, settings.allow_private))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            name,
            urls,
            pointer: settings.pointer.clone(),
            as_of_pointer: settings.as_of_pointer.clone(),
            bytes_max: settings.bytes_max,
            content_types: settings.content_types.clone(),
            client,
        })
    }

    /// The first usable answer; else a fault that another attempt may mend, if one URL has such.
    async fn fetch_any(&self) -> Result<Observation, SourceFault> {
        let mut fault: Option<SourceFault> = None;
        for url in &self.urls {
            match self.fetch(url).await {
                Ok(observation) => return Ok(observation),
                Err(later) => fault = Some(SourceFault::prefer(fault, later)),
            }
        }
        Err(fault.unwrap_or_else(|| SourceFault::unavailable("no URL is configured")))
    }

    async fn fetch(&self, url: &Url) -> Result<Observation, SourceFault> {
        let response = self
            .client
            .get(url.clone())
            .header(ACCEPT, self.content_types.join(", "))
            .send()
            .await
            .map_err(|error| failed(&error))?;
        self.check_head(&response)?;
        let body = self.body(response).await?;
        let fetched_ms = super::now_ms();
        let document: &RawValue = serde_json::from_slice(&body)
            .map_err(|error| SourceFault::invalid(format!("the answer is not JSON: {error}")))?;
        let value = select::select(document, &self.pointer).ok_or_else(|| {
            SourceFault::invalid(format!("the answer has nothing at pointer {:?}", self.pointer))
        })?;
        let as_of_ms = match &self.as_of_pointer {
            None => fetched_ms,
            Some(pointer) => {
                select::select(document, pointer).and_then(select::time_ms).ok_or_else(|| {
                    SourceFault::invalid(format!("the answer has no time at pointer {pointer:?}"))
                })?
            }
        };
        let evidence = serde_json::json!({
            "url": format!("{}{}", url.origin().ascii_serialization(), url.path()),
            "sha256": Digest::of(&[&body]),
            "fetched_ms": fetched_ms,
        });
        super::bounded(Observation {
            source: self.name.clone(),
            kind: ObservationKind::HttpJson,
            value: value.to_owned(),
            as_of_ms,
            identity: None,
            evidence: Some(super::raw(&evidence)),
        })
    }

    fn check_head(&self, response: &Response) -> Result<(), SourceFault> {
        let status = response.status();
        if status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        {
            let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = header.and_then(|value| value.parse().ok()).map(Duration::from_secs);
            return Err(SourceFault::Unavailable { detail: format!("answered {status}"), retry_after });
        }
        if status != StatusCode::OK {
            return Err(SourceFault::invalid(format!("answered {status}")));
        }
        let header = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = header.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        if !self.content_types.iter().any(|allowed| allowed.eq_ignore_ascii_case(essence)) {
            return Err(SourceFault::invalid(format!("content type {essence:?} is not allowed")));
        }
        Ok(())
    }

    /// The body, read only as far as the limit.
    async fn body(&self, response: Response) -> Result<Vec<u8>, SourceFault> {
        let too_long = || SourceFault::invalid(format!("the answer is longer than {} bytes", self.bytes_max));
        if response.content_length().is_some_and(|length| length > self.bytes_max as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| failed(&error))?;
            if body.len() + chunk.len() > self.bytes_max {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A transport fault without the URL, whose query may hold a secret.
fn failed(error: &reqwest::Error) -> SourceFault {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot be connected to"
    } else {
        "failed while answering"
    };
    SourceFault::unavailable(kind)
}

impl Source for HttpJson {
    fn observe<'a>(&'a self, ask: &'a Ask) -> LocalBoxFuture<'a, Result<Vec<Observation>, SourceFault>> {
        Box::pin(async move {
            match ask.events.first() {
                // Admission refuses this; a message from another build may still ask it.
                Some(event) => Err(SourceFault::EventMismatch {
                    event: event.clone(),
                    detail: "an http_json source has no ledger events".to_owned(),
                }),
                None => Ok(vec![self.fetch_any().await?]),
            }
        })
    }
}

#[cfg(test)]
mod tests;
