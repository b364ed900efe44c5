use serde_json::json;

use super::*;

fn about() -> About {
    About {
        rid: "00000000-0000-7000-8000-000000000000".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        fp: Digest([7; 32]),
        accepted_ms: Some(5),
    }
}

fn message(body: Body) -> Message {
    Message { id: "m-1".to_owned(), traceparent: None, body }
}

#[test]
fn every_kind_comes_back_as_it_went() {
    let request = SyncRequest::parse(&json!({
        "asset": {"id": "bond:X"},
        "state_changes": [{"kind": "MINT", "to": "a", "amount": "1"}],
    }))
    .unwrap();
    let observation: Observation =
        serde_json::from_str(r#"{"source":"ecb","kind":"http_json","value":{"rate":1.10},"as_of_ms":9}"#)
            .unwrap();
    let receipt = Receipt {
        seq: 3,
        target: "base".parse().unwrap(),
        status: Delivery::Final,
        parts: vec![PartReceipt {
            part: 0,
            tx: None,
            block: None,
            applied: vec![0],
            stale: vec![],
            skipped: vec![],
        }],
    };
    let failure =
        Failure { code: "SOURCE_UNAVAILABLE".into(), source: None, detail: "x".into(), pointer: None };
    for body in [
        Body::Collected { about: about(), request: Box::new(request), observations: vec![observation] },
        Body::Failed { about: about(), failure },
        Body::Cancel { about: about() },
        Body::Receipt(receipt),
        Body::Command { about: about(), command: Command::Rewind { target: "base".parse().unwrap() } },
        Body::Targets(Targets::default()),
        Body::GivenUp(GivenUp { s: crate::entry::InputStream::Inx, id: "17-0".to_owned(), attempts: 3 }),
        Body::TimedOut(TimedOut { asset: "bond:a".parse().unwrap(), lock: about().rid }),
    ] {
        let sent = message(body);
        assert_eq!(Message::decode(&sent.encode()).unwrap(), sent);
    }
}

#[test]
fn a_number_in_an_observation_keeps_its_digits() {
    let bytes = br#"{"source":"ecb","kind":"http_json","value":1.10,"as_of_ms":9}"#;
    let observation: Observation = serde_json::from_slice(bytes).unwrap();
    assert_eq!(observation.value.get(), "1.10");
    assert_eq!(serde_json::to_vec(&observation).unwrap(), bytes);
}

#[test]
fn an_unknown_version_is_told_from_bytes_that_are_no_message() {
    let newer = br#"{"v":2,"msg":"TELEPORT","shape":"unknown"}"#;
    assert!(matches!(Message::decode(newer), Err(DecodeError::UnknownVersion { version: 2, .. })));
    for bytes in [
        &b"\xff\xfe"[..],
        b"{}",
        b"[]",
        br#"{"v":1,"msg":"TELEPORT","id":"x"}"#,
        br#"{"v":1,"msg":"CANCEL","id":"x"}"#,
    ] {
        assert!(matches!(Message::decode(bytes), Err(DecodeError::Malformed { .. })), "{bytes:?}");
    }
}

#[test]
fn a_malformed_message_still_names_its_request() {
    let rid = about().rid;
    let fp = about().fp;
    let bytes = format!(
        r#"{{"v":1,"msg":"COLLECTED","id":"x","rid":"{rid}","tenant":"acme","fp":"{fp}","request":{{}}}}"#
    );
    let Err(DecodeError::Malformed { rid: named, fp: printed, .. }) = Message::decode(bytes.as_bytes())
    else {
        panic!("must be malformed");
    };
    assert_eq!((named, printed), (Some(rid), Some(fp)));
}
