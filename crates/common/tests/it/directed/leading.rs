//! LEASE, ATTEMPT, START, RELAY, REWIND, TRIM, TRIM_CONTROL.

use common::link::{
    Attempted, Commit, Fence, LaneLeased, Leased, RelayLimits, Relayed, Released, Rewound, Started, StreamId,
    Token, Trimmed,
};

use crate::bed::{Bed, Check, LIMITS, TTL_MS, commit, drive, entry, item, lead, name, target};
use crate::{guarded, same};

guarded! {
    "lease" "held" a_held_lease_is_not_taken_over;
    "lease" "floor" a_new_epoch_is_above_every_known_one;
    "lease" "rise" a_new_holder_gets_a_new_epoch;
    "attempt" "once" one_process_start_counts_as_one_attempt;
    "start" "once" a_started_target_keeps_its_watermark;
    "relay" "sequence" a_run_that_does_not_join_the_watermark_is_refused;
    "relay" "stable" nothing_leaves_before_it_is_stable;
    "relay" "watermark" a_repeated_or_overlapping_run_relays_each_entry_once;
    "relay" "first" what_is_relayed_again_keeps_its_progress_and_its_first_time;
    "relay" "full" a_full_outbox_takes_what_fits_and_stops_only_its_own_watermark;
    "rewind" "once" an_entry_rewinds_a_target_once;
    "rewind" "backwards" a_rewind_goes_back_not_forwards;
    "trim" "head" the_head_entry_is_never_trimmed;
    "trim_control" "relayed" a_rollback_stays_until_it_is_relayed_to_every_target;
    "trim_control" "delivered" a_rollback_stays_until_every_outbox_has_passed_it;
}

async fn a_held_lease_is_not_taken_over(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    let other = bed.link.lease(&name("validator-2"), &Token::random(), TTL_MS, 0).await?;
    let Leased::No { epoch, remaining_ms, node } = other else { return Err(format!("{other:?}").into()) };
    same!((epoch, node.as_str()), (fence.epoch, "validator-1"));
    same!(remaining_ms > 0 && remaining_ms <= TTL_MS, true);
    let own = bed.link.lease(&name("validator-1"), &fence.token, TTL_MS, 0).await?;
    same!(matches!(own, Leased::Held { epoch, .. } if epoch == fence.epoch), true);
    // A lane answers the same, with its counters for the owner.
    let lane = drive(&bed.link).await?;
    let other = bed.link.lane_lease(&target(), &name("broadcaster-2"), &Token::random(), TTL_MS).await?;
    same!(matches!(other, LaneLeased::No { .. }), true);
    let own = bed.link.lane_lease(&target(), &name("broadcaster-1"), &lane.token, TTL_MS).await?;
    same!(matches!(own, LaneLeased::Held(grant) if (grant.next_nonce, grant.attempts) == (0, 0)), true);
    Ok(())
}

async fn a_new_epoch_is_above_every_known_one(bed: Bed) -> Check {
    let answer = bed.link.lease(&name("validator-1"), &Token::random(), TTL_MS, 41).await?;
    same!(matches!(answer, Leased::New { epoch: 42, .. }), true);
    Ok(())
}

async fn a_new_holder_gets_a_new_epoch(bed: Bed) -> Check {
    let first = lead(&bed.link).await?;
    same!(bed.link.release(&first).await?, Released::Ok);
    let second = lead(&bed.link).await?;
    same!(second.epoch, first.epoch + 1);
    // The first one is fenced, also where only its time-out would have told it.
    same!(bed.link.release(&first).await?, Released::Fenced);
    Ok(())
}

async fn one_process_start_counts_as_one_attempt(bed: Bed) -> Check {
    for count in 1..=3 {
        let fence = lead(&bed.link).await?;
        same!(bed.link.attempt(&fence, "m").await?, Attempted::Ok { count });
        same!(bed.link.attempt(&fence, "m").await?, Attempted::Ok { count });
        same!(bed.link.release(&fence).await?, Released::Ok);
    }
    // The entry that settles the message drops its note and no other.
    let fence = lead(&bed.link).await?;
    same!(bed.link.attempt(&fence, "other").await?, Attempted::Ok { count: 1 });
    commit(&bed.link, &fence, &Commit { attempted: &["m"], ..entry(1) }).await?;
    same!(bed.number(&["HLEN", &bed.keys.attempts()]), 1);
    Ok(())
}

async fn a_started_target_keeps_its_watermark(bed: Bed) -> Check {
    let fence = logged(&bed, 2).await?;
    same!(bed.link.start_target(&fence, &target(), 1).await?, Started::Ok);
    same!(bed.link.start_target(&fence, &target(), 2).await?, Started::Dup { watermark: 1 });
    same!(bed.link.head().await?.watermarks.get("base"), Some(&1));
    Ok(())
}

