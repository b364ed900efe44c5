//! The process dies between any two steps of a nonce (reliability study §3, rows 14–18).

use crate::bed::{Bed, Check, entries, flat};
use crate::process::Process;

/// Dies at `point`, starts again, and finishes: each update once, no nonce left behind.
async fn survives(point: &str) -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(5);
    bed.relay(&chain.name, 1, &work).await?;
    let mut doomed = Process::start_with(&bed, "doomed", &[("OSS_CRASH_POINT", point)])?;
    let mut ended = None;
    bed.mine_until("the crash point", async |_| {
        // A crash point that is never passed would be no test.
        ended = tokio::time::timeout(std::time::Duration::from_millis(1), doomed.ended()).await.ok();
        Ok(ended.is_some())
    })
    .await?;
    assert_eq!(ended.ok_or("still alive")??, None, "it died of a signal");

    let _process = Process::start_with(&bed, "next", &[])?;
    let receipts = bed.mine_until_receipts(5).await?;
    assert_eq!(receipts.len(), 5, "one receipt per entry");
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1, "nothing was sent twice");
    Ok(())
}

/// Dies at `point` while parts come back from a paused contract; what was to go again goes again.
async fn survives_coming_back(point: &str) -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    chain.bridge.set_paused(true).await?;
    let work = entries(5);
    bed.relay(&chain.name, 1, &work).await?;
    let mut doomed = Process::start_with(&bed, "doomed", &[("OSS_CRASH_POINT", point)])?;
    let mut ended = None;
    bed.mine_until("the crash point", async |_| {
        ended = tokio::time::timeout(std::time::Duration::from_millis(1), doomed.ended()).await.ok();
        Ok(ended.is_some())
    })
    .await?;
    assert_eq!(ended.ok_or("still alive")??, None, "it died of a signal");
    chain.bridge.set_paused(false).await?;
    let _process = Process::start_with(&bed, "next", &[])?;
    let receipts = bed.mine_until_receipts(5).await?;
    assert_eq!(receipts.len(), 5, "one receipt per entry");
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 2, "once in vain, once for good");
    Ok(())
}

#[actix_rt::test]
async fn parts_come_back_and_their_wait_is_not_written() -> Check {
    survives_coming_back("link.wait.before").await
}

#[actix_rt::test]
async fn parts_come_back_and_the_reply_to_their_wait_is_lost() -> Check {
    survives_coming_back("link.wait.after").await
}

#[actix_rt::test]
async fn parts_wait_and_are_not_freed() -> Check {
    survives_coming_back("link.rebind.before").await
}

#[actix_rt::test]
async fn parts_are_freed_and_the_reply_lost() -> Check {
    survives_coming_back("link.rebind.after").await
}

macro_rules! crash_points {
    ($($name:ident = $point:literal;)*) => {
        $(#[actix_rt::test]
        async fn $name() -> Check {
            survives($point).await
        })*
    };
}

crash_points! {
    bound_and_the_reply_lost = "link.bind.after";
    bound_before_store = "broadcaster.bind";
    stored_and_the_reply_lost = "link.store.after";
    stored_before_send = "broadcaster.store";
    sent_before_anything_is_noted = "broadcaster.send";
    final_before_done = "link.done.before";
    done_and_the_reply_lost = "link.done.after";
    done_before_memory = "broadcaster.done";
}
