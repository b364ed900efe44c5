//! A call whose reply is lost, or during which the server dies, is made again with the same arguments: the
//! data set is then what one undisturbed call makes of it. This walks the crash table of the protocol.

use std::fs;
use std::time::{Duration, Instant};

use common::link::{Disposition, LinkError, Scripts};

use crate::bed::{Bed, Check, NONE, Picture, Stage, changed, locked, standalone};
use crate::cases::{CASES, Case};
use crate::proxy::{Harm, Proxy};

const DEADLINE: Duration = Duration::from_secs(20);

/// Calls until the outcome is known, as a service does.
async fn until_known(case: &Case, bed: &Bed, stage: &Stage) -> Check<String> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match case.call(bed, stage).await {
            Err(error)
                if disposition(error.as_ref()) == Some(Disposition::Retry) && Instant::now() < deadline => {}
            outcome => return outcome,
        }
    }
}

fn disposition(error: &(dyn std::error::Error + 'static)) -> Option<Disposition> {
    error.downcast_ref::<LinkError>().map(LinkError::disposition)
}

/// EVALSHA answers at once, so that the armed request is the script itself.
fn preload(bed: &Bed) {
    for (_, source) in Scripts::SOURCES {
        bed.command(&["SCRIPT", "LOAD", source]);
    }
}

async fn undisturbed(bed: &Bed, case: &Case) -> Check<Picture> {
    let stage = Stage::set(bed).await?;
    case.call(bed, &stage).await?;
    Ok(bed.picture())
}

async fn survives(harm: Harm) -> Check {
    let server = standalone();
    let proxy = Proxy::before(&server).await;
    for case in CASES {
        let expected = undisturbed(&Bed::empty(&server, Scripts::standard()).await, case).await?;
        let direct = Bed::empty(&server, Scripts::standard()).await;
        let stage = Stage::set(&direct).await?;
        preload(&direct);
        let bed = direct.through(&proxy.url()).await;
        bed.link.barrier().await?;
        proxy.arm(harm);
        let lost = case.call(&bed, &stage).await.expect_err("the reply is lost");
        assert_eq!(disposition(lost.as_ref()), Some(Disposition::Retry), "{}: {lost}", case.script);
        assert!(!proxy.is_armed());
        if matches!(harm, Harm::KillBefore | Harm::KillDuring | Harm::KillAfter) {
            locked(&server).restart()?;
        }
        let answer = until_known(case, &bed, &stage).await?;
        let is_expected = match harm {
            Harm::LoseRequest | Harm::Silence | Harm::KillBefore => answer.starts_with(case.first),
            Harm::LoseReply | Harm::KillAfter => answer.starts_with(case.again),
            Harm::KillDuring => answer.starts_with(case.first) || answer.starts_with(case.again),
        };
        assert!(is_expected, "{} after {harm:?}: {answer}", case.script);
        assert_eq!(changed(&expected, &bed.picture()), NONE, "{} after {harm:?}", case.script);
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_request_is_made_again() -> Check {
    survives(Harm::LoseRequest).await
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again() -> Check {
    survives(Harm::LoseReply).await
}

#[tokio::test]
async fn a_server_killed_before_a_call_has_done_nothing() -> Check {
    survives(Harm::KillBefore).await
}

#[tokio::test]
async fn a_server_killed_during_a_call_has_done_all_or_nothing() -> Check {
    survives(Harm::KillDuring).await
}

#[tokio::test]
async fn a_server_killed_after_its_reply_has_done_all() -> Check {
    survives(Harm::KillAfter).await
}

#[tokio::test]
async fn a_connection_that_has_gone_silent_is_replaced() -> Check {
    let server = standalone();
    let proxy = Proxy::before(&server).await;
    let direct = Bed::empty(&server, Scripts::standard()).await;
    let bed = direct.through(&proxy.url()).await;
    bed.link.barrier().await?;
    proxy.arm(Harm::Silence);
    let silent = bed.link.head().await.expect_err("no reply in time");
    assert_eq!(silent.disposition(), Disposition::Retry);
    assert_eq!(bed.link.head().await?.seq, 0);
    Ok(())
}

/// The append-only file is cut at several places inside what one call wrote.
#[tokio::test]
async fn a_torn_append_only_file_holds_all_of_a_call_or_nothing() -> Check {
    let server = standalone();
    let file = locked(&server).folder().join("appendonlydir/appendonly.aof.1.incr.aof");
    for case in CASES.iter().filter(|case| ["collected", "commit", "relay", "done"].contains(&case.script)) {
        let bed = Bed::empty(&server, Scripts::standard()).await;
        let stage = Stage::set(&bed).await?;
        let before = bed.picture();
        let start = fs::read(&file)?.len();
        case.call(&bed, &stage).await?;
        let after = bed.picture();
        let whole = fs::read(&file)?;
        let written = whole.len() - start;
        assert!(written > 100, "{} wrote {written} bytes", case.script);
        assert_ne!(changed(&before, &after), NONE);
        for eighth in 0..=8 {
            locked(&server).kill()?;
            // Loading cuts the file back further, so each time the whole beginning is written.
            fs::write(&file, &whole[..start + written * eighth / 8])?;
            locked(&server).restart()?;
            let expected = if eighth == 8 { &after } else { &before };
            assert_eq!(changed(expected, &bed.picture()), NONE, "{} cut at {eighth}/8", case.script);
        }
    }
    Ok(())
}
