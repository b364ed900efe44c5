//! What was handed out of a real chain is withdrawn when `anvil_reorg` takes its block away.

use common::ids::{Rid, Shard};
use common::keys::Keys;
use common::link::{Stream, StreamId};
use common::message::{Body, Withdrawn};
use common::observation::BlockRef;
use common::status::{OutcomeKind, Status};
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::bed::{Bed, Leader, Running, mint, observations, until, with};
use crate::chain::{ALICE, Chain, backed};

/// A source with short looks that follows `reorg_blocks` beyond its confirmations.
fn source(chain: &Chain, confirmations: u64, reorg_blocks: u64) -> Value {
    let mut sources = chain.source(confirmations);
    sources[0]["poll_ms"] = json!(50);
    sources[0]["reorg_blocks"] = json!(reorg_blocks);
    sources
}

async fn collector(bed: &Bed, instance: &str) -> Running {
    bed.start_with(bed.settings(instance)).await
}

/// Has an event of `chain` handed out; gives its request and where it was seen.
async fn handed_out(bed: &Bed, collector: &Running, event: &str) -> (Rid, BlockRef) {
    let before = bed.messages(Stream::Input).await.len();
    let rid = bed.post(collector, &backed(event), &[]).await.rid();
    let (_, message) = bed.input(before + 1).await.pop().unwrap();
    let [observation] = observations(&message) else { panic!("{message:?}") };
    (rid, observation.block().expect("an event names its block"))
}

/// What was withdrawn so far: request and what was seen.
async fn withdrawn(bed: &Bed) -> Vec<(Rid, Withdrawn)> {
    let messages = bed.messages(Stream::Express).await.into_iter();
    let withdrawn = messages.map(|(_, message)| match message.body {
        Body::Withdrawn { about, withdrawn } => (about.rid, withdrawn),
        other => panic!("not a withdrawal: {other:?}"),
    });
    withdrawn.collect()
}

async fn until_withdrawn(bed: &Bed, count: usize) -> Vec<(Rid, Withdrawn)> {
    until("withdrawals in :inx", async || withdrawn(bed).await.len() >= count).await;
    withdrawn(bed).await
}

/// How many observations are noted in the shard.
async fn noted(bed: &Bed) -> usize {
    let link = bed.link(Shard::Financial).await;
    link.handed_after(&"chain".parse().unwrap(), StreamId::ZERO, 100).await.expect("a read").len()
}

/// The value of one of a collector's own metrics; all collectors of a test process share them.
async fn metric(bed: &Bed, collector: &Running, name: &str) -> f64 {
    let answer = bed.client.get(format!("{}/metrics", collector.admin)).send().await.expect("an answer");
    let text = answer.text().await.expect("text");
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{source=\"chain\"")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Waits until the collector has looked at the chain's newest block.
async fn until_followed(bed: &Bed, collector: &Running, chain: &Chain) {
    #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
    let height = chain.height().await as f64;
    until("the newest block is looked at", async || {
        metric(bed, collector, "oss_source_head_block").await >= height
    })
    .await;
}

#[actix_rt::test]
async fn an_event_whose_block_is_reorganised_is_withdrawn_once_by_however_many_collectors() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&source(&chain, 3, 64));
    let (first, second) = (collector(&bed, "collector-1").await, collector(&bed, "collector-2").await);
    let gone = chain.mint(ALICE, "2a").await;
    chain.mine(2).await;
    let (rid, block) = handed_out(&bed, &first, &gone).await;
    chain.mine(1).await;
    // Shorter than the confirmations: the event's block stays.
    until_followed(&bed, &first, &chain).await;
    chain.reorganise(3).await;
    chain.mine(3).await;
    until("the reorganisation is seen", async || metric(&bed, &first, "oss_source_reorgs_total").await > 0.0)
        .await;
    until_followed(&bed, &first, &chain).await;
    until_followed(&bed, &second, &chain).await;
    assert_eq!(withdrawn(&bed).await, []);
    // Below the older event: it was handed out, and its block goes.
    chain.reorganise(chain.height().await + 1 - block.block).await;
    let told = until_withdrawn(&bed, 1).await;
    let expected = Withdrawn {
        source: "chain".parse().unwrap(),
        identity: Some(format!("eip155:1/{gone}")),
        block: block.block,
        block_hash: block.block_hash,
        pointer: "/state_changes/1/backed_by/event".to_owned(),
    };
    assert_eq!(told, [(rid, expected)]);
    until("nothing is noted any more", async || noted(&bed).await == 0).await;
    // Nothing is watched now; with something new both look again, and neither repeats itself.
    let another = chain.mint(ALICE, "2a").await;
    chain.mine(2).await;
    let (rid, block) = handed_out(&bed, &second, &another).await;
    chain.reorganise(chain.height().await + 1 - block.block).await;
    let told = until_withdrawn(&bed, 2).await;
    assert_eq!((told.len(), told[1].0), (2, rid));
    until("nothing is noted any more", async || noted(&bed).await == 0).await;
    assert_eq!(withdrawn(&bed).await.len(), 2);
    first.stop().await;
    second.stop().await;
}

