//! Parts that wait for their time hold up nothing else, and come back together.

use common::status::Delivery;

use crate::bed::{Bed, Check, entries, flat, update};
use crate::process::Process;

/// Longer than any test.
const FOR_EVER_MS: &str = "3600000";

async fn is_deferred(bed: &Bed, seq: u64) -> Check<bool> {
    let progress = bed.link.progress(seq).await?.ok_or("expired")?;
    Ok(progress.targets["base"].state == Delivery::Deferred)
}

#[actix_rt::test]
async fn a_lane_whose_only_part_waits_for_long_takes_new_entries_rewinds_and_the_drain_at_once() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let process = Process::start_with(
        &bed,
        "one",
        &[("OSS__EVM__RETRY_MIN_MS", FOR_EVER_MS), ("OSS__EVM__RETRY_MAX_MS", FOR_EVER_MS)],
    )?;
    // Version 6 follows 5, which the chain has not seen.
    bed.relay(&chain.name, 1, &[vec![vec![update("bond", 5, 6)]]]).await?;
    bed.mine_until("deferred", async |bed| is_deferred(bed, 1).await).await?;
    bed.until("nothing is in flight", async |_| Ok(process.lane("base").await?["in_flight"] == 0)).await?;

    // What the part waits for, and something of its own.
    bed.relay(&chain.name, 2, &[vec![vec![update("bond", 0, 5)]], vec![vec![update("stock", 0, 1)]]]).await?;
    let receipts = bed.mine_until_receipts(2).await?;
    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [2, 3]);

    // The outbox is taken back: its waits go with it.
    bed.rewind(&chain.name, 4, 1).await?;
    bed.relay(&chain.name, 1, &[vec![vec![update("bond", 5, 6)]]]).await?;
    bed.mine_until_receipts(3).await?;
    bed.assert_applied_once(chain, &[update("bond", 0, 5), update("bond", 5, 6), update("stock", 0, 1)])
        .await?;

    // Waiting again, and drained.
    let more =
        [update("stock", 1, 2), update("stock", 2, 3), update("fund", 5, 6)].map(|update| vec![vec![update]]);
    bed.relay(&chain.name, 2, &more).await?;
    bed.mine_until("deferred", async |bed| is_deferred(bed, 4).await).await?;
    bed.until("nothing is in flight", async |_| Ok(process.lane("base").await?["in_flight"] == 0)).await?;
    assert_drains(&bed, process)
}

/// Ends by SIGTERM without giving any lane up.
fn assert_drains(bed: &Bed, process: Process) -> Check {
    let log = process.log_path(bed);
    assert_eq!(process.terminate()?, Some(0));
    let log = std::fs::read_to_string(log)?;
    assert!(log.contains("Draining") && !log.contains("did not finish their turns"), "{log}");
    Ok(())
}

#[actix_rt::test]
async fn a_lane_between_two_looks_at_a_slow_chain_drains_at_once() -> Check {
    let bed = Bed::one_chain().await?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    let process = Process::start_with(&bed, "one", &[("OSS__EVM__POLL_MS", FOR_EVER_MS)])?;
    bed.until("sent", async |bed| {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == Delivery::Sent)
    })
    .await?;
    assert_drains(&bed, process)
}

#[actix_rt::test]
async fn many_versions_of_one_asset_recover_from_an_outage_in_order_and_together() -> Check {
    const VERSIONS: u64 = 40;
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    chain.bridge.set_paused(true).await?;
    let work: Vec<_> =
        (0..VERSIONS).map(|version| vec![vec![update("bond", version, version + 1)]]).collect();
    bed.relay(&chain.name, 1, &work).await?;
    // Room for eight parts in a transaction. A quarter of the wait is spread, which is many rounds.
    let process = Process::start_with(
        &bed,
        "one",
        &[
            ("OSS__EVM__TX_GAS_MAX", "1200000"),
            ("OSS__EVM__RETRY_MIN_MS", "2000"),
            ("OSS__EVM__RETRY_MAX_MS", "2000"),
        ],
    )?;
    bed.mine_until("everything has come back", async |bed| is_deferred(bed, VERSIONS).await).await?;
    bed.mine_until("nothing is in flight", async |_| Ok(process.lane("base").await?["in_flight"] == 0))
        .await?;
    let before = chain.anvil.nonce(bed.sender()).await?;
    chain.bridge.set_paused(false).await?;
    bed.mine_until_receipts(usize::try_from(VERSIONS)?).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    let used = chain.anvil.nonce(bed.sender()).await? - before;
    assert!(used <= 8, "five or six transactions hold everything, {used} were needed");
    Ok(())
}

#[actix_rt::test]
async fn transactions_in_blocks_that_are_not_final_hold_up_no_others() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(3);
    let _process = Process::start_with(&bed, "one", &[("OSS__EVM__TRANSACTIONS_MAX", "1")])?;
    for (nonce, seq) in (0..3).zip(1..) {
        bed.relay(&chain.name, seq, &work[usize::try_from(nonce)?..=usize::try_from(nonce)?]).await?;
        bed.until("with the chain", async |bed| {
            let progress = bed.link.progress(seq).await?.ok_or("expired")?;
            Ok(progress.targets["base"].state == Delivery::Sent)
        })
        .await?;
        // One more would be final with the third, and the first with the second.
        if nonce < 2 {
            chain.anvil.mine(1).await?;
        }
    }
    assert!(bed.receipts().await?.is_empty(), "nothing is final");
    bed.mine_until_receipts(3).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}
