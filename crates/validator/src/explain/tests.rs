use std::collections::BTreeSet;
use std::path::Path;

use common::message::FAILURE_CODES;

use super::*;
use crate::engine::codes::Code;

const NOW_MS: u64 = 1_000_000;
const SEQ: u64 = 9;

fn rid(n: u8) -> Rid {
    format!("00000000-0000-7000-8000-0000000{n:02}000").parse().expect("a rid")
}

/// In `:in` with nothing before it, under a leader.
fn queued() -> Facts {
    Facts {
        rid: rid(1),
        now_ms: NOW_MS,
        status: Status::Accepted,
        decided: None,
        place: Place::Input { ahead: 3, is_least: false },
        sources: Vec::new(),
        collector: None,
        expires_ms: Some(NOW_MS + 5_000),
        accepted_ms: Some(NOW_MS - 1_000),
        undecided: Vec::new(),
        waits: None,
        is_led: true,
        blocked_by: None,
        targets: Vec::new(),
    }
}

/// Relayed a moment ago to a target whose lane is driven.
fn target() -> TargetFacts {
    TargetFacts {
        name: "base".to_owned(),
        is_settled: false,
        state: Some(Delivery::Relayed),
        relayed_ms: Some(NOW_MS - 100),
        watermark: Some(SEQ),
        paused_by: None,
        owner: Some("broadcaster-1".to_owned()),
        lease_ms: NOW_MS + 1_000,
        tx: Vec::new(),
        block: None,
    }
}

fn committed(targets: Vec<TargetFacts>) -> Facts {
    let decided = Decided { seq: SEQ, carrier: SEQ, code: None, details: Vec::new(), reverted: None };
    Facts { status: Status::Committed, decided: Some(decided), place: Place::Nowhere, targets, ..queued() }
}

fn ended(status: Status, code: &str) -> Facts {
    let decided =
        Decided { seq: SEQ, carrier: SEQ, code: Some(code.to_owned()), details: Vec::new(), reverted: None };
    Facts { status, decided: Some(decided), place: Place::Nowhere, ..queued() }
}

fn code(facts: &Facts) -> String {
    explain(facts).cause.code
}

#[test]
fn an_undecided_request_is_explained_by_where_its_message_is_and_what_holds_the_shard() {
    let collecting = Facts { place: Place::Requests, sources: vec!["ecb=pending".to_owned()], ..queued() };
    let taken = Facts { collector: Some("collector-1".to_owned()), ..collecting.clone() };
    let blocked = Facts { blocked_by: Some("dlq"), undecided: vec![rid(2)], ..queued() };
    for (facts, expected, at_ms) in [
        (collecting, "COLLECTOR_AWAITED", Some(NOW_MS + 5_000)),
        (taken, "SOURCE_PENDING", Some(NOW_MS + 29_000)),
        (queued(), "QUEUE_BACKLOG", Some(NOW_MS + 5_000)),
        (Facts { undecided: vec![rid(2)], ..queued() }, "DEPENDENCY_UNDECIDED", Some(NOW_MS + 5_000)),
        (Facts { is_led: false, ..blocked.clone() }, "NO_LEADER", Some(NOW_MS + 5_000)),
        (Facts { is_led: false, place: Place::Nowhere, ..queued() }, "NO_LEADER", Some(NOW_MS + 5_000)),
        (blocked, "INTAKE_BLOCKED", Some(NOW_MS + 5_000)),
        (Facts { place: Place::Parked, ..queued() }, "MESSAGE_PARKED", Some(NOW_MS + 5_000)),
        (Facts { place: Place::Nowhere, ..queued() }, "BEING_DECIDED", None),
        // What lies in the past is not announced.
        (Facts { expires_ms: Some(NOW_MS), ..queued() }, "QUEUE_BACKLOG", None),
    ] {
        let explained = explain(&facts);
        assert_eq!((explained.cause.code.as_str(), explained.next.at_ms), (expected, at_ms), "{facts:?}");
    }
}

#[test]
fn the_sources_and_the_dependencies_that_are_waited_for_are_named() {
    let evidence = |facts: &Facts, fact: &str| {
        let evidence = explain(facts).evidence;
        evidence.into_iter().find(|evidence| evidence.fact == fact).map(|evidence| evidence.value)
    };
    let collecting = Facts { place: Place::Requests, sources: vec!["ecb=pending".to_owned()], ..queued() };
    assert_eq!(evidence(&collecting, "sources"), Some(json!(["ecb=pending"])));
    let depending = Facts { undecided: vec![rid(2)], ..queued() };
    assert_eq!(evidence(&depending, "depends_on"), Some(json!([rid(2)])));
    assert_eq!(evidence(&depending, "messages_ahead"), Some(json!(3)));
}

