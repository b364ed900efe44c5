//! `POST /v1/rollbacks`: answers, the log's decision, the barrier, and a crash at every step.

use common::hash::Digest;
use common::ids::Rid;
use common::keys::Keys;
use common::link::{Bind, Bound, Item, Ordered, Sent, StreamId};
use common::status::{Delivery, OutcomeKind, Status};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit;
use crate::bed::{Answer, Bed, Validator, change, eventually, mint, name, register, tenant, transfer};

const WAIT: (&str, &str) = ("prefer", "wait=20");

async fn post(validator: &Validator, key: &str, body: &Value, who: &str, headers: &[(&str, &str)]) -> Answer {
    let mut all = vec![("idempotency-key", key)];
    all.extend(headers);
    validator.send(Method::POST, "/v1/rollbacks", who, &all, Some(body)).await
}

async fn undo(validator: &Validator, key: &str, rid: Rid) -> Answer {
    post(validator, key, &json!({ "rid": rid }), "operate", &[WAIT]).await
}

/// A bond on `base` and `op` with 100 for alice and 100 for carol, and a transfer of each, all of it in the view.
async fn scene(bed: &Bed, validator: &Validator) -> [Rid; 2] {
    bed.decide(register("bond:A", &["base", "op"])).await;
    bed.decide(mint("bond:A", "acct:alice", 100)).await;
    bed.decide(mint("bond:A", "acct:carol", 100)).await;
    let first = bed.decide(transfer("bond:A", "acct:alice", "acct:bob", 30)).await.rid;
    let second = bed.decide(transfer("bond:A", "acct:carol", "acct:dave", 5)).await.rid;
    validator.reach_head(bed).await;
    [first, second]
}

async fn balance(validator: &Validator, account: &str) -> String {
    let answer = validator.get(&format!("/v1/holdings/bond:A/{account}")).await;
    answer.body["balance"].as_str().unwrap_or("0").to_owned()
}

#[tokio::test]
async fn a_request_is_undone_and_everybody_is_told() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let [first, second] = scene(&bed, &validator).await;

    let body = json!({ "rid": first });
    let dry = post(&validator, "dry", &json!({"rid": first, "dry_run": true}), "operate", &[]).await;
    assert_eq!((dry.status, &dry.body), (StatusCode::OK, &json!({"undone": [first], "blocked_by": []})));
    let head = bed.link().head().await.expect("reads").seq;
    let done = undo(&validator, "undo", first).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let command: Rid = done.body["rid"].as_str().and_then(|rid| rid.parse().ok()).expect("an id");
    let seq = head + 1;
    assert_eq!(done.body, json!({"rid": command, "undoes": first, "status": "committed", "seq": seq}));
    assert_eq!(done.oss_seq, Some(seq.to_string()));
    validator.reach_head(&bed).await;

    let record = bed.record(first).await;
    assert_eq!((record.status, record.outcome), (Status::RolledBack, Some(OutcomeKind::Reverted)));
    assert_eq!(record.code.as_deref(), Some("ROLLED_BACK"));
    assert!(record.seq < Some(seq) && record.ended_ms.is_some(), "{record:?}");
    let decision = validator.get(&format!("/v1/decisions/{first}")).await.body;
    assert_eq!(
        (&decision["outcome"], &decision["status"], &decision["reverted_seq"]),
        (&json!("REVERTED"), &json!("rolled_back"), &json!(seq))
    );
    for (account, expected) in [("acct:alice", "100"), ("acct:bob", "0"), ("acct:dave", "5")] {
        assert_eq!(balance(&validator, account).await, expected, "{account}");
    }

    // The barrier is up, and what lanes have to leave out is told with it.
    let head = bed.link().head().await.expect("reads");
    assert_eq!((head.seq, head.barrier), (seq, seq));
    let control = bed.link().control_after(StreamId::ZERO, 9).await.expect("reads");
    let [told] = control.as_slice() else { panic!("{control:?}") };
    let told: Value = serde_json::from_slice(&told.payload).expect("JSON");
    assert_eq!(told["seq"], seq);
    let covers = told["covers"].as_array().expect("covers");
    assert_eq!(covers.len(), 2);
    assert!(
        covers.iter().all(|cover| (&cover["from"], &cover["version"]) == (&json!(3), &json!(6))),
        "{told}"
    );

    // Again: the same answer under the same key, a refusal under another, and another body under it.
    let again = undo(&validator, "undo", first).await;
    assert_eq!((again.status, again.replayed, &again.body), (StatusCode::OK, true, &done.body));
    let other = undo(&validator, "other", first).await;
    assert_eq!((other.status, &other.body["code"]), (StatusCode::CONFLICT, &json!("ALREADY_ROLLED_BACK")));
    let reused = undo(&validator, "undo", second).await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(bed.link().head().await.expect("reads").seq, seq, "what is refused makes no entry");

    // What supersedes it is waited for like a request.
    let lanes = [("base", bed.lane("base").await), ("op", bed.lane("op").await)];
    for (target, fence) in &lanes {
        eventually("relayed", async || bed.outbox(target).await.contains(&seq).then_some(())).await;
        bed.finish(fence, target, seq, Delivery::Final).await;
    }
    let completed = validator
        .send(
            Method::POST,
            "/v1/rollbacks?until=completed",
            "operate",
            &[("idempotency-key", "undo"), WAIT],
            Some(&body),
        )
        .await;
    let completed = if completed.body["status"] == "completed" {
        completed
    } else {
        eventually("completed", async || {
            Some(undo(&validator, "undo", first).await).filter(|answer| answer.body["status"] == "completed")
        })
        .await
    };
    assert_eq!(completed.status, StatusCode::OK);
    validator.stop().await;
}

