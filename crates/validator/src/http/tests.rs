use common::entry::{Body, Entry, EntryKind};
use common::hash::Digest;

use super::*;
use crate::config::ViewSettings;
use crate::engine::Changes;
use crate::view::Record;

/// Writes the next entry, an empty one; gives its digest.
fn write(view: &View, seq: u64, prev: Digest) -> Digest {
    let body = Body {
        shard: Shard::Financial,
        seq,
        epoch: 1,
        node: "validator-1".to_owned(),
        kind: EntryKind::Batch,
        time_ms: seq,
        ruleset: 0,
        inputs: Vec::new(),
        outcomes: Vec::new(),
        updates: Vec::new(),
        root: Digest::ZERO,
        aux: Digest::ZERO,
    };
    let entry = Entry::seal(prev, &body);
    let changes = Changes::default();
    let record = Record { entry: &entry, body: &body, changes: &changes, effects: b"", targets: b"" };
    view.write(&record).expect("writes");
    entry.digest
}

#[test]
fn an_answer_claims_no_entry_that_came_while_it_was_read() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = ViewSettings { cache_bytes: 1 << 20, sync_ms: 3_600_000, undo_entries: 1_024 };
    let view = View::open(&folder.path().join("v.redb"), Shard::Financial, settings).expect("opens");
    let first = write(&view, 1, Digest::ZERO);
    let (seq, found) = read_at(&view, |snapshot, head| {
        write(&view, 2, first);
        Ok((head, snapshot.head().map_err(|error| broken(&error))?.seq))
    })
    .expect("reads");
    assert_eq!((seq, found.expect("found")), (1, (1, 1)));
    let (seq, found) = read_at(&view, |_, _| Err::<(), _>(not_found("nothing"))).expect("reads");
    assert_eq!((seq, found.is_err()), (2, true), "a refusal from a snapshot has its head too");
}

#[test]
fn the_stamp_of_what_was_read_is_not_replaced_by_a_newer_one() {
    let api = Api::new(Vec::new(), KeyRing::default(), "validator-1".parse().expect("a name"));
    let read = api.answer(None, Ok(stamped(HttpResponse::Ok().finish(), "7")));
    assert_eq!(read.headers().get(OSS_SEQ).and_then(|value| value.to_str().ok()), Some("7"));
    let other = api.answer(None, Err(not_found("nothing")));
    assert_eq!(other.headers().get(OSS_SEQ).and_then(|value| value.to_str().ok()), Some(""));
}
