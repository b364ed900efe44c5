use common::link::StreamId;

use super::*;

fn rollback() -> Vec<u8> {
    let command = message::Command::Rollback { rid: about().rid };
    encode(message::Body::Command { about: about(), command })
}

fn cancel() -> Vec<u8> {
    encode(message::Body::Cancel { about: about() })
}

fn about() -> message::About {
    message::About {
        rid: "00000000-0000-7000-8000-000000000000".parse().expect("a rid"),
        tenant: "acme".parse().expect("a tenant"),
        fp: common::hash::Digest::ZERO,
        accepted_ms: None,
    }
}

fn encode(body: message::Body) -> Vec<u8> {
    message::Message { id: "m".to_owned(), traceparent: None, body }.encode()
}

/// How many of each front are taken, of these in `:inx` and so many in `:receipts` and `:in`.
fn taken(
    turn: &Turn,
    express: &[&[u8]],
    [receipts, input]: [usize; 2],
    now: Instant,
) -> (usize, usize, usize) {
    let message = |payload: &[u8]| {
        let id = StreamId::new(1, 0);
        Message { id, first: id, payload: payload.to_vec() }
    };
    let fronts = Fronts {
        express: express.iter().map(|payload| message(payload)).collect(),
        receipts: vec![message(b"r"); receipts],
        input: vec![message(b"i"); input],
        ..Fronts::default()
    };
    let Share { fronts, is_rollback } = turn.share(fronts, now);
    let found = (fronts.express.len(), fronts.receipts.len(), fronts.input.len());
    let is_alone = found == (1, 0, 0) && self::is_rollback(&fronts.express[0].payload);
    assert_eq!(is_rollback, is_alone);
    found
}

#[test]
fn a_rollback_gets_an_entry_of_its_own_after_what_was_before_it() {
    let (turn, now, other) = (Turn::default(), Instant::now(), cancel());
    let hidden = String::from_utf8(rollback()).expect("JSON").replace("rollback", "r\\u006fllback");
    assert_eq!(taken(&turn, &[&other, &other], [1, 1], now), (2, 1, 1));
    for rollback in [rollback().as_slice(), hidden.as_bytes()] {
        assert_eq!(taken(&turn, &[rollback, &other], [1, 1], now), (1, 0, 0));
        assert_eq!(taken(&turn, &[&other, rollback, rollback], [1, 1], now), (1, 1, 1));
    }
}

#[test]
fn after_a_rollback_the_others_get_an_entry_and_as_much_time_before_the_next_one() {
    let (mut turn, start, rollback) = (Turn::default(), Instant::now(), rollback());
    let express = [rollback.as_slice(), &rollback];
    let took = Duration::from_millis(300);
    turn.made(true, took, start);
    assert_eq!(taken(&turn, &express, [0, 0], start), (1, 0, 0), "nobody else waits");
    for others in [[1, 0], [0, 1]] {
        let [receipts, input] = others;
        assert_eq!(taken(&turn, &express, others, start), (0, receipts, input));
        assert_eq!(taken(&turn, &express, others, start + took), (0, receipts, input), "no entry yet");
    }
    turn.made(false, Duration::ZERO, start);
    let almost = took.checked_sub(Duration::from_millis(1)).expect("longer");
    assert_eq!(taken(&turn, &express, [1, 1], start + almost), (0, 1, 1));
    assert_eq!(taken(&turn, &express, [1, 1], start + took), (1, 0, 0));
}

#[test]
fn one_that_took_very_long_is_not_waited_for_as_long_again() {
    let (mut turn, start, rollback) = (Turn::default(), Instant::now(), rollback());
    turn.made(true, Duration::from_mins(10), start);
    turn.made(false, Duration::ZERO, start);
    assert_eq!(taken(&turn, &[&rollback], [1, 1], start + REST_MAX), (1, 0, 0));
}