#[actix_rt::test]
async fn what_a_collector_handed_out_is_withdrawn_by_another_one_after_its_death() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&source(&chain, 2, 64));
    let first = collector(&bed, "collector-1").await;
    let event = chain.mint(ALICE, "2a").await;
    chain.mine(1).await;
    let (rid, block) = handed_out(&bed, &first, &event).await;
    first.stop().await;
    chain.mine(2).await;
    chain.reorganise(4).await;
    assert_eq!((withdrawn(&bed).await.len(), noted(&bed).await), (0, 1));
    let second = collector(&bed, "collector-2").await;
    let told = until_withdrawn(&bed, 1).await;
    assert_eq!((told[0].0, told[0].1.block_hash), (rid, block.block_hash));
    second.stop().await;
}

#[actix_rt::test]
async fn an_event_that_comes_back_in_another_block_may_be_handed_out_again_and_withdrawn_again() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&source(&chain, 1, 64));
    let collector = collector(&bed, "collector-1").await;
    let event = chain.mint(ALICE, "2a").await;
    let signed = chain.signed(&event).await;
    let (first, seen) = handed_out(&bed, &collector, &event).await;
    chain.reorganise(1).await;
    until_withdrawn(&bed, 1).await;
    chain.resend(&signed).await;
    let (second, again) = handed_out(&bed, &collector, &event).await;
    assert_ne!((seen.block, seen.block_hash), (again.block, again.block_hash));
    // It is the same event in another block, which is what is withdrawn now.
    chain.reorganise(1).await;
    let told = until_withdrawn(&bed, 2).await;
    let told: Vec<_> =
        told.into_iter().map(|(rid, withdrawn)| (rid, withdrawn.block_hash, withdrawn.identity)).collect();
    let identity = Some(format!("eip155:1/{event}"));
    assert_eq!(told, [(first, seen.block_hash, identity.clone()), (second, again.block_hash, identity)]);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_window_of_logs_is_withdrawn_with_its_newest_block() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&source(&chain, 1, 64));
    let collector = collector(&bed, "collector-1").await;
    chain.mint(ALICE, "2a").await;
    let rid = bed.post(&collector, &with("X", &json!({"event_sources": ["chain"]})), &[]).await.rid();
    bed.input(1).await;
    chain.reorganise(1).await;
    let told = until_withdrawn(&bed, 1).await;
    let [(of, Withdrawn { identity: None, pointer, .. })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*of, pointer.as_str()), (rid, "/event_sources/0"));
    collector.stop().await;
}

#[actix_rt::test]
async fn what_is_deep_enough_is_final_and_forgotten() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&source(&chain, 1, 4));
    let collector = collector(&bed, "collector-1").await;
    let event = chain.mint(ALICE, "2a").await;
    handed_out(&bed, &collector, &event).await;
    chain.mine(4).await;
    until_followed(&bed, &collector, &chain).await;
    // One block less than what makes it final.
    assert_eq!(noted(&bed).await, 1);
    chain.mine(1).await;
    until("nothing is noted any more", async || noted(&bed).await == 0).await;
    // Nothing is watched, so the chain is not asked any more; what goes now was final.
    chain.reorganise(6).await;
    let young = chain.mint(ALICE, "2b").await;
    handed_out_of(&bed, &collector, &young).await;
    chain.reorganise(1).await;
    assert_eq!(until_withdrawn(&bed, 1).await.len(), 1);
    collector.stop().await;
}

