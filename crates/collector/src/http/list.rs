//! `GET /v1/sync-requests`: the tenant's accepted requests, newest first, from `:idx` of all shards.
//!
//! One call looks at no more than [`SCAN_MAX`] members of the index, whoever they belong to: a page may be short,
//! even empty, and still name the next one. A member whose record has expired is passed over.

mod merge;
mod query;

use std::collections::BTreeMap;

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::ids::{Rid, Shard, Tenant};
use common::link::{Indexed, LinkError, StatusRecord};
use common::problem::Problem;
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use crate::rates::Use;
use crate::status::{StatusResource, View};
use merge::Merge;
use query::{LIMIT_MAX, Query};

/// Most members of the index that one call looks at.
const SCAN_MAX: usize = 2_000;
/// Fewest members that are read at one time.
const READ_MIN: usize = 50;

/// A page of sync requests, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct SyncRequestPage {
    items: Vec<StatusResource>,
    /// Where the next page begins; null at the end. There may be one after an empty page too.
    next_cursor: Option<String>,
}

/// Lists the tenant's sync requests, newest first.
///
/// Follow `Link: rel="next"` until there is none. Each call does bounded work, so a page may have fewer items than
/// `limit`, even none, and still name a next one. Requests whose record has expired are not listed.
#[utoipa::path(
    get,
    path = "/v1/sync-requests",
    tag = "sync requests",
    params(
        ("status" = Option<String>, Query, description = "Only these: names with commas"),
        ("shard" = Option<String>, Query, description = "financial, gaming, real_estate or general"),
        ("accepted_from" = Option<String>, Query, description = "Accepted at this time or later, RFC 3339"),
        ("accepted_to" = Option<String>, Query, description = "Accepted before this time, RFC 3339"),
        ("limit" = Option<u32>, Query, description = "Most items, 1 to 200 (50)"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = SyncRequestPage, headers(
            ("Link", description = "rel=\"next\": the next page"),
        )),
        (status = 429, description = "The key is used too often; try again after Retry-After", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn list(request: HttpRequest, api: Data<Api>) -> Result<HttpResponse, Problem> {
    let principal = api.admit(&request, &[Scope::Read], Use::Read)?;
    let pairs = pairs(request.query_string())?;
    let query = Query::read(&pairs)?;
    api.require_known_data()?;
    let (items, next) = page(&api, &principal.tenant, &query).await?;
    let next_cursor = next.map(query::cursor);
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(cursor) = &next_cursor {
        response.insert_header((header::LINK, format!("<{}>; rel=\"next\"", address(&pairs, cursor))));
    }
    Ok(response.json(SyncRequestPage { items, next_cursor }))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    match actix_web::web::Query::<Vec<_>>::from_query(query) {
        Ok(pairs) => Ok(pairs.into_inner()),
        Err(_) => Err(query::fault("", "is not a query string")),
    }
}

/// The same question, read on at the cursor.
fn address(pairs: &[(String, String)], cursor: &str) -> String {
    const PATH: &str = "/v1/sync-requests";
    let asked = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let asked = asked.filter(|(name, _)| *name != "cursor").chain([("cursor", cursor)]);
    // The host is there because only whole addresses can be made; it is not part of the answer.
    let url = reqwest::Url::parse_with_params("http://host/", asked);
    url.ok().and_then(|url| Some(format!("{PATH}?{}", url.query()?))).unwrap_or_else(|| PATH.to_owned())
}

/// The page's items and where the next one begins.
async fn page(
    api: &Api,
    tenant: &Tenant,
    query: &Query,
) -> Result<(Vec<StatusResource>, Option<Indexed>), Problem> {
    let count = query.limit.clamp(READ_MIN, LIMIT_MAX);
    let mut merge = Merge::new(&query.shards, query.before);
    let (mut items, mut scanned, mut last) = (Vec::new(), 0, None);
    while scanned < SCAN_MAX && merge.has_more() {
        let reads = merge.unread().into_iter().map(async |(shard, before)| {
            let read = api.link(shard).indexed(before, query.from_ms, count).await;
            read.map(|read| (shard, read)).map_err(|error| super::failed(shard, "list", &error))
        });
        for (shard, read) in try_join_all(reads).await? {
            merge.add(shard, read, count);
        }
        let members = merge.take(count.min(SCAN_MAX - scanned));
        let mut views = views(api, tenant, query, &members).await?;
        scanned += members.len();
        let mut left = members.into_iter();
        for member in left.by_ref() {
            last = Some(member);
            items.extend(views.remove(&member.rid).map(|view| view.resource));
            if items.len() == query.limit {
                // What was read beyond this place is read again by the next call.
                break;
            }
        }
        if items.len() == query.limit {
            let has_more = left.len() > 0 || merge.has_more();
            return Ok((items, last.filter(|_| has_more)));
        }
    }
    Ok((items, last.filter(|_| merge.has_more())))
}

/// Those of the members that belong into the list.
async fn views(
    api: &Api,
    tenant: &Tenant,
    query: &Query,
    members: &[Indexed],
) -> Result<BTreeMap<Rid, View>, Problem> {
    let shards = query.shards.iter().map(async |shard| {
        let rids = members.iter().map(|member| member.rid).filter(|rid| rid.shard() == *shard);
        let views = shard_views(api, *shard, tenant, query, &rids.collect::<Vec<_>>()).await;
        views.map_err(|error| super::failed(*shard, "list", &error))
    });
    let mut all = BTreeMap::new();
    for views in join_all(shards).await {
        all.extend(views?.into_iter().map(|view| (view.record.rid, view)));
    }
    Ok(all)
}

async fn shard_views(
    api: &Api,
    shard: Shard,
    tenant: &Tenant,
    query: &Query,
    rids: &[Rid],
) -> Result<Vec<View>, LinkError> {
    let link = api.link(shard);
    let mut records: Vec<StatusRecord> = Vec::new();
    for record in link.records_each(rids).await? {
        match record {
            Ok(record) => records.extend(record.filter(|record| query.may_have(tenant, record))),
            // One that this build cannot read must not take the list away.
            Err(error) => crate::metrics::link_failed(shard, "list", &error),
        }
    }
    let views = View::of_records(&link, records).await?;
    Ok(views.into_iter().filter(|view| query.has(view.resource.status)).collect())
}
