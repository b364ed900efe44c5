//! Targets that do not answer, refuse, defer or cost too much; nothing is given up, nothing else waits.

use alloy::providers::Provider as _;
use alloy::providers::ext::AnvilApi as _;
use alloy::signers::local::PrivateKeySigner;
use common::status::Delivery;
use common::targets::Tier;

use crate::bed::{Bed, Check, entries, flat, name, update};
use crate::process::Process;

#[actix_rt::test]
async fn a_dead_target_holds_up_nothing_else_and_gets_everything_later() -> Check {
    let bed = Bed::set(&[("base", 8453), ("optimism", 10)], &["bench"], Tier::Safe).await?;
    // What the bed says of the log's head is far beyond what was relayed.
    bed.redis.command(&["HSET", "{oss:financial}:head", "seq", "20"])?;
    let process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    bed.chain().anvil.freeze()?;
    let work = entries(20);
    for target in bed.target_names() {
        bed.relay(&target, 1, &work).await?;
    }
    bed.mine_until_receipts(40).await?;
    let receipts = bed.receipts().await?;
    assert!(receipts.iter().all(|receipt| receipt.target != name("base")));
    bed.until("the dead lane says so", async |_| {
        let lane = process.lane("base").await?;
        Ok(lane["state"] == "retrying" && lane["last_error"]["code"] == "CHAIN_UNREACHABLE")
    })
    .await?;
    assert_eq!(process.ready().await.0, 200, "a dead target is no reason to restart the process");
    bed.until("its lag shows", async |_| {
        Ok(crate::alarms::figure(&process, "oss_chain_root_lag", "").await? == Some(20.0))
    })
    .await?;
    bed.chain().anvil.thaw()?;
    bed.mine_until_receipts(60).await?;
    for chain in &bed.chains {
        bed.assert_applied_once(chain, &flat(&work)).await?;
        bed.assert_at_rest(chain).await?;
    }
    Ok(())
}

#[actix_rt::test]
async fn nothing_is_signed_above_the_fee_cap() -> Check {
    const GWEI: u128 = 1_000_000_000;
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let provider = chain.anvil.provider();
    provider.anvil_set_next_block_base_fee_per_gas(50 * GWEI).await?;
    chain.anvil.mine(1).await?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let process = Process::start_with(
        &bed,
        "one",
        &[("OSS__EVM__FEE_CAP_GWEI", "30"), ("OSS__EVM__TIP_CAP_GWEI", "2")],
    )?;
    bed.until("the cap is told", async |_| {
        Ok(process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == "FEE_ABOVE_CAP"))
    })
    .await?;
    assert!(bed.link.lane_state(&chain.name).await?.raws.is_empty(), "nothing is signed");
    provider.anvil_set_next_block_base_fee_per_gas(20 * GWEI).await?;
    chain.anvil.mine(1).await?;
    let receipts = bed.mine_until_receipts(1).await?;
    let hash = receipts[0].parts[0].tx.as_deref().ok_or("no transaction")?.parse()?;
    let sent = provider.get_transaction_by_hash(hash).await?.ok_or("unknown transaction")?;
    let inner = alloy::consensus::Transaction::max_fee_per_gas(&sent);
    assert!(inner <= 30 * GWEI, "{inner}");
    Ok(())
}