/// As [`handed_out`] for a request of its own: the same event would be another fingerprint's.
async fn handed_out_of(bed: &Bed, collector: &Running, event: &str) {
    let before = bed.messages(Stream::Input).await.len();
    bed.post(collector, &backed(event), &[]).await;
    bed.input(before + 1).await;
}

#[actix_rt::test]
async fn a_reorganisation_deeper_than_is_followed_is_an_alarm_and_withdraws_what_is_watched() {
    let (bed, chain) = (Bed::new().await, Chain::new().await);
    bed.sources(&source(&chain, 1, 3));
    let collector = collector(&bed, "collector-1").await;
    chain.mine(6).await;
    let event = chain.mint(ALICE, "2a").await;
    handed_out(&bed, &collector, &event).await;
    chain.mine(3).await;
    until_followed(&bed, &collector, &chain).await;
    let alarms = metric(&bed, &collector, "oss_source_reorg_too_deep_total").await;
    chain.reorganise(8).await;
    until_withdrawn(&bed, 1).await;
    assert!(metric(&bed, &collector, "oss_source_reorg_too_deep_total").await > alarms);
    collector.stop().await;
}

#[actix_rt::test]
async fn a_request_shows_what_was_withdrawn_of_it() {
    let bed = Bed::new().await;
    let validator = MockServer::start().await;
    let mut settings = bed.settings("collector-1");
    settings.validators = vec![validator.uri()];
    let collector = bed.start_with(settings).await;
    let rid = bed.post(&collector, &mint("X"), &[]).await.rid();
    let mut leader = Leader::new(bed.link(Shard::Financial).await).await;
    let seq = leader.decide(rid, Status::Completed, OutcomeKind::Applied, None).await;
    let plain = bed.get(&collector, rid, &[]).await;
    assert_eq!((plain.body.get("withdrawn_seq"), plain.body.get("withdrawn")), (None, None));
    let tag = plain.header("etag").expect("a tag").to_owned();
    let told = leader.tell(rid).await;

    // The record says that, the validators say what. Nobody can be asked: no tag names such an answer.
    let partial = bed.get(&collector, rid, &[("if-none-match", &tag)]).await;
    assert_eq!((partial.status, partial.body["status"].as_str()), (200, Some("completed")));
    assert_eq!((&partial.body["withdrawn_seq"], partial.body.get("withdrawn")), (&json!(told), None));
    assert_eq!(partial.header("etag"), None);
    let gone = json!({"code": "OBSERVATION_WITHDRAWN", "source": "chain", "event": "eip155:1/0xab/0", "block": 7,
        "block_hash": "0xcd", "pointer": "/state_changes/0/backed_by/event", "seq": told, "time_ms": 1_700_000_000_000_u64});
    let decision = json!({"seq": seq, "outcome": "APPLIED", "status": "completed", "withdrawn": [gone]});
    Mock::given(method("GET"))
        .and(path(format!("/v1/decisions/{rid}")))
        .and(query_param("min_seq", told.to_string()))
        .respond_with(ResponseTemplate::new(200).set_body_json(&decision))
        .mount(&validator)
        .await;
    let whole = bed.get(&collector, rid, &[]).await;
    let mut shown = gone;
    shown["at"] = json!("2023-11-14T22:13:20.000Z");
    shown.as_object_mut().unwrap().remove("time_ms");
    assert_eq!(
        (&whole.body["withdrawn"], whole.body["outcome"].as_str()),
        (&json!([shown]), Some("APPLIED"))
    );
    assert!(whole.header("etag").is_some_and(|other| other != tag));
    // Its record has expired: the log still says so.
    bed.redis.command(&["DEL", &Keys::new(Shard::Financial).request(rid)]).expect("DEL");
    Mock::given(method("GET"))
        .and(path(format!("/v1/decisions/{rid}")))
        .respond_with(ResponseTemplate::new(200).set_body_json(&decision))
        .mount(&validator)
        .await;
    let expired = bed.get(&collector, rid, &[]).await;
    assert_eq!((&expired.body["withdrawn"], &expired.body["withdrawn_seq"]), (&json!([shown]), &json!(told)));
    collector.stop().await;
}
