//! Bad input that only the state can tell: accepted, then `rejected` with its code; the root does not move.

use common::ids::Rid;
use common::link::Stream;
use common::status::Status;
use serde_json::{Value, json};

use crate::bed::{Bed, SHARD, change, mint, register, tenant, transfer};

fn with(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}

#[tokio::test]
async fn every_kind_of_input_that_only_the_state_knows_is_rejected_with_its_code_and_leaves_the_root() {
    let bed = Bed::new(&["base", "op"]).await;
    let validator = bed.start();
    validator.ready().await;
    bed.decide(register("bond:A", &["base"])).await;
    bed.decide(mint("bond:A", "acct:alice", 10)).await;
    let refused = bed.submit(transfer("bond:A", "acct:nobody", "acct:alice", 1)).await;
    bed.decided(refused).await;
    let unknown = Rid::fresh(SHARD);
    let add_chain = |chain: &str| change("bond:A", json!({"kind": "ADD_CHAIN", "chain": chain}));
    let one = || mint("bond:A", "acct:alice", 1);
    let most = u128::MAX.to_string();
    let cases: Vec<(&str, &str, Value)> = vec![
        ("demo", "NOT_REGISTERED", mint("bond:NONE", "acct:alice", 1)),
        ("demo", "ALREADY_REGISTERED", register("bond:A", &["base"])),
        ("other", "NOT_ISSUER", one()),
        ("demo", "INSUFFICIENT_BALANCE", transfer("bond:A", "acct:alice", "acct:bob", 11)),
        (
            "demo",
            "SUPPLY_OVERFLOW",
            change("bond:A", json!({"kind": "MINT", "to": "acct:bob", "amount": most})),
        ),
        ("demo", "VERSION_MISMATCH", with(one(), "expected_version", json!(99))),
        ("demo", "UNKNOWN_TARGET", add_chain("nowhere")),
        ("demo", "CHAIN_ALREADY_PRESENT", add_chain("base")),
        ("demo", "TARGET_NOT_ON_ASSET", with(one(), "target_chains", json!(["op"]))),
        // It waits, until the leader sees that its time is over.
        ("demo", "TTL_EXPIRED", with(with(one(), "depends_on", json!([unknown])), "ttl_seconds", json!(1))),
        ("demo", "DEPENDENCY_REJECTED", with(one(), "depends_on", json!([refused]))),
    ];
    let root = async || {
        validator.reach_head(&bed).await;
        validator.get("/v1/shards/financial").await.body["root"].clone()
    };
    let before = root().await;
    let tenants = ["demo", "other"].map(|text| (text, text.parse().expect("tenant")));
    assert_eq!(tenants[0].1, tenant());
    for (by, code, request) in cases {
        let by = &tenants.iter().find(|(text, _)| *text == by).expect("a tenant").1;
        let rid = bed.submit_as(by, Rid::fresh(SHARD), request).await;
        let record = bed.decided(rid).await;
        let status = if code == "TTL_EXPIRED" { Status::Expired } else { Status::Rejected };
        assert_eq!((record.status, record.code.as_deref()), (status, Some(code)));
        let is_placed = record.errors.is_some_and(|errors| errors.contains("pointer"));
        assert!(is_placed || record.is_cut, "{code}: with its place");
        assert_eq!(root().await, before, "{code} moved the root");
    }
    // The same root moves when something is applied, so the comparison can fail.
    bed.decide(one()).await;
    assert_ne!(root().await, before);
}

#[tokio::test]
async fn a_rejected_request_with_many_faults_shows_all_pointers_although_its_record_is_cut() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    // Chains are kept in the order of their names, so `base` is the first one.
    let chains = ["base", "nowhere-1", "nowhere-2", "nowhere-3", "nowhere-4", "nowhere-5"];
    let request = with(register("bond:A", &chains), "target_chains", json!(["base", "nowhere-1"]));
    let rid = bed.submit(request).await;
    let record = bed.decided(rid).await;
    assert_eq!((record.status, record.is_cut, record.errors), (Status::Rejected, true, None));
    validator.reach_head(&bed).await;
    let decision = validator.get(&format!("/v1/decisions/{rid}")).await.body;
    let errors = decision["errors"].as_array().expect("errors");
    let pointers: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    for place in 1..=5 {
        let pointer = format!("/state_changes/0/chains/{place}");
        assert!(pointers.contains(&pointer.as_str()), "{pointer}: {decision}");
    }
    assert!(errors.iter().all(|error| error["code"] == "UNKNOWN_TARGET"), "{decision}");
    assert_eq!(decision["target_chains"], json!(["base", "nowhere-1"]));
    // Without a fault there is no list of them.
    let applied = bed.decide(register("bond:A", &["base"])).await.rid;
    validator.reach_head(&bed).await;
    let decision = validator.get(&format!("/v1/decisions/{applied}")).await.body;
    assert_eq!((&decision["outcome"], decision.get("errors")), (&json!("APPLIED"), None));
}

