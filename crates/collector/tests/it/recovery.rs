//! Dead peers, poison, lost connections: an accepted request reaches `:in` exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use common::ids::{Rid, Shard};
use common::link::{Address, Commands, Link, Stream, StreamId};
use serde_json::json;

use crate::bed::{Bed, PATIENCE, failure, observations, until, with};

async fn peer(bed: &Bed, name: &str) -> Link {
    let address = Address::new(&bed.redis.url(), None, None).unwrap();
    Commands::connect(&address, &name.parse().unwrap()).await.unwrap().shard(Shard::Financial)
}

/// A request that a peer has begun `1 + claims` times and never ended; no collector runs afterwards.
async fn begun(bed: &Bed, claims: usize) -> Rid {
    let mut settings = bed.settings("first");
    // Takes nothing itself: the request is put into `:requests` and read by the peer below.
    settings.collect.claim_idle_ms = 3_600_000;
    let collector = bed.start_with(settings).await;
    let slow = json!({"event_sources": ["slow"]});
    let rid = bed.post(&collector, &with("X", &slow), &[]).await.rid();
    until("it is begun", async || {
        bed.redis
            .command(&["XPENDING", "{oss:financial}:requests", "collectors"])
            .is_ok_and(|value| format!("{value:?}").contains("first"))
    })
    .await;
    let mut names = (0..claims).map(|n| format!("dead-{n}"));
    for name in names.by_ref() {
        let claimed = peer(bed, &name).await.claim_idle(Duration::ZERO, StreamId::ZERO, 10).await.unwrap();
        assert_eq!(claimed.entries.len(), 1);
    }
    // Ended without patience: what it has begun stays pending.
    collector.stop().await;
    rid
}

/// The first collector never finishes; the ones of the test answer at once.
fn sources(bed: &Bed, delay_ms: u64) {
    bed.sources(&json!([{"name": "slow", "kind": "null", "delay_ms": delay_ms}]));
}

#[actix_rt::test]
async fn a_dead_peers_request_is_taken_over_and_ends_once() {
    let bed = Bed::new().await;
    sources(&bed, 3_600_000);
    let rid = begun(&bed, 2).await;
    sources(&bed, 0);
    let mut settings = bed.settings("second");
    settings.collect.claim_idle_ms = 600;
    let collector = bed.start_with(settings).await;
    let (_, message) = bed.input(1).await.remove(0);
    // Two claims before and this one: three, which is still allowed.
    assert_eq!((message.about().unwrap().rid, observations(&message).len()), (rid, 1));
    assert_eq!(bed.messages(Stream::Requests).await.len(), 0);
    let record = bed.link(Shard::Financial).await.record(rid).await.unwrap().unwrap();
    assert_eq!(record.by.as_deref(), Some("second"));
    collector.stop().await;
}

#[actix_rt::test]
async fn a_request_taken_over_too_often_fails_as_a_crash() {
    let bed = Bed::new().await;
    sources(&bed, 3_600_000);
    let rid = begun(&bed, 3).await;
    sources(&bed, 0);
    let mut settings = bed.settings("second");
    settings.collect.claim_idle_ms = 600;
    let collector = bed.start_with(settings).await;
    let (_, message) = bed.input(1).await.remove(0);
    assert_eq!((message.about().unwrap().rid, failure(&message).code.as_str()), (rid, "COLLECT_CRASH"));
    collector.stop().await;
}

/// The newest of the connections on which readers wait, once all of them wait on connections above `above`.
async fn readers_above(bed: &Bed, above: u64) -> u64 {
    let mut newest = 0;
    until("all readers are connected again", async || {
        let listed = bed.redis.command(&["CLIENT", "LIST", "TYPE", "normal"]).unwrap();
        let listed: String = redis::from_redis_value(listed).unwrap();
        let waiting = listed.lines().filter(|line| line.contains("cmd=xreadgroup"));
        let ids: Vec<u64> = waiting
            .filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok())
            .filter(|id| *id > above)
            .collect();
        newest = ids.iter().copied().max().unwrap_or(0);
        ids.len() == Shard::ALL.len()
    })
    .await;
    newest
}

