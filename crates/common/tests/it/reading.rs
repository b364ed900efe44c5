//! Reading: the collectors' group, blocking readers, plain reads, and the barrier write after a reconnect.

use std::time::{Duration, Instant};

use common::link::{
    Commit, Delivered, Disposition, Entry, Feed, GroupReader, LinkError, Message, ReadFrom, Route, Scripts,
    Stream, StreamId,
};

use crate::bed::{
    Bed, Check, Stage, aside, commit, connect, entry, lead, locked, name, rid, standalone, submit,
};
use crate::directed::logging;
use crate::same;

const BLOCK: Duration = Duration::from_millis(30);

fn given(delivered: &[Delivered]) -> Vec<(StreamId, u64)> {
    delivered.iter().map(|delivered| (delivered.message.id, delivered.deliveries)).collect()
}

fn ids(messages: &[Message]) -> Vec<StreamId> {
    messages.iter().map(|message| message.id).collect()
}

#[tokio::test]
async fn a_group_member_reads_its_own_pending_entries_first_then_new_ones() -> Check {
    let bed = Bed::fresh().await;
    let _ = bed.link.init("a", true).await?;
    let (first, second) =
        (submit(&bed.link, 1, Route::Requests).await?, submit(&bed.link, 2, Route::Requests).await?);
    let mut reader = bed.link.group_reader(BLOCK);
    same!(given(&reader.next(10).await?), [(first, 1), (second, 1)]);
    same!(reader.next(10).await?.len(), 0);
    // A new connection begins with what is pending, passes over what was deleted, then waits for new ones.
    bed.command(&["XDEL", &bed.keys.requests(), &first.to_string()]);
    let third = submit(&bed.link, 3, Route::Requests).await?;
    let mut again = bed.link.group_reader(BLOCK);
    same!(again.is_inheriting(), true);
    same!(given(&again.next(10).await?), [(second, 2)]);
    same!(given(&again.next(10).await?), [(third, 1)]);
    same!(again.is_inheriting(), false);
    // The deleted one is not pending any more.
    same!(bed.link.claim_idle(Duration::ZERO, StreamId::ZERO, 10).await?.entries.len(), 2);
    Ok(())
}

#[tokio::test]
async fn own_pending_entries_count_once_per_process_and_not_per_reconnect() -> Check {
    let bed = Bed::fresh().await;
    let _ = bed.link.init("a", true).await?;
    let pending: Vec<StreamId> = vec![
        submit(&bed.link, 1, Route::Requests).await?,
        submit(&bed.link, 2, Route::Requests).await?,
        submit(&bed.link, 3, Route::Requests).await?,
    ];
    for process in 1..=3 {
        let mut reader = bed.link.group_reader(BLOCK);
        for reconnect in 0..5 {
            // Two pages: the second one goes on after the first.
            let mut all = given(&next(&mut reader, 2).await?);
            all.extend(given(&next(&mut reader, 2).await?));
            let expected: Vec<_> = pending.iter().map(|id| (*id, process)).collect();
            same!((process, reconnect, all), (process, reconnect, expected));
            same!(next(&mut reader, 2).await?.len(), 0);
            bed.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    }
    // Control: reading the history in a group does raise the counts.
    let key = bed.keys.requests();
    bed.command(&["XREADGROUP", "GROUP", "collectors", "collector-1", "STREAMS", &key, "0"]);
    same!(until_read(|| bed.link.deliveries(&pending)).await?, [4, 4, 4]);
    Ok(())
}

/// Reads until the reader is connected again.
async fn next(reader: &mut GroupReader, count: usize) -> Check<Vec<Delivered>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match reader.next(count).await {
            Err(error) if error.disposition() == Disposition::Retry && Instant::now() < deadline => {}
            outcome => return Ok(outcome?),
        }
    }
}

#[tokio::test]
async fn entries_of_a_dead_member_are_claimed_with_their_delivery_counts() -> Check {
    let bed = Bed::fresh().await;
    let _ = bed.link.init("a", true).await?;
    let id = submit(&bed.link, 1, Route::Requests).await?;
    same!(bed.link.group_reader(BLOCK).next(10).await?.len(), 1);
    let url = locked(&bed.server).url();
    let other = common::link::Link::new(connect(&url, "collector-2").await, bed.link.shard());
    for deliveries in 2..=4 {
        let claimed = other.claim_idle(Duration::ZERO, StreamId::ZERO, 10).await?;
        same!(claimed.next, StreamId::ZERO);
        same!(claimed.entries.iter().map(|entry| entry.deliveries).collect::<Vec<_>>(), [deliveries]);
        same!(claimed.entries[0].message.id, id);
    }
    // A renewed entry is not idle, and renewing counts as no delivery.
    other.renew(&[id]).await?;
    let idle = other.claim_idle(Duration::from_mins(1), StreamId::ZERO, 10).await?;
    same!(idle.entries.len(), 0);
    same!(other.deliveries(&[id]).await?, [4]);
    // The count survives a restart of Redis.
    locked(&bed.server).restart()?;
    same!(until_read(|| other.deliveries(std::slice::from_ref(&id))).await?, [4]);
    Ok(())
}

