//! What a fold keeps of the past: as much as a rollback looks at, and no more.

use std::collections::BTreeMap;

use common::entry::{Body, EntryKind, Input, InputStream};
use common::hash::Digest;
use common::ids::Shard;

use super::{Kept, past};

/// An entry whose only message has so many bytes.
fn body(seq: u64, bytes: usize) -> Body {
    let text = [b"\"", vec![b' '; bytes - 2].as_slice(), b"\""].concat();
    Body {
        shard: Shard::Financial,
        seq,
        epoch: 1,
        node: "validator-1".to_owned(),
        kind: EntryKind::Batch,
        time_ms: 0,
        ruleset: 0,
        inputs: vec![Input::new(InputStream::In, "1-1".to_owned(), &text)],
        outcomes: Vec::new(),
        updates: Vec::new(),
        root: Digest::ZERO,
        aux: Digest::ZERO,
    }
}

fn kept(bodies: impl Iterator<Item = Body>) -> (u64, usize, usize) {
    let mut kept = Kept::default();
    bodies.for_each(|body| kept.push(body, BTreeMap::new()));
    (kept.entries.front().map_or(0, |(body, _)| body.seq), kept.entries.len(), kept.bytes)
}

#[test]
fn it_keeps_the_entries_that_a_rollback_looks_back_on_and_no_more() {
    let all = past::WINDOW_ENTRIES;
    assert_eq!(kept((1..=all).map(|seq| body(seq, 2))), (1, 4096, 8192));
    assert_eq!(kept((1..=all + 1).map(|seq| body(seq, 2))), (2, 4096, 8192));
}

#[test]
fn it_keeps_the_bytes_that_a_rollback_looks_at_and_no_more() {
    let quarter = past::WINDOW_BYTES / 4;
    assert_eq!(kept((1..=4).map(|seq| body(seq, quarter))), (1, 4, past::WINDOW_BYTES));
    let one_more = (1..=4).map(|seq| body(seq, quarter)).chain([body(5, 2)]);
    assert_eq!(kept(one_more), (2, 4, 3 * quarter + 2));
    // One that is larger than all is no past of anything.
    assert_eq!(kept([body(1, 2), body(2, past::WINDOW_BYTES + 1)].into_iter()), (0, 0, 0));
}
