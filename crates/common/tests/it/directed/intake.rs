//! INIT, BEAT, SUBMIT, COLLECTING, COLLECTED, SEND.

use common::ids::Tenant;
use common::link::{
    Collected, Collecting, Collection, EXPRESS_MAX, EXPRESS_SHARE_MAX, Initialised, Link, Ordered, Route,
    SendTo, Sent, StreamId, Submission, SubmitBounds, Submitted,
};
use common::status::Status;

use crate::bed::{BOUNDS, Bed, Check, connect, fp, locked, name, rid, submission, submit, tenant};
use crate::{guarded, same};

guarded! {
    "init" "once" the_generation_is_written_once;
    "init" "may_create" a_missing_generation_is_not_made_up_by_those_who_may_not;
    "beat" "silent" a_member_silent_for_a_day_is_dropped;
    "submit" "known" the_same_request_again_is_answered_from_its_record;
    "submit" "fp" the_same_key_with_another_body_conflicts;
    "submit" "tenant" a_rid_of_another_tenant_conflicts;
    "submit" "backlog" requests_and_input_together_are_bounded;
    "submit" "express" the_express_stream_has_its_own_bound;
    "submit" "index" the_index_loses_its_oldest_two_above_its_bound;
    "collecting" "exists" collecting_makes_no_record;
    "collecting" "upwards" collecting_moves_no_record_back;
    "collected" "acknowledged" a_request_is_handed_over_once;
    "collected" "exists" collected_makes_no_record;
    "collected" "upwards" collected_moves_no_record_back;
    "send" "repeat" the_same_message_is_sent_once;
    "send" "content" another_command_under_the_same_id_is_refused;
    "send" "bound" send_is_refused_at_the_bound;
    "send" "share" cancels_and_withdrawals_keep_neither_each_other_nor_commands_out;
}

async fn the_generation_is_written_once(bed: Bed) -> Check {
    let written = Initialised::Ok { generation: "a".to_owned() };
    same!(bed.link.init("a", true).await?, written);
    same!(bed.link.init("b", true).await?, written);
    same!(bed.link.generation().await?, Some("a".to_owned()));
    Ok(())
}

async fn a_missing_generation_is_not_made_up_by_those_who_may_not(bed: Bed) -> Check {
    same!(bed.link.init("a", false).await?, Initialised::Missing);
    same!(bed.link.generation().await?, None);
    Ok(())
}

async fn a_member_silent_for_a_day_is_dropped(bed: Bed) -> Check {
    let members = bed.keys.validators();
    let now_ms = bed.link.beat_validator(StreamId::ZERO, "").await?;
    bed.command(&["HSET", &members, "dead", &format!("{} 0-0", now_ms - 86_400_001)]);
    bed.command(&["HSET", &members, "alive", &format!("{} 0-0", now_ms - 80_000_000)]);
    bed.link.beat_validator(StreamId::new(5, 1), "").await?;
    let members = bed.link.validators().await?;
    same!(members.keys().map(String::as_str).collect::<Vec<_>>(), ["alive", "collector-1"]);
    same!(members["collector-1"].read, StreamId::new(5, 1));
    // Who names its URL can be reached by others, until it names none any more.
    for (read, url) in [(5, ""), (6, "http://v:1"), (7, "")] {
        bed.link.beat_validator(StreamId::new(read, 0), url).await?;
        let told = bed.link.validators().await?.remove("collector-1").map(|member| (member.read, member.url));
        same!(told, Some((StreamId::new(read, 0), Some(url.to_owned()).filter(|url| !url.is_empty()))));
    }
    // Each service has members of its own.
    same!(bed.link.broadcasters().await?.len(), 0);
    bed.command(&["HSET", &bed.keys.broadcasters(), "dead", "1 0-0"]);
    bed.link.beat_broadcaster(StreamId::new(8, 0)).await?;
    same!(bed.link.broadcasters().await?.len(), 1);
    same!(bed.link.broadcasters().await?["collector-1"].read, StreamId::new(8, 0));
    same!(bed.link.validators().await?["collector-1"].read, StreamId::new(7, 0));
    Ok(())
}

