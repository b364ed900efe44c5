//! Reading the request headers and query this API knows.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use common::problem::Problem;

/// Longest wait a client gets.
const WAIT_SECONDS_MAX: u64 = 30;

/// What a waiting client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// `committed` or any end.
    Committed,
    /// An end.
    Completed,
}

/// `Prefer: wait=N` (RFC 7240) and `?until=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// `None`: answer at once.
    pub(super) wait: Option<Duration>,
    pub(super) until: Until,
}

impl Patience {
    /// A preference that cannot be read is passed over, as RFC 7240 asks; a query that cannot is not.
    ///
    /// # Errors
    /// 400 with a pointer to the query parameter.
    pub(super) fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let fault = |name: &str, detail: &str| {
            let pointer = format!("#query/{name}");
            Problem::new(StatusCode::BAD_REQUEST, "invalid_query", "A query parameter is not valid")
                .error(pointer, "invalid", detail)
        };
        let mut until = Until::Committed;
        for pair in request.query_string().split('&').filter(|pair| !pair.is_empty()) {
            until = match pair.split_once('=') {
                Some(("until", "completed")) => Until::Completed,
                Some(("until", "committed")) => Until::Committed,
                Some(("until", _)) => return Err(fault("until", "expected committed or completed")),
                _ => {
                    let name: String = pair.chars().take_while(|c| *c != '=').take(64).collect();
                    return Err(fault(&name, "is not a parameter of this route"));
                }
            };
        }
        Ok(Self { wait: common::headers::wait(request.headers(), WAIT_SECONDS_MAX), until })
    }
}

/// Refuses a body that is not plain JSON or has no declared length.
///
/// # Errors
/// 411, 413 or 415.
pub(super) fn check_body_head(headers: &HeaderMap, bytes_max: usize) -> Result<(), Problem> {
    check_media_type(headers, "application/json")?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.map(str::parse::<usize>) {
        Some(Ok(length)) if length <= bytes_max => Ok(()),
        Some(_) => Err(too_large(bytes_max)),
        None if headers.contains_key(header::TRANSFER_ENCODING) => Ok(()),
        None => Err(Problem::new(StatusCode::LENGTH_REQUIRED, "length_required", "The body needs a length")
            .error("#header/Content-Length", "missing", "is required")),
    }
}

/// Refuses a body of another media type, or one that is encoded.
///
/// # Errors
/// 415.
pub(super) fn check_media_type(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if !essence.eq_ignore_ascii_case(expected) {
        return Err(unsupported("#header/Content-Type", &format!("expected {expected}")));
    }
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("#header/Content-Encoding", "expected no encoding"));
    }
    Ok(())
}

fn unsupported(pointer: &str, detail: &str) -> Problem {
    let title = "The body's media type is not supported";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", title)
        .error(pointer, "invalid", detail)
}

pub(super) fn too_large(bytes_max: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body is too large").error(
        "",
        "too_many",
        format!("at most {bytes_max} bytes"),
    )
}

#[cfg(test)]
mod tests;