#[test]
fn an_applied_request_is_explained_by_how_its_target_stands() {
    let relayed = target();
    let paused = TargetFacts { paused_by: Some("operate".to_owned()), ..relayed.clone() };
    let cases = [
        (relayed.clone(), "LANE_WORKING"),
        (paused.clone(), "LANE_PAUSED"),
        (TargetFacts { lease_ms: NOW_MS, ..relayed.clone() }, "LANE_UNOWNED"),
        (TargetFacts { lease_ms: 0, ..paused }, "LANE_PAUSED"),
        (TargetFacts { relayed_ms: Some(NOW_MS - SEND_LATE_MS), ..relayed.clone() }, "TARGET_STALLED"),
        (TargetFacts { state: Some(Delivery::Deferred), ..relayed.clone() }, "UPDATE_DEFERRED"),
        (
            TargetFacts { state: None, relayed_ms: None, watermark: Some(SEQ - 1), ..relayed.clone() },
            "RELAY_PENDING",
        ),
        (TargetFacts { state: None, watermark: None, lease_ms: 0, ..relayed.clone() }, "TARGET_NOT_STARTED"),
        // What is sent waits for the chain, whoever drives the lane.
        (TargetFacts { state: Some(Delivery::Sent), lease_ms: 0, ..relayed.clone() }, "TIER_AWAITED"),
        (TargetFacts { state: Some(Delivery::Included), ..relayed.clone() }, "TIER_AWAITED"),
        (TargetFacts { state: Some(Delivery::Final), ..relayed }, "RECEIPT_PENDING"),
    ];
    for (target, expected) in cases {
        let facts = committed(vec![target]);
        assert_eq!(code(&facts), expected, "{facts:?}");
    }
}

const SEND_LATE_MS: u64 = 30_001;

#[test]
fn of_several_targets_the_one_that_is_least_far_blocks_and_one_whose_receipt_is_logged_does_not() {
    let named = |name: &str, target: TargetFacts| TargetFacts { name: name.to_owned(), ..target };
    let sent = named("a", TargetFacts { state: Some(Delivery::Sent), ..target() });
    let unowned = named("b", TargetFacts { lease_ms: 0, ..target() });
    let explained = explain(&committed(vec![sent.clone(), unowned.clone()]));
    assert_eq!((explained.cause.code.as_str(), explained.stage), ("LANE_UNOWNED", Stage::Broadcast));
    assert!(explained.cause.detail.starts_with("b: "), "{explained:?}");
    let settled = TargetFacts { is_settled: true, ..unowned };
    let explained = explain(&committed(vec![settled, sent]));
    assert_eq!((explained.cause.code.as_str(), explained.stage), ("TIER_AWAITED", Stage::Confirm));
}

#[test]
fn a_paused_target_can_be_resumed() {
    let paused = TargetFacts { paused_by: Some("operate".to_owned()), ..target() };
    let explained = explain(&committed(vec![paused]));
    let calls: Vec<&str> = explained.verbs.iter().map(|call| call.call.as_str()).collect();
    assert_eq!(calls, ["POST /v1/targets/base/resume", "POST /v1/rollbacks"]);
}

#[test]
fn an_ended_request_is_explained_by_the_code_of_its_outcome() {
    for (facts, expected) in [
        (ended(Status::Rejected, "NOT_REGISTERED"), "NOT_REGISTERED"),
        (ended(Status::Expired, "TTL_EXPIRED"), "TTL_EXPIRED"),
        (ended(Status::Cancelled, "CANCELLED"), "CANCELLED"),
        (ended(Status::Failed, "SOURCE_UNAVAILABLE"), "SOURCE_UNAVAILABLE"),
        (ended(Status::RolledBack, "ROLLED_BACK"), "ROLLED_BACK"),
        (Facts { status: Status::Completed, ..committed(Vec::new()) }, "COMPLETED"),
    ] {
        let explained = explain(&facts);
        assert_eq!((explained.cause.code.as_str(), explained.stage), (expected, Stage::Ended));
        assert_eq!(explained.cause.page, format!("docs/causes/{expected}.md"));
    }
    let mut undone = ended(Status::RolledBack, "ROLLED_BACK");
    undone.decided = undone.decided.map(|decided| Decided { reverted: Some(12), ..decided });
    let undone = explain(&undone).evidence;
    assert!(undone.contains(&Evidence { fact: "undone_by_entry", value: json!(12) }), "{undone:?}");
}

