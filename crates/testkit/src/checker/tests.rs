//! Every check passes on a run that the engine itself made, and fails on the same run tampered with.

mod world;

use common::entry::{Body, Entry, EntryKind, Outcome};
use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::keys::holding_key;
use common::state::{HoldingRecord, encode};
use common::status::{OutcomeKind, Status};

use super::*;
use world::{chain, reverted_run, rid, run};

const SHARD: Shard = Shard::Financial;

/// The run with its log rewritten; the chain of digests is made anew, so only the content is wrong.
fn rewritten(change: impl Fn(&mut Body)) -> Evidence {
    rewrite(run(), change)
}

fn rewrite(mut evidence: Evidence, change: impl Fn(&mut Body)) -> Evidence {
    let log = evidence.logs.get_mut(&SHARD).expect("a log");
    let mut prev = Digest::ZERO;
    for entry in log {
        let mut body = entry.decode().expect("a body");
        change(&mut body);
        *entry = Entry { seq: entry.seq, ..Entry::seal(prev, &body) };
        prev = entry.digest;
    }
    evidence
}

fn on_base(change: impl Fn(&mut ChainState)) -> Evidence {
    let mut evidence = run();
    change(evidence.chains.get_mut(&chain("base")).expect("the chain"));
    evidence
}

/// The last applied outcome of the run.
fn applied(evidence: &Evidence) -> (u64, Outcome) {
    let bodies = evidence.bodies().expect("bodies");
    let outcomes =
        bodies.iter().flat_map(|(_, body)| body.outcomes.iter().map(|outcome| (body.seq, outcome)));
    let mut applied = outcomes.filter(|(_, outcome)| outcome.outcome == OutcomeKind::Applied);
    applied.next_back().map(|(seq, outcome)| (seq, outcome.clone())).expect("something was applied")
}

#[test]
fn a_run_of_the_engine_keeps_every_invariant() {
    let summary = check_all(&run()).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!((summary.applied, summary.not_applied), (4, 3));
    assert_eq!((summary.acknowledged, summary.entries, summary.landed), (7, 6, 3));
}

#[test]
fn i1_finds_a_request_without_outcome_with_two_and_with_another_answer() {
    let (seq, outcome) = applied(&run());
    let lost = rewritten(|body| body.outcomes.retain(|found| found.rid != outcome.rid));
    assert!(matches!(decided_once(&lost), Err(Violation::Decisions { count: 0, .. })));

    let twice = rewritten(|body| {
        if body.seq == seq + 1 {
            body.outcomes.push(Outcome { outcome: OutcomeKind::Rejected, ..outcome.clone() });
        }
    });
    assert!(matches!(decided_once(&twice), Err(Violation::Decisions { count: 2, .. })));

    let mut contradicted = run();
    contradicted.answers.get_mut(&outcome.rid).expect("an answer").status = Status::Rejected;
    assert!(matches!(decided_once(&contradicted), Err(Violation::Answer { .. })));
    let mut unanswered = run();
    unanswered.answers.remove(&outcome.rid);
    assert!(matches!(decided_once(&unanswered), Err(Violation::Answer { answer: None, .. })));
}

#[test]
fn i2_finds_a_request_applied_twice_and_an_event_used_twice() {
    let (seq, outcome) = applied(&run());
    let twice = rewritten(|body| {
        if body.seq == seq + 1 {
            body.outcomes.push(outcome.clone());
        }
    });
    assert!(matches!(effects_once(&twice), Err(Violation::AppliedTwice { count: 2, .. })));

    // Entry 5: an event of an earlier request. Entry 6: one event behind both changes of a request.
    for seq in [5, 6] {
        let reused = rewritten(|body| {
            for outcome in body.outcomes.iter_mut().filter(|_| body.seq == seq) {
                assert_eq!(outcome.code.as_deref(), Some("EVENT_ALREADY_USED"));
                outcome.outcome = OutcomeKind::Applied;
            }
        });
        let found = effects_once(&reused);
        let Err(Violation::EventTwice { first, second, .. }) = found else { panic!("{seq}: {found:?}") };
        assert_eq!(first == second, seq == 6);
    }
}

