use std::collections::BTreeMap;

use actix_web::http::header::HeaderValue;
use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::link::{EntryProgress, Progress, StatusRecord, StreamId};
use common::status::{Delivery, OutcomeKind, Status};

use super::{Submitted, View, matches};

fn record(status: Status, targets: Option<&str>) -> StatusRecord {
    StatusRecord {
        rid: Rid::fresh(Shard::Financial),
        tenant: "demo".parse().unwrap(),
        fp: Digest::ZERO,
        status,
        version: 5,
        at_ms: 1_795_176_000_000,
        source_state: Some("rate=ok,chain=EVENT_NOT_FOUND".to_owned()),
        seq: Some(9),
        outcome: Some(OutcomeKind::Applied),
        code: None,
        errors: Some(r#"[{"pointer": "/asset"}]"#.to_owned()),
        targets: targets.map(str::to_owned),
        by: None,
        ended_ms: None,
        withdrawn: None,
        is_cut: false,
    }
}

fn progress(states: &[(&str, Delivery)]) -> EntryProgress {
    let targets: BTreeMap<String, Progress> = states
        .iter()
        .map(|(name, state)| {
            ((*name).to_owned(), Progress { state: *state, block: Some(3), tx: vec!["0xaa".to_owned()] })
        })
        .collect();
    EntryProgress { version: 4, targets, ..EntryProgress::default() }
}

#[test]
fn broadcasting_is_shown_once_a_waited_target_is_past_relayed_and_only_over_committed() {
    use Delivery::{Final, Relayed, Sent};
    for (stored, waited, states, shown) in [
        (Status::Committed, None, vec![("base", Relayed), ("op", Relayed)], Status::Committed),
        (Status::Committed, None, vec![("base", Relayed), ("op", Sent)], Status::Broadcasting),
        (Status::Committed, Some("base"), vec![("base", Relayed), ("op", Final)], Status::Committed),
        (Status::Committed, Some("base"), vec![("base", Final), ("op", Relayed)], Status::Broadcasting),
        (Status::Completed, None, vec![("base", Final)], Status::Completed),
        (Status::Committed, None, vec![], Status::Committed),
    ] {
        let view = View::join(record(stored, waited), Some(progress(&states)));
        assert_eq!(view.resource.status, shown, "{stored:?} {waited:?} {states:?}");
    }
}

#[test]
fn the_resource_joins_record_and_progress() {
    let view =
        View::join(record(Status::Committed, Some("base")), Some(progress(&[("base", Delivery::Sent)])));
    let json = serde_json::to_value(&view.resource).unwrap();
    assert_eq!(json["at"], "2026-11-20T12:00:00.000Z");
    assert_eq!(json["sources"], serde_json::json!({"rate": "ok", "chain": "EVENT_NOT_FOUND"}));
    assert_eq!(json["targets"]["base"], serde_json::json!({"state": "sent", "tx": ["0xaa"], "block": 3}));
    assert_eq!(json["target_chains"], serde_json::json!(["base"]));
    assert_eq!(json["errors"][0]["pointer"], "/asset");
    assert_eq!(json.get("record_expired"), None);
    assert_eq!(view.etag().to_string(), "\"5.4\"");
}

#[test]
fn who_collects_is_told_while_the_record_knows_it() {
    let collecting = StatusRecord { by: Some("collector-7".to_owned()), ..record(Status::Collecting, None) };
    let by = |record| serde_json::to_value(View::join(record, None).resource).unwrap().get("by").cloned();
    assert_eq!(by(collecting), Some("collector-7".into()));
    assert_eq!(by(record(Status::Committed, None)), None);
}

#[test]
fn what_submit_wrote_is_told_without_reading_it_back() {
    let (rid, tenant) = (Rid::fresh(Shard::General), "demo".parse().unwrap());
    let submitted =
        Submitted { rid, tenant: &tenant, fp: Digest::ZERO, targets: "", source_state: "rate=pending" };
    let view = View::accepted(StreamId::new(1000, 0), &submitted);
    assert_eq!(view.etag().to_string(), "\"1.0\"");
    assert_eq!(view.resource.status, Status::Accepted);
    assert_eq!(view.resource.sources["rate"], "pending");
    assert_eq!(view.resource.at.as_deref(), Some("1970-01-01T00:00:01.000Z"));
}

#[test]
fn if_none_match_compares_every_tag_weakly() {
    let view = View::join(record(Status::Committed, None), None);
    for (header, is_match) in [
        ("\"5.0\"", true),
        ("W/\"5.0\"", true),
        ("\"4.0\", \"5.0\"", true),
        ("*", true),
        ("\"5.1\"", false),
        ("5.0", false),
    ] {
        assert_eq!(matches(&HeaderValue::from_static(header), &view.etag()), is_match, "{header}");
    }
}
