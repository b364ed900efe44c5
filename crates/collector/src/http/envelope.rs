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

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::test::{self, TestRequest};
    use actix_web::{App, HttpResponse, web};
    use common::problem::Problem;

    #[actix_web::test]
    async fn a_handler_that_panics_is_a_500_problem_and_the_service_goes_on() {
        let app = App::new()
            .wrap(from_fn(super::wrap))
            .route("/panics", web::get().to(async || -> HttpResponse { panic!("told to") }))
            .route("/works", web::get().to(async || HttpResponse::Ok().finish()));
        let app = test::init_service(app).await;
        let request = TestRequest::get().uri("/panics").append_header(("x-request-id", "r-1")).to_request();
        let error = test::try_call_service(&app, request).await.expect_err("the error of the panic");
        let response = error.error_response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers().get("x-request-id").unwrap(), "r-1");
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        let body = actix_web::body::to_bytes(response.into_body()).await.expect("a body");
        let problem: Problem = serde_json::from_slice(&body).expect("a problem");
        assert_eq!((problem.code.as_str(), problem.detail), ("internal", None));
        let works = test::call_service(&app, TestRequest::get().uri("/works").to_request()).await;
        assert_eq!(works.status(), 200);
    }
}
