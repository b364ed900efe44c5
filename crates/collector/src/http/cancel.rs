//! `DELETE /v1/sync-requests/{rid}`: asks the log not to apply a request.
//!
//! What is committed or ended cannot be cancelled: 409 with the request as it is. Else a CANCEL goes to
//! `:inx`; it may still lose the race, which the log decides. What has changed since the client's `If-Match` is left
//! alone: 412.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::link::{EXPRESS_MAX, SendTo, Sent};
use common::problem::Problem;
use common::status::Status;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::headers::Patience;
use super::submit::apply_preference;
use super::{Api, get, wait};
use crate::rates::Use;
use crate::status::{self, StatusResource, View};
use crate::wire::About;

/// A problem with the request it speaks of: the form of [`too_late`] and [`changed`].
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Conflict {
    #[serde(flatten)]
    problem: Problem,
    /// The request as it is.
    request: StatusResource,
}

/// Cancels a sync request that is not committed yet.
///
/// With `If-Match` only if it has not changed since: that is compared when the cancel is sent, afterwards the log
/// decides as ever.
#[utoipa::path(
    delete,
    path = "/v1/sync-requests/{rid}",
    tag = "sync requests",
    params(
        ("rid" = String, Path, description = "Request id"),
        ("If-Match" = Option<String>, Header, description = "ETag of the request as it was seen"),
        ("Prefer" = Option<String>, Header, description = "wait=N: hold the answer back up to N seconds (at most 30)"),
    ),
    responses(
        (status = 200, description = "The wait ended with the request cancelled", body = StatusResource),
        (status = 202, description = "The cancel is on its way; it may still come too late", body = StatusResource),
        (status = 401, description = "No valid API key", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key lacks the scope submit", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such request of this tenant", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 409, description = "Committed or ended already", body = Conflict, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since the ETag in If-Match", body = Conflict, content_type = "application/problem+json"),
        (status = 429, description = "The key is used too often; try again after Retry-After", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 503, description = "backpressure or unavailable; try again after Retry-After", body = common::problem::Problem, content_type = "application/problem+json"),
    ),
    security(("api_key" = []))
)]
pub(super) async fn cancel(
    request: HttpRequest,
    path: Path<String>,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let principal = api.admit(&request, &[Scope::Submit], Use::Read)?;
    let patience = Patience::read(&request)?;
    let rid = super::path_rid(&path)?;
    api.require_known_data()?;
    let (link, shard) = (api.link(rid.shard()), rid.shard());
    let loaded = match View::load(&link, rid).await {
        Ok(loaded) => loaded,
        Err(error) => return Err(super::failed(shard, "read", &error)),
    };
    let Some(view) = get::owned(loaded, &principal)? else {
        return Err(too_late(&get::expired(&api, rid, request.headers()).await?));
    };
    let headers = request.headers();
    if headers.contains_key(header::IF_MATCH)
        && !status::is_matched(headers.get_all(header::IF_MATCH), &view.etag())
    {
        return Err(changed(&view));
    }
    if is_decided(&view) {
        return Err(too_late(&view.resource));
    }
    let id = format!("cancel:{rid}");
    let about = About {
        rid,
        tenant: &view.record.tenant,
        fp: view.record.fp,
        accepted_ms: Some(view.record.at_ms),
        traceparent: common::headers::traceparent(request.headers()),
    };
    match link.send(SendTo::Cancels, &id, &about.cancel(&id), EXPRESS_MAX).await {
        // The log decides once; a second CANCEL of the same request adds nothing.
        Ok(Sent::Ok { .. } | Sent::Dup { .. }) => {}
        Ok(Sent::Busy) => return Err(Problem::backpressure()),
        Err(error) => return Err(super::failed(shard, "SEND", &error)),
    }
    let Some(longest) = patience.wait else { return Ok(pending(&view, patience)) };
    match wait::until(&link, &api.shared.waiters, rid, longest, is_decided).await {
        Ok(Some(view)) if view.record.status == Status::Cancelled => {
            let mut response = HttpResponse::Ok();
            apply_preference(&mut response, patience);
            Ok(response.json(&view.resource))
        }
        Ok(Some(view)) if is_decided(&view) => Err(too_late(&view.resource)),
        Ok(Some(view)) => Ok(pending(&view, patience)),
        Ok(None) => Ok(pending(&view, patience)),
        Err(error) => Err(super::failed(shard, "wait", &error)),
    }
}

fn is_decided(view: &View) -> bool {
    view.record.status.rank() >= Status::Committed.rank()
}

fn pending(view: &View, patience: Patience) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    response.insert_header((header::LOCATION, format!("/v1/sync-requests/{}", view.resource.id)));
    response.insert_header((header::RETRY_AFTER, "1"));
    apply_preference(&mut response, patience);
    response.json(&view.resource)
}

/// 412 with the request as it is.
fn changed(view: &View) -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", "The request has changed")
        .error("#header/If-Match", "invalid", format!("its tag is {}", view.etag()))
        .extension("request", &view.resource)
}

/// 409 with the outcome.
fn too_late(request: &StatusResource) -> Problem {
    Problem::new(StatusCode::CONFLICT, "already_decided", "The request is decided already")
        .detail(format!("it is {}", request.status.name()))
        .extension("request", request)
}
