//! The outermost middleware of every API: what all answers have, whichever service gives them.
//!
//! In: a request, with the client's own `X-Request-Id` and `traceparent` where they are well formed. Out: its
//! answer with `X-Request-Id`, in problems also `trace_id` and `instance`; a panic of a handler as a 500
//! problem, and the service goes on. Counts and times each answer by its route's pattern.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use futures_util::FutureExt as _;
use metrics::{counter, histogram};
use uuid::Uuid;

use crate::headers;
use crate::problem::Problem;
use crate::trace::{self, Span};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware, for `actix_web::middleware::from_fn`. It completes problems that reach it as errors: a
/// handler that makes its answer itself uses `HttpResponse::from_error`.
///
/// # Errors
/// The panic of a handler, as an error that answers with its problem; errors from within pass through.
pub async fn wrap<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let begun = Instant::now();
    let mut span = begin_span(&mut request);
    let (id, path) = (Ids::of(&request), request.path().to_owned());
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => {
            // The pattern is a bounded label; the path is not, anybody can choose it.
            let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
            let response = finish(response.map_into_boxed_body(), &id);
            tell(&mut span, &route, &response, &id, begun);
            count(route, &response, begun);
            Ok(response)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            counter!("oss_http_panics_total").increment(1);
            tracing::error!(request_id = id.request_id, trace_id = id.trace_id, "A request handler panicked");
            // Nothing of the panic leaves the process.
            let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed");
            let mut response = HttpResponse::from_error(id.complete(problem, &path));
            id.stamp(response.headers_mut());
            Err(InternalError::from_response("panic", response).into())
        }
    }
}

/// The span of answering, if spans are taken. What comes of the request goes on under it: its context takes the place of the
/// client's.
fn begin_span(request: &mut ServiceRequest) -> Option<Span> {
    let parent = headers::traceparent(request.headers());
    let span = trace::begin(trace::Kind::Server, "http", parent, Duration::ZERO)?;
    let context = HeaderValue::from_str(&span.traceparent()).ok()?;
    request.headers_mut().insert(headers::TRACEPARENT, context);
    Some(span)
}

/// Says how the request ended, in its span and, if the service is at fault, in the log.
fn tell(span: &mut Option<Span>, route: &str, response: &ServiceResponse<BoxBody>, id: &Ids, begun: Instant) {
    let (method, status) = (response.request().method(), response.status());
    if let Some(span) = span {
        span.name(format!("{method} {route}"));
        span.fact("http.route", route.to_owned());
        span.fact("http.response.status_code", status.as_u16().to_string());
        span.fact("request_id", id.request_id.clone());
        if status.is_server_error() {
            span.failed(status.to_string());
        }
    }
    let (request_id, trace_id, status) = (&id.request_id, &id.trace_id, status.as_u16());
    let took_ms = begun.elapsed().as_millis();
    if status >= 500 {
        tracing::warn!(request_id, trace_id, %method, route, status, took_ms, "A request could not be served");
    } else {
        tracing::debug!(request_id, trace_id, %method, route, status, took_ms, "Answered a request");
    }
}

/// The names under which this request can be found again.
struct Ids {
    request_id: String,
    trace_id: String,
}

impl Ids {
    /// The client's own names where they are well formed.
    fn of(request: &ServiceRequest) -> Self {
        let given = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let is_well_formed = |text: &&str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let fresh = Uuid::now_v7();
        let request_id = given.filter(is_well_formed).map_or_else(|| fresh.to_string(), str::to_owned);
        let trace = headers::traceparent(request.headers()).and_then(crate::telemetry::trace_id);
        let trace_id = trace.map_or_else(|| fresh.simple().to_string(), str::to_owned);
        Self { request_id, trace_id }
    }

    fn complete(&self, mut problem: Problem, path: &str) -> Problem {
        problem.trace_id = Some(self.trace_id.clone());
        problem.instance = Some(path.to_owned());
        problem
    }

    fn stamp(&self, headers: &mut actix_web::http::header::HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.request_id) {
            headers.insert(X_REQUEST_ID, value);
        }
    }
}

fn count(route: String, response: &ServiceResponse<BoxBody>, begun: Instant) {
    let class = match response.status().as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    counter!("oss_http_requests_total", "route" => route.clone(), "status" => class).increment(1);
    histogram!("oss_http_request_seconds", "route" => route).record(begun.elapsed().as_secs_f64());
}

/// Completes a problem with what only the envelope knows.
fn finish(response: ServiceResponse<BoxBody>, id: &Ids) -> ServiceResponse<BoxBody> {
    let (request, mut response) = response.into_parts();
    let problem = response.error().and_then(|error| error.as_error::<Problem>()).cloned();
    if let Some(problem) = problem {
        let mut complete = HttpResponse::from_error(id.complete(problem, request.path()));
        // Headers a handler added to its problem, such as Allow.
        for (name, value) in response.headers() {
            if !complete.headers().contains_key(name) {
                complete.headers_mut().insert(name.clone(), value.clone());
            }
        }
        response = complete;
    }
    id.stamp(response.headers_mut());
    ServiceResponse::new(request, response)
}

#[cfg(test)]
mod tests;
