//! Server-sent events: one request's, and all of a tenant's.

use std::time::{Duration, Instant};

use common::ids::{Rid, Shard};
use common::keys::Keys;
use common::status::{OutcomeKind, Status};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::bed::{Answer, Bed, Leader, OTHER, PATIENCE, READ, Running, SUBMIT, mint, until};

/// An open stream.
struct Stream {
    headers: HeaderMap,
    bytes: BoxStream<'static, Vec<u8>>,
    read: String,
}

/// One event, or what is none: a comment, the time to reconnect.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(url: String, key: &str, last: Option<&str>) -> Result<Self, Answer> {
        let request = reqwest::Client::new().get(url).bearer_auth(key);
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let answer = request.send().await.expect("an answer");
        if answer.status() != 200 {
            return Err(Answer::of(answer).await);
        }
        let headers = answer.headers().clone();
        let bytes = answer.bytes_stream().filter_map(async |piece| piece.ok().map(|piece| piece.to_vec()));
        let mut stream = Self { headers, bytes: bytes.boxed(), read: String::new() };
        assert_eq!(stream.block().await.as_deref(), Some("retry: 2000"));
        Ok(stream)
    }

    /// The next lines up to a blank one; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(block);
            }
            let piece = tokio::time::timeout(PATIENCE, self.bytes.next()).await.expect("not in time")?;
            self.read.push_str(std::str::from_utf8(&piece).expect("text"));
        }
    }

    async fn event(&mut self) -> Option<Event> {
        let block = self.block().await?;
        let field = |name: &str| {
            let prefix = format!("{name}: ");
            block.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
        };
        let data = serde_json::from_str(&field("data")).unwrap_or_default();
        Some(Event { name: field("event"), id: field("id"), data })
    }

    async fn expect(&mut self, name: &str) -> Event {
        let event = self.event().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}

async fn events(collector: &Running, rid: Rid, last: Option<&str>) -> Result<Stream, Answer> {
    Stream::open(format!("{}/v1/sync-requests/{rid}/events", collector.base), READ, last).await
}

async fn all(collector: &Running, key: &str, last: Option<&str>) -> Result<Stream, Answer> {
    Stream::open(format!("{}/v1/stream", collector.base), key, last).await
}

/// Waits until the collector has read all there is: a stream opened while it is behind may be too slow for the rest.
async fn caught_up(bed: &Bed, collector: &Running, leader: &mut Leader) {
    let mut stream = all(collector, READ, None).await.unwrap();
    let last = bed.post(collector, &mint("LAST"), &[]).await.rid();
    leader.decide(last, Status::Rejected, OutcomeKind::Rejected, None).await;
    loop {
        let event = stream.event().await.expect("the stream goes on");
        if event.name == "changed" && event.data["ids"] == json!([last]) {
            return;
        }
    }
}

#[actix_rt::test]
async fn a_requests_events_begin_with_what_it_is_and_end_with_its_end() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut stream = events(&collector, rid, None).await.unwrap();
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(stream.headers[name], value, "{name}");
    }
    let snapshot = stream.expect("snapshot").await;
    assert_eq!((snapshot.data["status"].as_str(), snapshot.id.as_str()), (Some("accepted"), "1.0"));
    let shown = bed.get(&collector, rid, &[]).await;
    assert_eq!(snapshot.data, shown.body, "the data is what GET answers");

    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let begun = Instant::now();
    let seq = leader.decide(rid, Status::Committed, OutcomeKind::Applied, None).await;
    let committed = stream.expect("status").await;
    assert!(begun.elapsed() < Duration::from_millis(1_900), "woken, not read by the clock");
    assert_eq!(
        (committed.data["status"].as_str(), committed.data["seq"].as_u64()),
        (Some("committed"), Some(seq))
    );
    // Its delivery moves, as PROGRESS would say.
    let keys = Keys::new(Shard::Financial);
    bed.redis.command(&["HSET", &keys.progress(seq), "base", "sent - -", "#v", "2"]).unwrap();
    bed.redis
        .command(&["XADD", &keys.status(), "*", "seq", &seq.to_string(), "target", "base", "state", "sent"])
        .unwrap();
    let sent = stream.expect("status").await;
    assert_eq!((sent.data["status"].as_str(), sent.id.as_str()), (Some("broadcasting"), "2.2"));
    leader.decide(rid, Status::Completed, OutcomeKind::Applied, None).await;
    let end = stream.expect("status").await;
    assert_eq!(end.data["status"], "completed");
    assert_eq!(stream.event().await, None, "the stream ends with the request");

    // Who comes back knowing the end is told not to come again; who knows less is shown the end.
    assert_eq!(events(&collector, rid, Some(&end.id)).await.err().expect("no stream").status, 204);
    let mut late = events(&collector, rid, Some(&snapshot.id)).await.unwrap();
    assert_eq!(late.expect("snapshot").await.data, end.data);
    assert_eq!(late.event().await, None);
    collector.stop().await;
}

