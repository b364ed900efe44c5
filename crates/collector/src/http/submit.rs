//! `POST /v1/sync-requests`: authorize → read the body → admit → SUBMIT → wait if asked → answer.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use common::ids::{IdempotencyKey, Rid, Tenant};
use common::link::{Route, Submitted};
use common::problem::Problem;
use common::request::{SyncRequest, limits};

use super::headers::{self, Patience};
use super::{Api, wait};
use crate::admit::{self, Admitted};
use crate::rates::Use;
use crate::status::{self, StatusResource, View};
use crate::submitter::{Intent, Refusal};
use crate::wire::About;

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Submits a sync request.
///
/// Accepted requests are answered at once with 202, or held back by `Prefer: wait=N` until they are committed or
/// have ended (200). The same `Idempotency-Key` with the same request gives the same id, for ever.
#[utoipa::path(
    post,
    path = "/v1/sync-requests",
    tag = "sync requests",
    request_body(content = super::openapi::SyncRequestBody, content_type = "application/json"),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, bare or quoted"),
        ("Prefer" = Option<String>, Header, description = "wait=N: hold the answer back up to N seconds (at most 30)"),
        ("until" = Option<String>, Query, description = "completed: wait for the end instead of the commit"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, carried along"),
    ),
    responses(
        (status = 200, description = "The wait ended with the request committed or ended", body = StatusResource),
        (status = 202, description = "Accepted", body = StatusResource, headers(
            ("Location", description = "The request's own address"),
            ("Retry-After", description = "Seconds until asking again makes sense"),
            ("Idempotency-Replayed", description = "true: this key was used for this request before"),
        )),
        (status = 400, description = "Not JSON, or a header is not valid", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope submit; or regulate, or does not act for the authority, for a regulatory change", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 411, description = "No Content-Length", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 413, description = "Above 64 KiB", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a valid request here, or the key belongs to another request", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "The key is used too often; try again after Retry-After", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "backpressure or unavailable; try again after Retry-After", body = common::problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []))
)]
pub(super) async fn submit(
    request: HttpRequest,
    payload: Payload,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let principal = api.admit(&request, &super::SUBMITTING, Use::Submit)?;
    let patience = Patience::read(&request)?;
    let key = common::headers::idempotency_key(request.headers())?;
    let body = body(request.headers(), payload).await?;
    let admitted = admit::admit(&body, &api.shared.configured)?;
    principal.require_for(&admitted.request)?;
    api.require_known_data()?;
    let traceparent = common::headers::traceparent(request.headers());
    let Some(taken) = take_in(&api, &admitted, principal.tenant, key.as_ref(), traceparent).await? else {
        return Err(conflict("#header/Idempotency-Key"));
    };
    let Taken { mut view, is_replayed } = taken;
    let (rid, shard) = (view.record.rid, view.record.rid.shard());
    if let Some(longest) = patience.wait {
        let is_done = |view: &View| wait::is_reached(view.record.status, patience.until);
        match wait::until(&api.link(shard), &api.shared.waiters, rid, longest, is_done).await {
            Ok(Some(waited)) => view = waited,
            // Expired while waiting, or Redis is gone: it is accepted all the same.
            Ok(None) => {}
            Err(error) => crate::metrics::link_failed(shard, "wait", &error),
        }
    }
    view.resource.asset = Some(admitted.request.asset.id);
    Ok(answer(&view, patience, is_replayed))
}

async fn body(headers: &HeaderMap, payload: Payload) -> Result<Bytes, Problem> {
    headers::check_body_head(headers, limits::BODY_BYTES_MAX)?;
    match payload.to_bytes_limited(limits::BODY_BYTES_MAX).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "broken_body", "The body ended early")),
        Err(_) => Err(headers::too_large(limits::BODY_BYTES_MAX)),
    }
}

/// A request that is in.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) view: View,
    /// Its key was used for it before.
    pub(super) is_replayed: bool,
}

