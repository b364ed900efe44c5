//! Reads that a process answers which only follows the log: right as of their `OSS-Seq`, and never a claim about what it
//! has not seen.

use common::ids::Rid;
use reqwest::StatusCode;

use crate::bed::{Bed, SHARD, Validator, eventually, mint, register};

/// A leader and a process that has caught up with it.
async fn pair(bed: &Bed) -> (Validator, Validator) {
    let leader = bed.start();
    leader.ready().await;
    let standby = bed.start();
    eventually("it stands by", async || (standby.healthcheck(bed).await == 0).then_some(())).await;
    (leader, standby)
}

#[tokio::test]
async fn a_standby_answers_reads_as_the_leader_does_once_it_has_the_entry_that_is_asked_for() {
    let bed = Bed::new(&["base"]).await;
    let (leader, standby) = pair(&bed).await;
    let rid = bed.submit(register("bond:A", &["base"])).await;
    bed.decided(rid).await;
    let seq = bed.decide(mint("bond:A", "acct:alice", 5)).await.seq.expect("a seq");
    leader.reach_head(&bed).await;
    for path in [
        "/v1/assets/bond:A",
        "/v1/holdings/bond:A/acct:alice",
        &format!("/v1/assets/bond:A/proof?seq={seq}"),
        &format!("/v1/decisions/{rid}"),
        "/v1/shards/financial/log",
    ] {
        let path = format!("{path}{}min_seq={seq}", if path.contains('?') { '&' } else { '?' });
        let (led, followed) = (leader.get(&path).await, standby.get(&path).await);
        assert_eq!((led.status, followed.status), (StatusCode::OK, StatusCode::OK), "{path}: {followed:?}");
        assert_eq!((&led.body, &led.oss_seq), (&followed.body, &followed.oss_seq), "{path}");
        assert_eq!(followed.oss_seq, Some(seq.to_string()), "{path}");
    }
    let shard = standby.get("/v1/shards/financial").await.body;
    assert_eq!((&shard["node"], &shard["leader"]), (&"validator-2".into(), &"validator-1".into()));
    // Nobody has that entry: asking for it is a fault of the client's, who is told where the log ends.
    let absent = standby.get(&format!("/v1/assets/bond:A?min_seq={}", seq + 1)).await;
    assert_eq!((absent.status, &absent.body["code"]), (StatusCode::BAD_REQUEST, &"invalid_request".into()));
    let detail = absent.body["errors"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&format!("ends at entry {seq}")), "{absent:?}");
}

#[tokio::test]
async fn a_standby_says_that_a_request_is_unknown_only_when_it_has_all_of_the_log() {
    let bed = Bed::new(&["base"]).await;
    let (leader, standby) = pair(&bed).await;
    let unknown = standby.get(&format!("/v1/decisions/{}", Rid::fresh(SHARD))).await;
    assert_eq!((unknown.status, &unknown.body["code"]), (StatusCode::NOT_FOUND, &"not_found".into()));
    // Each is asked for right after it was committed, mostly before the standby has looked at the log again.
    let mut at_once = 0;
    for n in 0..20 {
        let rid = bed.submit(register(&format!("bond:A{n}"), &["base"])).await;
        bed.decided(rid).await;
        let seq: u64 = standby.get("/v1/shards/financial").await.body["seq"].as_u64().expect("a seq");
        let decision = standby.get(&format!("/v1/decisions/{rid}")).await;
        assert_eq!(decision.status, StatusCode::OK, "{decision:?}");
        at_once += u32::from(decision.body["seq"].as_u64() > Some(seq));
    }
    assert!(at_once > 0, "no request was asked for before the standby had it");
    // The log goes on where it cannot follow: it does not know, and says so.
    leader.stop().await;
    let follower = eventually("the other leads", async || {
        (standby.get("/v1/pipeline").await.status == StatusCode::OK).then_some(&standby)
    })
    .await;
    assert_eq!(
        follower.get(&format!("/v1/decisions/{}", Rid::fresh(SHARD))).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_standby_that_cannot_reach_the_head_does_not_say_that_a_request_is_unknown() {
    let bed = Bed::new(&["base"]).await;
    let (_leader, standby) = pair(&bed).await;
    // The head says that there is more than the log gives out.
    bed.redis.command(&["HSET", "{oss:financial}:head", "seq", "99"]).expect("writes");
    let answer = standby.get(&format!("/v1/decisions/{}", Rid::fresh(SHARD))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.body["code"], "behind");
}

#[tokio::test]
async fn a_standby_that_is_cut_off_from_redis_answers_no_reads_after_a_while() {
    let mut bed = Bed::new(&["base"]).await;
    let (_leader, standby) = pair(&bed).await;
    assert_eq!(standby.get("/v1/shards/financial/log").await.status, StatusCode::OK);
    bed.redis.kill().expect("kills");
    let refused = eventually("it knows", async || {
        Some(standby.get("/v1/shards/financial/log").await).filter(|answer| answer.status != StatusCode::OK)
    })
    .await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"no_leader".into())
    );
    bed.redis.restart().expect("restarts");
    eventually("it follows again", async || {
        (standby.get("/v1/shards/financial/log").await.status == StatusCode::OK).then_some(())
    })
    .await;
}
