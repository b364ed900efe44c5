//! SENDER, BIND, STORE, REBIND, WAIT, PROGRESS, DONE.

use common::link::{
    Bind, Bound, Commit, Done, DoneEntry, DoneReply, Fence, Finished, Item, Link, Progress, ProgressReply,
    ProgressWrite, Progressed, Rebind, Rebound, Rewound, SenderReply, Started, Store, Stored, WaitReply,
    WaitWrite,
};
use common::status::Delivery;

use crate::bed::{Bed, Check, LIMITS, bind, commit, drive, entry, item, lead, store, target};
use crate::{guarded, same};

guarded! {
    "sender" "bound" another_wallet_does_not_take_over_what_is_bound;
    "sender" "fresh" another_wallet_starts_from_its_own_nonce;
    "bind" "rewind" after_a_rewind_the_lane_must_reload;
    "store" "rewind" after_a_rewind_nothing_old_is_stored;
    "rebind" "rewind" after_a_rewind_nothing_is_freed_unseen;
    "done" "rewind" after_a_rewind_nothing_old_is_done;
    "bind" "barrier" nothing_is_bound_before_the_last_revert_is_read;
    "store" "barrier" nothing_is_stored_before_the_last_revert_is_read;
    "bind" "present" an_item_of_a_done_entry_is_not_bound_again;
    "bind" "bound" an_item_keeps_its_nonce;
    "bind" "chain" a_nonce_is_never_below_the_chains_next;
    "store" "bound" only_the_items_own_nonce_is_signed;
    "store" "handed_out" a_gap_is_filled_only_below_the_counter;
    "store" "free" a_gap_filler_does_not_displace_items;
    "store" "taken" an_attempt_number_holds_one_transaction_for_ever;
    "rebind" "used_up" items_are_freed_only_from_a_nonce_that_is_used_up;
    "rebind" "same_nonce" items_bound_elsewhere_meanwhile_are_left_alone;
    "rebind" "needed" stored_bytes_stay_while_an_item_needs_them;
    "rebind" "used" what_is_freed_was_finally_used;
    "done" "used" what_is_done_was_finally_used;
    "progress" "exists" progress_makes_no_record;
    "progress" "upwards" progress_moves_upwards_only;
    "progress" "first" what_was_sent_keeps_the_time_it_was_sent_first;
    "done" "declared" a_lane_that_forgot_a_nonce_must_reload;
    "done" "once" an_entry_is_done_once;
    "done" "needed" a_shared_nonce_goes_with_its_last_item;
    "done" "shown" done_makes_no_progress_record;
}

/// A leader and a lane with entries 1 to `n` in the outbox.
async fn relayed(bed: &Bed, n: u64) -> Check<(Fence, Fence)> {
    let leader = lead(&bed.link).await?;
    for seq in 1..=n {
        commit(&bed.link, &leader, &entry(seq)).await?;
    }
    same!(bed.link.start_target(&leader, &target(), 0).await?, Started::Ok);
    let payloads: Vec<Option<&[u8]>> = (0..n).map(|_| Some(b"{}".as_slice())).collect();
    let _ = bed.link.relay(&leader, &target(), 1, &payloads, LIMITS).await?;
    Ok((leader, drive(&bed.link).await?))
}

async fn bound(link: &Link, lane: &Fence, items: &[Item]) -> Check<u64> {
    match link.bind(lane, &bind(&target(), items)).await? {
        Bound::Ok { nonce } => Ok(nonce),
        other => Err(format!("bind answered {other:?}").into()),
    }
}

async fn kept(link: &Link, lane: &Fence, items: &[Item], nonce: u64) -> Check {
    same!(link.store(lane, &store(&target(), items, nonce, 1)).await?, Stored::Ok);
    Ok(())
}

fn at(state: Delivery) -> Progress {
    Progress { state, block: Some(7), tx: vec!["0xaa".to_owned()] }
}

async fn done(
    link: &Link,
    lane: &Fence,
    rewind: u64,
    seq: u64,
    items: &[Item],
    nonces: &[u64],
) -> Check<DoneReply> {
    let (target, progress) = (target(), at(Delivery::Final));
    let one = DoneEntry { seq, progress: &progress, receipt: b"{}", items };
    Ok(link.done(lane, &Done { target: &target, rewind, entries: &[one], nonces }).await?)
}

