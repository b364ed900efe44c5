//! COMMIT and UNPARK.

use common::hash::Digest;
use common::link::{
    Commit, Committed, Consumed, Control, DEAD_LETTERS_MAX, DeadLetter, FullStream, Notification, PARKED_MAX,
    RECORD_BYTES_MAX, ReadFrom, Route, StatusWrite, Stream, StreamId, Submission, Unparked,
};
use common::status::{OutcomeKind, Status};

use crate::bed::{
    BOUNDS, Bed, Check, FIRST, TTL_MS, aside, commit, digest, entry, fp, lead, rid, submission, submit,
    tenant,
};
use crate::{guarded, same};

guarded! {
    "commit" "logged" the_same_entry_again_is_a_duplicate;
    "commit" "sequence" an_entry_follows_the_head_without_a_gap;
    "commit" "prev" an_entry_continues_the_chain_of_digests;
    "commit" "dead_letters" a_full_dead_letter_stream_refuses_the_entry;
    "commit" "parked" a_full_parked_stream_refuses_the_entry;
    "commit" "exists" a_status_write_makes_no_record;
    "commit" "fp" a_status_write_leaves_a_record_of_another_request;
    "commit" "upwards" a_status_write_moves_no_record_back;
    "commit" "waited" what_a_request_waited_for_says_nothing_of_its_end;
    "commit" "cut" a_decided_record_is_cut_to_its_bound;
    "commit" "expiry" a_decided_record_expires;
}

fn status(n: u8, status: Status) -> StatusWrite<'static> {
    let outcome = if status == Status::Queued { OutcomeKind::Held } else { OutcomeKind::Applied };
    StatusWrite {
        rid: rid(n),
        fp: fp(n),
        status,
        seq: Some(1),
        outcome: Some(outcome),
        code: None,
        errors: None,
        ended_ms: None,
        replaces: None,
        withdrawn: None,
    }
}

async fn the_same_entry_again_is_a_duplicate(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    commit(&bed.link, &fence, &entry(1)).await?;
    commit(&bed.link, &fence, &entry(2)).await?;
    same!(bed.link.commit(&fence, &entry(2)).await?, Committed::Dup);
    // Also when later entries stand above it; another digest at its place is not it.
    same!(bed.link.commit(&fence, &entry(1)).await?, Committed::Dup);
    let fork = Commit { digest: digest(9), ..entry(1) };
    same!(bed.link.commit(&fence, &fork).await?, Committed::Gap { seq: 2, digest: digest(2) });
    let log = bed.link.log_range(1, 9).await?;
    same!(
        log.iter().map(|entry| (entry.seq, entry.prev, entry.digest)).collect::<Vec<_>>(),
        [(1, Digest::ZERO, digest(1)), (2, digest(1), digest(2))]
    );
    Ok(())
}

async fn an_entry_follows_the_head_without_a_gap(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    commit(&bed.link, &fence, &entry(1)).await?;
    let gap = Commit { prev: digest(1), ..entry(3) };
    same!(bed.link.commit(&fence, &gap).await?, Committed::Gap { seq: 1, digest: digest(1) });
    same!(bed.link.head().await?.seq, 1);
    Ok(())
}

async fn an_entry_continues_the_chain_of_digests(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    let forged = Commit { prev: digest(7), ..entry(1) };
    same!(bed.link.commit(&fence, &forged).await?, Committed::Gap { seq: 0, digest: Digest::ZERO });
    same!(bed.length(&bed.keys.log()), 0);
    commit(&bed.link, &fence, &Commit { targets: Some(digest(5)), ..entry(1) }).await?;
    let head = bed.link.head().await?;
    same!((head.seq, head.digest, head.stable, head.barrier), (1, digest(1), 1, 0));
    same!((head.root, head.targets), (Some(entry(1).root), Some(digest(5))));
    Ok(())
}

/// Fills a stream to one below its bound without a million round trips.
fn fill(bed: &Bed, key: &str, bound: u64) {
    let script = "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'm', 'x') end";
    bed.command(&["EVAL", script, "1", key, &(bound - 1).to_string()]);
}

fn dead_letter() -> DeadLetter<'static> {
    DeadLetter { stage: "validator", code: "NOT_JSON", error: "at 0", attempts: 1, original: b"\xff" }
}

async fn a_full_dead_letter_stream_refuses_the_entry(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    fill(&bed, &bed.keys.dead_letters(), DEAD_LETTERS_MAX);
    commit(&bed.link, &fence, &Commit { dead_letters: &[dead_letter()], ..entry(1) }).await?;
    let more = Commit { dead_letters: &[dead_letter()], ..entry(2) };
    same!(bed.link.commit(&fence, &more).await?, Committed::Full(FullStream::DeadLetters));
    same!(bed.link.head().await?.seq, 1);
    commit(&bed.link, &fence, &entry(2)).await
}