#[tokio::test]
async fn what_cannot_be_undone_is_refused_at_once_with_its_reason() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let [first, _] = scene(&bed, &validator).await;
    let dependent = bed.decide(transfer("bond:A", "acct:bob", "acct:erin", 1)).await.rid;
    let refused = bed.decide(transfer("bond:A", "acct:zoe", "acct:erin", 1)).await.rid;
    let burnt =
        bed.decide(change("bond:A", json!({"kind": "BURN", "from": "acct:dave", "amount": "1"}))).await.rid;
    validator.reach_head(&bed).await;
    let head = bed.link().head().await.expect("reads").seq;
    for (rid, status, code, dependents) in [
        (first, 409, "HAS_DEPENDENTS", json!([dependent])),
        (refused, 409, "NOT_APPLIED", Value::Null),
        (burnt, 409, "NOT_REVERSIBLE", Value::Null),
        (Rid::fresh(crate::bed::SHARD), 404, "not_found", Value::Null),
    ] {
        let answer = undo(&validator, "undo", rid).await;
        let said = (answer.status.as_u16(), &answer.body["code"], &answer.body["dependents"]);
        assert_eq!(said, (status, &json!(code), &dependents), "{answer:?}");
        let dry = post(&validator, "dry", &json!({"rid": rid, "dry_run": true}), "operate", &[]).await;
        if status == 409 {
            assert_eq!((dry.status, &dry.body["code"]), (StatusCode::OK, &json!(code)), "{dry:?}");
            assert_eq!(dry.body["undone"], json!([]));
        }
    }
    for (what, key, who, body, status) in [
        ("another tenant", "1", "other", json!({ "rid": first }), 404),
        ("a key that only reads", "2", "read", json!({ "rid": first }), 403),
        ("a field that there is not", "3", "operate", json!({"rid": first, "cascade": true}), 422),
        ("no request", "4", "operate", json!({}), 422),
    ] {
        let answer = post(&validator, key, &body, who, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
    }
    let keyless =
        validator.send(Method::POST, "/v1/rollbacks", "operate", &[], Some(&json!({ "rid": first }))).await;
    assert_eq!(keyless.status, StatusCode::BAD_REQUEST);
    let large = json!({ "rid": first, "x": "x".repeat(5_000) });
    assert_eq!(post(&validator, "5", &large, "operate", &[]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bed.link().head().await.expect("reads").seq, head, "none of it made an entry");
    // After the dependent nothing rests on it any more.
    assert_eq!(undo(&validator, "undo-dependent", dependent).await.status, StatusCode::OK);
    validator.reach_head(&bed).await;
    assert_eq!(undo(&validator, "undo", first).await.status, StatusCode::OK);
    validator.stop().await;
}

#[tokio::test]
async fn a_lane_that_slept_across_a_rollback_binds_nothing_before_it_has_read_it() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let [first, _] = scene(&bed, &validator).await;
    let covered = bed.record(first).await.seq.expect("decided");
    let fence = bed.lane("base").await;
    eventually("relayed", async || bed.outbox("base").await.contains(&covered).then_some(())).await;
    let done = undo(&validator, "undo", first).await;
    let seq = done.body["seq"].as_u64().expect("an entry");
    let (target, items) = (name("base"), [Item { seq: covered, part: 0 }]);
    let bind = |control_seq| Bind { target: &target, rewind: 0, control_seq, chain_next: 0, items: &items };
    assert_eq!(bed.link().bind(&fence, &bind(0)).await.expect("answers"), Bound::Stale);
    assert_eq!(bed.link().bind(&fence, &bind(seq - 1)).await.expect("answers"), Bound::Stale);
    assert_eq!(bed.link().bind(&fence, &bind(seq)).await.expect("answers"), Bound::Ok { nonce: 0 });
    validator.stop().await;
}

