use common::message::{Body, Message, PartReceipt};
use common::status::Delivery;

use super::{Again, Landing, Place, all, assemble, of_landing, unsent};

fn place(block: u64) -> Place {
    Place { tx: format!("0x{block}"), block }
}

const fn taken(applied: u64, stale: u64, deferred: u64, skipped: u64) -> Landing {
    Landing::Taken { applied, stale, deferred, skipped }
}

#[test]
fn a_final_part_is_finished_unless_something_has_to_go_again() {
    let finished = of_landing(2, taken(0b001, 0b100, 0, 0b010), &place(9)).expect("nothing deferred");
    assert_eq!((finished.part, finished.tx.as_deref(), finished.block), (2, Some("0x9"), Some(9)));
    assert_eq!((finished.applied, finished.stale, finished.skipped), (vec![0], vec![2], vec![1]));
    for (landing, again) in [
        (taken(0b01, 0, 0b10, 0), Again::Deferred),
        (Landing::Rejected { reason: 4 }, Again::Rejected { reason: 4 }),
        (Landing::Reverted, Again::Reverted),
    ] {
        assert_eq!(of_landing(0, landing, &place(1)), Err(again));
    }
    assert_eq!(Again::Rejected { reason: 4 }.code(), "BATCH_REJECTED_SET_NOT_VALID");
}

#[test]
fn an_entry_is_revoked_only_when_every_update_was_skipped() {
    let target = "base".parse().expect("well formed");
    let applied = || of_landing(0, taken(1, 0, 0, 0), &place(3)).expect("taken");
    let stale = || of_landing(0, taken(0, 1, 0, 0), &place(4)).expect("taken");
    let skipped = || unsent(1, 2, all(2));
    for (what, parts, expected) in [
        ("all applied", vec![applied()], Delivery::Final),
        ("stale counts as delivered", vec![stale(), skipped()], Delivery::Final),
        ("one part skipped", vec![applied(), skipped()], Delivery::Final),
        ("one update of a part skipped", vec![unsent(0, 2, 0b01)], Delivery::Final),
        ("everything skipped", vec![skipped(), skipped()], Delivery::Revoked),
        ("nothing in it", vec![], Delivery::Final),
    ] {
        let finished = assemble(7, &target, parts);
        assert_eq!(finished.progress.state, expected, "{what}");
        let Ok(Message { body: Body::Receipt(receipt), .. }) = Message::decode(&finished.message) else {
            panic!("not a receipt: {what}");
        };
        assert_eq!((receipt.seq, receipt.status), (7, expected), "{what}");
    }
}

#[test]
fn parts_that_shared_a_transaction_name_it_once() {
    let part = |part, block| of_landing(part, taken(1, 0, 0, 0), &place(block)).expect("taken");
    let finished =
        assemble(7, &"base".parse().expect("well formed"), vec![part(0, 5), part(1, 5), part(2, 6)]);
    assert_eq!(
        (finished.progress.tx, finished.progress.block),
        (vec!["0x5".to_owned(), "0x6".to_owned()], Some(6))
    );
}

#[test]
fn a_target_that_sends_nothing_has_taken_in_all_that_was_not_skipped() {
    assert_eq!(
        unsent(3, 4, 0b0100),
        PartReceipt {
            part: 3,
            tx: None,
            block: None,
            applied: vec![0, 1, 3],
            stale: vec![],
            skipped: vec![2]
        }
    );
    assert_eq!((all(0), all(50), all(64)), (0, (1 << 50) - 1, u64::MAX));
}

#[test]
fn no_more_transactions_are_shown_than_progress_takes() {
    let shown = super::distinct((0..200).map(|number| number.to_string()));
    assert_eq!((shown.len(), shown.last().map(String::as_str)), (64, Some("63")));
}