async fn a_full_parked_stream_refuses_the_entry(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    fill(&bed, &bed.keys.parked(), PARKED_MAX);
    commit(&bed.link, &fence, &Commit { parked: &[aside(b"{}")], ..entry(1) }).await?;
    let more = Commit { parked: &[aside(b"{}")], ..entry(2) };
    same!(bed.link.commit(&fence, &more).await?, Committed::Full(FullStream::Parked));
    same!(bed.link.head().await?.seq, 1);
    Ok(())
}

async fn a_status_write_makes_no_record(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    // The fingerprint's guard would refuse as well; this is about a key that was there and is gone.
    bed.command(&["HSET", &bed.keys.request(rid(1)), "fp", &fp(1).to_string()]);
    commit(&bed.link, &fence, &Commit { statuses: &[status(1, Status::Committed)], ..entry(1) }).await?;
    same!(bed.number(&["HLEN", &bed.keys.request(rid(1))]), 1);
    commit(&bed.link, &fence, &Commit { statuses: &[status(2, Status::Committed)], ..entry(2) }).await?;
    same!(bed.number(&["EXISTS", &bed.keys.request(rid(2))]), 0);
    Ok(())
}

async fn a_status_write_leaves_a_record_of_another_request(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    submit(&bed.link, 1, Route::Input).await?;
    let predecessor = StatusWrite { fp: fp(9), ..status(1, Status::Completed) };
    commit(&bed.link, &fence, &Commit { statuses: std::slice::from_ref(&predecessor), ..entry(1) }).await?;
    same!(bed.link.record(rid(1)).await?.map(|record| record.status), Some(Status::Accepted));
    // The record of a third request is not meant either; that of the refused one becomes the decided one's.
    let third = StatusWrite { replaces: Some(fp(8)), ..predecessor.clone() };
    commit(&bed.link, &fence, &Commit { statuses: &[third], ..entry(2) }).await?;
    same!(bed.link.record(rid(1)).await?.map(|record| record.status), Some(Status::Accepted));
    bed.command(&["HSET", &bed.keys.request(rid(1)), "targets", "base"]);
    let decided = StatusWrite { replaces: Some(fp(1)), ..predecessor };
    let refused = status(1, Status::Rejected);
    commit(&bed.link, &fence, &Commit { statuses: &[decided, refused], ..entry(3) }).await?;
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!((record.fp, record.status, record.seq), (fp(9), Status::Completed, Some(1)));
    same!((record.targets, record.is_cut), (None, true));
    Ok(())
}

async fn a_status_write_moves_no_record_back(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    submit(&bed.link, 1, Route::Input).await?;
    let queued = StatusWrite { seq: None, ..status(1, Status::Queued) };
    commit(&bed.link, &fence, &Commit { statuses: &[queued], ..entry(1) }).await?;
    same!(bed.number(&["PTTL", &bed.keys.request(rid(1))]), -1);
    let ended = StatusWrite {
        seq: Some(2),
        code: Some("NOT_ISSUER"),
        errors: Some("[]"),
        ended_ms: Some(77),
        outcome: Some(OutcomeKind::Rejected),
        ..status(1, Status::Rejected)
    };
    let late = StatusWrite { seq: Some(3), ..status(1, Status::Committed) };
    commit(&bed.link, &fence, &Commit { statuses: &[ended, late], ..entry(2) }).await?;
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!(
        (record.status, record.version, record.seq, record.ended_ms),
        (Status::Rejected, 3, Some(2), Some(77))
    );
    same!((record.outcome, record.code.as_deref()), (Some(OutcomeKind::Rejected), Some("NOT_ISSUER")));
    same!((record.errors.as_deref(), record.is_cut), (Some("[]"), false));
    Ok(())
}

async fn what_a_request_waited_for_says_nothing_of_its_end(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    submit(&bed.link, 1, Route::Input).await?;
    let waits = |seq, code| StatusWrite {
        seq: Some(seq),
        code: Some(code),
        errors: Some("[1]"),
        ..status(1, Status::Queued)
    };
    commit(&bed.link, &fence, &Commit { statuses: &[waits(1, "DEPENDENCY_PENDING")], ..entry(1) }).await?;
    commit(&bed.link, &fence, &Commit { statuses: &[waits(2, "ASSET_LOCKED")], ..entry(2) }).await?;
    // Its message came again: the record is told nothing new.
    commit(&bed.link, &fence, &Commit { statuses: &[status(1, Status::Queued)], ..entry(3) }).await?;
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!(
        (record.status, record.seq, record.code.as_deref()),
        (Status::Queued, Some(2), Some("ASSET_LOCKED"))
    );
    let applied = StatusWrite { seq: Some(4), ..status(1, Status::Committed) };
    commit(&bed.link, &fence, &Commit { statuses: &[applied], ..entry(4) }).await?;
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!((record.status, record.code, record.errors), (Status::Committed, None, None));
    Ok(())
}

