//! Long locks through a real process: queues, deadlines, restarts, and what the read API shows of them.

use common::ids::{Rid, Shard};
use common::status::Status;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::audit;
use crate::bed::{Bed, Validator, change, eventually, mint, register, tenant, transfer};

fn lock(asset: &str, seconds: u32) -> Value {
    change(asset, json!({"kind": "LOCK", "reason": "a notary", "seconds": seconds}))
}

fn unlock(asset: &str, lock: Rid) -> Value {
    change(asset, json!({"kind": "UNLOCK", "lock": lock}))
}

async fn queued(bed: &Bed, rid: Rid) {
    // Or has waited.
    let is_queued = async || (bed.record(rid).await.status.rank() >= Status::Queued.rank()).then_some(());
    eventually("it waits", is_queued).await;
}

async fn shown(validator: &Validator, bed: &Bed, asset: &str) -> Value {
    validator.reach_head(bed).await;
    validator.get(&format!("/v1/locks?asset={asset}")).await.body
}

#[tokio::test]
async fn a_queue_of_64_goes_on_in_order_behind_an_order_and_survives_its_leader() {
    let bed = Bed::new(&["base"]).await;
    let mut validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    bed.decide(mint("bond:A", "acct:alice", 100)).await;
    let held = bed.decide(lock("bond:A", 600)).await.rid;
    let mut waiters = Vec::new();
    for _ in 0..65 {
        waiters.push(bed.submit(transfer("bond:A", "acct:alice", "acct:bob", 1)).await);
    }
    let refused = waiters.pop().expect("65 of them");
    assert_eq!(bed.decided(refused).await.code.as_deref(), Some("LOCK_QUEUE_FULL"));
    // Of an authority that is another tenant: it learns that it waits, and not whose request holds the asset.
    let order = bed.order("bond:A", "FREEZE").await;
    queued(&bed, order).await;
    let listed = shown(&validator, &bed, "bond:A").await;
    let row = &listed["locks"][0];
    assert_eq!(
        (&row["holder"]["rid"], &row["holder"]["reason"]),
        (&json!(held), &json!("a notary")),
        "{listed}"
    );
    let places: Vec<(Value, Value)> = row["waiters"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|waiter| (waiter["rid"].clone(), waiter["place"].clone()))
        .collect();
    let expected: Vec<(Value, Value)> = std::iter::once(&order)
        .chain(&waiters)
        .enumerate()
        .map(|(index, rid)| (json!(rid), json!(index + 1)))
        .collect();
    assert_eq!(places, expected);
    let explained = validator.get(&format!("/v1/sync-requests/{}/explain", waiters[0])).await.body;
    assert_eq!(explained["cause"]["code"], "ASSET_LOCKED", "{explained}");
    let other = validator.ask(Method::GET, "/v1/locks?asset=bond:A", "other", &[]).await;
    assert_eq!((other.status, &other.body["locks"][0]), (StatusCode::OK, row), "an operator sees all");
    let stranger = validator.ask(Method::GET, "/v1/locks?asset=bond:A", "stranger", &[]).await;
    let seen = &stranger.body["locks"][0];
    assert_eq!((stranger.status, &seen["holder"]), (StatusCode::OK, &Value::Null), "another tenant's");
    assert_eq!(seen["waiters"].as_array().map(Vec::len), Some(1), "its own order");
    let path = format!("/v1/sync-requests/{order}/explain");
    let explained = validator.ask(Method::GET, &path, "stranger", &[]).await.body;
    assert_eq!(explained["cause"]["code"], "ASSET_LOCKED", "{explained}");
    assert!(!explained.to_string().contains(&held.to_string()), "{explained}");
    // A view that is made again, from the archive, shows the same.
    validator.kill();
    for file in std::fs::read_dir(bed.path("data")).expect("a folder") {
        let path = file.expect("an entry").path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).expect("removed");
        }
    }
    let validator = bed.start();
    validator.ready().await;
    assert_eq!(shown(&validator, &bed, "bond:A").await["locks"][0], *row);
    let unlocked = bed.decide(unlock("bond:A", held)).await;
    assert_eq!(unlocked.code, None);
    assert_eq!(bed.decided(order).await.code, None);
    for rid in &waiters {
        assert_eq!(bed.decided(*rid).await.code.as_deref(), Some("ASSET_BLOCKED"), "the order came first");
    }
    assert_eq!(shown(&validator, &bed, "bond:A").await["locks"], json!([]));
    validator.reach_head(&bed).await;
    audit::check(&audit::log(&validator).await, &bed.submitted.lock().expect("lock").clone());
}