async fn another_wallet_does_not_take_over_what_is_bound(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    // A journal of the time before it named senders is the first caller's.
    same!(bed.link.lane_sender(&lane, &target(), "0xaa").await?, SenderReply::Ok);
    same!(bed.link.lane_state(&target()).await?.next_nonce, 1);
    let other = SenderReply::Bound { sender: "0xaa".to_owned() };
    same!(bed.link.lane_sender(&lane, &target(), "0xbb").await?, other);
    same!(bed.link.lane_sender(&lane, &target(), "0xaa").await?, SenderReply::Ok);
    same!(bed.link.lane_state(&target()).await?.next_nonce, 1);
    Ok(())
}

async fn another_wallet_starts_from_its_own_nonce(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 2).await?;
    same!(bed.link.lane_sender(&lane, &target(), "0xaa").await?, SenderReply::Ok);
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    let finished = done(&bed.link, &lane, 0, 1, &[item(1, 0)], &[0]).await?;
    same!(finished, DoneReply::Ok(vec![Finished::Ok]));
    same!(bed.link.lane_sender(&lane, &target(), "0xbb").await?, SenderReply::Ok);
    same!(bound(&bed.link, &lane, &[item(2, 0)]).await?, 0);
    Ok(())
}

async fn what_is_freed_was_finally_used(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    same!(rebind(&bed, &lane, 0, 0, &[item(1, 0)]).await?, Rebound::Pending);
    same!(bed.link.lane_state(&target()).await?.used, 0);
    same!(rebind(&bed, &lane, 0, 3, &[item(1, 0)]).await?, Rebound::Ok { freed: 1 });
    same!(bed.link.lane_state(&target()).await?.used, 3);
    same!(rebind(&bed, &lane, 0, 1, &[]).await?, Rebound::Ok { freed: 0 });
    same!(bed.link.lane_state(&target()).await?.used, 3);
    Ok(())
}

async fn what_is_done_was_finally_used(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 2).await?;
    let (target, items) = (target(), [item(1, 0), item(2, 0)]);
    let jumped = Bind { chain_next: 5, ..bind(&target, &items) };
    same!(bed.link.bind(&lane, &jumped).await?, Bound::Ok { nonce: 5 });
    same!(bed.link.lane_state(&target).await?.used, 0);
    let ok = DoneReply::Ok(vec![Finished::Ok]);
    same!(done(&bed.link, &lane, 0, 1, &[item(1, 0)], &[5]).await?, ok);
    same!(bed.link.lane_state(&target).await?.used, 6);
    same!(done(&bed.link, &lane, 0, 2, &[item(2, 0)], &[5]).await?, ok);
    same!(bed.link.lane_state(&target).await?.used, 6);
    Ok(())
}

/// Entry 1 bound to nonce 0, then the outbox taken back and relayed anew; answers the lane.
async fn rewound(bed: &Bed) -> Check<Fence> {
    let (leader, lane) = relayed(bed, 2).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    same!(bed.link.rewind(&leader, &target(), 2, 1).await?, Rewound::Ok { watermark: 0 });
    let payloads: [Option<&[u8]>; 2] = [Some(b"{}"), Some(b"{}")];
    let _ = bed.link.relay(&leader, &target(), 1, &payloads, LIMITS).await?;
    same!(bed.link.lane_state(&target()).await?.rewind, 2);
    Ok(lane)
}

async fn after_a_rewind_the_lane_must_reload(bed: Bed) -> Check {
    let lane = rewound(&bed).await?;
    same!(bed.link.bind(&lane, &bind(&target(), &[item(2, 0)])).await?, Bound::Reload);
    let (target, items) = (target(), [item(2, 0)]);
    let informed = Bind { rewind: 2, ..bind(&target, &items) };
    same!(bed.link.bind(&lane, &informed).await?, Bound::Ok { nonce: 1 });
    Ok(())
}

async fn after_a_rewind_nothing_old_is_stored(bed: Bed) -> Check {
    let lane = rewound(&bed).await?;
    same!(bed.link.store(&lane, &store(&target(), &[item(1, 0)], 0, 1)).await?, Stored::Reload);
    Ok(())
}

async fn after_a_rewind_nothing_is_freed_unseen(bed: Bed) -> Check {
    let lane = rewound(&bed).await?;
    same!(rebind(&bed, &lane, 0, 1, &[item(1, 0)]).await?, Rebound::Reload);
    Ok(())
}

