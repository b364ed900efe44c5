//! A message that kills the process (I13): it delays others by at most three attempts and is set aside once.

use common::entry::InputStream;
use common::ids::Rid;
use common::link::StreamId;
use common::status::{OutcomeKind, Status};
use serde_json::Value;

use crate::audit;
use crate::bed::{Bed, Validator, eventually, mint, register};

const POISON: (&str, &str) = ("OSS_CRASH_OVER", "acct:poison");
/// Process starts after which a supervisor would have given up long ago.
const STARTS_MAX: usize = 8;

/// Starts the process again whenever it dies, until `done` holds; gives the living one and how many died before.
/// `folder` is the data folder of each start.
async fn supervise(
    bed: &Bed,
    folder: impl Fn(usize) -> String,
    mut done: impl AsyncFnMut() -> bool,
) -> Option<(Validator, usize)> {
    for deaths in 0..STARTS_MAX {
        let folder = folder(deaths);
        let mut validator = bed.start_with(&[POISON, ("OSS__DATA_DIR", &folder)]);
        let mut is_done = false;
        eventually("done, or dead", async || {
            is_done = done().await;
            (is_done || validator.has_ended()).then_some(())
        })
        .await;
        if is_done {
            return Some((validator, deaths));
        }
    }
    None
}

/// A registered asset, then `before` good requests, the poison and `after` good ones in the stream.
async fn poisoned(bed: &Bed, before: usize, after: usize) -> (Rid, Vec<Rid>) {
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    validator.stop().await;
    let mut good = Vec::new();
    for _ in 0..before {
        good.push(bed.submit(mint("bond:A", "acct:alice", 1)).await);
    }
    let poison = bed.submit(mint("bond:A", "acct:poison", 1)).await;
    for _ in 0..after {
        good.push(bed.submit(mint("bond:A", "acct:alice", 1)).await);
    }
    (poison, good)
}

#[tokio::test]
async fn a_request_that_waits_and_kills_the_process_when_its_turn_comes_is_given_up_too() {
    for awaits_time in [false, true] {
        let bed = Bed::new(&["base"]).await;
        let validator = bed.start();
        validator.ready().await;
        bed.decide(register("bond:A", &["base"])).await;
        let awaited = Rid::fresh(crate::bed::SHARD);
        let mut request = mint("bond:A", "acct:poison", 1);
        if awaits_time {
            let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(4);
            let soon = jiff::Timestamp::try_from(soon).expect("a time").as_millisecond();
            let soon = jiff::Timestamp::from_millisecond(soon).expect("a time");
            request["effective_at"] = serde_json::json!(soon.to_string());
        } else {
            request["depends_on"] = serde_json::json!([awaited]);
        }
        let poison = bed.submit(request).await;
        eventually("it waits", async || (bed.record(poison).await.status == Status::Queued).then_some(()))
            .await;
        validator.stop().await;
        bed.submit_as(&crate::bed::tenant(), awaited, mint("bond:A", "acct:alice", 1)).await;
        let folder = bed.path("data").display().to_string();
        let ended = async || bed.record(poison).await.status.is_end();
        let (validator, deaths) = supervise(&bed, |_| folder.clone(), ended).await.expect("it is given up");
        // The first death is what brings suspicion; two are counted; the third attempt is not made.
        assert_eq!(deaths, 3);
        let record = bed.record(poison).await;
        assert_eq!((record.status, record.code.as_deref()), (Status::Rejected, Some("CRASH")));
        validator.ready().await;
        assert_eq!(bed.decide(mint("bond:A", "acct:alice", 1)).await.code, None);
        validator.reach_head(&bed).await;
        audit::check(&audit::log(&validator).await, &bed.submitted.lock().expect("lock").clone());
    }
}

async fn is_input_empty(bed: &Bed) -> bool {
    bed.link().backlog().await.expect("reads").input == 0
}

