//! `GET /v1/shards/{S}/log?from_seq=&limit=`: entries exactly as they stand in the log.
//!
//! JSON, or with `Accept: application/x-ndjson` one entry a line. `body` is the entry's exact text, so that
//! anybody can compute the digests again.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::entry::Entry;
use common::hash::Digest;
use common::ids::Shard;
use common::problem::Problem;
use serde::{Deserialize, Serialize};

use super::{Api, blocking, broken, internal, path_part, query, stamped};
use crate::view::Page;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Bytes of bodies in one answer; a single entry is returned whatever its size.
const BYTES_MAX: usize = 4 << 20;
const NDJSON: &str = "application/x-ndjson";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    from_seq: Option<u64>,
    limit: Option<usize>,
    min_seq: Option<u64>,
}

/// One entry.
#[derive(Debug, Serialize)]
struct Line {
    seq: u64,
    prev: Digest,
    digest: Digest,
    /// The exact text.
    body: String,
}

#[derive(Debug, Serialize)]
struct Answer {
    shard: Shard,
    /// The last entry of the log.
    head: u64,
    entries: Vec<Line>,
    /// Where to go on; left out at the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_from_seq: Option<u64>,
}

/// Reads the log. The key needs the scope operate or peer.
#[utoipa::path(
    get,
    path = "/v1/shards/{shard}/log",
    operation_id = "log",
    tag = "shards",
    params(
        ("shard" = String, Path, description = "Shard"),
        ("from_seq" = Option<u64>, Query, description = "The first entry (1)"),
        ("limit" = Option<u64>, Query, description = "Most entries, 1 to 1000 (100)"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
        ("Accept" = Option<String>, Header, description = "application/x-ndjson: one entry a line"),
    ),
    responses(
        (status = 200, description = "Entries with their exact text", body = serde_json::Value),
        (status = 410, description = "The first entry is older than what is kept; first_seq says from where on it is", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn page(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let shard = path_part::<Shard>(&request, "shard");
    let named = shard.as_ref().ok().copied();
    let result = read(&request, &api, shard).await;
    api.answer(named, result)
}

async fn read(
    request: &HttpRequest,
    api: &Api,
    shard: Result<Shard, Problem>,
) -> Result<HttpResponse, Problem> {
    api.authorize_any(request, &[Scope::Operate, Scope::Peer])?;
    let shard = shard?;
    let range = query::<Range>(request)?;
    let entries_max = range.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&entries_max) {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "The query is not valid");
        return Err(problem.error("#query/limit", "invalid", format!("expected 1 to {LIMIT_MAX}")));
    }
    let state = Arc::clone(api.reached(shard, range.min_seq).await?);
    let head = state.now().seq;
    let from_seq = range.from_seq.unwrap_or(1).max(1);
    let page = Page { entries_max, bytes_max: BYTES_MAX };
    let entries = blocking(move || {
        let entries = state.view.entries(from_seq, page).map_err(|error| broken(&error))?;
        if let Some(first) = entries.first().filter(|first| first.seq > from_seq) {
            return Err(gone(first.seq));
        }
        entries.into_iter().map(line).collect::<Result<Vec<Line>, Problem>>()
    });
    let entries = entries.await?;
    let last = entries.last().map(|line| line.seq);
    let next_from_seq = last.filter(|last| *last < head).map(|last| last + 1);
    let wants_lines =
        request.headers().get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(NDJSON.as_bytes()));
    if !wants_lines {
        let answer = HttpResponse::Ok().json(Answer { shard, head, entries, next_from_seq });
        return Ok(stamped(answer, &head.to_string()));
    }
    let mut text = Vec::new();
    for line in &entries {
        serde_json::to_writer(&mut text, line).map_err(|error| broken(&error))?;
        text.push(b'\n');
    }
    Ok(stamped(HttpResponse::Ok().content_type(NDJSON).body(text), &head.to_string()))
}

/// What a joined or trimmed archive does not have; `first_seq` says where it begins.
fn gone(first_seq: u64) -> Problem {
    Problem::new(StatusCode::GONE, "gone", "That entry is not kept here")
        .detail(format!("the log is kept from entry {first_seq} on"))
        .extension("first_seq", &first_seq)
}

fn line(entry: Entry) -> Result<Line, Problem> {
    let Entry { seq, prev, digest, body } = entry;
    let body = String::from_utf8(body).map_err(|_| internal("an entry's body is not text"))?;
    Ok(Line { seq, prev, digest, body })
}
