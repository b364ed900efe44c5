use super::{
    ChainFacts, GapWatch, Inquiry, Look, Offered, Patience, ResetWatch, SlotFacts, SlotStep, Standing,
    StuckWatch, inquire, is_overdue, standing, step,
};
use crate::fee::Fee;

const RESEND_MS: u64 = 5_000;

/// What, held, finally used below, counter, chain's next, standing.
type Row = (&'static str, &'static [u64], u64, u64, u64, Standing);

fn chain(next: u64, next_final: Option<u64>) -> ChainFacts {
    ChainFacts { next, next_final, final_block: 100, head: 103, base_fee: 10 }
}

#[test]
fn each_state_of_a_nonce_has_its_step() {
    let unsigned = SlotFacts::default();
    let stored = SlotFacts { stored: true, ..unsigned };
    let sent = |ms| SlotFacts { tried_ms: Some(ms), ..stored };
    let mined = |block| SlotFacts { block: Some(block), ..stored };
    // (what, slot, chain's next, next at the tier, now) → step of nonce 7
    let table = [
        ("bound, never signed", unsigned, 7, None, 0, SlotStep::Sign),
        ("bound behind others that wait", unsigned, 3, None, 0, SlotStep::Sign),
        ("stored, process restarted", stored, 7, None, 0, SlotStep::Send),
        ("sent a moment ago", sent(1_000), 7, None, 5_999, SlotStep::Pending),
        ("sent long ago: dropped or not, the same bytes again", sent(1_000), 7, None, 6_000, SlotStep::Send),
        ("mined above the tier", mined(101), 8, None, 0, SlotStep::Included { block: 101 }),
        ("mined at the tier", mined(100), 8, None, 0, SlotStep::Final { block: 100 }),
        ("receipt known though the count lags", mined(90), 7, None, 0, SlotStep::Final { block: 90 }),
        ("used, our receipt not there yet", sent(0), 8, None, 9_000, SlotStep::Pending),
        ("used, not finally", sent(0), 8, Some(7), 9_000, SlotStep::Pending),
        ("used finally by something else", sent(0), 8, Some(8), 9_000, SlotStep::Foreign),
        ("used finally before we signed", unsigned, 9, Some(9), 0, SlotStep::Foreign),
        ("receipt gone after a reorganisation", sent(1_000), 7, None, 60_000, SlotStep::Send),
    ];
    for (what, slot, next, next_final, now, expected) in table {
        assert_eq!(step(7, slot, chain(next, next_final), now, RESEND_MS), expected, "{what}");
    }
}

#[test]
fn a_transaction_that_blocks_pass_over_for_long_is_replaced() {
    let patience = Patience { resend_ms: RESEND_MS, replace_ms: Some(60_000) };
    let at = |head| Offered { ms: 1_000, head, is_underpriced: false };
    let waiting = SlotFacts {
        stored: true,
        tried_ms: Some(60_000),
        block: None,
        fee: Some(Fee { max_fee: 30, max_tip: 2 }),
        offered: Some(at(102)),
    };
    let refused = SlotFacts { offered: Some(Offered { is_underpriced: true, ..at(103) }), ..waiting };
    let cheap = SlotFacts { fee: Some(Fee { max_fee: 9, max_tip: 2 }), ..waiting };
    let long = 61_000;
    // (what, slot, chain's next, now) → whether nonce 7 is replaced
    for (what, slot, next, now, expected) in [
        ("first in line for long", waiting, 7, long, true),
        ("not long enough", waiting, 7, long - 1, false),
        ("no block was made since", SlotFacts { offered: Some(at(103)), ..waiting }, 7, long, false),
        ("behind others and well paid", waiting, 6, long, false),
        ("behind others, and the base fee has passed it", cheap, 6, long, true),
        ("used, a receipt may come", waiting, 8, long, false),
        ("in a block", SlotFacts { block: Some(102), ..waiting }, 7, long, false),
        (
            "not with the chain, for another reason than its fee",
            SlotFacts { offered: None, ..waiting },
            7,
            long,
            false,
        ),
        ("not signed", SlotFacts { fee: None, stored: false, ..waiting }, 7, long, false),
        ("refused for its fee a while ago", refused, 6, 1_000 + RESEND_MS, true),
        ("refused for its fee just now", refused, 7, 999 + RESEND_MS, false),
    ] {
        assert_eq!(is_overdue(7, slot, chain(next, None), now, patience), expected, "{what}");
    }
    let off = Patience { replace_ms: None, ..patience };
    assert!(!is_overdue(7, waiting, chain(7, None), long, off), "the operator has switched it off");
}

#[test]
fn a_receipt_is_read_once_and_again_when_blocks_changed_or_are_final() {
    for (what, block, next, is_moved, expected) in [
        ("not used", None, 7, false, Inquiry::Unused),
        ("not used any more", Some(101), 7, false, Inquiry::Unused),
        ("used just now", None, 8, false, Inquiry::Read),
        ("read before", Some(101), 8, false, Inquiry::Known),
        ("read before, other blocks since", Some(101), 8, true, Inquiry::Read),
        ("read before, final now", Some(100), 8, false, Inquiry::Read),
    ] {
        assert_eq!(inquire(7, block, chain(next, None), is_moved), expected, "{what}");
    }
}