async fn a_decided_record_is_cut_to_its_bound(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    let tenant = "t".repeat(64).parse()?;
    let targets = "x".repeat(400);
    let first = Submission {
        targets: &targets,
        source_state: "{\"a\":\"pending\"}",
        ..submission(1, Route::Requests, &tenant)
    };
    let second = Submission { targets: "base", ..submission(2, Route::Requests, &tenant) };
    same!(bed.link.submit(&[first, second], BOUNDS).await?.len(), 2);
    same!(bed.link.collecting(&[rid(1), rid(2)]).await?.len(), 2);
    let code = "C".repeat(64);
    let errors = "e".repeat(300);
    let decided = |n| StatusWrite {
        seq: Some(u64::MAX),
        code: Some(&code),
        errors: Some(&errors),
        ended_ms: Some(1_800_000_000_000),
        ..status(n, Status::Cancelled)
    };
    commit(&bed.link, &fence, &Commit { statuses: &[decided(1), decided(2)], ..entry(1) }).await?;
    for n in [1, 2] {
        let told = StatusWrite { withdrawn: Some(u64::MAX), ..decided(n) };
        commit(&bed.link, &fence, &Commit { statuses: &[told], ..entry(1 + u64::from(n)) }).await?;
        let record = bed.link.record(rid(n)).await?.ok_or("no record")?;
        same!((record.is_cut, record.by, record.source_state, record.errors), (true, None, None, None));
        same!(record.targets, if n == 1 { None } else { Some("base".to_owned()) });
        let flat: Vec<String> =
            redis::from_redis_value(bed.command(&["HGETALL", &bed.keys.request(rid(n))]))?;
        same!(flat.iter().map(String::len).sum::<usize>() <= RECORD_BYTES_MAX, true);
        same!(bed.text(&["OBJECT", "ENCODING", &bed.keys.request(rid(n))]), "listpack");
    }
    Ok(())
}

async fn a_decided_record_expires(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    submit(&bed.link, 1, Route::Input).await?;
    commit(&bed.link, &fence, &Commit { statuses: &[status(1, Status::Committed)], ..entry(1) }).await?;
    let ttl_ms = bed.number(&["PTTL", &bed.keys.request(rid(1))]);
    same!(ttl_ms > 0 && ttl_ms <= i64::try_from(TTL_MS)?, true);
    // The end that follows keeps what was decided, and the time that is left.
    let ended = StatusWrite { seq: None, outcome: None, ended_ms: Some(5), ..status(1, Status::Completed) };
    commit(&bed.link, &fence, &Commit { statuses: &[ended], record_ttl_ms: 9 * TTL_MS, ..entry(2) }).await?;
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!((record.status, record.version, record.seq), (Status::Completed, 3, Some(1)));
    same!((record.outcome, record.ended_ms), (Some(OutcomeKind::Applied), Some(5)));
    same!(bed.number(&["PTTL", &bed.keys.request(rid(1))]) <= ttl_ms, true);
    Ok(())
}

/// A record is told whatever its rank, once; one of another request is not.
pub(crate) async fn a_withdrawn_observation_is_noted_in_the_record_of_any_rank(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    submit(&bed.link, 1, Route::Input).await?;
    let told = |seq, status_then| StatusWrite { withdrawn: Some(seq), ..status(1, status_then) };
    let mut seq = 0;
    for (write, expected) in [
        (status(1, Status::Completed), (Status::Completed, 2, None)),
        (told(2, Status::Completed), (Status::Completed, 3, Some(2))),
        (told(2, Status::Completed), (Status::Completed, 3, Some(2))),
        (told(9, Status::Committed), (Status::Completed, 4, Some(9))),
        (StatusWrite { fp: fp(9), ..told(10, Status::Completed) }, (Status::Completed, 4, Some(9))),
        (told(11, Status::RolledBack), (Status::RolledBack, 5, Some(11))),
    ] {
        seq += 1;
        commit(&bed.link, &fence, &Commit { statuses: &[write], ..entry(seq) }).await?;
        let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
        same!((record.status, record.version, record.withdrawn), expected);
    }
    Ok(())
}

