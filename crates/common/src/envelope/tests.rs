use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;
use actix_web::middleware::{Condition, from_fn};
use actix_web::test::{self, TestRequest};
use actix_web::{App, HttpResponse, web};

use crate::problem::Problem;

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
    assert_eq!(problem.instance.as_deref(), Some("/panics"));
    let works = test::call_service(&app, TestRequest::get().uri("/works").to_request()).await;
    assert_eq!(works.status(), 200);
}

fn conflict() -> Problem {
    Problem::new(StatusCode::CONFLICT, "no", "No").retry_after(3)
}

async fn refused(headers: &[(&str, &str)], is_wrapped: bool) -> (Option<String>, Problem) {
    let app = App::new()
        .wrap(Condition::new(is_wrapped, from_fn(super::wrap)))
        .route("/returned", web::get().to(async || Err::<HttpResponse, Problem>(conflict())))
        .route("/made", web::get().to(async || HttpResponse::from_error(conflict())));
    let app = test::init_service(app).await;
    let mut seen = Vec::new();
    for path in ["/returned", "/made"] {
        let request = headers
            .iter()
            .fold(TestRequest::get().uri(path), |request, header| request.append_header(*header));
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(
            (response.status(), response.headers().get("retry-after").unwrap()),
            (StatusCode::CONFLICT, &HeaderValue::from_static("3"))
        );
        let id = response.headers().get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
        let mut problem: Problem = test::read_body_json(response).await;
        assert_eq!(problem.instance.take(), is_wrapped.then(|| path.to_owned()));
        seen.push((id, problem));
    }
    if !headers.is_empty() {
        assert_eq!(seen[0], seen[1]);
    }
    seen.remove(0)
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[actix_web::test]
async fn a_problem_names_the_request_and_the_trace_of_the_client() {
    let (id, problem) = refused(&[("x-request-id", "r-1"), ("traceparent", TRACEPARENT)], true).await;
    assert_eq!(id.as_deref(), Some("r-1"));
    assert_eq!(problem.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
}

#[actix_web::test]
async fn without_names_of_the_client_a_problem_has_fresh_ones() {
    let (id, problem) = refused(&[], true).await;
    assert_eq!(id.map(|id| id.replace('-', "")), problem.trace_id);
    let (id, _) =
        refused(&[("x-request-id", "no spaces, please"), ("traceparent", TRACEPARENT)], false).await;
    assert_eq!(id, None, "control: nothing else names a request");
}