async fn the_same_request_again_is_answered_from_its_record(bed: Bed) -> Check {
    let id = submit(&bed.link, 1, Route::Input).await?;
    // In one batch and across batches.
    let tenant = tenant();
    let twice = [submission(1, Route::Input, &tenant), submission(2, Route::Requests, &tenant)];
    let batch = [twice[0].clone(), twice[1].clone(), twice[1].clone()];
    let answers = bed.link.submit(&batch, BOUNDS).await?;
    let [Submitted::Dup(first), Submitted::Ok { .. }, Submitted::Dup(third)] = answers.as_slice() else {
        return Err(format!("{answers:?}").into());
    };
    same!((first.rid, first.status, first.version, first.at_ms), (rid(1), Status::Accepted, 1, id.ms()));
    same!(third.rid, rid(2));
    same!((bed.length(&bed.keys.input()), bed.length(&bed.keys.requests())), (1, 1));
    Ok(())
}

async fn the_same_key_with_another_body_conflicts(bed: Bed) -> Check {
    submit(&bed.link, 1, Route::Input).await?;
    let tenant = tenant();
    let other = Submission { fp: fp(2), ..submission(1, Route::Input, &tenant) };
    same!(bed.link.submit(&[other], BOUNDS).await?, [Submitted::Conflict]);
    same!(bed.link.record(rid(1)).await?.map(|record| record.fp), Some(fp(1)));
    Ok(())
}

async fn a_rid_of_another_tenant_conflicts(bed: Bed) -> Check {
    submit(&bed.link, 1, Route::Input).await?;
    let other: Tenant = "stranger".parse()?;
    same!(bed.link.submit(&[submission(1, Route::Input, &other)], BOUNDS).await?, [Submitted::Conflict]);
    Ok(())
}

async fn requests_and_input_together_are_bounded(bed: Bed) -> Check {
    let bounds = SubmitBounds::with_backlog(2);
    let tenant = tenant();
    let batch: Vec<_> = [(1, Route::Requests), (2, Route::Input), (3, Route::Input), (4, Route::Express)]
        .map(|(n, route)| submission(n, route, &tenant))
        .to_vec();
    let answers = bed.link.submit(&batch, bounds).await?;
    let [Submitted::Ok { .. }, Submitted::Ok { .. }, Submitted::Busy, Submitted::Ok { .. }] =
        answers.as_slice()
    else {
        return Err(format!("{answers:?}").into());
    };
    // What is known is answered at the bound too, and a refusal leaves nothing behind.
    let again = bed.link.submit(&[submission(1, Route::Requests, &tenant)], bounds).await?;
    same!(matches!(again.as_slice(), [Submitted::Dup(_)]), true);
    same!(bed.link.submit(&[submission(5, Route::Requests, &tenant)], bounds).await?, [Submitted::Busy]);
    same!(bed.link.records(&[rid(3), rid(5)]).await?, [None, None]);
    Ok(())
}

async fn the_express_stream_has_its_own_bound(bed: Bed) -> Check {
    let bounds = SubmitBounds { express: 1, ..BOUNDS };
    let tenant = tenant();
    let batch = [1, 2].map(|n| submission(n, Route::Express, &tenant));
    let answers = bed.link.submit(&batch, bounds).await?;
    same!(matches!(answers.as_slice(), [Submitted::Ok { .. }, Submitted::Busy]), true);
    Ok(())
}

async fn the_index_loses_its_oldest_two_above_its_bound(bed: Bed) -> Check {
    let bounds = SubmitBounds { index: 3, ..BOUNDS };
    let index = bed.keys.index();
    for (score, member) in [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d"), ("5", "e")] {
        bed.command(&["ZADD", &index, score, member]);
    }
    let tenant = tenant();
    same!(bed.link.submit(&[submission(1, Route::Input, &tenant)], bounds).await?.len(), 1);
    same!(bed.number(&["ZCARD", &index]), 4);
    same!(bed.number(&["ZCOUNT", &index, "1", "2"]), 0);
    same!(bed.link.submit(&[submission(2, Route::Input, &tenant)], bounds).await?.len(), 1);
    same!(bed.number(&["ZCARD", &index]), 3);
    Ok(())
}