#[tokio::test]
async fn what_only_the_deliveries_under_way_forbid_is_told_at_once_too() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let [first, _] = scene(&bed, &validator).await;
    bed.decide(mint("bond:A", "acct:zoe", 10_000)).await;
    let crowded = bed.decide(transfer("bond:A", "acct:alice", "acct:erin", 1)).await.rid;
    // As many as one COMMIT writes records for.
    let mut last = crowded;
    for _ in 0..768 {
        last = bed.submit(transfer("bond:A", "acct:zoe", "acct:yan", 1)).await;
    }
    let head = bed.decided(last).await.seq;
    validator.reach_head(&bed).await;
    let dry = post(&validator, "dry", &json!({"rid": crowded, "dry_run": true}), "operate", &[]).await;
    assert_eq!((dry.status, &dry.body["code"]), (StatusCode::OK, &json!("ROLLBACK_TOO_LARGE")), "{dry:?}");
    let refused = undo(&validator, "undo", crowded).await;
    assert_eq!((refused.status, &refused.body["code"]), (StatusCode::CONFLICT, &json!("ROLLBACK_TOO_LARGE")));
    assert_eq!(bed.record(first).await.status, Status::Committed);
    assert_eq!(Some(bed.link().head().await.expect("reads").seq), head, "no entry was made");

    // Deliveries make room.
    let lanes = [("base", bed.lane("base").await), ("op", bed.lane("op").await)];
    for (target, fence) in &lanes {
        let relayed = async || bed.outbox(target).await.contains(&head.unwrap_or(0)).then_some(());
        eventually("relayed", relayed).await;
        for seq in bed.outbox(target).await {
            bed.finish(fence, target, seq, Delivery::Final).await;
        }
    }
    let undone = eventually("there is room", async || {
        Some(undo(&validator, "undo", crowded).await).filter(|answer| answer.status == StatusCode::OK)
    });
    assert_eq!(undone.await.body["status"], "committed");
    validator.stop().await;
}

#[tokio::test]
async fn a_key_that_was_used_a_moment_ago_for_another_rollback_is_refused() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let [first, second] = scene(&bed, &validator).await;
    // What the first use of the key has left, of which the log has decided nothing.
    let command = Rid::from_key(&tenant(), &"undo".parse().expect("a key"), crate::bed::SHARD);
    let fp = Digest::of(&[b"oss/command/1", b"rollback", first.as_bytes()]);
    let sent = bed.link().order(&format!("command:{command}"), fp, b"{}", 500).await.expect("sends");
    assert!(matches!(sent, Ordered::Sent(Sent::Ok { .. })), "{sent:?}");
    let refused = post(&validator, "undo", &json!({ "rid": second }), "operate", &[]).await;
    let said = (refused.status, &refused.body["code"]);
    assert_eq!(said, (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_conflict")), "{refused:?}");
    let again = post(&validator, "undo", &json!({ "rid": first }), "operate", &[]).await;
    assert_eq!((again.status, again.replayed), (StatusCode::ACCEPTED, true), "{again:?}");
    assert_eq!(bed.record(second).await.status, Status::Committed);
    validator.stop().await;
}

#[tokio::test]
async fn rollbacks_that_a_target_has_not_passed_are_bounded_and_those_that_all_have_are_forgotten() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    let [first, second] = scene(&bed, &validator).await;
    assert_eq!(undo(&validator, "undo-1", first).await.status, StatusCode::OK);
    validator.reach_head(&bed).await;
    let control = Keys::new(crate::bed::SHARD).control();
    // Up to the bound, as from rollbacks of entries that no target has passed.
    let fill = "for n = 1, tonumber(ARGV[1]) do \
                redis.call('XADD', KEYS[1], '0-' .. n, 'kind', 'revert', 'seq', 999999, 'm', '{}') end";
    let many = 1_000 - bed.link().control_len().await.expect("reads");
    let key = format!("{control}-aside");
    bed.redis.command(&["RENAME", &control, &key]).expect("renames");
    bed.redis.command(&["EVAL", fill, "1", &control, &(many + 1).to_string()]).expect("fills");
    let refused = undo(&validator, "undo-2", second).await;
    let said = (refused.status, &refused.body["code"]);
    assert_eq!(said, (StatusCode::SERVICE_UNAVAILABLE, &json!("backpressure")), "{refused:?}");
    bed.redis.command(&["RENAME", &key, &control]).expect("renames");
    let done = undo(&validator, "undo-2", second).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert_eq!(bed.link().control_len().await.expect("reads"), 2);

    let last = done.body["seq"].as_u64().expect("an entry");
    for target in ["base", "op"] {
        let fence = bed.lane(target).await;
        eventually("relayed", async || bed.outbox(target).await.contains(&last).then_some(())).await;
        for seq in bed.outbox(target).await {
            bed.finish(&fence, target, seq, Delivery::Final).await;
        }
    }
    eventually("the first one is forgotten", async || {
        (bed.link().control_len().await.expect("reads") == 1).then_some(())
    })
    .await;
    validator.stop().await;
}

