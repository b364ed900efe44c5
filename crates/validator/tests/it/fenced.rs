//! A leader that is stopped with an entry in its hand, right before COMMIT, and goes on when the lease is another's: it is
//! FENCED and changes no key (I6). The control leaves the fence out of the script, and it writes.

use std::collections::BTreeMap;
use std::time::Duration;

use common::entry::Body;
use common::link::{Fence, Leased, Token, WITHOUT_VARIABLE};
use redis::{FromRedisValue, from_redis_value};
use reqwest::StatusCode;

use crate::bed::{Bed, SHARD, Validator, eventually, mint, name, register};

/// Each of the four shards logs the targets first; then come a registration and the mint that it stops at.
const AT_THE_MINT: &str = "link.commit.before:6:stop";
/// A process tells where it is and reconnects under no lease: these keys are its own.
const OWN: [&str; 2] = [":members", ":barrier:"];
const LONG_MS: u64 = 600_000;
/// As many rounds of a lease as a process needs to do whatever it would do.
const A_WHILE: Duration = Duration::from_secs(1);

fn ask<T: FromRedisValue>(bed: &Bed, command: &[&str]) -> T {
    from_redis_value(bed.redis.command(command).expect("redis answers")).expect("a value of this type")
}

/// Every key of the shard and what it holds. The leases of the others it may give back: they are its own.
fn keys(bed: &Bed) -> BTreeMap<String, Vec<u8>> {
    let names: Vec<String> = ask(bed, &["KEYS", &format!("{{oss:{SHARD}}}:*")]);
    let shared = names.into_iter().filter(|name| !OWN.iter().any(|own| name.contains(own)));
    shared.map(|name| (name.clone(), ask(bed, &["DUMP", &name]))).collect()
}

fn changed(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

/// Takes the lease as another process does, as soon as it is free.
async fn take_the_lease(bed: &Bed) -> Fence {
    let token = Token::random();
    let epoch = eventually("the lease runs out", async || {
        let leased = bed.link().lease(&name("other"), &token, LONG_MS, 0).await.expect("answers");
        if let Leased::New { epoch, .. } = leased { Some(epoch) } else { None }
    })
    .await;
    Fence { epoch, token }
}

/// A leader that stands still with the mint in its hand, and the lease that another one has taken meanwhile.
async fn stopped_before_commit(bed: &Bed, without: &str) -> (Validator, Fence) {
    let leader = bed.start_with(&[("OSS_CRASH_POINT", AT_THE_MINT), (WITHOUT_VARIABLE, without)]);
    leader.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    eventually("it is relayed", async || (bed.outbox("base").await.len() == 1).then_some(())).await;
    bed.submit(mint("bond:A", "acct:alice", 7)).await;
    eventually("it stands still", async || leader.stands_still().then_some(())).await;
    let other = take_the_lease(bed).await;
    (leader, other)
}

#[tokio::test]
async fn a_leader_paused_right_before_its_commit_is_fenced_and_changes_no_key() {
    let bed = Bed::new(&["base"]).await;
    let (leader, other) = stopped_before_commit(&bed, "").await;
    let (before, head) = (keys(&bed), bed.link().head().await.expect("reads"));
    assert!(before.keys().any(|name| name.ends_with(":in")), "the mint waits: {:?}", before.keys());

    leader.signal("-CONT");
    leader.says("Fenced: another process leads the shard").await;
    eventually("it knows that it does not lead", async || {
        (leader.get("/v1/pipeline").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(changed(&before, &keys(&bed)), Vec::<String>::new());
    let metrics = leader.metrics().await;
    assert!(
        metrics.contains(r#"oss_validator_fenced_total{shard="financial",call="commit"} 1"#),
        "{metrics}"
    );

    // Given back, the lease goes to it again, under a newer epoch, and the mint is decided once.
    let released = bed.link().release(&other).await.expect("answers");
    assert_eq!(released, common::link::Released::Ok);
    leader.ready().await;
    leader.reach_head(&bed).await;
    eventually("the mint is decided", async || {
        let asset = leader.get("/v1/assets/bond:A").await;
        (asset.body["supply"] == "7").then_some(())
    })
    .await;
    let entries = crate::audit::log(&leader).await;
    crate::audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    let (_, last) = entries.last().expect("an entry");
    assert!(last.seq > head.seq && last.epoch > other.epoch, "{} {}", last.seq, last.epoch);
}

#[tokio::test]
async fn without_the_fence_the_same_leader_does_write() {
    let bed = Bed::new(&["base"]).await;
    let (leader, other) = stopped_before_commit(&bed, "commit:epoch,commit:token").await;
    let (before, head) = (keys(&bed), bed.link().head().await.expect("reads"));
    leader.signal("-CONT");
    let after = eventually("it writes", async || {
        Some(bed.link().head().await.expect("reads")).filter(|after| after.seq > head.seq)
    })
    .await;
    assert_eq!(after.seq, head.seq + 1);
    let written = bed.link().log_range(after.seq, 1).await.expect("reads");
    let body: Body = serde_json::from_slice(&written.first().expect("an entry").body).expect("a body");
    assert!(body.epoch < other.epoch, "under the lease of {} it wrote with {}", other.epoch, body.epoch);
    let names = changed(&before, &keys(&bed));
    for key in ["head", "log", "in"] {
        let name = format!("{{oss:{SHARD}}}:{key}");
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
}