#[tokio::test]
async fn a_message_that_kills_the_process_among_a_thousand_good_ones_is_dead_lettered_once_and_no_other_is() {
    let bed = Bed::new(&["base"]).await;
    let (poison, good) = poisoned(&bed, 500, 500).await;
    let folder = bed.path("data").display().to_string();
    let found = supervise(&bed, |_| folder.clone(), async || is_input_empty(&bed).await).await;
    let (validator, deaths) = found.expect("the message is given up in the end");
    // The first death is what brings suspicion; two are counted; the third attempt is not made.
    assert_eq!(deaths, 3);
    validator.ready().await;
    for rid in &good {
        assert_eq!(bed.decided(*rid).await.outcome, Some(OutcomeKind::Applied));
    }
    let record = bed.decided(poison).await;
    assert_eq!((record.status, record.code.as_deref()), (Status::Rejected, Some("CRASH")));
    validator.reach_head(&bed).await;
    let asset = validator.get("/v1/assets/bond:A").await.body;
    assert_eq!((asset["supply"].as_str(), asset["version"].as_u64()), (Some("1000"), Some(1_001)));

    let dead = bed.link().dead_letters_after(StreamId::ZERO, 10).await.expect("reads");
    let [letter] = dead.as_slice() else { panic!("one dead letter: {dead:?}") };
    assert_eq!((letter.stage.as_str(), letter.code.as_str(), letter.attempts), ("validator", "CRASH", 3));
    let original: Value = serde_json::from_slice(&letter.original).expect("JSON");
    assert_eq!(original["rid"], poison.to_string());
    let notes = bed.redis.command(&["HLEN", "{oss:financial}:att"]).expect("reads");
    assert_eq!(format!("{notes:?}"), "int(0)", "COMMIT settles the notes");

    let entries = audit::log(&validator).await;
    audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
    let (_, given_up) = entries
        .iter()
        .find(|(_, body)| body.outcomes.iter().any(|outcome| outcome.rid == poison))
        .expect("the entry that gives it up");
    let from: Vec<InputStream> = given_up.inputs.iter().map(|input| input.s).collect();
    assert_eq!(from, [InputStream::Local, InputStream::In], "the fact, then the message");
    // What a batch can take is taken one by one, all behind it in batches again.
    let alone = entries.iter().filter(|(_, body)| body.inputs.len() == 1).count();
    assert!(entries.len() < 700 && alone > 200, "{} entries, {alone} of one message", entries.len());
    validator.says("No message is under suspicion any more").await;
    validator.stop().await;

    // Replay takes the fact as given: a process that would die over the message rebuilds the same state.
    let other = bed.path("other").display().to_string();
    let rebuilt = bed.start_with(&[POISON, ("OSS__DATA_DIR", &other)]);
    rebuilt.ready().await;
    assert_eq!(rebuilt.get("/v1/assets/bond:A").await.body["supply"], "1000");
}

#[tokio::test]
async fn without_the_mark_of_an_unclean_end_the_same_message_kills_every_process() {
    let bed = Bed::new(&["base"]).await;
    let (poison, _) = poisoned(&bed, 5, 5).await;
    // Each start has a folder of its own, so that none knows how the one before it ended.
    let folder = |start: usize| bed.path(&format!("data-{start}")).display().to_string();
    let found = supervise(&bed, folder, async || is_input_empty(&bed).await).await;
    assert!(found.is_none(), "it was given up without suspicion");
    assert_eq!(bed.record(poison).await.status, Status::Accepted);
    assert_eq!(bed.link().backlog().await.expect("reads").dead_letters, 0);
}

#[tokio::test]
async fn a_process_that_ended_in_order_is_not_under_suspicion_and_one_that_was_killed_is_until_it_has_led() {
    let bed = Bed::new(&["base"]).await;
    let mut first = bed.start();
    first.ready().await;
    let suspicion = "The last leader here did not end in order; messages are taken one by one at first";
    assert!(!first.log().contains(suspicion));
    first.kill();
    // Without a message to look at it is over at once.
    let second = bed.start();
    second.ready().await;
    second.says(suspicion).await;
    second.says("No message is under suspicion any more").await;
    second.stop().await;
    let third = bed.start();
    third.ready().await;
    assert!(!third.log().contains(suspicion), "{}", third.log());
    third.stop().await;
}