/// Repeats a read while the connection is made anew.
async fn until_read<T, F: Future<Output = Result<T, LinkError>>>(read: impl Fn() -> F) -> Check<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match read().await {
            Err(error) if error.disposition() == Disposition::Retry && Instant::now() < deadline => {}
            outcome => return Ok(outcome?),
        }
    }
}

#[tokio::test]
async fn no_answer_is_given_after_a_reconnect_before_a_barrier_write() -> Check {
    let bed = Bed::fresh().await;
    submit(&bed.link, 1, Route::Input).await?;
    let barrier = bed.keys.barrier("collector-1");
    same!(bed.number(&["EXISTS", &barrier]), 1);
    bed.command(&["DEL", &barrier]);
    same!(bed.link.record(rid(1)).await?.is_some(), true);
    same!(bed.number(&["EXISTS", &barrier]), 0);
    locked(&bed.server).restart()?;
    same!(until_read(|| bed.link.record(rid(1))).await?.is_some(), true);
    same!(bed.number(&["EXISTS", &barrier]), 1);
    Ok(())
}

#[tokio::test]
async fn a_reader_waits_for_its_feeds_and_connects_again_after_a_restart() -> Check {
    let bed = Bed::fresh().await;
    let mut reader = bed.link.reader(BLOCK);
    let feed = |from| [(Feed::Messages(Stream::Input), from), (Feed::Log, from)];
    same!(reader.read(&feed(ReadFrom::New), 10).await?.len(), 0);
    let id = submit(&bed.link, 1, Route::Input).await?;
    let fence = lead(&bed.link).await?;
    commit(&bed.link, &fence, &entry(1)).await?;
    let read = reader.read(&feed(ReadFrom::After(StreamId::ZERO)), 10).await?;
    let seen: Vec<(Feed, Vec<StreamId>)> = read
        .into_iter()
        .map(|(feed, entries)| (feed, entries.iter().map(|entry: &Entry| entry.id).collect()))
        .collect();
    same!(seen, [(Feed::Messages(Stream::Input), vec![id]), (Feed::Log, vec![StreamId::of_seq(1)])]);
    locked(&bed.server).restart()?;
    let lost = reader.read(&feed(ReadFrom::New), 10).await;
    same!(lost.map_err(|error| error.disposition()).err(), Some(Disposition::Retry));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match reader.read(&feed(ReadFrom::After(StreamId::ZERO)), 10).await {
            Ok(read) => {
                same!(read.len(), 2);
                return Ok(());
            }
            Err(error) => same!(error.disposition() == Disposition::Retry && Instant::now() < deadline, true),
        }
    }
}

#[tokio::test]
async fn plain_reads_give_what_was_written() -> Check {
    let bed = Bed::fresh().await;
    same!(bed.link.head().await?.seq, 0);
    let stage = Stage::set(&bed).await?;
    let backlog = bed.link.backlog().await?;
    same!((backlog.requests, backlog.input, backlog.express, backlog.receipts), (1, 1, 1, 0));
    same!((backlog.parked, backlog.dead_letters, backlog.log), (1, 0, 3));
    same!(ids(&bed.link.after(Stream::Input, StreamId::ZERO, 9).await?), [stage.input]);
    same!(bed.link.after(Stream::Input, stage.input, 9).await?.len(), 0);
    same!(ids(&bed.link.out_after(&name("base"), 1, 9).await?), [StreamId::of_seq(2)]);
    let log = bed.link.log_range(3, 9).await?;
    same!((log.len(), log[0].seq, log[0].v, log[0].body.as_slice()), (1, 3, 1, b"{}".as_slice()));
    same!(
        bed.link.records(&[rid(1), rid(200)]).await?.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false]
    );
    Ok(())
}

#[tokio::test]
async fn commit_does_all_that_belongs_to_its_entry() -> Check {
    let server = standalone();
    let fresh = || Bed::empty(&server, Scripts::standard());
    logging::inputs_leave_as_whole_prefixes_and_the_same_millisecond_stays(fresh().await).await?;
    logging::a_withdrawn_observation_is_noted_in_the_record_of_any_rank(fresh().await).await?;
    logging::a_revert_raises_the_barrier_and_every_commit_notifies(fresh().await).await?;
    logging::parked_and_dead_messages_are_set_aside_and_come_back(fresh().await).await?;
    logging::a_resubmitted_request_gets_its_old_outcome_back(fresh().await).await
}

#[tokio::test]
async fn body_and_payload_bytes_come_back_exactly() -> Check {
    let bed = Bed::fresh().await;
    let fence = lead(&bed.link).await?;
    let bytes: Vec<u8> = (0..=255).collect();
    commit(&bed.link, &fence, &Commit { body: &bytes, parked: &[aside(&bytes)], ..entry(1) }).await?;
    same!(bed.link.log_range(1, 1).await?[0].body, bytes);
    same!(bed.link.front(Stream::Parked, 1).await?[0].payload, bytes);
    Ok(())
}