async fn collecting_makes_no_record(bed: Bed) -> Check {
    same!(bed.link.collecting(&[rid(1)]).await?, [Collecting::Gone]);
    same!(bed.number(&["EXISTS", &bed.keys.request(rid(1))]), 0);
    Ok(())
}

async fn collecting_moves_no_record_back(bed: Bed) -> Check {
    submit(&bed.link, 1, Route::Requests).await?;
    same!(bed.link.collecting(&[rid(1)]).await?, [Collecting::Ok]);
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!(
        (record.status, record.version, record.by.as_deref()),
        (Status::Collecting, 2, Some("collector-1"))
    );
    same!(bed.link.collecting(&[rid(1)]).await?, [Collecting::Kept]);
    // A replica that takes the request over puts its name in.
    let url = locked(&bed.server).url();
    let other = Link::new(connect(&url, "collector-2").await, bed.link.shard());
    same!(other.collecting(&[rid(1)]).await?, [Collecting::Ok]);
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!(
        (record.status, record.version, record.by.as_deref()),
        (Status::Collecting, 3, Some("collector-2"))
    );
    bed.command(&["HSET", &bed.keys.request(rid(1)), "rank", "5", "status", "committed"]);
    same!(bed.link.collecting(&[rid(1)]).await?, [Collecting::Kept]);
    same!(bed.link.record(rid(1)).await?.map(|record| record.status), Some(Status::Committed));
    Ok(())
}

/// Request `n`, delivered to this collector.
async fn delivered(bed: &Bed, n: u8) -> Check<StreamId> {
    let _ = bed.link.init("a", true).await?;
    let id = submit(&bed.link, n, Route::Requests).await?;
    bed.command(&["XREADGROUP", "GROUP", "collectors", "collector-1", "STREAMS", &bed.keys.requests(), ">"]);
    Ok(id)
}

fn collection(id: StreamId, n: u8) -> Collection<'static> {
    Collection { id, rid: rid(n), payload: b"{}", source_state: "{\"a\":\"ok\"}", handed: &[] }
}

async fn a_request_is_handed_over_once(bed: Bed) -> Check {
    let id = delivered(&bed, 1).await?;
    let answers = bed.link.collected(&[collection(id, 1), collection(id, 1)]).await?;
    same!(matches!(answers.as_slice(), [Collected::Ok { .. }, Collected::Gone]), true);
    same!((bed.length(&bed.keys.requests()), bed.length(&bed.keys.input())), (0, 1));
    let record = bed.link.record(rid(1)).await?.ok_or("no record")?;
    same!((record.status, record.version), (Status::Collected, 2));
    same!(record.source_state.as_deref(), Some("{\"a\":\"ok\"}"));
    // An entry that was never delivered is not pending: it stays.
    let undelivered = submit(&bed.link, 2, Route::Requests).await?;
    same!(bed.link.collected(&[collection(undelivered, 2)]).await?, [Collected::Gone]);
    same!(bed.length(&bed.keys.requests()), 1);
    // What is handed out is noted with it, once, and by source; what is not handed out is not.
    let (ended, id) = (id, delivered(&bed, 3).await?);
    let handed =
        [(name("chain"), b"w1".to_vec()), (name("other"), b"w2".to_vec()), (name("chain"), b"w3".to_vec())];
    let with_blocks = Collection { handed: &handed, ..collection(id, 3) };
    let gone = Collection { handed: &[(name("chain"), b"w4".to_vec())], ..collection(ended, 1) };
    let late = Collection { handed: &handed, ..collection(id, 3) };
    let answers = bed.link.collected(&[gone, with_blocks, late]).await?;
    same!(matches!(answers.as_slice(), [Collected::Gone, Collected::Ok { .. }, Collected::Gone]), true);
    for (source, withdrawals) in [("chain", vec!["w1", "w3"]), ("other", vec!["w2"])] {
        let entries = bed.link.handed_after(&name(source), StreamId::ZERO, 10).await?;
        let noted: Vec<String> =
            entries.iter().map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()).collect();
        same!(noted, withdrawals);
        bed.link.trim_handed(&name(source), entries[0].id.next()).await?;
        same!(bed.link.handed_after(&name(source), StreamId::ZERO, 10).await?, entries[1..]);
    }
    Ok(())
}

