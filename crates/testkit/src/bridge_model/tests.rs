use super::*;

const ENTRIES_MAX: usize = 6;

/// The counter-example of the shortest log that has one.
fn counter_example(rule: Rule) -> CounterExample {
    for entries in 1..=ENTRIES_MAX {
        if let Verdict::Fails(found) = explore(rule, entries) {
            return *found;
        }
    }
    panic!("nothing fails under {rule:?} with {ENTRIES_MAX} entries")
}

#[test]
fn the_full_rule_holds_for_every_small_log_and_every_delivery() {
    match explore(Rule::FULL, ENTRIES_MAX) {
        Verdict::Fails(found) => panic!("{found:#?}"),
        Verdict::Holds(explored) => {
            assert!(explored.logs > 100_000, "{explored:?}");
            assert!(explored.overlapping > 10_000, "{explored:?}");
            assert!(explored.superseded > 1_000, "{explored:?}");
            assert!(explored.deferred > 1_000 && explored.stale > 1_000, "{explored:?}");
            assert!(explored.settled > 100_000, "{explored:?}");
            assert!(explored.rejoining > 1_000, "{explored:?}");
        }
    }
}

#[test]
fn without_from_not_above_current_a_version_is_jumped_over_and_lost() {
    let found = counter_example(Rule { from_not_above_current: false, ..Rule::FULL });
    assert!(matches!(found.violation, Violation::JumpedOver { .. }), "{found:#?}");
}

#[test]
fn without_version_above_current_the_version_falls() {
    let found = counter_example(Rule { version_above_current: false, ..Rule::FULL });
    assert!(
        matches!(found.violation, Violation::VersionFell { .. } | Violation::UndoneAfterItsRevert { .. }),
        "{found:#?}"
    );
}

#[test]
fn a_revert_that_covers_what_starts_before_it_strands_a_chain() {
    let found = counter_example(Rule { covers_by_from: false, ..Rule::FULL });
    assert!(matches!(found.violation, Violation::Stranded { .. }), "{found:#?}");
}

#[test]
fn a_revert_that_covers_what_comes_after_it_strands_a_chain() {
    let found = counter_example(Rule { covers_by_version: false, ..Rule::FULL });
    assert!(matches!(found.violation, Violation::Stranded { .. }), "{found:#?}");
}

#[test]
fn a_revert_that_only_follows_the_version_before_it_still_sends_what_it_undid() {
    let found = counter_example(Rule { revert_from: RevertFrom::PreviousVersion, ..Rule::FULL });
    assert!(matches!(found.violation, Violation::UndoneStillSent { .. }), "{found:#?}");
}

/// And a REVERT of the second joining would cover the REVERT that took the chain away, for which others may wait.
#[test]
fn a_chain_that_joins_again_as_if_it_had_nothing_jumps_over_what_it_was_told() {
    let found = counter_example(Rule { join_from: JoinFrom::Zero, ..Rule::FULL });
    assert!(
        matches!(found.entries[..], [Entry::Batch { .. }, Entry::Join, Entry::Revert { .. }, Entry::Join]),
        "{found:#?}"
    );
    assert!(matches!(found.violation, Violation::JumpedOver { update: 3, .. }), "{found:#?}");
}

/// "Oldest" must mean furthest back, not first in the log: an earlier REVERT that kept the change carries it too.
#[test]
fn the_first_carrier_in_the_log_does_not_reach_far_enough_back() {
    let found = counter_example(Rule { revert_from: RevertFrom::FirstCarrier, ..Rule::FULL });
    // 0→1, 1→2, a REVERT 0→3 that undoes the first change and keeps the second, a REVERT 1→4 that undoes the second.
    assert!(
        matches!(
            found.entries[..],
            [Entry::Batch { .. }, Entry::Batch { .. }, Entry::Revert { .. }, Entry::Revert { .. }]
        ),
        "{found:#?}"
    );
    assert!(matches!(found.violation, Violation::UndoneStillSent { update: 2, revert: 3 }), "{found:#?}");
}
