//! Redis dies under load and comes back: the validator stays up, repeats what it does not know, loses nothing.

use crate::audit;
use crate::bed::{Bed, eventually, mint, register};

#[tokio::test]
async fn a_redis_that_is_killed_under_load_costs_time_and_nothing_else() {
    let mut bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    for _ in 0..3 {
        for _ in 0..20 {
            bed.submit(mint("bond:A", "acct:alice", 1)).await;
        }
        bed.redis.restart().expect("restarts");
        eventually("the tests' own connection is back", async || bed.link().head().await.ok()).await;
    }
    let submitted = bed.submitted.lock().expect("lock").clone();
    for rid in submitted.keys() {
        bed.decided(*rid).await;
    }
    eventually("it leads again", async || (validator.get("/v1/shards").await.status == 200).then_some(()))
        .await;
    validator.reach_head(&bed).await;
    let entries = audit::log(&validator).await;
    audit::check(&entries, &submitted);
    let head = entries.len() as u64;
    eventually("everything is relayed", async || {
        (bed.link().head().await.expect("reads").watermarks.get("base") == Some(&head)).then_some(())
    })
    .await;
    audit::check_outbox(&bed, "base", &entries).await;
    assert_eq!(validator.get("/v1/assets/bond:A").await.body["supply"], "60");
}

#[tokio::test]
async fn a_relay_lane_that_panics_ends_the_process_which_is_never_half_alive() {
    let bed = Bed::new(&["base"]).await;
    let mut doomed = bed.start_with(&[("OSS_CRASH_POINT", "validator.before_relay:1:panic")]);
    let rid = bed.submit(register("bond:A", &["base"])).await;
    assert_eq!(doomed.exit().await, Some(common::exit::ESSENTIAL), "{}", doomed.log());
    let validator = bed.start();
    validator.ready().await;
    bed.decided(rid).await;
    eventually("relayed", async || (bed.outbox("base").await.len() == 1).then_some(())).await;
}
