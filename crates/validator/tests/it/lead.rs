//! Two processes: one leads; a leader that was away too long writes nothing when it comes back (I6). The other one
//! follows the log, so that it can lead; one that lacks a part of it leaves all shards to the other.

use std::collections::BTreeSet;

use common::ids::{Rid, Shard};
use common::link::{Leased, Token};
use common::status::Status;
use reqwest::StatusCode;

use crate::audit;
use crate::bed::{Bed, SHARD, Validator, eventually, mint, name, register, tenant};

#[tokio::test]
async fn a_second_process_waits_not_ready_and_says_of_what_only_the_leader_knows_that_it_does_not_lead() {
    let bed = Bed::new(&["base"]).await;
    let first = bed.start();
    first.ready().await;
    let second = bed.start();
    assert_eq!(
        (first.node().await, second.node().await),
        ("validator-1".to_owned(), "validator-2".to_owned())
    );
    let answer = second.get("/v1/pipeline").await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"no_leader".into()));
    assert!(answer.oss_seq.is_some(), "every answer carries OSS-Seq");
    // Alive and not ready while the lease is another's; ready soon after it was given back.
    assert!(!second.is_ready().await && first.is_ready().await);
    first.stop().await;
    second.ready().await;
}

#[tokio::test]
async fn a_second_process_passes_the_healthcheck_as_a_standby_and_is_not_ready_for_the_proxy() {
    let bed = Bed::new(&["base"]).await;
    let first = bed.start();
    first.ready().await;
    let second = bed.start();
    eventually("it stands by", async || (second.healthcheck(&bed).await == 0).then_some(())).await;
    let (status, body) = second.admin("/readyz").await;
    assert_eq!((status, &body["state"]), (StatusCode::SERVICE_UNAVAILABLE, &"standby".into()), "{body}");
    let leader = &body["checks"]["leader"];
    assert_eq!((&leader["ready"], &leader["state"]), (&false.into(), &"standby".into()));
    assert!(leader["detail"].as_str().is_some_and(|text| text.contains("led by validator-1")), "{leader}");
    let (status, body) = first.admin("/readyz").await;
    assert_eq!((status, &body["state"]), (StatusCode::OK, &"ready".into()), "{body}");
    assert_eq!(first.healthcheck(&bed).await, 0);
    // It was able to take over, as it said.
    first.stop().await;
    second.ready().await;
    assert_eq!(second.admin("/readyz").await.1["checks"]["leader"]["detail"], "leads all shards");
}

#[tokio::test]
async fn a_leader_that_ends_in_order_frees_its_leases_at_once() {
    let bed = Bed::new(&["base"]).await;
    // Without that the other one would wait for ten minutes.
    let long = ("OSS__LEASE__TTL_MS", "600000");
    let first = bed.start_with(&[long]);
    first.ready().await;
    let second = bed.start_with(&[long]);
    eventually("it stands by", async || (second.healthcheck(&bed).await == 0).then_some(())).await;
    first.stop().await;
    second.ready().await;
}

