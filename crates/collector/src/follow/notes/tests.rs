use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::message::{About, Withdrawn};

use super::*;
use crate::follow::bound;

const NOTE: &[u8] = br#"{"v":99,"msg":"WITHDRAWN"}"#;

fn message(block: u64) -> Vec<u8> {
    let about = About {
        rid: Rid::fresh(Shard::Financial),
        tenant: "demo".parse().expect("a tenant"),
        fp: Digest::ZERO,
        accepted_ms: None,
    };
    let withdrawn = Withdrawn {
        source: "chain".parse().expect("a name"),
        identity: None,
        block,
        block_hash: Digest::ZERO,
        pointer: "/event_sources/0".to_owned(),
    };
    let body = Body::Withdrawn { about, withdrawn };
    Message { id: format!("withdrawn:{block}"), traceparent: None, body }.encode()
}

/// One note per block, with the block's number as its id.
fn notes(blocks: std::ops::RangeInclusive<u64>) -> Notes {
    let mut notes = Notes::default();
    for block in blocks {
        assert_eq!(notes.take(StreamId::new(block, 0), message(block)), Read::Noted);
    }
    notes
}

fn verdict(block: u64, verdict: Verdict) -> BTreeMap<BlockRef, Verdict> {
    BTreeMap::from([(BlockRef { block, block_hash: Digest::ZERO }, verdict)])
}

#[test]
fn what_is_final_or_sent_is_forgotten_and_the_stream_is_trimmed_up_to_what_is_not() {
    let mut notes = notes(1..=3);
    assert_eq!(notes.trim(), Some(StreamId::new(1, 0)));
    notes.trimmed(StreamId::new(1, 0));
    assert_eq!((notes.judge(&verdict(1, Verdict::Unclear)), notes.trim()), (vec![], None));
    let gone = notes.judge(&verdict(1, Verdict::Gone));
    let [(id, noted)] = gone.as_slice() else { panic!("{gone:?}") };
    assert_eq!((noted.message_id.as_str(), noted.block.block), ("withdrawn:1", 1));
    assert_eq!(notes.len(), 3, "until it is sent");
    notes.forget(*id);
    assert_eq!(notes.trim(), Some(StreamId::new(2, 0)));
    for block in [2, 3] {
        assert_eq!(notes.judge(&verdict(block, Verdict::Final)), []);
    }
    assert_eq!((notes.len(), notes.bytes(), notes.trim()), (0, 0, Some(StreamId::new(3, 1))));
    assert_eq!(Notes::default().trim(), None);
}

#[test]
fn what_cannot_be_read_holds_the_stream_for_a_day() {
    let mut notes = notes(1..=2);
    assert_eq!(notes.take(StreamId::new(3, 0), NOTE.to_vec()), Read::Unreadable);
    assert_eq!((notes.len(), notes.cursor()), (2, StreamId::new(3, 0)));
    for id in [1, 2] {
        notes.forget(StreamId::new(id, 0));
    }
    assert_eq!((notes.give_up(), notes.trim()), (0, Some(StreamId::new(3, 0))));
    let day = StreamId::new(3 + UNREADABLE_KEPT_MS, 0);
    assert_eq!(notes.take(day, message(9)), Read::Noted);
    assert_eq!((notes.give_up(), notes.trim()), (0, Some(StreamId::new(3, 0))));
    let later = StreamId::new(4 + UNREADABLE_KEPT_MS, 0);
    assert_eq!(notes.take(later, message(9)), Read::Noted);
    assert_eq!((notes.give_up(), notes.trim()), (1, Some(day)));
}

#[test]
fn memory_is_bounded_and_the_oldest_of_whoever_has_most_go() {
    let (mut many, mut few) = (notes(11..=20), notes(11..=12));
    let one = few.bytes() / 2;
    assert_eq!(bound(vec![&mut many, &mut few], one * 12), 0);
    assert_eq!(bound(vec![&mut many, &mut few], one * 6), 6);
    assert_eq!((many.len(), few.len()), (4, 2));
    assert_eq!(many.blocks().map(|block| block.block).min(), Some(17));
    assert_eq!(bound(vec![&mut many, &mut few], 0), 6);
    assert_eq!((many.len(), few.len(), many.bytes()), (0, 0, 0));
}
