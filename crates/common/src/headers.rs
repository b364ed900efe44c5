//! Reading the request headers that several services know.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName};

use crate::ids::IdempotencyKey;
use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
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

/// The incoming W3C trace context, if it is well formed.
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    crate::telemetry::trace_id(text).map(|_| text)
}

#[cfg(test)]
mod tests;
