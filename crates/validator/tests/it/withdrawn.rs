//! Observations withdrawn, through the real process: the record and the decision say so, over a death at any step and a
//! view that is made anew.

use common::hash::Digest;
use common::ids::Rid;
use common::link::{SendTo, Sent};
use common::message::{About, Body, Message, Withdrawn};
use common::request::SyncRequest;
use common::status::Status;
use serde_json::{Value, json};

use crate::bed::{Bed, Validator, eventually, mint, register, tenant};

fn request() -> Value {
    mint("bond:A", "acct:alice", 10)
}

/// What a collector sends when the block of what `rid` rests on is gone.
async fn withdraw(bed: &Bed, rid: Rid, block: u8) {
    let fp = SyncRequest::parse(&request()).expect("valid").fingerprint();
    let about = About { rid, tenant: tenant(), fp, accepted_ms: None };
    let withdrawn = Withdrawn {
        source: "chain".parse().expect("a name"),
        identity: Some("eip155:1/0xab/0".to_owned()),
        block: u64::from(block),
        block_hash: Digest([block; 32]),
        pointer: "/state_changes/0/backed_by/event".to_owned(),
    };
    let id = format!("withdrawn:{rid}:{block}");
    let body = Body::Withdrawn { about, withdrawn };
    let payload = Message { id: id.clone(), traceparent: None, body }.encode();
    let sent = bed.link().send(SendTo::Express, &id, &payload, 500).await.expect("sends");
    assert!(matches!(sent, Sent::Ok { .. }), "{sent:?}");
}

/// The decision once the view is where the log is.
async fn decision(bed: &Bed, validator: &Validator, rid: Rid) -> Value {
    validator.reach_head(bed).await;
    validator.get(&format!("/v1/decisions/{rid}")).await.body
}

async fn told(bed: &Bed, rid: Rid, after: Option<u64>) -> u64 {
    eventually("the request is told", async || {
        bed.record(rid).await.withdrawn.filter(|seq| Some(*seq) > after)
    })
    .await
}

#[tokio::test]
async fn an_applied_request_is_told_and_stays_told_when_the_view_is_made_anew() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    let before = bed.decide(request()).await;
    let rid = before.rid;
    assert_eq!(decision(&bed, &validator, rid).await.get("withdrawn"), None);
    withdraw(&bed, rid, 7).await;
    let seq = told(&bed, rid, None).await;
    let record = bed.record(rid).await;
    assert_eq!((record.status, record.outcome, record.seq), (before.status, before.outcome, before.seq));
    assert_eq!(record.version, before.version + 1);
    let first = decision(&bed, &validator, rid).await;
    let expected = json!([{
        "code": "OBSERVATION_WITHDRAWN", "source": "chain", "event": "eip155:1/0xab/0", "block": 7,
        "block_hash": Digest([7; 32]), "pointer": "/state_changes/0/backed_by/event", "seq": seq,
        "time_ms": first["withdrawn"][0]["time_ms"],
    }]);
    assert_eq!((&first["withdrawn"], first["outcome"].as_str()), (&expected, Some("APPLIED")));
    assert_eq!(validator.get("/v1/assets/bond:A").await.body["supply"], "10");
    validator.says("An observation of an applied request was withdrawn; consider rolling it back").await;

    let shards = validator.get("/v1/shards/financial").await.body;
    validator.stop().await;
    assert_eq!(bed.run(&["rebuild-view"]), 0);
    let validator = bed.start();
    validator.ready().await;
    assert_eq!(decision(&bed, &validator, rid).await, first);
    let again = validator.get("/v1/shards/financial").await.body;
    assert_eq!((&again["root"], &again["aux"]), (&shards["root"], &shards["aux"]));
    // What came back and went again is one more; what is known already is not.
    withdraw(&bed, rid, 8).await;
    let second = told(&bed, rid, Some(seq)).await;
    let list = decision(&bed, &validator, rid).await["withdrawn"].clone();
    assert_eq!(
        (&list[0], &list[1]["seq"], list.as_array().map(Vec::len)),
        (&expected[0], &json!(second), Some(2))
    );
    validator.stop().await;
}

#[tokio::test]
async fn a_request_whose_observation_is_withdrawn_first_is_rejected_over_a_death_at_each_step() {
    for point in
        ["validator.after_read", "validator.before_commit", "validator.after_commit", "validator.after_view"]
    {
        let bed = Bed::new(&["base"]).await;
        let first = bed.start();
        first.ready().await;
        bed.decide(register("bond:A", &["base"])).await;
        first.stop().await;
        // What waits for whoever leads: the withdrawal in `:inx`, which is read first, and the request in `:in`.
        let rid = bed.submit(request()).await;
        withdraw(&bed, rid, 7).await;
        let mut doomed = bed.start_with(&[("OSS_CRASH_POINT", point)]);
        assert_eq!(doomed.exit().await, None, "{point}: must die by a signal\n{}", doomed.log());
        let validator = bed.start();
        validator.ready().await;
        let record = bed.decided(rid).await;
        assert_eq!((record.status, record.withdrawn), (Status::Rejected, None), "{point}");
        assert_eq!(record.code.as_deref(), Some("OBSERVATION_WITHDRAWN"), "{point}");
        let decision = decision(&bed, &validator, rid).await;
        assert_eq!(
            decision["errors"][0]["pointer"], "/state_changes/0/backed_by/event",
            "{point}: {decision}"
        );
        let entries = crate::audit::log(&validator).await;
        crate::audit::check(&entries, &bed.submitted.lock().expect("lock").clone());
        validator.stop().await;
    }
}