async fn after_a_rewind_nothing_old_is_done(bed: Bed) -> Check {
    let lane = rewound(&bed).await?;
    same!(done(&bed.link, &lane, 0, 1, &[item(1, 0)], &[0]).await?, DoneReply::Reload);
    same!(done(&bed.link, &lane, 2, 1, &[item(1, 0)], &[0]).await?, DoneReply::Ok(vec![Finished::Ok]));
    Ok(())
}

async fn nothing_is_bound_before_the_last_revert_is_read(bed: Bed) -> Check {
    let (leader, lane) = relayed(&bed, 2).await?;
    commit(&bed.link, &leader, &Commit { barrier: Some(b"{}"), ..entry(3) }).await?;
    same!(bed.link.bind(&lane, &bind(&target(), &[item(1, 0)])).await?, Bound::Stale);
    let (target, items) = (target(), [item(1, 0)]);
    let informed = Bind { control_seq: 3, ..bind(&target, &items) };
    same!(bed.link.bind(&lane, &informed).await?, Bound::Ok { nonce: 0 });
    Ok(())
}

async fn nothing_is_stored_before_the_last_revert_is_read(bed: Bed) -> Check {
    let (leader, lane) = relayed(&bed, 2).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    commit(&bed.link, &leader, &Commit { barrier: Some(b"{}"), ..entry(3) }).await?;
    same!(bed.link.store(&lane, &store(&target(), &[item(1, 0)], 0, 1)).await?, Stored::Stale);
    let (target, items) = (target(), [item(1, 0)]);
    let informed = Store { control_seq: 3, ..store(&target, &items, 0, 1) };
    same!(bed.link.store(&lane, &informed).await?, Stored::Ok);
    Ok(())
}

async fn an_item_of_a_done_entry_is_not_bound_again(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 2).await?;
    same!(done(&bed.link, &lane, 0, 1, &[], &[]).await?, DoneReply::Ok(vec![Finished::Ok]));
    same!(bed.link.bind(&lane, &bind(&target(), &[item(2, 0), item(1, 0)])).await?, Bound::Gone);
    same!(bed.link.lane_state(&target()).await?.binds.len(), 0);
    Ok(())
}

async fn an_item_keeps_its_nonce(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 3).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0), item(2, 0)]).await?, 0);
    let both = bed.link.bind(&lane, &bind(&target(), &[item(1, 0), item(2, 0)])).await?;
    same!(both, Bound::Bound { nonces: vec![Some(0), Some(0)] });
    let mixed = bed.link.bind(&lane, &bind(&target(), &[item(2, 0), item(3, 0)])).await?;
    same!(mixed, Bound::Bound { nonces: vec![Some(0), None] });
    let state = bed.link.lane_state(&target()).await?;
    same!((state.next_nonce, state.binds.len()), (1, 2));
    Ok(())
}

async fn a_nonce_is_never_below_the_chains_next(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 2).await?;
    let (target, first, second) = (target(), [item(1, 0)], [item(2, 0)]);
    let ahead = Bind { chain_next: 40, ..bind(&target, &first) };
    same!(bed.link.bind(&lane, &ahead).await?, Bound::Ok { nonce: 40 });
    // The counter is above a chain that has not seen the transaction yet.
    let behind = Bind { chain_next: 40, ..bind(&target, &second) };
    same!(bed.link.bind(&lane, &behind).await?, Bound::Ok { nonce: 41 });
    Ok(())
}

async fn only_the_items_own_nonce_is_signed(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 2).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    same!(bed.link.store(&lane, &store(&target(), &[item(2, 0)], 0, 1)).await?, Stored::Unbound);
    same!(bed.link.store(&lane, &store(&target(), &[item(1, 0)], 1, 1)).await?, Stored::Unbound);
    kept(&bed.link, &lane, &[item(1, 0)], 0).await?;
    let state = bed.link.lane_state(&target()).await?;
    let raw = state.raws.get(&0).ok_or("nothing stored")?;
    same!(
        (raw.items.as_slice(), raw.attempts[&1].raw.as_slice()),
        ([item(1, 0)].as_slice(), b"signed".as_slice())
    );
    same!(
        (raw.attempts[&1].tx_hash.as_str(), raw.attempts[&1].fee.as_str(), state.attempts),
        ("0xaa", "1", 1)
    );
    Ok(())
}

async fn a_gap_is_filled_only_below_the_counter(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bed.link.store(&lane, &store(&target(), &[], 0, 1)).await?, Stored::Unbound);
    Ok(())
}

