//! Reading the request headers that several services know.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName};

use crate::ids::IdempotencyKey;
use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The `Idempotency-Key`: a bare token or a structured-field string (RFC 8941 §3.3.3).
///
/// # Errors
/// 400 with a pointer to the header.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let fault = |detail: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_header", "A header is not valid").error(
            "#header/Idempotency-Key",
            "invalid",
            detail,
        )
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(fault("given twice"));
    }
    let text = value.to_str().map_err(|_| fault(IdempotencyKey::FORM))?.trim();
    let key = match text.strip_prefix('"') {
        None if text.contains('"') => return Err(fault("a quote in a bare token")),
        None => text.to_owned(),
        Some(quoted) => unquote(quoted).ok_or_else(|| fault("not a structured-field string"))?,
    };
    key.parse().map(Some).map_err(|_| fault(IdempotencyKey::FORM))
}

/// The content of a structured-field string after its opening quote.
fn unquote(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(text),
            '\\' => match chars.next()? {
                escaped @ ('"' | '\\') => text.push(escaped),
                _ => return None,
            },
            char => text.push(char),
        }
    }
}

/// How long a client wants to wait by `Prefer: wait=N` (RFC 7240), at most `seconds_max`; `None` = not at all. A
/// preference that cannot be read is passed over, as the RFC asks.
#[must_use]
pub fn wait(headers: &HeaderMap, seconds_max: u64) -> Option<Duration> {
    let texts = headers.get_all(PREFER).filter_map(|value| value.to_str().ok());
    let seconds = texts.flat_map(|text| text.split(',')).find_map(wait_seconds);
    seconds.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.min(seconds_max)))
}

/// `wait=10` or `wait="10"`, parameters passed over.
fn wait_seconds(preference: &str) -> Option<u64> {
    let (name, value) = preference.split(';').next()?.split_once('=')?;
    name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse().ok()).flatten()
}

/// The incoming W3C trace context, if it is well formed.
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    crate::telemetry::trace_id(text).map(|_| text)
}

#[cfg(test)]
mod tests;