#[tokio::test]
async fn what_cannot_be_read_becomes_a_dead_letter_and_its_request_ends() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let rid = Rid::fresh(SHARD);
    let fp = common::hash::Digest::of(&[b"broken"]);
    let payload =
        json!({"v": 1, "msg": "COLLECTED", "id": "x", "rid": rid, "tenant": "demo", "fp": fp}).to_string();
    bed.submit_payload(&tenant(), rid, fp, payload.as_bytes()).await;
    let record = bed.decided(rid).await;
    assert_eq!((record.status, record.code.as_deref()), (Status::Rejected, Some("MALFORMED")));
    assert_eq!(bed.link().backlog().await.expect("reads").dead_letters, 1);
    // A version that a later build will know is set aside, not refused.
    let later = Rid::fresh(SHARD);
    let payload = json!({"v": 2, "msg": "COLLECTED", "id": "x", "rid": later, "fp": fp}).to_string();
    bed.submit_payload(&tenant(), later, fp, payload.as_bytes()).await;
    crate::bed::eventually("parked", async || {
        (bed.link().backlog().await.expect("reads").parked == 1).then_some(())
    })
    .await;
    assert_eq!(bed.record(later).await.status, Status::Accepted);
    bed.decide(register("bond:A", &["base"])).await;
}

#[tokio::test]
async fn time_goes_on_for_a_request_that_is_parked() {
    let bed = Bed::new(&["base"]).await;
    let rid = bed.submit(register("bond:A", &["base"])).await;
    let front = bed.link().front(Stream::Input, 1).await.expect("reads");
    let payload = std::str::from_utf8(&front[0].payload).expect("text");
    let key = |name: &str| format!("{{oss:{SHARD}}}:{name}");
    // As a leader that could not read it left it, in another year.
    bed.redis
        .command(&["XADD", &key("parked"), "*", "m", payload, "first", "1700000000000-0"])
        .expect("adds");
    bed.redis.command(&["XDEL", &key("in"), &front[0].id.to_string()]).expect("deletes");
    let validator = bed.start();
    validator.ready().await;
    let record = bed.decided(rid).await;
    assert_eq!((record.status, record.code.as_deref()), (Status::Expired, Some("TTL_EXPIRED")));
}

#[tokio::test]
async fn a_key_that_comes_again_with_another_content_after_its_record_has_expired_hides_no_outcome() {
    let bed = Bed::new(&["base"]).await;
    let validator = bed.start();
    validator.ready().await;
    let rid = bed.submit(register("bond:A", &["base"])).await;
    let decided = bed.decided(rid).await;
    bed.redis.command(&["DEL", &format!("{{oss:{SHARD}}}:req:{rid}")]).expect("expires");

    bed.submit_as(&tenant(), rid, register("bond:B", &["base"])).await;
    assert_ne!(bed.submitted.lock().expect("lock")[&rid], decided.fp);
    let shown = bed.decided(rid).await;
    assert_eq!(
        (shown.fp, shown.status, shown.seq, shown.outcome, shown.code),
        (decided.fp, Status::Committed, decided.seq, decided.outcome, None)
    );
    // The refusal is a fact of the log, and the other request had no effect.
    validator.reach_head(&bed).await;
    let (_, last) = crate::audit::log(&validator).await.pop().expect("entries");
    assert_eq!(last.outcomes[0].code.as_deref(), Some("IDEMPOTENCY_CONFLICT"));
    assert_eq!(validator.get("/v1/assets/bond:B").await.status, reqwest::StatusCode::NOT_FOUND);
}