#[actix_rt::test]
async fn lost_connections_during_a_slow_collection_are_no_take_overs() {
    let bed = Bed::new().await;
    sources(&bed, 3_600_000);
    let mut settings = bed.settings("first");
    settings.collect.claim_idle_ms = 3_600_000;
    let first = bed.start_with(settings).await;
    let body = with("X", &json!({"event_sources": ["slow"]}));
    let rid = bed.post(&first, &body, &[]).await.rid();
    let link = bed.link(Shard::Financial).await;
    until("it is begun", async || link.record(rid).await.unwrap().unwrap().by.is_some()).await;
    let mut newest = readers_above(&bed, 0).await;
    for _ in 0..5 {
        bed.redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
        newest = readers_above(&bed, newest).await;
    }
    first.stop().await;
    sources(&bed, 0);
    let mut settings = bed.settings("second");
    settings.collect.claim_idle_ms = 600;
    let second = bed.start_with(settings).await;
    let (_, message) = bed.input(1).await.remove(0);
    assert_eq!((message.about().unwrap().rid, observations(&message).len()), (rid, 1));
    second.stop().await;
}

#[actix_rt::test]
async fn a_restart_under_the_same_name_goes_on_at_once() {
    let bed = Bed::new().await;
    sources(&bed, 3_600_000);
    let rid = begun(&bed, 0).await;
    sources(&bed, 0);
    let mut settings = bed.settings("first");
    settings.collect.claim_idle_ms = 3_600_000;
    let collector = bed.start_with(settings).await;
    let (_, message) = bed.input(1).await.remove(0);
    assert_eq!(message.about().unwrap().rid, rid);
    collector.stop().await;
}