#[actix_rt::test]
async fn a_deferred_update_waits_and_lands_when_its_time_has_come() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let process = Process::start(&bed)?;
    // Version 6 follows 5, which the chain has not seen.
    bed.relay(&chain.name, 1, &[vec![vec![update("bond", 5, 6), update("stock", 0, 1)]]]).await?;
    bed.mine_until("deferred", async |bed| {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == Delivery::Deferred)
    })
    .await?;
    bed.mine_until("the lane says so", async |_| {
        Ok(process.lane("base").await?["last_error"]["code"] == "DEFERRED")
    })
    .await?;
    bed.relay(&chain.name, 2, &[vec![vec![update("bond", 0, 5)]]]).await?;
    // Both may become final in one block, so either may be told first.
    let mut receipts = bed.mine_until_receipts(2).await?;
    receipts.sort_by_key(|receipt| receipt.seq);
    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&receipts[0].parts[0].applied, &receipts[0].parts[0].stale), (&vec![0], &vec![1]));
    let all = [update("bond", 0, 5), update("bond", 5, 6), update("stock", 0, 1)];
    bed.assert_applied_once(chain, &all).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn a_badly_signed_part_alarms_lets_others_pass_and_lands_after_a_rewind() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let process = Process::start(&bed)?;
    let work = entries(3);
    let stranger: PrivateKeySigner = chain.anvil.key(9).parse()?;
    let payloads = vec![
        bed.entry(&chain.name, 1, &work[0])?,
        bed.entry_signed_by(&stranger, &chain.name, 2, &work[1])?,
        bed.entry(&chain.name, 3, &work[2])?,
    ];
    bed.relay_payloads(&chain.name, 1, &payloads).await?;
    bed.mine_until_receipts(2).await?;
    bed.mine_until("the alarm", async |bed| {
        let progress = bed.link.progress(2).await?.ok_or("expired")?;
        let code = process.lane("base").await?["last_error"]["code"].clone();
        Ok(code == "BATCH_REJECTED_SIGNATURES_INVALID"
            && progress.targets["base"].state == Delivery::Deferred)
    })
    .await?;
    bed.rewind(&chain.name, 4, 2).await?;
    bed.relay(&chain.name, 2, &work[1..]).await?;
    let receipts = bed.mine_until_receipts(4).await?;
    // The leader relays from the oldest entry without a receipt on; entry 3 comes again and is stale.
    let mut again: Vec<_> =
        receipts[2..].iter().map(|receipt| (receipt.seq, &receipt.parts[0].stale)).collect();
    again.sort_unstable();
    assert_eq!(again, [(2, &vec![]), (3, &vec![0])]);
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn a_part_that_cannot_be_put_into_a_call_stops_the_lane_before_anything_of_it_is_bound() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(3);
    let unreadable = {
        let mut body: serde_json::Value = serde_json::from_slice(&bed.entry(&chain.name, 2, &work[1])?)?;
        body["parts"][0]["sig"] = "0xno-hex".into();
        serde_json::to_vec(&body)?
    };
    let payloads =
        vec![bed.entry(&chain.name, 1, &work[0])?, unreadable, bed.entry(&chain.name, 3, &work[2])?];
    bed.relay_payloads(&chain.name, 1, &payloads).await?;
    let process = Process::start(&bed)?;
    bed.until("it is told while the one before is on its way", async |bed| {
        let told =
            process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == "OUT_UNREADABLE");
        Ok(told && bed.link.lane_state(&chain.name).await?.binds.len() == 1)
    })
    .await?;
    bed.mine_until_receipts(1).await?;
    bed.until("the lane is stopped", async |_| {
        let lane = process.lane("base").await?;
        Ok(lane["state"] == "stopped" && lane["last_error"]["code"] == "OUT_UNREADABLE")
    })
    .await?;
    bed.assert_at_rest(chain).await?;
    bed.rewind(&chain.name, 4, 2).await?;
    bed.relay(&chain.name, 2, &work[1..]).await?;
    let receipts = bed.mine_until_receipts(3).await?;
    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [1, 2, 3]);
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn nothing_is_bound_before_a_rollback_that_the_barrier_names_is_read() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    bed.redis.command(&["HSET", "{oss:financial}:head", "barrier", "3"])?;
    let work = [vec![vec![update("bond", 0, 1)]], vec![vec![update("bond", 1, 2)]]];
    bed.relay(&chain.name, 1, &work).await?;
    bed.until("the lane was told", async |bed| {
        Ok(process.log(bed)?.contains("A rollback has to be read before anything is bound"))
    })
    .await?;
    let state = bed.link.lane_state(&chain.name).await?;
    assert!(state.binds.is_empty() && state.next_nonce == 0, "{state:?}");
    let bond = crate::bed::asset("bond");
    let covers =
        format!(r#"{{"seq":3,"covers":[{{"asset":"{bond}","chain":"base","from":1,"version":3}}]}}"#);
    bed.redis.command(&["XADD", "{oss:financial}:ctl", "3-0", "kind", "revert", "seq", "3", "m", &covers])?;
    let receipts = bed.mine_until_receipts(2).await?;
    let revoked = receipts.iter().find(|receipt| receipt.seq == 2).ok_or("no receipt of the covered one")?;
    assert_eq!((revoked.status, &revoked.parts[0].tx), (Delivery::Revoked, &None));
    bed.assert_applied_once(chain, &[update("bond", 0, 1)]).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn a_paused_contract_reverts_and_gets_the_work_when_it_goes_on() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    chain.bridge.set_paused(true).await?;
    let work = entries(2);
    bed.relay(&chain.name, 1, &work).await?;
    let process = Process::start(&bed)?;
    bed.mine_until("the revert is told", async |_| {
        Ok(process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == "TRANSACTION_REVERTED"))
    })
    .await?;
    assert!(bed.receipts().await?.is_empty());
    chain.bridge.set_paused(false).await?;
    bed.mine_until_receipts(2).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn what_a_rollback_covers_is_never_sent() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let bond = crate::bed::asset("bond");
    let covers =
        format!(r#"{{"seq":3,"covers":[{{"asset":"{bond}","chain":"base","from":1,"version":4}}]}}"#);
    bed.redis.command(&["XADD", "{oss:financial}:ctl", "3-0", "kind", "revert", "seq", "3", "m", &covers])?;
    bed.redis.command(&["HSET", "{oss:financial}:head", "barrier", "3"])?;
    assert_eq!(bed.link.control_after(common::link::StreamId::ZERO, 9).await?.len(), 1);
    let work = vec![
        vec![vec![update("bond", 0, 1), update("stock", 0, 1)]],
        vec![vec![update("bond", 1, 2)]],
        vec![vec![update("bond", 2, 3), update("stock", 1, 2)]],
        vec![vec![update("bond", 1, 4)]],
    ];
    bed.relay(&chain.name, 1, &work).await?;
    let _process = Process::start(&bed)?;
    let mut receipts = bed.mine_until_receipts(4).await?;
    receipts.sort_by_key(|receipt| receipt.seq);
    let states: Vec<Delivery> = receipts.iter().map(|receipt| receipt.status).collect();
    assert_eq!(states, [Delivery::Final, Delivery::Revoked, Delivery::Final, Delivery::Final]);
    assert_eq!(receipts[1].parts[0].tx, None, "a part with nothing left is not sent");
    assert_eq!((&receipts[2].parts[0].applied, &receipts[2].parts[0].skipped), (&vec![1], &vec![0]));
    let landed = [update("bond", 0, 1), update("stock", 0, 1), update("stock", 1, 2), update("bond", 1, 4)];
    bed.assert_applied_once(chain, &landed).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn redis_dies_under_work_in_flight_and_everything_goes_on_from_the_journal() -> Check {
    let mut bed = Bed::one_chain().await?;
    let work = entries(6);
    bed.relay(&bed.chain().name, 1, &work[..3]).await?;
    let process = Process::start(&bed)?;
    bed.until("something is stored", async |bed| {
        Ok(!bed.link.lane_state(&bed.chain().name).await?.raws.is_empty())
    })
    .await?;
    bed.redis.kill()?;
    bed.until("the process notices", async |_| Ok(process.ready().await.0 == 503)).await?;
    bed.redis.restart()?;
    bed.until("redis answers the test", async |bed| Ok(bed.link.head().await.is_ok())).await?;
    bed.relay(&bed.chain().name, 4, &work[3..]).await?;
    let receipts = bed.mine_until_receipts(6).await?;
    assert_eq!(receipts.len(), 6);
    bed.assert_applied_once(bed.chain(), &flat(&work)).await?;
    bed.assert_at_rest(bed.chain()).await?;
    bed.until("ready again", async |_| Ok(process.ready().await.0 == 200)).await
}