/// A leader with entries 1 to `n` in the log.
async fn logged(bed: &Bed, n: u64) -> Check<Fence> {
    let fence = lead(&bed.link).await?;
    for seq in 1..=n {
        commit(&bed.link, &fence, &entry(seq)).await?;
    }
    Ok(fence)
}

/// The same with the target started before entry 1.
async fn started(bed: &Bed, n: u64) -> Check<Fence> {
    let fence = logged(bed, n).await?;
    same!(bed.link.start_target(&fence, &target(), 0).await?, Started::Ok);
    Ok(fence)
}

async fn out(bed: &Bed) -> Check<Vec<u64>> {
    Ok(bed.link.out_after(&target(), 0, 100).await?.iter().map(|message| message.id.ms()).collect())
}

async fn a_run_that_does_not_join_the_watermark_is_refused(bed: Bed) -> Check {
    let fence = logged(&bed, 3).await?;
    let unstarted = bed.link.relay(&fence, &target(), 1, &[Some(b"a")], LIMITS).await?;
    same!(unstarted, Relayed::Gap { watermark: None });
    same!(bed.link.start_target(&fence, &target(), 0).await?, Started::Ok);
    let gap = bed.link.relay(&fence, &target(), 2, &[Some(b"b")], LIMITS).await?;
    same!(gap, Relayed::Gap { watermark: Some(0) });
    same!(out(&bed).await?, [0_u64; 0]);
    Ok(())
}

async fn nothing_leaves_before_it_is_stable(bed: Bed) -> Check {
    let fence = started(&bed, 2).await?;
    bed.command(&["HSET", &bed.keys.head(), "stable", "1"]);
    let answer = bed.link.relay(&fence, &target(), 1, &[Some(b"a"), Some(b"b")], LIMITS).await?;
    same!(answer, Relayed::Unstable { stable: 1 });
    same!(out(&bed).await?, [0_u64; 0]);
    Ok(())
}

async fn a_repeated_or_overlapping_run_relays_each_entry_once(bed: Bed) -> Check {
    let fence = started(&bed, 4).await?;
    let run: [Option<&[u8]>; 3] = [Some(b"a"), None, Some(b"c")];
    same!(bed.link.relay(&fence, &target(), 1, &run, LIMITS).await?, Relayed::Ok { watermark: 3 });
    same!(bed.link.relay(&fence, &target(), 1, &run, LIMITS).await?, Relayed::Ok { watermark: 3 });
    let overlap: [Option<&[u8]>; 2] = [Some(b"c"), Some(b"d")];
    same!(bed.link.relay(&fence, &target(), 3, &overlap, LIMITS).await?, Relayed::Ok { watermark: 4 });
    same!(out(&bed).await?, [1, 3, 4]);
    // What is relayed shows as such and expires; an entry with nothing for the target has no progress.
    let progress = bed.link.progress(1).await?.ok_or("no progress")?;
    same!((progress.version, progress.targets["base"].to_string().as_str()), (1, "relayed - -"));
    same!(bed.number(&["PTTL", &bed.keys.progress(1)]) > 0, true);
    same!(bed.link.progress(2).await?, None);
    Ok(())
}

async fn what_is_relayed_again_keeps_its_progress_and_its_first_time(bed: Bed) -> Check {
    let fence = started(&bed, 1).await?;
    same!(bed.link.relay(&fence, &target(), 1, &[Some(b"a")], LIMITS).await?, Relayed::Ok { watermark: 1 });
    let times = bed.link.progress(1).await?.ok_or("no progress")?.times["base"];
    same!((times.relayed_ms.is_some(), times.sent_ms, times.done_ms), (true, None, None));
    bed.command(&["HSET", &bed.keys.progress(1), "base", "sent - -"]);
    bed.command(&["DEL", &bed.keys.out(&target())]);
    bed.command(&["HSET", &bed.keys.head(), "wm:base", "0"]);
    same!(bed.link.relay(&fence, &target(), 1, &[Some(b"a")], LIMITS).await?, Relayed::Ok { watermark: 1 });
    let again = bed.link.progress(1).await?.ok_or("no progress")?;
    same!(
        (again.version, again.targets["base"].to_string().as_str(), again.times["base"]),
        (1, "sent - -", times)
    );
    Ok(())
}

async fn a_full_outbox_takes_what_fits_and_stops_only_its_own_watermark(bed: Bed) -> Check {
    let fence = started(&bed, 5).await?;
    let limits = RelayLimits { out_max: 2, ..LIMITS };
    let run: [Option<&[u8]>; 5] = [Some(b"a"), Some(b"b"), None, Some(b"d"), None];
    same!(bed.link.relay(&fence, &target(), 1, &run, limits).await?, Relayed::Full { watermark: 3 });
    same!(out(&bed).await?, [1, 2]);
    same!(bed.link.start_target(&fence, &name("other"), 0).await?, Started::Ok);
    same!(bed.link.relay(&fence, &name("other"), 1, &run[..2], limits).await?, Relayed::Ok { watermark: 2 });
    bed.command(&["XDEL", &bed.keys.out(&target()), "1-0"]);
    same!(bed.link.relay(&fence, &target(), 4, &run[3..], limits).await?, Relayed::Ok { watermark: 5 });
    Ok(())
}

