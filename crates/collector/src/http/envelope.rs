//! What every answer has: `X-Request-Id`, and in problems `trace_id` and `instance`; and what a panic becomes.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use common::problem::Problem;
use futures_util::FutureExt as _;
use uuid::Uuid;

use super::headers;
use crate::metrics;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost middleware.
pub(super) async fn wrap<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let begun = Instant::now();
    let id = Ids::of(&request);
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => {
            let route = route_name(&response);
            let response = finish(response.map_into_boxed_body(), &id);
            metrics::answered(route, response.status().as_u16(), begun.elapsed());
            Ok(response)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            metrics::panicked(&id.request_id);
            let mut response = HttpResponse::from_error(id.complete(super::internal(), None));
            id.stamp(response.headers_mut());
            Err(InternalError::from_response("panic", response).into())
        }
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
        let trace = headers::traceparent(request.headers()).and_then(common::telemetry::trace_id);
        let trace_id = trace.map_or_else(|| fresh.simple().to_string(), str::to_owned);
        Self { request_id, trace_id }
    }

    fn complete(&self, mut problem: Problem, instance: Option<&str>) -> Problem {
        problem.trace_id = Some(self.trace_id.clone());
        problem.instance = instance.map(str::to_owned);
        problem
    }

    fn stamp(&self, headers: &mut actix_web::http::header::HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.request_id) {
            headers.insert(X_REQUEST_ID, value);
        }
    }
}

/// The route's pattern, a bounded label; not the path, which anybody can choose.
fn route_name<B>(response: &ServiceResponse<B>) -> &'static str {
    match response.request().match_pattern().as_deref() {
        Some("/v1/sync-requests") => "/v1/sync-requests",
        Some("/v1/sync-requests/{rid}") => "/v1/sync-requests/{rid}",
        Some(_) => "docs",
        None => "none",
    }
}

/// Completes a problem with what only the envelope knows.
fn finish(response: ServiceResponse<BoxBody>, id: &Ids) -> ServiceResponse<BoxBody> {
    let (request, mut response) = response.into_parts();
    let problem = response.error().and_then(|error| error.as_error::<Problem>()).cloned();
    if let Some(problem) = problem {
        let mut complete = HttpResponse::from_error(id.complete(problem, Some(request.path())));
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