/// What COMMIT does beside its guards.
pub(crate) async fn inputs_leave_as_whole_prefixes_and_the_same_millisecond_stays(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    let streams = [bed.keys.input(), bed.keys.input_express(), bed.keys.receipts()];
    for key in &streams {
        for id in ["5-0", "5-1", "5-2", "6-0"] {
            bed.command(&["XADD", key, id, "m", id]);
        }
    }
    let consumed = Consumed {
        input: Some(StreamId::new(5, 1)),
        express: Some(StreamId::new(5, u64::MAX)),
        receipts: Some(StreamId::new(6, 0)),
    };
    commit(&bed.link, &fence, &Commit { consumed, ..entry(1) }).await?;
    let mut left = Vec::new();
    for stream in [Stream::Input, Stream::Express, Stream::Receipts] {
        let messages = bed.link.front(stream, 9).await?;
        left.push(messages.iter().map(|message| message.id.to_string()).collect::<Vec<_>>());
    }
    same!(left, [vec!["5-2", "6-0"], vec!["6-0"], vec![]]);
    // A repeat of the same entry takes nothing more, whatever it names.
    let more = Consumed { input: Some(StreamId::new(6, 0)), ..Consumed::default() };
    same!(bed.link.commit(&fence, &Commit { consumed: more, ..entry(1) }).await?, Committed::Dup);
    same!(bed.length(&streams[0]), 2);
    Ok(())
}

pub(crate) async fn a_revert_raises_the_barrier_and_every_commit_notifies(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    submit(&bed.link, 1, Route::Input).await?;
    commit(&bed.link, &fence, &Commit { statuses: &[status(1, Status::Committed)], ..entry(1) }).await?;
    commit(&bed.link, &fence, &Commit { barrier: Some(b"{\"covers\":[]}"), ..entry(2) }).await?;
    same!(bed.link.head().await?.barrier, 2);
    let control = bed.link.control_after(StreamId::ZERO, 9).await?;
    let [Control { kind, seq: 2, payload, .. }] = control.as_slice() else {
        return Err(format!("{control:?}").into());
    };
    same!((kind.as_str(), payload.as_slice()), ("revert", b"{\"covers\":[]}".as_slice()));
    let mut reader = bed.link.reader(std::time::Duration::from_millis(50));
    let from = ReadFrom::After(StreamId::ZERO);
    let read = reader.read(&[(common::link::Feed::Status, from)], 9).await?;
    let notes: Vec<_> = read.iter().flat_map(|(_, entries)| entries).map(Notification::read).collect();
    same!(
        notes,
        [
            Some(Notification::Committed { seq: 1, rids: vec![rid(1)] }),
            Some(Notification::Committed { seq: 2, rids: vec![] })
        ]
    );
    Ok(())
}

pub(crate) async fn parked_and_dead_messages_are_set_aside_and_come_back(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    let aside = Commit { parked: &[aside(b"{\"v\":9}")], dead_letters: &[dead_letter()], ..entry(1) };
    commit(&bed.link, &fence, &aside).await?;
    let dead = bed.command(&["XRANGE", &bed.keys.dead_letters(), "-", "+"]);
    same!(format!("{dead:?}").contains("NOT_JSON"), true);
    let parked = bed.link.front(Stream::Parked, 9).await?;
    let [message] = parked.as_slice() else { return Err(format!("{parked:?}").into()) };
    let answer = bed.link.unpark(&fence, &[message.id, StreamId::new(1, 1)]).await?;
    let Unparked::Ok(moved) = answer else { return Err(format!("{answer:?}").into()) };
    let input = bed.link.front(Stream::Input, 9).await?;
    same!(moved, [input.first().map(|message| message.id), None]);
    same!(input[0].payload, b"{\"v\":9}");
    same!((input[0].first, message.first), (FIRST, FIRST));
    same!(bed.length(&bed.keys.parked()), 0);
    Ok(())
}

pub(crate) async fn a_resubmitted_request_gets_its_old_outcome_back(bed: Bed) -> Check {
    let fence = lead(&bed.link).await?;
    submit(&bed.link, 1, Route::Input).await?;
    commit(&bed.link, &fence, &Commit { statuses: &[status(1, Status::Completed)], ..entry(1) }).await?;
    bed.command(&["DEL", &bed.keys.request(rid(1))]);
    let tenant = tenant();
    same!(bed.link.submit(&[submission(1, Route::Input, &tenant)], BOUNDS).await?.len(), 1);
    commit(&bed.link, &fence, &Commit { statuses: &[status(1, Status::Completed)], ..entry(2) }).await?;
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!((record.status, record.seq, record.version), (Status::Completed, Some(1), 2));
    Ok(())
}