#[tokio::test]
async fn a_leader_that_slept_through_its_lease_writes_nothing_afterwards() {
    let bed = Bed::new(&["base"]).await;
    let first = bed.start();
    first.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    let second = bed.start();
    second.node().await;
    first.signal("-STOP");
    // These wait: nobody leads until the lease has run out.
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(bed.submit(mint("bond:A", "acct:alice", 1)).await);
    }
    second.ready().await;
    for rid in waiting {
        bed.decided(rid).await;
    }
    first.signal("-CONT");
    for _ in 0..20 {
        bed.decide(mint("bond:A", "acct:alice", 1)).await;
    }
    eventually("the first one knows that it does not lead", async || {
        (first.get("/v1/pipeline").await.status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    second.reach_head(&bed).await;
    let entries = audit::log(&second).await;
    audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    let takeover =
        entries.iter().position(|(_, body)| body.node == "validator-2").expect("the second one led");
    let after: BTreeSet<&str> = entries[takeover..].iter().map(|(_, body)| body.node.as_str()).collect();
    assert_eq!(after, BTreeSet::from(["validator-2"]));
    assert!(entries[takeover].1.epoch > entries[takeover - 1].1.epoch);
    let asset = second.get("/v1/assets/bond:A").await;
    assert_eq!(asset.body["supply"], "25");
}

/// Nothing stays in `:log` but what a live standby does not have yet.
const KEEP_NOTHING: (&str, &str) = ("OSS__LOG__KEEP_ENTRIES", "0");

/// Waits until the process tells the leader how far it is, in every shard.
async fn follows(bed: &Bed, standby: &Validator) {
    let node = standby.node().await;
    for shard in Shard::ALL {
        eventually("it follows", async || {
            let members = bed.commands.shard(shard).validators().await.expect("reads");
            members.contains_key(&node).then_some(())
        })
        .await;
    }
}

/// How many entries of the shard were trimmed.
async fn trimmed(bed: &Bed, shard: Shard) -> u64 {
    let first = bed.commands.shard(shard).log_range(1, 1).await.expect("reads");
    first.first().map_or(0, |entry| entry.seq - 1)
}

#[tokio::test]
async fn a_live_standby_follows_a_log_that_is_trimmed_behind_it_and_leads_without_a_loss() {
    let bed = Bed::new(&["base"]).await;
    let mut first = bed.start_with(&[KEEP_NOTHING]);
    first.ready().await;
    let second = bed.start_with(&[KEEP_NOTHING]);
    follows(&bed, &second).await;
    bed.decide(register("bond:A", &["base"])).await;
    for _ in 0..10 {
        bed.decide(mint("bond:A", "acct:alice", 1)).await;
    }
    eventually("the log is trimmed", async || (trimmed(&bed, SHARD).await >= 10).then_some(())).await;
    for _ in 0..10 {
        bed.decide(mint("bond:A", "acct:alice", 1)).await;
    }
    first.kill();
    second.ready().await;
    bed.decide(mint("bond:A", "acct:alice", 1)).await;
    second.reach_head(&bed).await;
    let entries = audit::log(&second).await;
    audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    assert_eq!(second.get("/v1/assets/bond:A").await.body["supply"], "21");
}

#[tokio::test]
async fn a_leader_that_has_nothing_to_trim_says_all_the_same_that_it_lives() {
    let bed = Bed::new(&["base"]).await;
    let leader = bed.start();
    leader.ready().await;
    let told =
        async || bed.link().validators().await.expect("reads").get("validator-1").map(|own| own.beat_ms);
    let first = eventually("it tells", async || told().await).await;
    eventually("it tells again", async || told().await.filter(|again| *again > first)).await;
}

/// Decides requests of another shard than the first one, one entry each.
async fn play(bed: &Bed, names: &[&str]) {
    for name in names {
        let request = register(&format!("game_item:{name}"), &["base"]);
        let rid = bed.submit_as(&tenant(), Rid::fresh(Shard::Gaming), request).await;
        assert_eq!(bed.decided(rid).await.status, Status::Committed);
    }
}

async fn leads_all(validator: &Validator) {
    validator.ready().await;
    for shard in Shard::ALL {
        let answer = validator.get(&format!("/v1/shards/{shard}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{shard}: {answer:?}");
    }
}

#[tokio::test]
async fn a_process_that_lacks_a_part_of_one_shard_takes_no_lease_at_all() {
    let bed = Bed::new(&["base"]).await;
    let mut whole = bed.start_with(&[KEEP_NOTHING]);
    whole.ready().await;
    play(&bed, &["A", "B", "C"]).await;
    eventually("the log is trimmed", async || (trimmed(&bed, Shard::Gaming).await > 0).then_some(())).await;
    let holed = bed.start_with(&[KEEP_NOTHING]);
    holed.says("The own archive ends before the log begins; not taking the lease").await;
    whole.kill();
    // The first shard's lease stays free for three times as long as a process takes to renew.
    let mut free = 0;
    eventually("nobody takes the lease", async || {
        let lease = bed.link().lease(&name("probe"), &Token::random(), 1, 0).await.expect("answers");
        free = if matches!(lease, Leased::New { .. }) { free + 1 } else { 0 };
        (free == 30).then_some(())
    })
    .await;
    let whole = bed.start_with(&[KEEP_NOTHING]);
    leads_all(&whole).await;
    play(&bed, &["D"]).await;
    assert!(!holed.is_ready().await);
    // It could not take over either, and says what it lacks.
    assert_ne!(holed.healthcheck(&bed).await, 0);
    let (_, body) = holed.admin("/healthz").await;
    assert_eq!(body["checks"]["leader"]["detail"], "catching up: gaming", "{body}");
}

#[tokio::test]
async fn a_leader_that_finds_a_hole_in_one_shard_gives_all_leases_back() {
    let bed = Bed::new(&["base"]).await;
    let whole = bed.start();
    whole.ready().await;
    let holed = bed.start();
    follows(&bed, &holed).await;
    holed.signal("-STOP");
    play(&bed, &["A", "B", "C"]).await;
    whole.reach_head(&bed).await;
    bed.redis.command(&["XTRIM", "{oss:gaming}:log", "MAXLEN", "=", "1"]).expect("trims");
    whole.stop().await;
    // It does not know yet what it lacks, and takes all leases.
    holed.signal("-CONT");
    holed.says("The own archive ends before the log begins; not taking the lease").await;
    let whole = bed.start();
    leads_all(&whole).await;
    play(&bed, &["D"]).await;
    assert!(!holed.is_ready().await);
}

#[tokio::test]
async fn a_leader_that_is_cut_off_answers_no_reads_once_its_lease_may_be_anothers() {
    let mut bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    validator.reach_head(&bed).await;
    assert_eq!(validator.get("/v1/assets/bond:A").await.status, StatusCode::OK);
    bed.redis.kill().expect("kills");
    let refused = eventually("it knows", async || {
        Some(validator.get("/v1/assets/bond:A").await).filter(|answer| answer.status != StatusCode::OK)
    })
    .await;
    bed.redis.restart().expect("restarts");
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"no_leader".into())
    );
    validator.ready().await;
}