async fn a_gap_filler_does_not_displace_items(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    same!(bed.link.store(&lane, &store(&target(), &[], 0, 1)).await?, Stored::Bound);
    // Once the items are free the gap can be filled, and the filler is forgotten when it is mined.
    same!(rebind(&bed, &lane, 0, 1, &[item(1, 0)]).await?, Rebound::Ok { freed: 1 });
    same!(bed.link.store(&lane, &store(&target(), &[], 0, 1)).await?, Stored::Ok);
    let state = bed.link.lane_state(&target()).await?;
    same!((state.fillers.contains(&0), state.raws[&0].items.len()), (true, 0));
    same!(rebind(&bed, &lane, 0, 1, &[]).await?, Rebound::Ok { freed: 0 });
    same!(bed.link.lane_state(&target()).await?.raws.len(), 0);
    Ok(())
}

async fn an_attempt_number_holds_one_transaction_for_ever(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    kept(&bed.link, &lane, &[item(1, 0)], 0).await?;
    kept(&bed.link, &lane, &[item(1, 0)], 0).await?;
    let (target, items) = (target(), [item(1, 0)]);
    let other = Store { raw: b"other", tx_hash: "0xbb", ..store(&target, &items, 0, 1) };
    same!(bed.link.store(&lane, &other).await?, Stored::Taken { tx_hash: "0xaa".to_owned() });
    same!(bed.link.store(&lane, &Store { attempt: 2, ..other }).await?, Stored::Ok);
    same!(bed.link.lane_state(&target).await?.raws[&0].attempts.len(), 2);
    Ok(())
}

async fn rebind(
    bed: &Bed,
    lane: &Fence,
    nonce: u64,
    chain_next_final: u64,
    items: &[Item],
) -> Check<Rebound> {
    let target = target();
    Ok(bed.link.rebind(lane, &Rebind { target: &target, rewind: 0, nonce, chain_next_final, items }).await?)
}

async fn items_are_freed_only_from_a_nonce_that_is_used_up(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    same!(rebind(&bed, &lane, 0, 0, &[item(1, 0)]).await?, Rebound::Pending);
    same!(rebind(&bed, &lane, 0, 1, &[item(1, 0)]).await?, Rebound::Ok { freed: 1 });
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 1);
    Ok(())
}

async fn items_bound_elsewhere_meanwhile_are_left_alone(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    same!(rebind(&bed, &lane, 0, 1, &[item(1, 0)]).await?, Rebound::Ok { freed: 1 });
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 1);
    same!(rebind(&bed, &lane, 0, 1, &[item(1, 0)]).await?, Rebound::Ok { freed: 0 });
    same!(bed.link.lane_state(&target()).await?.binds.get(&item(1, 0)), Some(&1));
    Ok(())
}

async fn stored_bytes_stay_while_an_item_needs_them(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 2).await?;
    let both = [item(1, 0), item(2, 0)];
    same!(bound(&bed.link, &lane, &both).await?, 0);
    kept(&bed.link, &lane, &both, 0).await?;
    same!(rebind(&bed, &lane, 0, 1, &both[..1]).await?, Rebound::Ok { freed: 1 });
    same!(bed.link.lane_state(&target()).await?.raws[&0].attempts.len(), 1);
    same!(rebind(&bed, &lane, 0, 1, &both[1..]).await?, Rebound::Ok { freed: 1 });
    same!(bed.number(&["EXISTS", &bed.keys.raw(&target(), 0)]), 0);
    Ok(())
}

async fn set(bed: &Bed, lane: &Fence, state: Delivery, block: u64) -> Check<Progressed> {
    let progress = Progress { block: Some(block), ..at(state) };
    match bed.link.set_progress(lane, &target(), &[ProgressWrite { seq: 1, progress }]).await? {
        ProgressReply::Ok(words) => words.first().copied().ok_or_else(|| "no word".into()),
        ProgressReply::Fenced => Err("fenced".into()),
    }
}

async fn progress_makes_no_record(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    bed.command(&["DEL", &bed.keys.progress(1)]);
    same!(set(&bed, &lane, Delivery::Sent, 1).await?, Progressed::Gone);
    same!(bed.link.progress(1).await?, None);
    Ok(())
}