#[actix_rt::test]
async fn who_comes_back_knowing_the_request_as_it_is_hears_of_the_next_change_only() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let known = events(&collector, rid, None).await.unwrap().expect("snapshot").await.id;
    let mut stream = events(&collector, rid, Some(&known)).await.unwrap();
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    leader.decide(rid, Status::Rejected, OutcomeKind::Rejected, Some("X")).await;
    assert_eq!(stream.expect("status").await.data["code"], "X");
    collector.stop().await;
}

#[actix_rt::test]
async fn anothers_request_has_no_events_and_without_a_key_there_are_none() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post_as(&collector, OTHER, mint("X").to_string(), &[]).await.rid();
    assert_eq!(events(&collector, rid, None).await.err().expect("no stream").status, 404);
    let unknown = Rid::fresh(Shard::Gaming);
    // No validator is configured that could know it.
    assert_eq!(events(&collector, unknown, None).await.err().expect("no stream").status, 503);
    assert_eq!(all(&collector, "", None).await.err().expect("no stream").status, 401);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_tenant_hears_of_its_own_requests_in_all_shards_and_of_nothing_else() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let own = bed.post(&collector, &mint("X"), &[]).await.rid();
    let others = bed.post_as(&collector, OTHER, mint("X").to_string(), &[]).await.rid();
    let game = json!({
        "asset": {"id": "game_item:x"}, "state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}],
    });
    let game = bed.post(&collector, &game, &[]).await.rid();
    let mut stream = all(&collector, READ, None).await.unwrap();
    assert_eq!(stream.expect("reset").await.data, json!({"reason": "connected"}));
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let mut gaming = Leader::new(bed.link(Shard::Gaming).await).await;
    leader.decide(others, Status::Committed, OutcomeKind::Applied, None).await;
    let seq = leader.decide(own, Status::Committed, OutcomeKind::Applied, None).await;
    let changed = stream.expect("changed").await;
    assert_eq!(changed.data, json!({"shard": "financial", "seq": seq, "ids": [own]}));
    gaming.decide(game, Status::Rejected, OutcomeKind::Rejected, Some("X")).await;
    let changed = stream.expect("changed").await;
    assert_eq!(changed.data, json!({"shard": "gaming", "seq": 1, "ids": [game]}));
    // The delivery of the other's entry, then of its own.
    let status = Keys::new(Shard::Financial).status();
    for seq in [seq - 1, seq] {
        let seq = seq.to_string();
        let entry = ["XADD", &status, "*", "seq", &seq, "target", "base", "state", "sent"];
        bed.redis.command(&entry).unwrap();
    }
    let delivery = stream.expect("delivery").await;
    let expected = json!({"shard": "financial", "seq": seq, "target": "base", "state": "sent", "ids": [own]});
    assert_eq!(delivery.data, expected);
    collector.stop().await;
}

#[actix_rt::test]
async fn who_comes_back_is_told_what_it_has_missed_by_any_collector_and_once() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let mut rids = Vec::new();
    for _ in 0..4 {
        rids.push(bed.post(&collector, &mint("X"), &[]).await.rid());
    }
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let mut stream = all(&collector, READ, None).await.unwrap();
    let begin = stream.expect("reset").await.id;
    leader.decide(rids[0], Status::Committed, OutcomeKind::Applied, None).await;
    let first = stream.expect("changed").await;
    drop(stream);
    leader.decide(rids[1], Status::Committed, OutcomeKind::Applied, None).await;
    leader.decide(rids[2], Status::Committed, OutcomeKind::Applied, None).await;
    collector.stop().await;
    let next = bed.start_with(bed.settings("collector-2")).await;
    for (id, expected) in [(&first.id, &rids[1..3]), (&begin, &rids[..3])] {
        let mut stream = all(&next, READ, Some(id)).await.unwrap();
        for rid in expected {
            assert_eq!(stream.expect("changed").await.data["ids"], json!([rid]));
        }
    }
    let mut stream = all(&next, READ, Some(&first.id)).await.unwrap();
    leader.decide(rids[3], Status::Committed, OutcomeKind::Applied, None).await;
    for rid in &rids[1..] {
        assert_eq!(stream.expect("changed").await.data["ids"], json!([rid]));
    }
    next.stop().await;
}