#[tokio::test]
async fn who_waits_too_long_is_refused_in_time_and_a_lock_ends_by_itself() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let decided = async |shard, request| {
        let rid = bed.submit_as(&tenant(), Rid::fresh(shard), request).await;
        bed.decided(rid).await
    };
    // Games wait for a second.
    let asset = "game_item:sword";
    decided(Shard::Gaming, register(asset, &["base"])).await;
    decided(Shard::Gaming, lock(asset, 600)).await;
    let record = decided(Shard::Gaming, mint(asset, "acct:alice", 1)).await;
    assert_eq!((record.status, record.code.as_deref()), (Status::Rejected, Some("LOCK_TIMEOUT")));
    // Others wait longer than this lock holds, and nobody unlocks it.
    let asset = "carbon:credit";
    decided(Shard::General, register(asset, &["base"])).await;
    decided(Shard::General, lock(asset, 2)).await;
    let waits = bed.submit_as(&tenant(), Rid::fresh(Shard::General), mint(asset, "acct:alice", 1)).await;
    queued(&bed, waits).await;
    assert_eq!(bed.decided(waits).await.code, None);
}

#[tokio::test]
async fn a_chain_of_dependencies_that_comes_last_first_goes_on_over_entries() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    let rids: Vec<Rid> = (0..12).map(|_| Rid::fresh(Shard::Financial)).collect();
    for (rid, before) in rids.iter().zip(rids.iter().skip(1)).rev().map(|(a, b)| (*b, *a)) {
        let mut request = mint("bond:A", "acct:alice", 1);
        request["depends_on"] = json!([before]);
        bed.submit_as(&tenant(), rid, request).await;
        queued(&bed, rid).await;
    }
    let listed = shown(&validator, &bed, "bond:A").await;
    let stranger = validator.ask(Method::GET, "/v1/locks", "stranger", &[]).await.body;
    assert_eq!((&stranger["locks"], &stranger["others"]), (&json!([]), &json!([])));
    let waits: Vec<&Value> = listed["others"].as_array().expect("a list").iter().collect();
    assert!(waits.iter().any(|one| one["rid"] == json!(rids[1]) && one["awaits"] == json!(rids[0])));
    assert_eq!(waits.len(), 11);
    let explained = validator.get(&format!("/v1/sync-requests/{}/explain", rids[1])).await.body;
    assert_eq!(explained["cause"]["code"], "DEPENDENCY_PENDING", "{explained}");
    assert!(explained["evidence"].to_string().contains(&rids[0].to_string()), "{explained}");
    bed.submit_as(&tenant(), rids[0], mint("bond:A", "acct:alice", 1)).await;
    let mut seqs = Vec::new();
    for rid in &rids {
        seqs.push(bed.decided(*rid).await.seq.expect("an entry"));
    }
    assert!(seqs.is_sorted(), "{seqs:?}");
    validator.reach_head(&bed).await;
    audit::check(&audit::log(&validator).await, &bed.submitted.lock().expect("lock").clone());
}

