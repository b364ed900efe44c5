//! `GET /v1/sync-requests/{rid}`: the status resource, conditionally, and waiting if asked.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use common::auth::{Principal, Scope};
use common::ids::Rid;
use common::problem::Problem;

use super::headers::Patience;
use super::submit::apply_preference;
use super::{Api, wait};
use crate::decisions::Decision;
use crate::rates::Use;
use crate::status::{self, StatusResource, View};

/// Shows a sync request.
///
/// With `If-None-Match` a request that has not changed is 304; with `Prefer: wait=N` too, the answer is held back
/// until it changes. With `Prefer` alone it is held back until the request is committed or has ended.
#[utoipa::path(
    get,
    path = "/v1/sync-requests/{rid}",
    tag = "sync requests",
    params(
        ("rid" = String, Path, description = "Request id"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the last answer"),
        ("Prefer" = Option<String>, Header, description = "wait=N: hold the answer back up to N seconds (at most 30)"),
        ("until" = Option<String>, Query, description = "completed: wait for the end instead of the commit"),
    ),
    responses(
        (status = 200, description = "The request as it is", body = StatusResource),
        (status = 304, description = "Not changed"),
        (status = 400, description = "A query parameter is not valid", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope read", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such request of this tenant", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 429, description = "The key is used too often; try again after Retry-After", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Redis, or for an expired record every validator, is out of reach", body = common::problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []))
)]
pub(super) async fn get(
    request: HttpRequest,
    path: Path<String>,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let principal = api.admit(&request, &[Scope::Read], Use::Read)?;
    let patience = Patience::read(&request)?;
    let rid = super::path_rid(&path)?;
    api.require_known_data()?;
    let known = request.headers().get(header::IF_NONE_MATCH);
    let is_news = |view: &View| known.is_some_and(|known| !status::matches(known, &view.etag()));
    let link = api.link(rid.shard());
    let loaded = match patience.wait {
        None => View::load(&link, rid).await,
        Some(longest) => {
            let is_done = |view: &View| {
                // Somebody else's request is not waited for: it answers like one that is not there.
                view.record.tenant != principal.tenant
                    || if known.is_some() {
                        is_news(view)
                    } else {
                        wait::is_reached(view.record.status, patience.until)
                    }
            };
            wait::until(&link, &api.shared.waiters, rid, longest, is_done).await
        }
    };
    let view = match loaded {
        Ok(view) => view,
        Err(error) => return Err(super::failed(rid.shard(), "read", &error)),
    };
    let Some(mut view) = owned(view, &principal)? else {
        let resource = expired(&api, rid, request.headers()).await?;
        return Ok(HttpResponse::Ok().json(resource));
    };
    let is_known = known.is_some() && !is_news(&view);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    apply_preference(&mut response, patience);
    if view.is_partial() && !is_known {
        complete(&api, &mut view, request.headers()).await;
    }
    // What is cut because nobody could be asked is not the resource that the tag names.
    if is_known || !view.is_partial() {
        response.insert_header(header::ETag(view.etag()));
    }
    Ok(if is_known { response.finish() } else { response.json(&view.resource) })
}

/// The view if it is the caller's; another tenant's request does not exist for it.
///
/// # Errors
/// 404.
pub(super) fn owned(view: Option<View>, principal: &Principal) -> Result<Option<View>, Problem> {
    match view {
        Some(view) if view.record.tenant != principal.tenant => Err(super::unknown_request()),
        view => Ok(view),
    }
}

/// Adds what a record had no room for, if a validator can be asked.
async fn complete(api: &Api, view: &mut View, headers: &HeaderMap) {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let validators = &api.shared.validators;
    let seq = view.record.seq.max(view.record.withdrawn);
    let decision = validators.decision(view.record.rid, seq, authorization.unwrap_or_default()).await;
    if let Decision::Known(decided) = decision {
        view.resource.errors = decided.errors;
        view.resource.target_chains = decided.target_chains;
        view.resource.withdrawn = decided.withdrawn;
        view.resource.errors_cut = false;
    }
}

/// What the validators keep of a request without a record. They check the caller's key themselves.
///
/// # Errors
/// 404 when there never was such a request, 503 when nobody knows.
pub(super) async fn expired(api: &Api, rid: Rid, headers: &HeaderMap) -> Result<StatusResource, Problem> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match api.shared.validators.decision(rid, None, authorization.unwrap_or_default()).await {
        Decision::Known(resource) => Ok(*resource),
        Decision::Unknown => Err(super::unknown_request()),
        Decision::Unreachable => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The request has no record here and no validator can be asked",
        )
        .retry_after(1)),
    }
}