#[actix_rt::test]
async fn an_id_that_is_too_old_or_none_is_answered_with_a_reset_and_the_place_to_go_on_from() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let begin = all(&collector, READ, None).await.unwrap().expect("reset").await.id;
    leader.decide(rid, Status::Committed, OutcomeKind::Applied, None).await;
    // More than is kept, of which the oldest are trimmed.
    let status = Keys::new(Shard::Financial).status();
    for _ in 0..1_500 {
        let entry = ["XADD", &status, "MAXLEN", "1000", "*", "seq", "1", "target", "base", "state", "sent"];
        bed.redis.command(&entry).unwrap();
    }
    caught_up(&bed, &collector, &mut leader).await;
    for (id, reason) in
        [(begin.as_str(), "too_old"), ("nonsense", "unknown_id"), ("0-0,0-0,0-0,99999999999999-0", "too_old")]
    {
        let reset = all(&collector, READ, Some(id)).await.unwrap().expect("reset").await;
        assert_eq!(reset.data, json!({ "reason": reason }), "{id}");
        // With its id nothing is missed.
        let mut stream = all(&collector, READ, Some(&reset.id)).await.unwrap();
        let further = bed.post(&collector, &mint("Y"), &[]).await.rid();
        leader.decide(further, Status::Rejected, OutcomeKind::Rejected, None).await;
        assert_eq!(stream.expect("changed").await.data["ids"], json!([further]));
    }
    collector.stop().await;
}

#[actix_rt::test]
async fn a_silent_stream_shows_that_it_lives() {
    let bed = Bed::new().await;
    let mut settings = bed.settings("collector-1");
    settings.limits.heartbeat_ms = 50;
    let collector = bed.start_with(settings).await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut one = events(&collector, rid, None).await.unwrap();
    let mut every = all(&collector, READ, None).await.unwrap();
    let ids = [one.expect("snapshot").await.id, every.expect("reset").await.id];
    for (stream, id) in [&mut one, &mut every].into_iter().zip(ids) {
        for _ in 0..2 {
            assert_eq!(stream.block().await, Some(format!(": heartbeat\nid: {id}")));
        }
    }
    collector.stop().await;
}

#[actix_rt::test]
async fn a_key_has_so_many_streams_and_a_closed_one_makes_room() {
    let bed = Bed::new().await;
    let mut settings = bed.settings("collector-1");
    settings.limits.streams_per_key_max = 2;
    settings.limits.streams_max = 3;
    settings.limits.heartbeat_ms = 50;
    let collector = bed.start_with(settings).await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let one = events(&collector, rid, None).await.unwrap();
    let two = all(&collector, READ, None).await.unwrap();
    let refused = all(&collector, READ, None).await.err().expect("no stream");
    assert_eq!((refused.status, refused.body["code"].as_str()), (429, Some("too_many_streams")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(events(&collector, rid, None).await.err().expect("no stream").status, 429);
    let three = all(&collector, SUBMIT, None).await.unwrap();
    assert_eq!(all(&collector, OTHER, None).await.err().expect("no stream").status, 503);
    drop(one);
    until("a place is free", async || all(&collector, READ, None).await.is_ok()).await;
    drop((two, three));
    collector.stop().await;
}

#[actix_rt::test]
async fn the_end_of_the_service_ends_the_streams() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut one = events(&collector, rid, None).await.unwrap();
    let mut every = all(&collector, READ, None).await.unwrap();
    one.expect("snapshot").await;
    every.expect("reset").await;
    let begun = Instant::now();
    let (one, every, ()) = futures_util::join!(one.event(), every.event(), collector.stop());
    assert_eq!((one, every), (None, None));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[actix_rt::test]
async fn when_redis_is_back_a_stream_says_that_something_may_be_missing_and_goes_on() {
    let mut bed = Bed::new().await;
    let collector = bed.start().await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut stream = all(&collector, READ, None).await.unwrap();
    assert_eq!(stream.expect("reset").await.data["reason"], "connected");
    bed.redis.kill().expect("kill -9");
    bed.redis.restart().expect("starts again");
    assert_eq!(stream.expect("reset").await.data["reason"], "gap");
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    leader.decide(rid, Status::Rejected, OutcomeKind::Rejected, None).await;
    // Every shard's watcher was cut off, so there may be one of these from each.
    let changed = loop {
        let event = stream.event().await.expect("the stream goes on");
        if event.name != "reset" {
            break event;
        }
    };
    assert_eq!((changed.name.as_str(), &changed.data["ids"]), ("changed", &json!([rid])));
    collector.stop().await;
}
