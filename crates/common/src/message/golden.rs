//! The bytes of every kind of message, literally. Services of different builds meet in these, and replay reads them
//! for ever: a change here is a change of format, which needs a new schema version.

use serde_json::json;

use super::*;

const ABOUT: &str = concat!(
    r#""rid":"00000000-0000-7000-8000-000000000000","tenant":"acme","#,
    r#""fp":"0x0707070707070707070707070707070707070707070707070707070707070707","accepted_ms":5"#
);

fn about() -> About {
    About {
        rid: "00000000-0000-7000-8000-000000000000".parse().expect("a rid"),
        tenant: "acme".parse().expect("a tenant"),
        fp: Digest([7; 32]),
        accepted_ms: Some(5),
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Both ways: what is written, and that these very bytes are read back.
fn is_fixed(body: Body, traceparent: Option<&str>, bytes: &str) {
    let message = Message { id: "m-1".to_owned(), traceparent: traceparent.map(str::to_owned), body };
    assert_eq!(String::from_utf8(message.encode()).expect("text"), bytes);
    assert_eq!(Message::decode(bytes.as_bytes()).expect("decodes"), message);
}

#[test]
fn a_collected_message_with_observations_is_fixed() {
    let request = json!({
        "asset": {"id": "bond:X"},
        "state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}],
        "external_apis": ["ecb"],
    });
    let request = Box::new(SyncRequest::parse(&request).expect("valid"));
    let observations: Vec<Observation> = [OBSERVED_EVENT, OBSERVED_DOCUMENT]
        .map(|text| serde_json::from_str(text).expect("an observation"))
        .into();
    let bytes = format!(
        concat!(
            r#"{{"v":1,"msg":"COLLECTED","id":"m-1",{about},"#,
            r#""traceparent":"00-11-22-01","request":{{"asset":{{"id":"bond:X"}},"#,
            r#""state_changes":[{{"kind":"MINT","to":"a","amount":"1"}}],"external_apis":["ecb"]}},"#,
            r#""observations":[{event},{document}]}}"#
        ),
        about = ABOUT,
        event = OBSERVED_EVENT,
        document = OBSERVED_DOCUMENT
    );
    is_fixed(Body::Collected { about: about(), request, observations }, Some("00-11-22-01"), &bytes);
}

/// An event that backs a change, and a document with a number whose digits must stay.
const OBSERVED_EVENT: &str = concat!(
    r#"{"source":"base","kind":"event","value":{"asset":"bond:X","event":"mint","to":"a","amount":"1"},"#,
    r#""as_of_ms":9,"identity":"eip155:1/0xab/0","evidence":{"block":3}}"#
);
const OBSERVED_DOCUMENT: &str = r#"{"source":"ecb","kind":"http_json","value":{"rate":1.10},"as_of_ms":9}"#;

#[test]
fn every_kind_of_observation_has_a_fixed_name() {
    use crate::observation::{LedgerEventKind, ObservationKind};
    let kinds =
        [ObservationKind::Event, ObservationKind::Logs, ObservationKind::HttpJson, ObservationKind::Null];
    assert_eq!(json!(kinds), json!(["event", "logs", "http_json", "null"]));
    let events = [LedgerEventKind::Mint, LedgerEventKind::Burn, LedgerEventKind::Transfer];
    assert_eq!(json!(events), json!(["mint", "burn", "transfer"]));
}

#[test]
fn a_failed_message_is_fixed() {
    let failure = Failure {
        code: "SOURCE_UNAVAILABLE".to_owned(),
        source: Some(name("ecb")),
        detail: "no answer".to_owned(),
        pointer: Some("/external_apis/0".to_owned()),
    };
    let bytes = format!(
        r#"{{"v":1,"msg":"FAILED","id":"m-1",{ABOUT},"failure":{{"code":"SOURCE_UNAVAILABLE","source":"ecb","detail":"no answer","pointer":"/external_apis/0"}}}}"#
    );
    is_fixed(Body::Failed { about: about(), failure }, None, &bytes);
}

#[test]
fn a_cancel_message_is_fixed() {
    let bytes = format!(r#"{{"v":1,"msg":"CANCEL","id":"m-1",{ABOUT}}}"#);
    is_fixed(Body::Cancel { about: about() }, None, &bytes);
}

#[test]
fn a_withdrawn_message_is_fixed() {
    let withdrawn = Withdrawn {
        source: name("base"),
        identity: Some("eip155:1/0xab/0".to_owned()),
        block: 3,
        block_hash: Digest([7; 32]),
        pointer: "/state_changes/0/backed_by/event".to_owned(),
    };
    let bytes = format!(
        concat!(
            r#"{{"v":1,"msg":"WITHDRAWN","id":"m-1",{about},"withdrawn":{{"source":"base","#,
            r#""identity":"eip155:1/0xab/0","block":3,"block_hash":"0x{hash}","#,
            r#""pointer":"/state_changes/0/backed_by/event"}}}}"#
        ),
        about = ABOUT,
        hash = "07".repeat(32)
    );
    is_fixed(Body::Withdrawn { about: about(), withdrawn: withdrawn.clone() }, None, &bytes);
    let window = bytes.replace(r#""identity":"eip155:1/0xab/0","#, "");
    let withdrawn = Withdrawn { identity: None, ..withdrawn };
    is_fixed(Body::Withdrawn { about: about(), withdrawn }, None, &window);
}

#[test]
fn an_observation_names_its_block_only_with_its_hash() {
    let observed = |evidence: &str| -> Observation {
        let text = format!(r#"{{"source":"b","kind":"event","value":1,"as_of_ms":9,"evidence":{evidence}}}"#);
        serde_json::from_str(&text).expect("an observation")
    };
    let hash = "07".repeat(32);
    let block = observed(&format!(r#"{{"block":3,"block_hash":"0x{hash}","data":"0x"}}"#)).block();
    assert_eq!(block, Some(crate::observation::BlockRef { block: 3, block_hash: Digest([7; 32]) }));
    assert_eq!(observed(r#"{"block":3}"#).block(), None);
    let document: Observation = serde_json::from_str(OBSERVED_DOCUMENT).expect("an observation");
    assert_eq!(document.block(), None);
}

#[test]
fn a_command_message_is_fixed() {
    let command = Command::Rewind { target: name("base") };
    let bytes = format!(
        r#"{{"v":1,"msg":"COMMAND","id":"m-1",{ABOUT},"command":{{"command":"rewind","target":"base"}}}}"#
    );
    is_fixed(Body::Command { about: about(), command }, None, &bytes);
}

#[test]
fn a_receipt_with_parts_is_fixed() {
    let sent = PartReceipt {
        part: 0,
        tx: Some("0xaa".to_owned()),
        block: Some(12),
        applied: vec![0, 2],
        stale: vec![1],
        skipped: vec![],
    };
    let unsent =
        PartReceipt { part: 1, tx: None, block: None, applied: vec![], stale: vec![], skipped: vec![0] };
    let receipt =
        Receipt { seq: 3, target: name("base"), status: Delivery::Final, parts: vec![sent, unsent] };
    let bytes = concat!(
        r#"{"v":1,"msg":"RECEIPT","id":"m-1","receipt":{"seq":3,"target":"base","status":"final","parts":["#,
        r#"{"part":0,"tx":"0xaa","block":12,"applied":[0,2],"stale":[1],"skipped":[]},"#,
        r#"{"part":1,"tx":null,"block":null,"applied":[],"stale":[],"skipped":[0]}]}}"#
    );
    is_fixed(Body::Receipt(receipt), None, bytes);
}

#[test]
fn a_given_up_message_is_fixed() {
    let fact = GivenUp { s: crate::entry::InputStream::In, id: "17-0".to_owned(), attempts: 3 };
    let bytes = r#"{"v":1,"msg":"GIVEN_UP","id":"m-1","given_up":{"s":"in","id":"17-0","attempts":3}}"#;
    is_fixed(Body::GivenUp(fact), None, bytes);
}

#[test]
fn a_timed_out_lock_is_fixed() {
    let lock = "00000000-0000-7000-8000-000000000000".parse().expect("a request id");
    let fact = TimedOut { asset: "bond:a".parse().expect("an asset id"), lock };
    let bytes = concat!(
        r#"{"v":1,"msg":"TIMEOUT","id":"m-1","timed_out":"#,
        r#"{"asset":"bond:a","lock":"00000000-0000-7000-8000-000000000000"}}"#
    );
    is_fixed(Body::TimedOut(fact), None, bytes);
}

#[test]
fn a_targets_message_is_fixed() {
    let targets: Targets =
        serde_json::from_str(r#"{"targets":[{"name":"base","kind":"null"}]}"#).expect("targets");
    let bytes = r#"{"v":1,"msg":"TARGETS","id":"m-1","targets":{"targets":[{"name":"base","kind":"null"}]}}"#;
    is_fixed(Body::Targets(targets), None, bytes);
}