#[actix_rt::test]
async fn long_collecting_is_renewed_and_nobody_takes_it_over() {
    let bed = Bed::new().await;
    sources(&bed, 3_000);
    let idle = |name: &str| {
        let mut settings = bed.settings(name);
        settings.collect.claim_idle_ms = 900;
        settings
    };
    let first = bed.start_with(idle("first")).await;
    let rid = bed.post(&first, &with("X", &json!({"event_sources": ["slow"]})), &[]).await.rid();
    let link = bed.link(Shard::Financial).await;
    until("it is begun", async || link.record(rid).await.unwrap().unwrap().by.is_some()).await;
    let second = bed.start_with(idle("second")).await;
    bed.input(1).await;
    let record = link.record(rid).await.unwrap().unwrap();
    assert_eq!(record.by.as_deref(), Some("first"));
    assert_eq!(bed.messages(Stream::Input).await.len(), 1);
    first.stop().await;
    second.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_read_goes_on_to_the_validator_as_it_is() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    for payload in [r#"{"v":2,"msg":"COLLECTED","new":true}"#, "not JSON"] {
        bed.redis.command(&["XADD", "{oss:financial}:requests", "*", "m", payload]).unwrap();
    }
    let link = bed.link(Shard::Financial).await;
    until("both are passed on", async || link.front(Stream::Input, 10).await.unwrap().len() == 2).await;
    let passed = link.front(Stream::Input, 10).await.unwrap();
    assert_eq!(passed[0].payload, br#"{"v":2,"msg":"COLLECTED","new":true}"#);
    assert_eq!(passed[1].payload, b"not JSON");
    assert_eq!(bed.records(), 0);
    collector.stop().await;
}

#[actix_rt::test]
async fn redis_killed_while_collecting_loses_nothing_and_doubles_nothing() {
    let mut bed = Bed::new().await;
    sources(&bed, 700);
    let collector = bed.start().await;
    for n in 0..20 {
        let body = with(&format!("X{n}"), &json!({"event_sources": ["slow"]}));
        assert_eq!(bed.post(&collector, &body, &[]).await.status, 202);
    }
    bed.redis.kill().unwrap();
    bed.redis.restart().unwrap();
    let all = bed.input(20).await;
    let mut rids: Vec<Rid> = all.iter().map(|(_, message)| message.about().unwrap().rid).collect();
    rids.sort_unstable();
    rids.dedup();
    assert_eq!((all.len(), rids.len()), (20, 20));
    until("nothing is left", async || bed.messages(Stream::Requests).await.is_empty()).await;
    collector.stop().await;
}

#[actix_rt::test]
async fn what_is_being_collected_at_the_end_is_finished_first() {
    let bed = Bed::new().await;
    sources(&bed, 2_000);
    let collector = bed.start().await;
    let rid = bed.post(&collector, &with("X", &json!({"event_sources": ["slow"]})), &[]).await.rid();
    let link = bed.link(Shard::Financial).await;
    until("it is begun", async || link.record(rid).await.unwrap().unwrap().by.is_some()).await;
    tokio::time::timeout(PATIENCE, collector.stop()).await.expect("a bounded end");
    let (input, requests) = (bed.messages(Stream::Input).await, bed.messages(Stream::Requests).await);
    assert_eq!((input.len(), requests.len()), (1, 0));
    assert_eq!(observations(&input[0].1).len(), 1);
    assert_eq!(consumers(&bed), Vec::<String>::new(), "who ends in order leaves no consumer behind");
}

/// One field of each consumer in the group of the financial shard.
fn consumer_fields<T: redis::FromRedisValue>(bed: &Bed, field: &str) -> Vec<T> {
    let key = "{oss:financial}:requests";
    let listed = bed.redis.command(&["XINFO", "CONSUMERS", key, "collectors"]).unwrap();
    let listed: Vec<BTreeMap<String, redis::Value>> = redis::from_redis_value(listed).unwrap();
    listed.into_iter().map(|fields| redis::from_redis_value(fields[field].clone()).unwrap()).collect()
}

fn consumers(bed: &Bed) -> Vec<String> {
    consumer_fields(bed, "name")
}

/// How long the consumer heard of last was silent.
fn idle_ms(bed: &Bed) -> u64 {
    consumer_fields(bed, "idle").into_iter().min().unwrap_or(0)
}

#[actix_rt::test]
async fn what_cannot_be_finished_at_the_end_is_taken_over_by_a_peer_at_once() {
    let bed = Bed::new().await;
    sources(&bed, 3_600_000);
    // Nobody claims what is merely silent.
    let patient = |name: &str| {
        let mut settings = bed.settings(name);
        settings.collect.claim_idle_ms = 3_600_000;
        settings
    };
    let first = bed.start_with(patient("first")).await;
    let rid = bed.post(&first, &with("X", &json!({"event_sources": ["slow"]})), &[]).await.rid();
    let link = bed.link(Shard::Financial).await;
    until("it is begun", async || link.record(rid).await.unwrap().unwrap().by.is_some()).await;
    let accepted_ms = link.record(rid).await.unwrap().unwrap().at_ms;
    sources(&bed, 0);
    let second = bed.start_with(patient("second")).await;
    tokio::time::timeout(PATIENCE, first.stop()).await.expect("a bounded end");
    let (_, message) = bed.input(1).await.remove(0);
    assert_eq!((message.about().unwrap().rid, observations(&message).len()), (rid, 1));
    assert_eq!(message.about().unwrap().accepted_ms, Some(accepted_ms), "its place in time is kept");
    assert_eq!(link.record(rid).await.unwrap().unwrap().by.as_deref(), Some("second"));
    second.stop().await;
}

#[actix_rt::test]
async fn what_the_last_read_brings_is_finished_too() {
    let bed = Bed::new().await;
    sources(&bed, 0);
    let collector = bed.start().await;
    let template = bed.post(&collector, &with("X", &json!({"event_sources": ["slow"]})), &[]).await;
    let (_, message) = bed.input(1).await.remove(0);
    assert_eq!(message.about().unwrap().rid, template.rid());
    let link = bed.link(Shard::Financial).await;
    readers_above(&bed, 0).await;
    let stopped = std::cell::Cell::new(false);
    let stopping = async {
        collector.stop().await;
        stopped.set(true);
    };
    // The read under way when the end begins gets the next of these.
    let trickling = async {
        while !stopped.get() {
            bed.redis.command(&["XADD", "{oss:financial}:requests", "*", "m", "not JSON"]).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    futures_util::join!(stopping, trickling);
    let pending = bed.redis.command(&["XPENDING", "{oss:financial}:requests", "collectors"]).unwrap();
    let (pending, ..): (usize, redis::Value, redis::Value, redis::Value) =
        redis::from_redis_value(pending).unwrap();
    assert_eq!(pending, 0, "nothing waits to be claimed");
    assert!(link.backlog().await.unwrap().requests > 0, "the others are read by the next collector");
}

#[actix_rt::test]
async fn consumers_of_dead_collectors_are_forgotten_and_a_live_one_is_made_again() {
    let bed = Bed::new().await;
    sources(&bed, 0);
    let (key, dead) = ("{oss:financial}:requests", "dead".to_owned());
    bed.redis.command(&["XGROUP", "CREATECONSUMER", key, "collectors", &dead]).unwrap();
    assert_eq!(consumers(&bed), ["dead"]);
    until("it has been silent for long", async || idle_ms(&bed) > 600).await;
    let mut settings = bed.settings("collector-1");
    settings.collect.claim_idle_ms = 600;
    let collector = bed.start_with(settings).await;
    until("it is forgotten", async || !consumers(&bed).contains(&dead)).await;
    readers_above(&bed, 0).await;
    // As a peer does with one that has had nothing to read for long.
    bed.redis.command(&["XGROUP", "DELCONSUMER", key, "collectors", "collector-1"]).unwrap();
    bed.post(&collector, &with("X", &json!({"event_sources": ["slow"]})), &[]).await;
    bed.input(1).await;
    collector.stop().await;
}