#[test]
fn i3_finds_what_nobody_submitted_and_another_fingerprint() {
    let (_, outcome) = applied(&run());
    let mut unknown = run();
    unknown.submitted.remove(&(outcome.rid, outcome.fp));
    assert!(matches!(only_submitted(&unknown), Err(Violation::NotSubmitted { .. })));
    let changed = rewritten(|body| body.outcomes.iter_mut().for_each(|outcome| outcome.fp = Digest([9; 32])));
    assert!(matches!(only_submitted(&changed), Err(Violation::NotSubmitted { .. })));
}

#[test]
fn i4_finds_a_gap_a_changed_byte_a_cut_chain_and_another_number() {
    let with_log = |change: fn(&mut Vec<Entry>)| {
        let mut evidence = run();
        change(evidence.logs.get_mut(&SHARD).expect("a log"));
        evidence
    };
    let gap = with_log(|log| drop(log.remove(2)));
    assert!(matches!(gapless(&gap), Err(Violation::Gap { expected: 3, found: 4, .. })));
    let changed = with_log(|log| {
        let space = log[2].body.iter().position(|byte| *byte == b'1').expect("a digit");
        log[2].body[space] = b'2';
    });
    assert!(matches!(gapless(&changed), Err(Violation::Chain { seq: 3, .. })));
    let cut = with_log(|log| {
        let body = log[2].decode().expect("a body");
        log[2] = Entry::seal(Digest([1; 32]), &body);
    });
    assert!(matches!(gapless(&cut), Err(Violation::Chain { seq: 3, .. })));
    let renumbered = rewritten(|body| body.seq += u64::from(body.seq == 4));
    assert!(matches!(gapless(&renumbered), Err(Violation::OtherBody { seq: 4, said: 5, .. })));
    let elsewhere = rewritten(|body| body.shard = Shard::Gaming);
    assert!(matches!(gapless(&elsewhere), Err(Violation::OtherBody { seq: 1, .. })));
}

#[test]
fn i4_finds_an_entry_that_was_shown_otherwise_or_is_gone() {
    let entries = &run().logs[&SHARD];
    let with_seen = |seq, digest| Evidence { seen: [(SHARD, seq, digest)].into(), ..run() };
    assert!(seen_stays(&with_seen(3, entries[2].digest)).is_ok());
    let other = with_seen(3, Digest([1; 32]));
    assert!(matches!(seen_stays(&other), Err(Violation::OtherDigest { seq: 3, logged: Some(_), .. })));
    let gone = with_seen(99, entries[2].digest);
    assert!(matches!(seen_stays(&gone), Err(Violation::OtherDigest { seq: 99, logged: None, .. })));
    assert!(check_all(&other).is_err());
}

#[test]
fn i5_finds_another_outcome_update_root_and_aux() {
    let (_, outcome) = applied(&run());
    let fields: [fn(&mut Body); 4] = [
        |body| body.outcomes.iter_mut().for_each(|outcome| outcome.version = Some(77)),
        |body| body.updates.iter_mut().for_each(|update| update.version += 1),
        |body| body.root = Digest([3; 32]),
        |body| body.aux = Digest([3; 32]),
    ];
    for change in fields {
        assert!(matches!(replays(&rewritten(change)), Err(Violation::Replay { .. })));
    }
    let without_input = rewritten(|body| {
        body.inputs.retain(|input| !input.m.get().contains(&outcome.rid.to_string()));
    });
    assert!(matches!(replays(&without_input), Err(Violation::Replay { .. })));
}

#[test]
fn i6_finds_an_epoch_that_falls() {
    let fallen = rewritten(|body| body.epoch = if body.seq == 3 { 9 } else { 2 });
    assert!(matches!(epochs_rise(&fallen), Err(Violation::Epoch { seq: 4, before: 9, epoch: 2, .. })));
}

