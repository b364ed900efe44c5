//! Error answers: RFC 9457 problem documents with our `code`, JSON pointers and a trace id.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::request::{Fault, FaultCode};

/// An `application/problem+json` body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `/problems/<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Stable word for programs.
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Each fault with the place it speaks of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemError>,
    /// Members of this problem alone (RFC 9457, 3.2), beside those above.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extensions: serde_json::Map<String, serde_json::Value>,
    /// Seconds for the `Retry-After` header; not in the body.
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
}

/// One fault of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemError {
    /// JSON pointer (RFC 6901) into the request body; for a header `#header/<name>`, for the URL `#path/<name>`
    /// or `#query/<name>`.
    pub pointer: String,
    pub code: String,
    pub detail: String,
}

impl Problem {
    /// 503: what would take more is full.
    #[must_use]
    pub fn backpressure() -> Self {
        let title = "Too much is waiting already";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "backpressure", title).retry_after(2)
    }

    #[must_use]
    pub fn new(status: StatusCode, code: &str, title: &str) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: None,
            code: code.to_owned(),
            instance: None,
            trace_id: None,
            errors: Vec::new(),
            extensions: serde_json::Map::new(),
            retry_after_s: None,
        }
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member of this problem alone; one that cannot be written is null.
    #[must_use]
    pub fn extension(mut self, name: &str, value: &impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
        self.extensions.insert(name.to_owned(), value);
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn error(mut self, pointer: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        let error = ProblemError { pointer: pointer.into(), code: code.to_owned(), detail: detail.into() };
        self.errors.push(error);
        self
    }

    /// 422 with every fault; its code is the faults' own when they all have one of the special codes.
    #[must_use]
    pub fn of_faults(faults: Vec<Fault>) -> Self {
        let special = [FaultCode::NotSupported, FaultCode::CrossShard, FaultCode::NotConfigured]
            .into_iter()
            .find(|code| faults.iter().all(|fault| fault.code == *code));
        let code = special.map_or("invalid_request", FaultCode::name);
        let title = match special {
            Some(FaultCode::NotSupported) => "Not supported yet",
            Some(FaultCode::CrossShard) => "Names something of another shard",
            Some(FaultCode::NotConfigured) => "Names something that is not configured",
            _ => "The request is not valid",
        };
        faults.into_iter().fold(Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title), |problem, fault| {
            problem.error(fault.pointer, fault.code.name(), fault.detail)
        })
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.code)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        for error in &self.errors {
            write!(f, "; {} {}", error.pointer, error.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.body(serde_json::to_vec(self).unwrap_or_default())
    }
}
