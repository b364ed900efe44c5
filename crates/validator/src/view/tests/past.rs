//! What a rollback finds in the view.

use common::entry::{AssetUpdate, Input, InputStream, Outcome};
use common::ids::Rid;
use common::message::{self, About, Message};
use common::request::SyncRequest;
use common::status::OutcomeKind;

use super::*;

fn rid() -> Rid {
    "00000000-0000-7000-8000-000000000000".parse().expect("a rid")
}

/// An entry that changes `bond:a`; with a request it applies it.
fn body(seq: u64, request: Option<SyncRequest>) -> (Body, Changes) {
    let (_, mut body) = Bed::new(10).entry(seq);
    let mut changes = Changes::default();
    let chain = ("base".parse().expect("a name"), seq - 1);
    let asset = "bond:a".parse().expect("an asset");
    body.updates = vec![AssetUpdate { asset, version: seq, state_hash: Digest::ZERO, from: [chain].into() }];
    if let Some(request) = request {
        let fp = request.fingerprint();
        let about = About { rid: rid(), tenant: "acme".parse().expect("a tenant"), fp, accepted_ms: None };
        let collected =
            message::Body::Collected { about, request: Box::new(request), observations: Vec::new() };
        let message = Message { id: "m".to_owned(), traceparent: None, body: collected };
        body.inputs = vec![Input::new(InputStream::In, "1-1".to_owned(), &message.encode())];
        body.outcomes = vec![Outcome {
            rid: rid(),
            fp,
            outcome: OutcomeKind::Applied,
            code: None,
            errors: Vec::new(),
            version: Some(seq),
            dependents: Vec::new(),
        }];
        let outcome = OutcomeKind::Applied.name().to_owned();
        let (tenant, code) = ("acme".to_owned(), None);
        let decision = Decision { tenant, fp, seq, outcome, code, delivered: None, reverted: None };
        changes.decisions.insert(rid(), decision);
    }
    (body, changes)
}

#[test]
fn an_archive_beyond_its_view_is_no_past() {
    let request = serde_json::json!({"asset": {"id": "bond:a"}, "state_changes": [
        {"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": "1"}]});
    let request = SyncRequest::parse(&request).expect("a request");
    let (bed, mut last) = (Bed::new(10), Digest::ZERO);
    let mut written = Vec::new();
    for seq in 1..=3 {
        let (body, changes) = body(seq, (seq == 1).then(|| request.clone()));
        let entry = Entry::seal(last, &body);
        bed.view.write(&record(&entry, &body, &changes)).expect("writes");
        last = entry.digest;
        written.push((entry, body, changes));
    }
    let seen = || bed.snapshot().past(rid()).expect("reads").map(|past| past.seqs());
    assert_eq!(seen(), Some(vec![1, 2, 3]));
    // While the view is rebuilt.
    bed.view.clear().expect("clears");
    assert_eq!(seen(), None);
    for (seq, (entry, body, changes)) in (1..).zip(&written) {
        bed.view.write(&record(entry, body, changes)).expect("writes");
        assert_eq!(seen(), Some((1..=seq).collect()));
    }
}

#[test]
fn the_values_of_many_keys_after_an_entry_are_those_of_each() {
    let mut bed = Bed::new(10);
    let keys = ["a", "b", "c", "d", "e"];
    bed.write(&[("a", Some(b"1")), ("b", Some(b"1")), ("c", Some(b"1"))], Changes::default());
    bed.write(&[("a", Some(b"2")), ("d", Some(b"2"))], Changes::default());
    bed.write(&[("b", None), ("a", None)], Changes::default());
    bed.write(&[("a", Some(b"4")), ("b", Some(b"4")), ("d", None)], Changes::default());
    for (seq, state) in (0..).zip(&bed.states) {
        let all = keys.map(str::to_owned).into_iter().collect();
        assert_eq!(&bed.snapshot().values_at(all, seq).expect("reads"), state, "after entry {seq}");
        let some = bed.snapshot().values_at([keys[1].to_owned()].into(), seq).expect("reads");
        assert_eq!(some.get("b"), state.get("b"), "after entry {seq}");
        assert!(some.len() <= 1);
    }
}
