use std::time::{Duration, Instant};

use common::ids::Name;
use common::link::StreamId;

use super::{HELD_BYTES_MAX, Places};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Entries that need `source`, one after the other, each a second later: as many as the places take. Nobody
/// answers. With `has_shares` false nobody looks at shares: the negative control.
fn flood(places: &mut Places, source: &str, bytes: usize, has_shares: bool, clock: &mut Instant) -> usize {
    let source = name(source);
    let mut taken = 0;
    while places.room(*clock) > 0 && !(has_shares && places.is_saturated(&source)) {
        let id = StreamId::new(1, places.len() as u64);
        places.take(id, bytes, vec![source.clone()], *clock);
        *clock += Duration::from_secs(1);
        taken += 1;
        assert!(taken < 10_000, "bounded");
    }
    taken
}

#[test]
fn dead_sources_share_the_places_and_leave_one_share_free() {
    let (mut places, mut clock) = (Places::new(4, 12), Instant::now());
    assert_eq!(flood(&mut places, "dead", 1, true, &mut clock), 6);
    assert_eq!(flood(&mut places, "dead-too", 1, true, &mut clock), 3);
    assert!(places.is_saturated(&name("dead")) && places.is_saturated(&name("dead-too")));
    assert!(!places.is_saturated(&name("alive")));
    assert_eq!(places.room(clock), 3);
}

#[test]
fn a_dead_source_takes_half_of_the_bytes_at_most() {
    let (mut places, mut clock) = (Places::new(64, 1_024), Instant::now());
    assert_eq!(flood(&mut places, "dead", HELD_BYTES_MAX / 64, true, &mut clock), 32);
    assert!(places.room(clock) > 0 && !places.is_saturated(&name("alive")));
}

#[test]
fn control_without_shares_one_dead_source_takes_all_places_and_all_bytes() {
    for (bytes, taken) in [(1, 12), (HELD_BYTES_MAX / 4, 4)] {
        let (mut places, mut clock) = (Places::new(4, 12), Instant::now());
        assert_eq!(flood(&mut places, "dead", bytes, false, &mut clock), taken);
        assert_eq!(places.room(clock), 0, "nothing is left for others");
    }
}

#[test]
fn a_place_given_back_is_free_again_with_its_bytes_and_share() {
    let (mut places, now) = (Places::new(1, 2), Instant::now());
    let id = StreamId::new(1, 0);
    places.take(id, HELD_BYTES_MAX, vec![name("a"), name("b")], now);
    assert!(places.contains(id) && places.is_saturated(&name("a")) && places.is_saturated(&name("b")));
    assert_eq!(places.room(now), 0);
    places.leave(id);
    places.leave(id);
    assert!(places.is_empty() && !places.is_saturated(&name("a")) && places.held.is_empty());
    assert_eq!((places.room(now), places.bytes), (1, 0));
}

#[test]
fn a_source_that_has_answered_holds_nothing_while_its_request_waits_for_another() {
    let (mut places, now) = (Places::new(4, 8), Instant::now());
    for n in 0..4 {
        let id = StreamId::new(1, n);
        places.take(id, 1, vec![name("quick"), name("dead")], now);
        places.answered(id, &name("quick"), 0);
        places.answered(id, &name("quick"), 0);
    }
    assert!(places.is_saturated(&name("dead")) && !places.is_saturated(&name("quick")));
    (0..4).for_each(|n| places.leave(StreamId::new(1, n)));
    assert!(places.is_empty() && places.held.is_empty());
}

#[test]
fn a_healthy_source_may_fill_all_quick_places() {
    let (mut places, now) = (Places::new(4, 8), Instant::now());
    for n in 0..4 {
        assert!(!places.is_saturated(&name("busy")), "{n}");
        places.take(StreamId::new(1, n), 1, vec![name("busy")], now);
    }
    assert_eq!(places.room(now), 0);
    let later = now + Duration::from_secs(1);
    assert_eq!((places.room(later), places.older_than(Duration::from_secs(1), later).len()), (4, 4));
}

#[test]
fn what_a_source_has_answered_counts_until_the_entry_leaves_and_for_those_it_waits_for() {
    let (mut places, now) = (Places::new(4, 8), Instant::now());
    let id = StreamId::new(1, 0);
    places.take(id, 1, vec![name("quick"), name("dead")], now);
    places.answered(id, &name("quick"), HELD_BYTES_MAX);
    assert_eq!((places.room(now), places.bytes), (0, HELD_BYTES_MAX + 1));
    assert!(places.is_saturated(&name("dead")) && !places.is_saturated(&name("quick")));
    // What comes for an entry that has left, or twice, counts for nothing.
    places.answered(id, &name("quick"), 7);
    places.leave(id);
    places.answered(id, &name("dead"), 7);
    assert!(places.is_empty() && places.held.is_empty());
    assert_eq!((places.room(now), places.bytes), (4, 0));
}