/// Hands a request to its shard's submitter. `None`: its key belongs to another request.
///
/// # Errors
/// 413 for a message that is too large, 503 for a full backlog or when Redis does not answer.
pub(super) async fn take_in(
    api: &Api,
    admitted: &Admitted,
    tenant: Tenant,
    key: Option<&IdempotencyKey>,
    traceparent: Option<&str>,
) -> Result<Option<Taken>, Problem> {
    let intent = intent(admitted, tenant, key, traceparent)?;
    let (shard, rid) = (intent.rid.shard(), intent.rid);
    let record = status::Submitted {
        rid,
        tenant: &intent.tenant.clone(),
        fp: intent.fp,
        targets: &intent.targets.clone(),
        source_state: &intent.source_state.clone(),
    };
    match api.submitter(shard)?.submit(intent).await {
        Ok(Submitted::Ok { id }) => Ok(Some(Taken { view: View::accepted(id, &record), is_replayed: false })),
        Ok(Submitted::Dup(known)) => match View::of_record(&api.link(shard), *known).await {
            // Without a key the id is new, so the record is this very submission's, repeated.
            Ok(view) => Ok(Some(Taken { view, is_replayed: key.is_some() })),
            Err(error) => Err(super::failed(shard, "read", &error)),
        },
        Ok(Submitted::Conflict) => Ok(None),
        Ok(Submitted::Busy) | Err(Refusal::Busy) => Err(Problem::backpressure()),
        Err(Refusal::Unavailable) => Err(super::unavailable()),
    }
}

/// What SUBMIT is told: the message is made once here and never parsed again before it is worked on.
fn intent(
    admitted: &Admitted,
    tenant: Tenant,
    key: Option<&IdempotencyKey>,
    traceparent: Option<&str>,
) -> Result<Intent, Problem> {
    let request = &admitted.request;
    let shard = request.shard();
    let rid = key.map_or_else(|| Rid::fresh(shard), |key| Rid::from_key(&tenant, key, shard));
    let about = About { rid, tenant: &tenant, fp: admitted.fp, accepted_ms: None, traceparent };
    let payload = about.collected(&admitted.canonical, &[]);
    if payload.len() > limits::MESSAGE_BYTES_MAX {
        return Err(headers::too_large(limits::MESSAGE_BYTES_MAX));
    }
    let route = match request {
        // There is nothing to collect for it.
        request if request.is_regulatory() => Route::Express,
        request if request.needs_collecting() => Route::Requests,
        _ => Route::Input,
    };
    let (targets, source_state) = (targets(request), source_state(request));
    Ok(Intent { rid, tenant, fp: admitted.fp, route, payload, targets, source_state })
}

fn targets(request: &SyncRequest) -> String {
    let names: Vec<&str> = request.target_chains.iter().flatten().map(common::ids::Name::as_str).collect();
    names.join(",")
}

fn source_state(request: &SyncRequest) -> String {
    let states: Vec<String> =
        request.sources().map(|reference| format!("{}=pending", reference.source)).collect();
    states.join(",")
}

/// `pointer`: where the key stands.
pub(super) fn conflict(pointer: &str) -> Problem {
    let title = "The idempotency key belongs to another request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_conflict", title).error(
        pointer,
        "invalid",
        "was used with another body",
    )
}

fn answer(view: &View, patience: Patience, is_replayed: bool) -> HttpResponse {
    let is_reached = patience.wait.is_some() && wait::is_reached(view.record.status, patience.until);
    let mut response = if is_reached { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    response.insert_header((header::LOCATION, format!("/v1/sync-requests/{}", view.resource.id)));
    if !is_reached {
        response.insert_header((header::RETRY_AFTER, "1"));
    }
    if is_replayed {
        response.insert_header((IDEMPOTENCY_REPLAYED, "true"));
    }
    apply_preference(&mut response, patience);
    response.insert_header(header::ETag(view.etag())).json(&view.resource)
}

/// Says which preference was honoured, and that the answer depends on it.
pub(super) fn apply_preference(response: &mut actix_web::HttpResponseBuilder, patience: Patience) {
    response.insert_header((header::VARY, HeaderValue::from_static("Prefer")));
    if let Some(wait) = patience.wait {
        response.insert_header((PREFERENCE_APPLIED, format!("wait={}", wait.as_secs())));
    }
}