#[tokio::test]
async fn a_stream_shows_each_change_of_an_assets_locks_and_bad_questions_are_named() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    for (path, code) in [
        ("/v1/locks?asset=nonsense", "invalid_request"),
        ("/v1/locks?min_seq=1", "invalid_request"),
        ("/v1/locks?holder=x", "invalid_request"),
        ("/v1/locks/events", "invalid_request"),
    ] {
        let answer = validator.get(path).await;
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some(code)),
            "{path}"
        );
    }
    bed.decide(register("bond:A", &["base"])).await;
    let mut events = validator.events("/v1/locks/events?asset=bond:A").await;
    assert_eq!(events.next().await["locks"], json!([]));
    let held = bed.decide(lock("bond:A", 600)).await.rid;
    assert_eq!(events.next().await["locks"][0]["holder"]["rid"], json!(held));
    let waiter = bed.submit(mint("bond:A", "acct:alice", 1)).await;
    assert_eq!(events.next().await["locks"][0]["waiters"][0]["rid"], json!(waiter));
    bed.decide(unlock("bond:A", held)).await;
    eventually("it is free", async || (events.next().await["locks"] == json!([])).then_some(())).await;
}

/// Entries 1 to 4 are the shards' targets, 5 is REGISTER, 6 LOCK, 7 and 8 hold requests, 9 UNLOCK, 10 is what waited for the
/// lock, 11 what the other waits for, 12 that one. Submits as far as somebody decides.
async fn load(bed: &Bed, doomed: &mut Validator) {
    let (held, last) = (Rid::fresh(Shard::Financial), Rid::fresh(Shard::Financial));
    let mut waits = mint("bond:B", "acct:alice", 1);
    waits["depends_on"] = json!([last]);
    let both = json!([
        {"kind": "REGISTER", "decimals": 2, "chains": ["base"]},
        {"kind": "MINT", "to": "acct:alice", "amount": "10"},
    ]);
    let register_b = json!({"asset": {"id": "bond:B"}, "state_changes": both});
    let steps = [
        (Rid::fresh(Shard::Financial), register("bond:A", &["base"]), Status::Committed),
        (held, lock("bond:A", 600), Status::Committed),
        (Rid::fresh(Shard::Financial), mint("bond:A", "acct:alice", 3), Status::Queued),
        (Rid::fresh(Shard::Financial), waits, Status::Queued),
        (Rid::fresh(Shard::Financial), unlock("bond:A", held), Status::Committed),
        (last, register_b, Status::Committed),
    ];
    for (rid, request, status) in steps {
        bed.submit_as(&tenant(), rid, request).await;
        eventually("taken up, or nobody is left to do it", async || {
            let is_there = bed.record(rid).await.status.rank() >= status.rank();
            (is_there || doomed.has_ended()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_crash_around_what_holds_waits_or_goes_on_changes_nothing_of_the_end() {
    for point in [
        "validator.before_commit:7",
        "link.commit.after:7",
        "validator.after_commit:8",
        "validator.after_view:9",
        "validator.after_read:10",
        "link.commit.before:10",
        "link.commit.after:10",
        "validator.after_view:11",
        "validator.after_commit:12",
    ] {
        let bed = Bed::new(&["base"]).await;
        let mut doomed = bed.start_with(&[("OSS_CRASH_POINT", point)]);
        load(&bed, &mut doomed).await;
        assert_eq!(doomed.exit().await, None, "{point}: must die by a signal\n{}", doomed.log());
        let validator = bed.start();
        validator.ready().await;
        let submitted = bed.submitted.lock().expect("lock").clone();
        for rid in submitted.keys() {
            assert_eq!(bed.decided(*rid).await.code, None, "{point}");
        }
        validator.reach_head(&bed).await;
        audit::check(&audit::log(&validator).await, &submitted);
        let supplies = ["bond:A", "bond:B"]
            .map(async |asset| validator.get(&format!("/v1/assets/{asset}")).await.body["supply"].clone());
        let [a, b] = supplies;
        assert_eq!((a.await, b.await), (json!("3"), json!("11")), "{point}");
        assert_eq!(
            shown(&validator, &bed, "bond:A").await,
            json!({"locks": [], "others": [], "more": false})
        );
    }
}