#[test]
fn i9_finds_a_chain_that_is_behind_ahead_back_or_elsewhere() {
    let newest = |state: &ChainState| *state.assets.iter().next().expect("an asset").0;
    let behind = on_base(|state| state.assets.values_mut().for_each(|(version, _)| *version -= 1));
    assert!(matches!(chains_agree(&behind), Err(Violation::ChainState { .. })));
    let other = on_base(|state| state.assets.values_mut().for_each(|(_, hash)| *hash = Digest([5; 32])));
    assert!(matches!(chains_agree(&other), Err(Violation::ChainState { .. })));
    let empty = on_base(|state| state.assets.clear());
    assert!(matches!(chains_agree(&empty), Err(Violation::ChainState { found: None, .. })));
    let back = on_base(|state| state.updates.reverse());
    assert!(matches!(chains_agree(&back), Err(Violation::VersionFell { .. })));
    let forged = on_base(|state| {
        let asset = newest(state);
        state.updates.push((asset, 99, Digest([5; 32])));
    });
    assert!(matches!(chains_agree(&forged), Err(Violation::NotLogged { version: 99, .. })));
}

/// The run in which entry 3 (version 3 of the asset, from 1) came to `base` after entry 4 (version 4, from 3) and
/// found itself stale.
fn overtaken(mut evidence: Evidence) -> Evidence {
    let state = evidence.chains.get_mut(&chain("base")).expect("the chain");
    assert_eq!(state.updates.remove(1).1, 3);
    let late = state.batches.remove(1);
    state.batches.push(AppliedBatch { applied: 0, stale: late.applied, ..late });
    evidence
}

#[test]
fn i9_finds_a_version_that_never_took_effect_because_a_later_one_came_first() {
    let lost = overtaken(run());
    assert!(applied_once(&lost).is_ok(), "every part was answered for");
    assert!(matches!(chains_agree(&lost), Err(Violation::NeverLanded { version: 3, .. })));
}

#[test]
fn i9_lets_only_a_revert_that_landed_and_reaches_back_far_enough_cover_a_lost_version() {
    let reverted = |kind: EntryKind, from: u64| {
        overtaken(rewritten(|body| {
            if body.seq == 4 {
                body.kind = kind;
                body.updates[0].from.insert(chain("base"), from);
            }
        }))
    };
    assert!(chains_agree(&reverted(EntryKind::Revert, 1)).is_ok());
    let short = reverted(EntryKind::Revert, 2);
    assert!(matches!(chains_agree(&short), Err(Violation::NeverLanded { version: 3, .. })));
    let ordinary = reverted(EntryKind::Batch, 1);
    assert!(matches!(chains_agree(&ordinary), Err(Violation::NeverLanded { version: 3, .. })));
    // A REVERT covers nothing newer than itself.
    let later = overtaken(rewritten(|body| {
        if body.seq == 2 {
            body.kind = EntryKind::Revert;
        }
    }));
    assert!(matches!(chains_agree(&later), Err(Violation::NeverLanded { version: 3, .. })));
}

#[test]
fn i10_finds_what_took_effect_twice_or_never() {
    let again = on_base(|state| state.updates.insert(0, state.updates[0]));
    assert!(matches!(applied_once(&again), Err(Violation::VersionTwice { .. })));
    let part = on_base(|state| state.batches.push(state.batches[0]));
    assert!(matches!(applied_once(&part), Err(Violation::PartTwice { .. })));
    let missing = on_base(|state| state.batches.truncate(1));
    assert!(matches!(applied_once(&missing), Err(Violation::PartMissing { .. })));
    let deferred = on_base(|state| {
        let batch = &mut state.batches[1];
        (batch.applied, batch.deferred) = (0, batch.applied);
    });
    assert!(matches!(applied_once(&deferred), Err(Violation::PartMissing { .. })));
    // The same part again, found stale, is what a repetition looks like.
    let repeated = on_base(|state| {
        let batch = state.batches[0];
        state.batches.push(AppliedBatch { applied: 0, stale: batch.applied, ..batch });
    });
    assert!(applied_once(&repeated).is_ok());
}

#[test]
fn i16_finds_a_holding_that_came_from_nowhere() {
    let evidence = run();
    let mut state = validator::Fold::genesis(SHARD);
    let mut last = None;
    for entry in &evidence.logs[&SHARD] {
        let body = entry.decode().expect("a body");
        state.push(&body).expect("replays");
        last = Some(body).filter(|body| !body.updates.is_empty()).or(last);
    }
    let (body, mut values) = (last.expect("an entry with updates"), state.values().clone());
    replay::conserved(SHARD, &values, &body).expect("it holds");
    let forged = HoldingRecord { balance: common::amount::Amount::new(1), ..HoldingRecord::default() };
    let key = holding_key(&"bond:a".parse().expect("an asset"), &"mallory".parse().expect("an account"));
    values.insert(key, encode(&forged));
    assert!(matches!(replay::conserved(SHARD, &values, &body), Err(Violation::Supply { .. })));
}

