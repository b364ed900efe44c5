//! What all streams of events have in common: their form (server-sent events), their headers, and how many one key
//! and one process may have open.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use crate::problem::Problem;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::Serialize;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How long a client waits before it connects again.
const RETRY: &[u8] = b"retry: 2000\n\n";
/// When a client that has too many streams may try again.
const RETRY_AFTER_SECONDS: u32 = 5;

/// One event. `data` is JSON, so it has no line ends.
#[must_use]
pub fn event(name: &str, id: &str, data: &impl Serialize) -> Bytes {
    // Serializing plain data into memory cannot fail.
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\nid: {id}\ndata: {data}\n\n"))
}

/// Shows that the stream lives. Without data it is no event, but the client takes note of the id.
#[must_use]
pub fn heartbeat(id: &str) -> Bytes {
    Bytes::from(format!(": heartbeat\nid: {id}\n\n"))
}

/// The id of the last event that the client has seen.
#[must_use]
pub fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(LAST_EVENT_ID)?.to_str().ok().map(str::trim).filter(|id| !id.is_empty())
}

/// The answer that streams.
#[must_use]
pub fn answer(events: impl Stream<Item = Bytes> + 'static) -> HttpResponse {
    let retry = stream::once(std::future::ready(Bytes::from_static(RETRY)));
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(retry.chain(events).map(Ok::<_, Infallible>))
}

/// The places of all open streams. Clones share them.
#[derive(Debug, Clone)]
pub struct Places {
    open: Arc<Mutex<BTreeMap<String, usize>>>,
    per_key_max: usize,
    all_max: usize,
}

/// The place of one stream, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    key_id: String,
}

impl Places {
    #[must_use]
    pub fn new(per_key_max: usize, all_max: usize) -> Self {
        Self { open: Arc::default(), per_key_max, all_max }
    }

    /// # Errors
    /// 429 when the key has all it may have, 503 when the process has.
    pub fn take(&self, key_id: &str) -> Result<Place, Problem> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(key_id).is_some_and(|count| *count >= self.per_key_max) {
            let title = "The key has too many streams open";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", title)
                .detail(format!("at most {}", self.per_key_max))
                .retry_after(RETRY_AFTER_SECONDS));
        }
        if open.values().sum::<usize>() >= self.all_max {
            return Err(Problem::backpressure());
        }
        *open.entry(key_id.to_owned()).or_default() += 1;
        Ok(Place { places: self.clone(), key_id: key_id.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.key_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.key_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn streams_are_bounded_per_key_and_in_all_and_a_dropped_place_is_free() {
        let places = Places::new(2, 3);
        let status = |key| places.take(key).map(|_| ()).map_err(|problem| problem.status);
        let held = [places.take("a"), places.take("a"), places.take("b")].map(|place| place.expect("free"));
        assert_eq!((status("a"), status("b"), status("c")), (Err(429), Err(503), Err(503)));
        drop(held);
        assert_eq!((status("a"), status("c")), (Ok(()), Ok(())));
        assert!(places.open.lock().expect("a lock").is_empty());
    }
}