#[test]
fn a_delivery_that_was_given_up_is_told_with_its_target() {
    let failed = TargetFacts { state: Some(Delivery::Failed), is_settled: true, ..target() };
    let facts = Facts { targets: vec![failed], ..ended(Status::Failed, "DELIVERY_FAILED") };
    let explained = explain(&facts);
    assert_eq!(explained.cause.code, "DELIVERY_FAILED");
    assert!(explained.evidence.contains(&Evidence { fact: "failed_on", value: json!("base") }));
}

#[test]
fn the_stages_of_a_budget_add_up_to_its_total_whatever_is_known() {
    let all = Marks {
        accepted_ms: Some(100),
        collected_ms: Some(130),
        begun_ms: Some(135),
        relayed_ms: Some(142),
        sent_ms: Some(150),
        done_ms: Some(190),
    };
    let budget = Budget::of(all);
    let stages = |budget: Budget| {
        let Budget { collect_ms, queue_ms, validate_ms, broadcast_ms, confirm_ms, total_ms: _ } = budget;
        [collect_ms, queue_ms, validate_ms, broadcast_ms, confirm_ms]
    };
    assert_eq!(stages(budget), [Some(30), Some(5), Some(7), Some(8), Some(40)]);
    assert_eq!(budget.total_ms, Some(90));
    // Not known any more: the next stage has it.
    let cut = Budget::of(Marks { relayed_ms: None, sent_ms: None, ..all });
    assert_eq!(stages(cut), [Some(30), Some(5), None, None, Some(55)]);
    assert_eq!(cut.total_ms, Some(90));
    // Log time ran ahead of what follows.
    let ahead = Budget::of(Marks { begun_ms: Some(145), ..all });
    assert_eq!((stages(ahead), ahead.total_ms), ([Some(30), Some(15), Some(0), Some(5), Some(40)], Some(90)));
    let waiting = Budget::of(Marks { accepted_ms: Some(100), ..Marks::default() });
    assert_eq!((stages(waiting), waiting.total_ms), ([None; 5], Some(0)));
    assert_eq!(Budget::of(Marks { accepted_ms: None, ..all }), Budget::default());
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let engine = Code::ALL.iter().map(|code| code.name());
    let own = Cause::ALL.iter().map(|cause| cause.code());
    let codes: BTreeSet<String> =
        engine.chain(own).chain(FAILURE_CODES).map(|code| format!("{code}.md")).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/causes");
    let files = std::fs::read_dir(folder).expect("the folder of the pages");
    let pages: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().into_string().expect("text"))
        .filter(|file| file != "README.md")
        .collect();
    let missing: Vec<&String> = codes.difference(&pages).collect();
    assert!(missing.is_empty(), "codes without a page: {missing:?}");
    let stray: Vec<&String> = pages.difference(&codes).collect();
    assert!(stray.is_empty(), "pages without a code: {stray:?}");
}

#[test]
fn a_request_that_waits_is_explained_by_what_it_waits_for_and_when_that_ends() {
    let rid = |n: u8| Rid::from_bytes([0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, n, 0]).expect("an id");
    let waiter = |cause| Waiter {
        tenant: "acme".to_owned(),
        fp: common::hash::Digest::ZERO,
        asset: "bond:a".to_owned(),
        is_order: false,
        id: "1-0".to_owned(),
        message: Vec::new(),
        since: 9,
        since_ms: 5,
        deadline_ms: 70,
        cause,
    };
    let explained = |cause, place, holder| {
        let waits = Some(Waits { waiter: waiter(cause), place, holder });
        explain(&Facts { status: Status::Queued, place: Place::Nowhere, waits, ..queued() })
    };
    let of_lock = explained(Held::Lock { until_ms: 60 }, Some(3), Some(rid(1)));
    assert_eq!((of_lock.cause.code.as_str(), of_lock.next.at_ms), ("ASSET_LOCKED", Some(60)));
    let fact = |name| of_lock.evidence.iter().find(|fact| fact.fact == name).map(|fact| fact.value.clone());
    assert_eq!((fact("place"), fact("holder")), (Some(json!(3)), Some(json!(rid(1)))));
    let of_request = explained(Held::Dependency { rid: *rid(2).as_bytes() }, None, None);
    assert_eq!((of_request.cause.code.as_str(), of_request.next.at_ms), ("DEPENDENCY_PENDING", Some(70)));
    let of_time = explained(Held::Time { at_ms: 65 }, None, None);
    assert_eq!((of_time.cause.code.as_str(), of_time.next.at_ms), ("NOT_EFFECTIVE_YET", Some(65)));
}
