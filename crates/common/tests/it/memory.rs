//! At full memory admission is refused and everything else drains; then admission works again.

use common::link::{
    Commit, Consumed, Disposition, LinkError, Route, Scripts, SendTo, Sent, Stream, Submission, Submitted,
};
use testkit::redis::RedisOptions;

use crate::bed::{
    BOUNDS, Bed, Check, NONE, Stage, changed, commit, entry, lead, locked, rid, server, standalone,
    submission, tenant,
};
use crate::cases::CASES;
use crate::same;

#[tokio::test]
async fn at_full_memory_admission_is_refused_and_every_other_script_works() -> Check {
    let server = standalone();
    for case in CASES {
        locked(&server).config_set("maxmemory", "0")?;
        let bed = Bed::empty(&server, Scripts::standard()).await;
        let stage = Stage::set(&bed).await?;
        let before = bed.picture();
        locked(&server).config_set("maxmemory", "1")?;
        let outcome = case.call(&bed, &stage).await;
        if case.script == "submit" {
            let error = outcome.expect_err("refused");
            let disposition = error.downcast_ref::<LinkError>().map(LinkError::disposition);
            assert_eq!(disposition, Some(Disposition::Backpressure), "{}", case.script);
            assert_eq!(changed(&before, &bed.picture()), NONE, "{}", case.script);
        } else {
            let answer = outcome?;
            assert!(answer.starts_with(case.first), "{}: {answer}", case.script);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_full_redis_of_8_mb_drains_by_commits_and_admits_again() -> Check {
    let server = server(RedisOptions { maxmemory: Some("8mb".to_owned()), ..RedisOptions::default() });
    let bed = Bed::empty(&server, Scripts::standard()).await;
    let (tenant, payload) = (tenant(), vec![b'x'; 64 << 10]);
    let large = |n| Submission { payload: &payload, ..submission(n, Route::Input, &tenant) };
    let mut admitted = 0;
    let refusal = loop {
        match bed.link.submit(&[large(admitted)], BOUNDS).await {
            Ok(_) => admitted += 1,
            Err(error) => break error,
        }
    };
    same!(refusal.disposition(), Disposition::Backpressure);
    same!(admitted > 20, true);
    same!(bed.link.record(rid(admitted)).await?, None);
    // A replayed key is refused too: its script may write.
    let replay = bed.link.submit(&[large(0)], BOUNDS).await;
    same!(replay.map_err(|error| error.disposition()), Err(Disposition::Backpressure));
    // A cancel gets through, up to the bound of its stream.
    for n in 0..2 {
        let cancel = bed.link.send(SendTo::Express, &format!("cancel-{n}"), b"{}", 2).await?;
        same!(matches!(cancel, Sent::Ok { .. }), true);
    }
    same!(bed.link.send(SendTo::Express, "cancel-2", b"{}", 2).await?, Sent::Busy);
    let fence = lead(&bed.link).await?;
    let mut seq = 0;
    loop {
        let front = bed.link.front(Stream::Input, 8).await?;
        let Some(last) = front.last() else { break };
        seq += 1;
        let consumed = Consumed { input: Some(last.id), ..Consumed::default() };
        commit(&bed.link, &fence, &Commit { consumed, ..entry(seq) }).await?;
    }
    let again = bed.link.submit(&[large(admitted)], BOUNDS).await?;
    same!(matches!(again.as_slice(), [Submitted::Ok { .. }]), true);
    same!(bed.length(&bed.keys.input()), 1);
    Ok(())
}