#[test]
fn the_journal_and_the_chain_are_compared() {
    let behind = |floor| Standing::Behind { floor };
    let table: [Row; 16] = [
        ("nothing ever sent", &[], 0, 0, 0, Standing::Sound),
        ("wallet used elsewhere before", &[], 0, 0, 12, Standing::Sound),
        ("all delivered", &[], 5, 5, 5, Standing::Sound),
        ("used from outside since", &[], 5, 5, 6, Standing::Sound),
        ("in flight", &[5, 6], 5, 7, 5, Standing::Sound),
        ("first ones in flight", &[0, 1], 0, 2, 0, Standing::Sound),
        ("mined, not done", &[3, 4], 3, 5, 5, Standing::Sound),
        ("hole between two", &[5, 7], 5, 8, 6, Standing::Gap { nonce: 6 }),
        ("hole above what is held", &[5], 5, 8, 6, Standing::Gap { nonce: 6 }),
        ("what somebody else used is gone again", &[8], 5, 9, 6, Standing::Gap { nonce: 6 }),
        ("gone and nothing held", &[], 5, 8, 7, Standing::Gap { nonce: 7 }),
        ("gone, and nothing was ever final", &[3], 0, 4, 0, Standing::Gap { nonce: 0 }),
        ("chain came back empty", &[], 8, 8, 0, behind(8)),
        ("chain came back empty under work in flight", &[8, 9], 8, 10, 0, behind(8)),
        ("chain lost its last final block", &[], 8, 8, 7, behind(8)),
        ("chain lost a final block under work in flight", &[8, 9], 8, 10, 7, behind(8)),
    ];
    for (what, held, used, counter, next, expected) in table {
        assert_eq!(standing(&held.iter().copied().collect(), used, counter, next), expected, "{what}");
    }
}

#[test]
fn a_chain_is_reset_only_when_no_endpoint_shows_more_for_a_while() {
    let behind = Standing::Behind { floor: 8 };
    let at = |endpoint, endpoints, now_ms| Look { endpoint, endpoints, now_ms };
    // One endpoint.
    let mut watch = ResetWatch::default();
    assert!(!watch.observe(behind, at(0, 1, 1_000), 3_000));
    assert!(!watch.observe(behind, at(0, 1, 3_999), 3_000));
    // One that has caught up starts the clock anew.
    assert!(!watch.observe(Standing::Sound, at(0, 1, 4_000), 3_000));
    assert!(!watch.observe(behind, at(0, 1, 4_001), 3_000));
    assert!(!watch.observe(Standing::Gap { nonce: 9 }, at(0, 1, 7_001), 3_000));
    assert!(!watch.observe(behind, at(0, 1, 7_002), 3_000));
    assert!(watch.observe(behind, at(0, 1, 10_002), 3_000));
    assert!(watch.observe(behind, at(0, 1, 10_003), 3_000), "it stays so");
    // Three of them, asked in turn: another one starts no clock anew, and each is asked first.
    let mut watch = ResetWatch::default();
    assert!(!watch.observe(behind, at(0, 3, 0), 3_000));
    assert!(!watch.observe(behind, at(1, 3, 3_000), 3_000), "it may lag itself");
    assert!(watch.observe(behind, at(0, 3, 3_001), 3_000), "the third does not answer");
    let mut hasty = ResetWatch::default();
    assert!(!hasty.observe(behind, at(0, 2, 0), 0), "the other one was not asked");
    assert!(hasty.observe(behind, at(1, 2, 0), 0));
    // A gap watch never fills what is behind.
    let mut gaps = GapWatch::default();
    assert_eq!(gaps.observe(behind, 0, 0), None);
}

#[test]
fn a_nonce_is_stuck_when_the_chain_stands_still_while_something_waits_for_it() {
    let mut watch = StuckWatch::default();
    // (what, chain's next, whether something waits, now) → the stuck nonce and for how long
    for (what, next, is_waited_for, now, expected) in [
        ("just bound", 6, true, 1_000, None),
        ("not for long", 6, true, 3_999, None),
        ("for long", 6, true, 4_000, Some((6, 3_000))),
        ("and longer", 6, true, 5_000, Some((6, 4_000))),
        ("the chain has moved", 7, true, 5_100, None),
        ("another one", 7, true, 8_100, Some((7, 3_000))),
        ("all is in blocks", 7, false, 8_200, None),
        ("nothing waits for long", 7, false, 60_000, None),
        ("bound anew: the clock starts anew", 7, true, 60_001, None),
        ("gone back in a reorganisation", 6, true, 63_001, None),
    ] {
        assert_eq!(watch.observe(next, is_waited_for, now, 3_000), expected, "{what}");
    }
}

#[test]
fn a_gap_is_filled_only_when_the_chain_stands_still_before_it() {
    let gap = |nonce| Standing::Gap { nonce };
    let mut watch = GapWatch::default();
    assert_eq!(watch.observe(gap(6), 1_000, 3_000), None);
    assert_eq!(watch.observe(gap(6), 3_999, 3_000), None);
    // Another gap, or none, starts the clock anew.
    assert_eq!(watch.observe(gap(7), 4_000, 3_000), None);
    assert_eq!(watch.observe(Standing::Sound, 7_000, 3_000), None);
    assert_eq!(watch.observe(gap(7), 7_001, 3_000), None);
    assert_eq!(watch.observe(gap(7), 10_001, 3_000), Some(7));
}