async fn collected_makes_no_record(bed: Bed) -> Check {
    let id = delivered(&bed, 1).await?;
    bed.command(&["DEL", &bed.keys.request(rid(1))]);
    same!(matches!(bed.link.collected(&[collection(id, 1)]).await?.as_slice(), [Collected::Ok { .. }]), true);
    same!(bed.number(&["EXISTS", &bed.keys.request(rid(1))]), 0);
    Ok(())
}

async fn collected_moves_no_record_back(bed: Bed) -> Check {
    let id = delivered(&bed, 1).await?;
    bed.command(&["HSET", &bed.keys.request(rid(1)), "rank", "7", "status", "cancelled"]);
    same!(matches!(bed.link.collected(&[collection(id, 1)]).await?.as_slice(), [Collected::Ok { .. }]), true);
    same!(bed.link.record(rid(1)).await?.map(|record| record.status), Some(Status::Cancelled));
    Ok(())
}

async fn the_same_message_is_sent_once(bed: Bed) -> Check {
    let Sent::Ok { id } = bed.link.send(SendTo::Input, "m1", b"{}", 10).await? else {
        return Err("not sent".into());
    };
    same!(bed.link.send(SendTo::Input, "m1", b"{}", 10).await?, Sent::Dup { id });
    same!(bed.length(&bed.keys.input()), 1);
    Ok(())
}

async fn another_command_under_the_same_id_is_refused(bed: Bed) -> Check {
    let Ordered::Sent(Sent::Ok { id }) = bed.link.order("command:1", fp(1), b"{}", 10).await? else {
        return Err("not sent".into());
    };
    same!(bed.link.order("command:1", fp(1), b"{\"v\":1}", 10).await?, Ordered::Sent(Sent::Dup { id }));
    same!(bed.link.order("command:1", fp(2), b"{}", 10).await?, Ordered::Other);
    same!(bed.length(&bed.keys.input_express()), 1);
    // What was noted by a release that kept no fingerprints.
    bed.command(&["SET", &bed.keys.sent("command:2"), &id.to_string()]);
    same!(bed.link.order("command:2", fp(2), b"{}", 10).await?, Ordered::Sent(Sent::Dup { id }));
    Ok(())
}

async fn send_is_refused_at_the_bound(bed: Bed) -> Check {
    for n in 0..2 {
        same!(
            matches!(bed.link.send(SendTo::Express, &format!("m{n}"), b"{}", 2).await?, Sent::Ok { .. }),
            true
        );
    }
    same!(bed.link.send(SendTo::Express, "m2", b"{}", 2).await?, Sent::Busy);
    same!(bed.length(&bed.keys.input_express()), 2);
    Ok(())
}

async fn cancels_and_withdrawals_keep_neither_each_other_nor_commands_out(bed: Bed) -> Check {
    let (inx, mut n) = (bed.keys.input_express(), 0);
    let mut send = async |to| {
        n += 1;
        bed.link
            .send(to, &format!("m{n}"), b"{}", EXPRESS_MAX)
            .await
            .map(|sent| matches!(sent, Sent::Ok { .. }))
    };
    for share in [SendTo::Cancels, SendTo::Withdrawals] {
        for _ in 0..EXPRESS_SHARE_MAX {
            same!(send(share).await?, true);
        }
        same!(send(share).await?, false);
    }
    same!(send(SendTo::Express).await?, true);
    // What a COMMIT takes from the front is of no share any more: here the cancels, but for two.
    let left = 2 + EXPRESS_SHARE_MAX + 1;
    bed.command(&["XTRIM", &inx, "MAXLEN", &left.to_string()]);
    same!(send(SendTo::Withdrawals).await?, false);
    for _ in 2..EXPRESS_SHARE_MAX {
        same!(send(SendTo::Cancels).await?, true);
    }
    same!(send(SendTo::Cancels).await?, false);
    bed.command(&["XTRIM", &inx, "MAXLEN", "0"]);
    for share in [SendTo::Cancels, SendTo::Withdrawals] {
        same!(send(share).await?, true);
    }
    same!(bed.length(&inx), 2);
    Ok(())
}
