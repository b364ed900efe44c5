//! The gas wallet: another one, and an empty one.

use alloy::primitives::U256;
use alloy::providers::ext::AnvilApi as _;
use common::ids::Shard;
use common::status::Delivery;

use crate::bed::{Bed, Check, entries, flat};
use crate::process::Process;

/// Gives the tests' shard the wallet of an account of the chain.
fn change_wallet(bed: &Bed, account: usize) -> Check {
    let keys: std::collections::BTreeMap<&str, &str> = Shard::ALL
        .iter()
        .map(|shard| {
            let own = 1 + usize::from(shard.number());
            (shard.name(), bed.chain().anvil.key(if *shard == crate::bed::SHARD { account } else { own }))
        })
        .collect();
    std::fs::write(bed.path("senders.json"), serde_json::to_vec(&keys)?)?;
    Ok(())
}

#[actix_rt::test]
async fn another_wallet_takes_over_an_idle_lane_and_waits_for_the_old_one_while_work_is_bound() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let (work, new) = (entries(3), chain.anvil.account(12));
    bed.relay(&chain.name, 1, &work[..1]).await?;
    let process = Process::start(&bed)?;
    bed.mine_until_receipts(1).await?;
    assert_eq!(process.terminate()?, Some(0));

    // Nothing is bound: the new wallet starts from its own nonce.
    change_wallet(&bed, 12)?;
    bed.relay(&chain.name, 2, &work[1..2]).await?;
    let process = Process::start(&bed)?;
    bed.mine_until_receipts(2).await?;
    assert_eq!((chain.anvil.nonce(bed.sender()).await?, chain.anvil.nonce(new).await?), (1, 1));

    // Bound, sent and in no block.
    bed.relay(&chain.name, 3, &work[2..]).await?;
    bed.until("sent", async |bed| {
        let progress = bed.link.progress(3).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == Delivery::Sent)
    })
    .await?;
    assert_eq!(process.terminate()?, Some(0));
    let journal = bed.link.lane_state(&chain.name).await?;
    change_wallet(&bed, 1)?;
    let process = Process::start(&bed)?;
    bed.until("the lane says so", async |_| {
        let Ok(lane) = process.lane("base").await else { return Ok(false) };
        Ok(lane["state"] == "stopped" && lane["last_error"]["code"] == "SENDER_CHANGED")
    })
    .await?;
    let detail = process.lane("base").await?["last_error"]["detail"].to_string();
    assert!(detail.contains(&new.to_string()) && detail.contains(&bed.sender().to_string()), "{detail}");
    assert_eq!(process.ready().await.0, 200, "the other lanes go on");
    assert_eq!(bed.link.lane_state(&chain.name).await?, journal, "the journal is as it was");
    assert_eq!(process.terminate()?, Some(0));

    change_wallet(&bed, 12)?;
    let _process = Process::start(&bed)?;
    bed.mine_until_receipts(3).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    assert_eq!((chain.anvil.nonce(bed.sender()).await?, chain.anvil.nonce(new).await?), (1, 2));
    Ok(())
}

#[actix_rt::test]
async fn what_a_node_refused_is_not_told_as_sent() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let provider = chain.anvil.provider();
    provider.anvil_set_balance(bed.sender(), U256::ZERO).await?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let process = Process::start(&bed)?;
    bed.until("the refusal is told", async |_| {
        Ok(process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == "SEND_REFUSED"))
    })
    .await?;
    let progress = bed.link.progress(1).await?.ok_or("expired")?.targets["base"].clone();
    assert_eq!((progress.state, progress.tx.len()), (Delivery::Relayed, 0));
    provider.anvil_set_balance(bed.sender(), U256::from(10).pow(U256::from(20))).await?;
    bed.until("sent", async |bed| {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == Delivery::Sent)
    })
    .await?;
    bed.mine_until_receipts(1).await?;
    bed.assert_at_rest(chain).await
}
