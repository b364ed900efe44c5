use std::collections::BTreeMap;

use common::bridge::{Header, OutBody, Part};
use common::hash::Digest;
use common::ids::Shard;
use common::link::Item;
use common::status::Delivery;

use super::{Book, Stage};
use crate::receipt::unsent;

fn body(seq: u64, parts: u16) -> OutBody {
    let part = |part| Part {
        header: Header {
            shard: 0,
            seq,
            part,
            parts,
            set_id: 1,
            updates_hash: Digest::ZERO,
            state_root: Digest::ZERO,
        },
        updates: Vec::new(),
        sig: None,
    };
    let parts = (0..parts).map(part).collect();
    OutBody { v: 1, shard: Shard::Financial, seq, root: Digest::ZERO, parts, traces: BTreeMap::new() }
}

fn item(seq: u64, part: u16) -> Item {
    Item { seq, part }
}

fn ready(book: &Book, now_ms: u64) -> Vec<Item> {
    book.ready(now_ms).map(|(item, _)| item).collect()
}

fn sent() -> Stage {
    Stage::Sent { tx: "0xaa".to_owned() }
}

fn included(block: u64) -> Stage {
    Stage::Included { tx: "0xaa".to_owned(), block }
}

#[test]
fn free_parts_are_ready_in_order_and_waiting_ones_when_due() {
    let mut book = Book::new([(item(4, 0), 500)].into());
    book.take(body(3, 2));
    book.take(body(4, 1));
    book.set(item(3, 0), Stage::Bound);
    assert_eq!(ready(&book, 499), [item(3, 1)]);
    assert_eq!(ready(&book, 500), [item(3, 1), item(4, 0)]);
    assert_eq!((book.next_due_ms(), book.in_flight()), (Some(500), 1));
    book.set(item(4, 0), Stage::Bound);
    assert_eq!(book.next_due_ms(), None);
}

#[test]
fn an_entry_read_twice_keeps_its_stages() {
    let mut book = Book::default();
    book.take(body(3, 1));
    book.set(item(3, 0), sent());
    book.take(body(3, 1));
    assert_eq!(book.stage(item(3, 0)), Some(&sent()));
}

#[test]
fn an_entry_is_finished_with_its_last_part() {
    let mut book = Book::default();
    book.take(body(3, 2));
    book.set(item(3, 1), Stage::Finished(unsent(1, 0, 0)));
    assert!(book.finished(10).is_empty());
    assert_eq!(book.receipt(3, &"base".parse().expect("well formed")), None);
    book.set(item(3, 0), Stage::Finished(unsent(0, 0, 0)));
    assert_eq!(book.finished(10), [3]);
    assert!(book.receipt(3, &"base".parse().expect("well formed")).is_some());
    book.remove(3);
    assert_eq!((book.len(), book.cursor()), (0, 3));
}

#[test]
fn an_entry_confirms_while_all_of_it_is_in_blocks_and_one_of_them_is_above_the_tier() {
    let mut book = Book::default();
    book.take(body(1, 2));
    assert_eq!(book.confirming(0), 0, "nothing is sent");
    book.set(item(1, 0), included(7));
    assert_eq!(book.confirming(0), 0, "the other part is in no block");
    book.set(item(1, 1), sent());
    assert_eq!(book.confirming(0), 0, "it is only sent");
    book.set(item(1, 1), included(9));
    let at = [6, 7, 8, 9, 10].map(|tier_block| book.confirming(tier_block));
    assert_eq!(at, [1, 1, 1, 0, 0], "the tier has reached its last block: it must be settled now");
}

#[test]
fn clients_are_told_each_change_once() {
    let mut book = Book::default();
    book.take(body(3, 2));
    let news = |book: &mut Book| {
        let news = book.news(10);
        for (seq, progress) in news.clone() {
            book.told(seq, progress);
        }
        news.into_iter().map(|(_, progress)| (progress.state, progress.block)).collect::<Vec<_>>()
    };
    assert_eq!(news(&mut book), []);
    for (part, stage, expected) in [
        (0, Stage::Bound, vec![]),
        (0, sent(), vec![(Delivery::Sent, None)]),
        (1, sent(), vec![]),
        (0, included(7), vec![(Delivery::Sent, Some(7))]),
        (1, included(8), vec![(Delivery::Included, Some(8))]),
        (1, included(9), vec![(Delivery::Included, Some(9))]),
    ] {
        book.set(item(3, part), stage);
        assert_eq!(news(&mut book), expected);
    }
    assert_eq!((book.fail(item(3, 1)), book.fail(item(3, 1))), (1, 2));
    assert_eq!(news(&mut book), [(Delivery::Deferred, Some(9))]);
}

#[test]
fn the_schedule_follows_every_change() {
    let mut book = Book::default();
    let with_update = |seq: u64| {
        let mut body = body(seq, 1);
        body.parts[0].updates = vec![common::bridge::Update {
            asset: Digest::ZERO,
            from: seq - 1,
            version: seq,
            state_hash: Digest::ZERO,
        }];
        body
    };
    book.take(with_update(1));
    book.take(with_update(2));
    assert_eq!(ready(&book, 0), [item(1, 0), item(2, 0)]);
    book.postpone(item(1, 0), 500);
    assert_eq!((ready(&book, 499), book.next_due_ms()), (vec![], Some(500)), "both wait");
    book.take(with_update(3));
    assert_eq!(ready(&book, 499), []);
    assert_eq!(ready(&book, 500).len(), 3);
    // On its way again: what follows may follow.
    book.set(item(1, 0), Stage::Bound);
    assert_eq!(ready(&book, 499), [item(2, 0), item(3, 0)]);
    book.set(item(1, 0), Stage::Free);
    assert_eq!(ready(&book, 499), []);
    book.remove(1);
    assert_eq!(ready(&book, 499), [item(2, 0), item(3, 0)]);
}

#[test]
fn the_traces_of_a_transaction_are_those_of_its_entries_and_bounded() {
    let traced = |seq, rids: &[&str]| {
        let traces = rids.iter().map(|rid| ((*rid).to_owned(), format!("trace of {rid}"))).collect();
        OutBody { traces, ..body(seq, 2) }
    };
    let mut book = Book::default();
    book.take(traced(3, &["a", "b"]));
    book.take(traced(4, &["c"]));
    book.take(traced(5, &["d"]));
    let found = book.traces(&[item(3, 0), item(3, 1), item(5, 0), item(9, 0)], 10);
    assert_eq!(found, [("a", "trace of a"), ("b", "trace of b"), ("d", "trace of d")].into());
    assert_eq!(book.traces(&[item(3, 0), item(4, 0)], 2).len(), 2);
}