#[test]
fn a_run_with_a_rollback_keeps_every_invariant() {
    let evidence = reverted_run();
    let summary = check_all(&evidence).unwrap_or_else(|violation| panic!("{violation}"));
    // The command was applied too.
    assert_eq!((summary.applied, summary.entries), (6, 6));
    let revert = evidence.bodies().expect("bodies").remove(4).1;
    assert_eq!(revert.kind, EntryKind::Revert);
    let from = |name: &str| revert.updates[0].from[&chain(name)];
    assert_eq!((from("base"), from("op")), (1, 0));
}

#[test]
fn i1_finds_an_undone_request_that_is_shown_otherwise_and_one_shown_as_undone_that_is_not() {
    let with_answer = |key: &str, change: fn(&mut FinalAnswer)| {
        let mut evidence = reverted_run();
        change(evidence.answers.get_mut(&rid(key)).expect("an answer"));
        evidence
    };
    let changes: [fn(&mut FinalAnswer); 3] = [
        |answer| answer.status = Status::Completed,
        |answer| answer.outcome = Some(OutcomeKind::Applied),
        |answer| answer.seq = Some(5),
    ];
    for change in changes {
        assert!(matches!(decided_once(&with_answer("undone", change)), Err(Violation::Answer { .. })));
    }
    let standing = with_answer("b", |answer| answer.status = Status::RolledBack);
    assert!(matches!(decided_once(&standing), Err(Violation::Answer { .. })));
}

#[test]
fn i9_i11_finds_a_rollback_that_reaches_too_far_or_not_far_enough_or_undoes_otherwise() {
    let with_revert = |change: fn(&mut Body)| {
        rewrite(reverted_run(), |body| {
            if body.kind == EntryKind::Revert {
                change(body);
            }
        })
    };
    assert!(reverts_reach(&with_revert(|_| {})).is_ok());
    let changes: [fn(&mut Body); 9] = [
        // What carries the request would still be sent: its own update, or the one that brought it to op.
        |body| _ = body.updates[0].from.insert(chain("base"), 2),
        |body| _ = body.updates[0].from.insert(chain("op"), 1),
        // What does not carry it would no longer be sent.
        |body| _ = body.updates[0].from.insert(chain("base"), 0),
        |body| _ = body.updates[0].from.remove(&chain("op")),
        |body| body.updates[0].version += 1,
        |body| body.updates.clear(),
        |body| body.outcomes.retain(|outcome| outcome.outcome != OutcomeKind::Reverted),
        |body| body.outcomes.iter_mut().for_each(|outcome| outcome.rid = rid("d")),
        |body| body.kind = EntryKind::Batch,
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let found = reverts_reach(&with_revert(change));
        assert!(matches!(found, Err(Violation::Revert { seq: 5, .. })), "{place}: {found:?}");
    }
    let tampered = with_revert(|body| _ = body.updates[0].from.insert(chain("base"), 2));
    assert!(matches!(replays(&tampered), Err(Violation::Replay { .. })), "I5 sees it too");
}

#[test]
fn i9_finds_an_undone_version_on_a_chain_after_the_rollback() {
    let mut evidence = reverted_run();
    let state = evidence.chains.get_mut(&chain("base")).expect("the chain");
    // Versions 1, 3, 4, 5 and 6 landed; now 3, which carries what is undone, comes after 5.
    let carried = state.updates.remove(1);
    state.updates.insert(3, carried);
    assert_eq!(state.updates[2].1, 5);
    assert!(matches!(chains_agree(&evidence), Err(Violation::VersionFell { version: 3, .. })));
}

#[test]
fn a_run_that_breaks_one_invariant_is_not_a_whole_one() {
    let (_, outcome) = applied(&run());
    let rid: Rid = outcome.rid;
    let lost = rewritten(|body| body.outcomes.retain(|found| found.rid != rid));
    assert!(check_all(&lost).is_err());
}
