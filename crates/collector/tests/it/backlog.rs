//! A full backlog refuses, and takes in again when there is room.

use common::ids::Shard;
use common::keys::Keys;

use crate::bed::{Bed, mint};

#[actix_rt::test]
async fn at_the_bound_a_submission_is_503_and_later_accepted_under_the_same_key() {
    let bed = Bed::new().await;
    let mut settings = bed.settings("collector-1");
    settings.limits.backlog_max = 3;
    let collector = bed.start_with(settings).await;
    for n in 0..3 {
        assert_eq!(bed.post(&collector, &mint(&format!("A{n}")), &[]).await.status, 202);
    }
    let key = [("idempotency-key", "later")];
    let refused = bed.post(&collector, &mint("B"), &key).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (503, Some("backpressure")));
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    assert_eq!((bed.records(), bed.entries()), (3, 3));
    // Another shard has its own bound.
    let game = serde_json::json!({
        "asset": {"id": "game_item:x"}, "state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}],
    });
    assert_eq!(bed.post(&collector, &game, &[]).await.status, 202);

    let input = Keys::new(Shard::Financial).input();
    bed.redis.command(&["XTRIM", &input, "MAXLEN", "0"]).expect("the validator has caught up");
    let accepted = bed.post(&collector, &mint("B"), &key).await;
    assert_eq!((accepted.status, accepted.header("idempotency-replayed")), (202, None));
    collector.stop().await;
}

#[actix_rt::test]
async fn at_full_memory_a_submission_is_503_backpressure_and_nothing_is_written() {
    let bed = Bed::new().await;
    let collector = bed.start().await;
    bed.redis.config_set("maxmemory", "1mb").expect("CONFIG");
    let refused = bed.post(&collector, &mint("X"), &[]).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (503, Some("backpressure")));
    assert_eq!((bed.records(), bed.entries()), (0, 0));
    bed.redis.config_set("maxmemory", "0").expect("CONFIG");
    assert_eq!(bed.post(&collector, &mint("X"), &[]).await.status, 202);
    collector.stop().await;
}

#[actix_rt::test]
async fn while_redis_is_gone_submissions_are_503_unavailable_and_come_through_afterwards() {
    let mut bed = Bed::new().await;
    let collector = bed.start().await;
    bed.redis.kill().expect("kill -9");
    let key = [("idempotency-key", "k")];
    let refused = bed.post(&collector, &mint("X"), &key).await;
    assert_eq!((refused.status, refused.body["code"].as_str()), (503, Some("unavailable")));
    assert!(refused.header("retry-after").is_some());
    bed.redis.restart().expect("starts again");
    crate::bed::until("the same submission is accepted", async || {
        bed.post(&collector, &mint("X"), &key).await.status == 202
    })
    .await;
    assert_eq!((bed.records(), bed.entries()), (1, 1));
    collector.stop().await;
}
