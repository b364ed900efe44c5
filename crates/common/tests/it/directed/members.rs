//! LEAVE and FORGET: who is in the collectors' group, and what becomes of what they hold.

use std::time::Duration;

use common::link::{BATCH_MAX, Collected, Collection, Link, RETURNED, Route, StreamId};
use redis::Value;

use crate::bed::{Bed, Check, connect, locked, rid, submit};
use crate::{guarded, same};

guarded! {
    "leave" "pending" who_leaves_with_more_than_a_page_loses_nothing;
    "forget" "silent" a_consumer_heard_of_lately_stays;
    "forget" "pending" a_silent_consumer_that_holds_something_stays;
}

/// The consumers of the group: name → entries pending.
fn consumers(bed: &Bed) -> Vec<(String, i64)> {
    let Value::Array(consumers) = bed.command(&["XINFO", "CONSUMERS", &bed.keys.requests(), "collectors"])
    else {
        return Vec::new();
    };
    let read = |consumer: Value| {
        let Value::Array(fields) = consumer else { return (String::new(), 0) };
        let text = |value: &Value| redis::from_redis_value::<String>(value.clone()).unwrap_or_default();
        let field = |name: &str| {
            let at = fields.iter().position(|field| text(field) == name);
            at.and_then(|at| fields.get(at + 1)).cloned().unwrap_or(Value::Nil)
        };
        (text(&field("name")), redis::from_redis_value(field("pending")).unwrap_or(-1))
    };
    let mut all: Vec<_> = consumers.into_iter().map(read).collect();
    all.sort();
    all
}

fn read_as(bed: &Bed, consumer: &str) {
    let key = bed.keys.requests();
    bed.command(&["XREADGROUP", "GROUP", "collectors", consumer, "COUNT", "1000", "STREAMS", &key, ">"]);
}

async fn peer(bed: &Bed) -> Link {
    let url = locked(&bed.server).url();
    Link::new(connect(&url, "collector-2").await, bed.link.shard())
}

/// What a peer claims after an hour's silence, which nothing here has kept: id and deliveries.
async fn claimed(bed: &Bed) -> Check<Vec<(StreamId, u64)>> {
    let hour = Duration::from_hours(1);
    let claimed = peer(bed).await.claim_idle(hour, StreamId::ZERO, BATCH_MAX).await?;
    Ok(claimed.entries.into_iter().map(|entry| (entry.message.id, entry.deliveries)).collect())
}

async fn who_leaves_with_more_than_a_page_loses_nothing(bed: Bed) -> Check {
    let _ = bed.link.init("a", true).await?;
    let first = submit(&bed.link, 1, Route::Requests).await?;
    let more = BATCH_MAX + 4;
    let key = bed.keys.requests();
    for _ in 1..more {
        bed.command(&["XADD", &key, "*", "m", "{}"]);
    }
    read_as(&bed, "collector-1");
    same!(bed.link.leave().await?, more);
    same!(consumers(&bed), [(RETURNED.to_owned(), i64::try_from(more)?)]);
    // Again changes nothing: the delivery is taken off once.
    same!(bed.link.leave().await?, 0);
    let claimed = claimed(&bed).await?;
    same!((claimed.len(), claimed[0]), (BATCH_MAX, (first, 1)));
    // Its former owner may still end it, once, and its record moves on.
    let collection = Collection { id: first, rid: rid(1), payload: b"{}", source_state: "", handed: &[] };
    let answers = bed.link.collected(&[collection.clone(), collection]).await?;
    same!(matches!(answers.as_slice(), [Collected::Ok { .. }, Collected::Gone]), true);
    Ok(())
}

async fn a_consumer_heard_of_lately_stays(bed: Bed) -> Check {
    let _ = bed.link.init("a", true).await?;
    bed.command(&["XGROUP", "CREATECONSUMER", &bed.keys.requests(), "collectors", "collector-2"]);
    same!(bed.link.forget_consumers(Duration::from_hours(1)).await?, 0);
    same!(consumers(&bed), [("collector-2".to_owned(), 0)]);
    same!(bed.link.forget_consumers(Duration::ZERO).await?, 1);
    same!(consumers(&bed), []);
    Ok(())
}

async fn a_silent_consumer_that_holds_something_stays(bed: Bed) -> Check {
    let _ = bed.link.init("a", true).await?;
    submit(&bed.link, 1, Route::Requests).await?;
    read_as(&bed, "collector-2");
    bed.command(&["XGROUP", "CREATECONSUMER", &bed.keys.requests(), "collectors", "collector-3"]);
    same!(bed.link.forget_consumers(Duration::ZERO).await?, 1);
    same!(consumers(&bed), [("collector-2".to_owned(), 1)]);
    Ok(())
}