/// Dies at `point` around the rollback; started again, the log has it once and everything is as without the crash.
async fn survives(point: &str) {
    let bed = Bed::new(&["base", "op"]).await;
    let mut doomed = bed.start_with(&[("OSS_CRASH_POINT", point)]);
    doomed.ready().await;
    let [first, _] = scene(&bed, &doomed).await;
    // Whatever it answers before it dies, and whether it does.
    let _: Option<Answer> = doomed
        .try_send(
            Method::POST,
            "/v1/rollbacks",
            "operate",
            &[("idempotency-key", "undo")],
            Some(&json!({ "rid": first })),
        )
        .await;
    assert_eq!(doomed.exit().await, None, "{point}: must die by a signal\n{}", doomed.log());

    let validator = bed.start();
    validator.ready().await;
    let done = eventually("the rollback is decided", async || {
        Some(undo(&validator, "undo", first).await).filter(|answer| answer.status == StatusCode::OK)
    })
    .await;
    let command: Rid = done.body["rid"].as_str().and_then(|rid| rid.parse().ok()).expect("an id");
    validator.reach_head(&bed).await;
    let entries = audit::log(&validator).await;
    let undone: Vec<u64> = entries
        .iter()
        .filter(|(_, body)| body.outcomes.iter().any(|outcome| outcome.outcome == OutcomeKind::Reverted))
        .map(|(entry, _)| entry.seq)
        .collect();
    assert_eq!(undone, [done.body["seq"].as_u64().expect("an entry")], "{point}: undone once");
    let mut submitted = bed.submitted.lock().expect("lock").clone();
    let ordered = entries.iter().flat_map(|(_, body)| &body.outcomes).find(|outcome| outcome.rid == command);
    submitted.insert(command, ordered.expect("an outcome").fp);
    audit::check(&entries, &submitted);
    eventually("everything is relayed", async || {
        let marks = bed.link().head().await.expect("reads").watermarks;
        marks.values().all(|mark| *mark == entries.len() as u64).then_some(())
    })
    .await;
    audit::check_outbox(&bed, "base", &entries).await;
    let control = bed.link().control_after(StreamId::ZERO, 9).await.expect("reads");
    assert_eq!(control.iter().map(|control| control.seq).collect::<Vec<_>>(), undone, "{point}");
    assert_eq!(bed.link().head().await.expect("reads").barrier, undone[0], "{point}");
    assert_eq!(bed.record(first).await.status, Status::RolledBack, "{point}");
    let asset = validator.get("/v1/assets/bond:A").await.body;
    assert_eq!((asset["supply"].as_str(), asset["version"].as_u64()), (Some("200"), Some(6)), "{point}");
    for (account, expected) in [("acct:alice", "100"), ("acct:bob", "0"), ("acct:dave", "5")] {
        assert_eq!(balance(&validator, account).await, expected, "{point}: {account}");
    }
    validator.stop().await;
}

// Entries 1 to 4 are the shards' targets, 5 to 9 the scene's, 10 is the REVERT.
#[tokio::test]
async fn a_crash_around_a_rollback_undoes_once_and_loses_nothing() {
    for point in [
        "link.send.before:1",
        "link.send.after:1",
        "validator.after_read:10",
        "validator.before_commit:10",
        "link.commit.before:10",
        "link.commit.after:10",
        "validator.after_commit:10",
        "validator.after_view:10",
    ] {
        survives(point).await;
    }
}
