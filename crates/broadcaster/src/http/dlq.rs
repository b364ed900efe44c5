//! `GET /v1/dlq?shard=&cursor=&limit=`: what a stage gave up on, oldest first, shard after shard.
//!
//! An item's id is `<shard>:<stream id>`; a page's `next_cursor` is that of its last item. A page ends before the item
//! that would make it too long, so it is bounded by items and by bytes, and always has one item if any is left.

use std::fmt;
use std::str::FromStr;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, get};
use common::auth::Scope;
use common::entry::{Input, InputStream};
use common::ids::{IdError, Shard};
use common::link::{SetAside, StreamId};
use common::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Api, unavailable};

const LIMIT: usize = 50;
const LIMIT_MAX: usize = 200;
/// Bytes of originals in one answer; a single item is returned whatever its size.
const BYTES_MAX: usize = 1 << 20;
/// Items read at once: each has up to 128 KiB.
const STEP: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    shard: Option<Shard>,
    cursor: Option<String>,
    limit: Option<usize>,
}

/// The place of a dead letter among all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    shard: Shard,
    id: StreamId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.shard, self.id)
    }
}

impl FromStr for Place {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let form = || IdError { what: "cursor", form: "<shard>:<stream id>" };
        let (shard, id) = text.split_once(':').ok_or_else(form)?;
        Ok(Self { shard: shard.parse()?, id: id.parse()? })
    }
}

#[derive(Debug, Serialize)]
struct Item {
    id: String,
    shard: Shard,
    /// When it was set aside, Unix ms of Redis.
    at_ms: u64,
    /// Which stage gave up.
    stage: String,
    code: String,
    error: String,
    attempts: u64,
    /// The message's exact text if it is JSON, else `{"b64": …}`: as it stands in the log.
    original: Box<RawValue>,
}

impl Item {
    fn new(place: Place, letter: SetAside) -> Self {
        let SetAside { stage, code, error, attempts, original, .. } = letter;
        let original = Input::new(InputStream::Local, String::new(), &original).m;
        let (id, shard, at_ms) = (place.to_string(), place.shard, place.id.ms());
        Self { id, shard, at_ms, stage, code, error, attempts, original }
    }
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Page {
    items: Vec<Item>,
    /// Where to go on; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    #[serde(skip)]
    bytes: usize,
}

impl Page {
    /// Whether the item was taken; if not, the page is full.
    fn takes(&mut self, limit: usize, place: Place, letter: SetAside) -> bool {
        self.bytes += letter.original.len();
        if !self.items.is_empty() && (self.items.len() >= limit || self.bytes > BYTES_MAX) {
            self.next_cursor = self.items.last().map(|item| item.id.clone());
            return false;
        }
        self.items.push(Item::new(place, letter));
        true
    }
}

/// Lists dead letters: what a stage gave up on. The key needs the scope operate.
#[utoipa::path(
    get,
    path = "/v1/dlq",
    operation_id = "dead_letters",
    tag = "dead letters",
    params(
        ("shard" = Option<String>, Query, description = "Only this shard's"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<u64>, Query, description = "Most items, 1 to 200 (50); fewer if they are long"),
    ),
    responses(
        (status = 200, description = "Per dead letter the stage that gave up, code, error, attempts and the original message", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
#[get("/dlq")]
pub(super) async fn list(request: HttpRequest, api: Data<Api>) -> Result<Json<Page>, Problem> {
    api.keys.authorize(&request, Scope::Operate)?;
    let range = Query::<Range>::from_query(request.query_string())
        .map_err(|error| invalid("#query", &error.to_string()))?
        .into_inner();
    let limit = range.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(invalid("#query/limit", &format!("expected 1 to {LIMIT_MAX}")));
    }
    let cursor = range.cursor.as_deref().map(Place::from_str).transpose();
    let cursor = cursor.map_err(|error| invalid("#query/cursor", &error.to_string()))?;
    let mut page = Page::default();
    for (shard, link) in &api.links {
        if range.shard.is_some_and(|only| only != *shard) || cursor.is_some_and(|from| from.shard > *shard) {
            continue;
        }
        let mut last = cursor.filter(|from| from.shard == *shard).map_or(StreamId::ZERO, |from| from.id);
        loop {
            let letters = link.dead_letters_after(last, STEP).await.map_err(|error| unavailable(&error))?;
            let is_last = letters.len() < STEP;
            for letter in letters {
                last = letter.id;
                if !page.takes(limit, Place { shard: *shard, id: last }, letter) {
                    return Ok(Json(page));
                }
            }
            if is_last {
                break;
            }
        }
    }
    Ok(Json(page))
}

fn invalid(pointer: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "The query is not valid").error(
        pointer.to_owned(),
        "invalid",
        detail.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(bytes: usize) -> SetAside {
        let text = String::new;
        let (stage, code, error) = (text(), text(), text());
        SetAside { id: StreamId::ZERO, stage, code, error, attempts: 1, original: vec![b'x'; bytes] }
    }

    fn pages(sizes: &[usize], limit: usize) -> Vec<usize> {
        let mut pages = vec![Page::default()];
        for (place, bytes) in
            (1..).map(|ms| Place { shard: Shard::Gaming, id: StreamId::new(ms, 0) }).zip(sizes)
        {
            if !pages.last_mut().expect("a page").takes(limit, place, letter(*bytes)) {
                let mut next = Page::default();
                assert!(next.takes(limit, place, letter(*bytes)), "a page has room for one item");
                pages.push(next);
            }
        }
        let last = pages.last().expect("a page");
        assert_eq!(last.next_cursor, None, "there is nothing behind the last page");
        pages.iter().map(|page| page.items.len()).collect()
    }

    #[test]
    fn a_page_is_bounded_by_items_and_by_bytes_and_never_empty_while_something_is_left() {
        assert_eq!(pages(&[1; 5], 2), [2, 2, 1]);
        assert_eq!(pages(&[1; 4], 2), [2, 2]);
        assert_eq!(pages(&[BYTES_MAX, 1, 2 * BYTES_MAX, 1], 9), [1, 1, 1, 1]);
        assert_eq!(pages(&[], 9), [0]);
    }

    #[test]
    fn a_cursor_is_a_shard_and_a_stream_id() {
        let place: Place = "gaming:17-2".parse().expect("a cursor");
        assert_eq!(place, Place { shard: Shard::Gaming, id: StreamId::new(17, 2) });
        assert_eq!(place.to_string(), "gaming:17-2");
        for text in ["", "17-2", "moon:17-2", "gaming:17"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
