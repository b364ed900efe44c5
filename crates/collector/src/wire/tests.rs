use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::link::StreamId;
use common::message::{About as CommonAbout, Body, Failure, Message, Withdrawn};
use common::observation::{Observation, ObservationKind};
use common::request::SyncRequest;
use serde_json::json;

use super::{About, Requested};

fn request() -> SyncRequest {
    SyncRequest::parse(&json!({
        "asset": {"id": "bond:X"},
        "state_changes": [
            {"kind": "MINT", "to": "a", "amount": "5"},
            {"kind": "MINT", "to": "a", "amount": "5",
             "backed_by": {"source": "chain", "event": format!("0x{}/3", "ab".repeat(32))}},
        ],
        "event_sources": ["chain"],
        "external_apis": [{"source": "rate", "required": false}],
    }))
    .expect("valid")
}

fn observation() -> Observation {
    Observation {
        source: "rate".parse().unwrap(),
        kind: ObservationKind::HttpJson,
        value: serde_json::value::RawValue::from_string("1.0850".to_owned()).unwrap(),
        as_of_ms: 7,
        identity: None,
        evidence: None,
    }
}

#[test]
fn every_message_has_exactly_the_bytes_of_the_common_form() {
    let (tenant, fp) = ("demo".parse().unwrap(), request().fingerprint());
    let rid = Rid::fresh(Shard::Financial);
    let failure = Failure {
        code: "SOURCE_UNAVAILABLE".to_owned(),
        source: Some("rate".parse().unwrap()),
        detail: "x".to_owned(),
        pointer: Some("/external_apis/0".to_owned()),
    };
    for accepted_ms in [None, Some(9)] {
        for traceparent in [None, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")] {
            let about = About { rid, tenant: &tenant, fp, accepted_ms, traceparent };
            let common = CommonAbout { rid, tenant: tenant.clone(), fp, accepted_ms };
            let encode = |id: &str, body| {
                Message { id: id.to_owned(), traceparent: traceparent.map(str::to_owned), body }.encode()
            };
            let rid_text = rid.to_string();
            for observations in [Vec::new(), vec![observation(), observation()]] {
                let ours = about.collected(&request().canonical(), &observations);
                let body =
                    Body::Collected { about: common.clone(), request: Box::new(request()), observations };
                assert_eq!(text(&ours), text(&encode(&rid_text, body)));
            }
            let body = Body::Failed { about: common.clone(), failure: failure.clone() };
            assert_eq!(text(&about.failed(&failure)), text(&encode(&rid_text, body)));
            let withdrawn = Withdrawn {
                source: "chain".parse().unwrap(),
                identity: Some("eip155:1/0xab/0".to_owned()),
                block: 3,
                block_hash: Digest([7; 32]),
                pointer: "/event_sources/0".to_owned(),
            };
            let body = Body::Withdrawn { about: common.clone(), withdrawn: withdrawn.clone() };
            assert_eq!(text(&about.withdrawn("w:1", &withdrawn)), text(&encode("w:1", body)));
            let body = Body::Cancel { about: common };
            assert_eq!(text(&about.cancel("cancel:1")), text(&encode("cancel:1", body)));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_is_read_back_names_every_source_with_its_place_and_events() {
    let tenant = "demo".parse().unwrap();
    let rid = Rid::fresh(Shard::Financial);
    let about = About { rid, tenant: &tenant, fp: Digest::ZERO, accepted_ms: None, traceparent: None };
    let read = Requested::read(&about.collected(&request().canonical(), &[])).expect("readable");
    assert_eq!(read.rid, rid);
    assert_eq!(read.request.get().as_bytes(), request().canonical());
    let [chain, rate] = read.needs.as_slice() else { panic!("two sources: {:?}", read.needs) };
    assert_eq!(
        (chain.source.as_str(), chain.required, chain.pointer.as_str()),
        ("chain", true, "/event_sources/0")
    );
    assert_eq!(
        chain.events.iter().map(|(event, index)| (event.position, *index)).collect::<Vec<_>>(),
        [(3, 1)]
    );
    assert_eq!(
        (rate.source.as_str(), rate.required, rate.pointer.as_str()),
        ("rate", false, "/external_apis/0")
    );
    assert_eq!(read.about(StreamId::new(42, 1)).accepted_ms, Some(42));
}

#[test]
fn bytes_of_another_version_or_form_are_unreadable_but_keep_their_rid() {
    let rid = Rid::fresh(Shard::Gaming);
    for text in [
        format!(r#"{{"v":2,"msg":"COLLECTED","rid":"{rid}"}}"#),
        format!(
            r#"{{"v":1,"msg":"CANCEL","rid":"{rid}","tenant":"t","fp":"{}","request":{{}}}}"#,
            Digest::ZERO
        ),
        format!(
            r#"{{"v":1,"msg":"COLLECTED","rid":"{rid}","tenant":"t","fp":"{}","request":{{}}}}"#,
            Digest::ZERO
        ),
    ] {
        assert_eq!(Requested::read(text.as_bytes()).expect_err("unreadable").rid, Some(rid));
    }
    assert_eq!(Requested::read(b"\xff").expect_err("unreadable").rid, None);
}