async fn an_entry_rewinds_a_target_once(bed: Bed) -> Check {
    let fence = started(&bed, 4).await?;
    let run: [Option<&[u8]>; 3] = [Some(b"a"), Some(b"b"), Some(b"c")];
    same!(bed.link.relay(&fence, &target(), 1, &run, LIMITS).await?, Relayed::Ok { watermark: 3 });
    let lane = drive(&bed.link).await?;
    let wait = common::link::WaitWrite { item: item(1, 0), until_ms: Some(9) };
    same!(bed.link.wait(&lane, &target(), &[wait]).await?, common::link::WaitReply::Ok);
    same!(bed.link.rewind(&fence, &target(), 4, 2).await?, Rewound::Ok { watermark: 1 });
    same!(out(&bed).await?, [0_u64; 0]);
    same!(bed.link.lane_state(&target()).await?.waits.len(), 0);
    // The lower ids are free again: the same entries are relayed anew, and a repeat takes nothing back.
    same!(bed.link.relay(&fence, &target(), 2, &run[1..], LIMITS).await?, Relayed::Ok { watermark: 3 });
    same!(bed.link.rewind(&fence, &target(), 4, 2).await?, Rewound::Dup { watermark: 3 });
    same!(out(&bed).await?, [2, 3]);
    same!(bed.link.head().await?.rewinds.get("base"), Some(&4));
    Ok(())
}

async fn a_rewind_goes_back_not_forwards(bed: Bed) -> Check {
    let fence = logged(&bed, 3).await?;
    same!(bed.link.rewind(&fence, &target(), 1, 1).await?, Rewound::Gap { watermark: None });
    same!(bed.link.start_target(&fence, &target(), 1).await?, Started::Ok);
    same!(bed.link.rewind(&fence, &target(), 2, 3).await?, Rewound::Gap { watermark: Some(1) });
    same!(bed.link.head().await?.watermarks.get("base"), Some(&1));
    Ok(())
}

async fn the_head_entry_is_never_trimmed(bed: Bed) -> Check {
    let fence = logged(&bed, 4).await?;
    same!(bed.link.trim_log(&fence, 3).await?, Trimmed::Ok { removed: 2 });
    same!(bed.link.log_range(1, 9).await?.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [3, 4]);
    same!(bed.link.trim_log(&fence, 99).await?, Trimmed::Ok { removed: 1 });
    same!(bed.length(&bed.keys.log()), 1);
    Ok(())
}

/// Entries 1 to 4, of which 2, 3 and 4 are REVERTs, for the targets `base` and `optimism`; all are relayed to the first.
async fn reverted(bed: &Bed) -> Check<Fence> {
    let fence = lead(&bed.link).await?;
    commit(&bed.link, &fence, &entry(1)).await?;
    for seq in 2..=4 {
        commit(&bed.link, &fence, &Commit { barrier: Some(b"{}"), ..entry(seq) }).await?;
    }
    for target in [target(), name("optimism")] {
        same!(bed.link.start_target(&fence, &target, 0).await?, Started::Ok);
    }
    let relayed = bed.link.relay(&fence, &target(), 1, &[None, None, Some(b"{}"), None], LIMITS).await?;
    same!(relayed, Relayed::Ok { watermark: 4 });
    Ok(fence)
}

async fn a_rollback_stays_until_it_is_relayed_to_every_target(bed: Bed) -> Check {
    let fence = reverted(&bed).await?;
    let targets = [target(), name("optimism")];
    same!(bed.link.trim_control(&fence, &targets).await?, Trimmed::Ok { removed: 0 });
    let relayed = bed.link.relay(&fence, &targets[1], 1, &[None, None], LIMITS).await?;
    same!(relayed, Relayed::Ok { watermark: 2 });
    same!(bed.link.trim_control(&fence, &targets).await?, Trimmed::Ok { removed: 1 });
    same!(bed.link.control_len().await?, 2);
    Ok(())
}

async fn a_rollback_stays_until_every_outbox_has_passed_it(bed: Bed) -> Check {
    let fence = reverted(&bed).await?;
    let targets = [target()];
    // Entry 3 is in the outbox.
    same!(bed.link.trim_control(&fence, &targets).await?, Trimmed::Ok { removed: 1 });
    same!(bed.link.control_len().await?, 2);
    bed.command(&["DEL", &bed.keys.out(&target())]);
    same!(bed.link.trim_control(&fence, &targets).await?, Trimmed::Ok { removed: 1 });
    // The newest stays, though it is passed too.
    same!(bed.link.trim_control(&fence, &targets).await?, Trimmed::Ok { removed: 0 });
    let left: Vec<u64> =
        bed.link.control_after(StreamId::ZERO, 9).await?.iter().map(|control| control.seq).collect();
    same!(left, [4]);
    Ok(())
}