async fn progress_moves_upwards_only(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(set(&bed, &lane, Delivery::Included, 5).await?, Progressed::Ok);
    same!(set(&bed, &lane, Delivery::Included, 5).await?, Progressed::Kept);
    same!(set(&bed, &lane, Delivery::Sent, 6).await?, Progressed::Kept);
    // The same state in another block after a reorganisation.
    same!(set(&bed, &lane, Delivery::Included, 6).await?, Progressed::Ok);
    same!(set(&bed, &lane, Delivery::Final, 6).await?, Progressed::Ok);
    same!(set(&bed, &lane, Delivery::Revoked, 7).await?, Progressed::Kept);
    let progress = bed.link.progress(1).await?.ok_or("no progress")?;
    same!((progress.version, progress.targets["base"].state), (4, Delivery::Final));
    same!((progress.targets["base"].block, progress.targets["base"].tx.len()), (Some(6), 1));
    Ok(())
}

async fn what_was_sent_keeps_the_time_it_was_sent_first(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(set(&bed, &lane, Delivery::Sent, 1).await?, Progressed::Ok);
    let sent = bed.link.progress(1).await?.ok_or("no progress")?.times["base"];
    same!((sent.relayed_ms.is_some(), sent.relayed_ms <= sent.sent_ms, sent.done_ms), (true, true, None));
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    same!(set(&bed, &lane, Delivery::Included, 2).await?, Progressed::Ok);
    same!(bed.link.progress(1).await?.ok_or("no progress")?.times["base"], sent);
    same!(done(&bed.link, &lane, 0, 1, &[], &[]).await?, DoneReply::Ok(vec![Finished::Ok]));
    let done = bed.link.progress(1).await?.ok_or("no progress")?.times["base"];
    same!((done.sent_ms, done.done_ms > sent.sent_ms), (sent.sent_ms, true));
    Ok(())
}

async fn a_lane_that_forgot_a_nonce_must_reload(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    same!(bound(&bed.link, &lane, &[item(1, 0)]).await?, 0);
    kept(&bed.link, &lane, &[item(1, 0)], 0).await?;
    same!(done(&bed.link, &lane, 0, 1, &[item(1, 0)], &[]).await?, DoneReply::Reload);
    same!(done(&bed.link, &lane, 0, 1, &[item(1, 0)], &[0]).await?, DoneReply::Ok(vec![Finished::Ok]));
    same!(bed.number(&["EXISTS", &bed.keys.raw(&target(), 0)]), 0);
    Ok(())
}

async fn an_entry_is_done_once(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    let wait = WaitWrite { item: item(1, 0), until_ms: Some(9) };
    same!(bed.link.wait(&lane, &target(), &[wait]).await?, WaitReply::Ok);
    same!(done(&bed.link, &lane, 0, 1, &[item(1, 0)], &[]).await?, DoneReply::Ok(vec![Finished::Ok]));
    same!(done(&bed.link, &lane, 0, 1, &[item(1, 0)], &[]).await?, DoneReply::Ok(vec![Finished::Dup]));
    same!((bed.length(&bed.keys.receipts()), bed.length(&bed.keys.out(&target()))), (1, 0));
    same!(bed.link.lane_state(&target()).await?.waits.len(), 0);
    same!(bed.link.progress(1).await?.map(|progress| progress.targets["base"].state), Some(Delivery::Final));
    Ok(())
}

async fn a_shared_nonce_goes_with_its_last_item(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 2).await?;
    let both = [item(1, 0), item(2, 0)];
    same!(bound(&bed.link, &lane, &both).await?, 0);
    kept(&bed.link, &lane, &both, 0).await?;
    same!(done(&bed.link, &lane, 0, 1, &both[..1], &[0]).await?, DoneReply::Ok(vec![Finished::Ok]));
    let state = bed.link.lane_state(&target()).await?;
    same!((state.raws[&0].attempts.len(), state.binds.len(), state.attempts), (1, 1, 0));
    same!(done(&bed.link, &lane, 0, 2, &both[1..], &[0]).await?, DoneReply::Ok(vec![Finished::Ok]));
    same!(bed.number(&["EXISTS", &bed.keys.raw(&target(), 0)]), 0);
    Ok(())
}

async fn done_makes_no_progress_record(bed: Bed) -> Check {
    let (_, lane) = relayed(&bed, 1).await?;
    bed.command(&["DEL", &bed.keys.progress(1)]);
    same!(done(&bed.link, &lane, 0, 1, &[], &[]).await?, DoneReply::Ok(vec![Finished::Ok]));
    same!(bed.number(&["EXISTS", &bed.keys.progress(1)]), 0);
    Ok(())
}
