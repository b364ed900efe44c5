//! The journal and the chain disagree: dropped, used from outside, gaps, reorganisations, an empty chain.

use alloy::primitives::{B256, U256};
use alloy::providers::Provider as _;
use alloy::providers::ext::AnvilApi as _;
use alloy::rpc::types::TransactionRequest;
use alloy::rpc::types::anvil::{ReorgOptions, TransactionData};
use common::targets::Tier;
use testkit::anvil::Anvil;

use crate::bed::{Bed, Check, entries, flat};
use crate::process::Process;

/// The hash stored for a nonce, once it is stored and the chain has it.
pub(crate) async fn sent(bed: &Bed, nonce: u64) -> Check<B256> {
    let chain = bed.chain();
    let mut found = None;
    bed.until("a transaction with the chain", async |bed| {
        let state = bed.link.lane_state(&chain.name).await?;
        let raw = state.raws.get(&nonce).and_then(|raw| raw.attempts.get(&1));
        let Some(raw) = raw else { return Ok(false) };
        let hash: B256 = raw.tx_hash.parse()?;
        found = Some(hash);
        Ok(chain.anvil.provider().get_transaction_by_hash(hash).await?.is_some())
    })
    .await?;
    found.ok_or_else(|| "nothing stored".into())
}

/// Uses a nonce of the broadcaster's sender behind its back, outbidding it.
async fn use_nonce(anvil: &Anvil, from: alloy::primitives::Address, nonce: u64) -> Check {
    let transaction = TransactionRequest::default()
        .from(from)
        .to(anvil.account(9))
        .value(U256::from(1))
        .nonce(nonce)
        .max_fee_per_gas(900_000_000_000)
        .max_priority_fee_per_gas(100_000_000_000);
    drop(anvil.provider().send_transaction(transaction).await?);
    Ok(())
}

#[actix_rt::test]
async fn a_dropped_transaction_is_sent_again_as_it_was() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(2);
    bed.relay(&chain.name, 1, &work).await?;
    let _process = Process::start(&bed)?;
    let first = sent(&bed, 0).await?;
    chain.anvil.provider().anvil_drop_all_transactions().await?;
    // That a dropped transaction stays away by itself is shown in `controls`.
    assert_eq!(sent(&bed, 0).await?, first);
    let receipts = bed.mine_until_receipts(2).await?;
    assert_eq!(receipts[0].parts[0].tx, Some(first.to_string()));
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn items_whose_nonce_was_used_from_outside_get_another() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(2);
    bed.relay(&chain.name, 1, &work).await?;
    let _process = Process::start(&bed)?;
    let replaced = sent(&bed, 0).await?;
    use_nonce(&chain.anvil, bed.sender(), 0).await?;
    let receipts = bed.mine_until_receipts(2).await?;
    assert_ne!(receipts[0].parts[0].tx, Some(replaced.to_string()));
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 2);
    Ok(())
}

#[actix_rt::test]
async fn a_wallet_used_before_goes_on_at_the_chains_nonce() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    for nonce in 0..3 {
        use_nonce(&chain.anvil, bed.sender(), nonce).await?;
    }
    chain.anvil.mine(1).await?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let _process = Process::start(&bed)?;
    bed.mine_until_receipts(1).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 4);
    Ok(())
}

#[actix_rt::test]
async fn a_gap_before_bound_work_is_filled() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(2);
    bed.relay(&chain.name, 1, &work[..1]).await?;
    let process = Process::start(&bed)?;
    sent(&bed, 0).await?;
    assert_eq!(process.terminate()?, Some(0));
    // Three nonces were handed out that nothing holds.
    bed.redis.command(&["HINCRBY", "{oss:financial}:lane:base", "next_nonce", "3"])?;
    bed.relay(&chain.name, 2, &work[1..]).await?;
    let _process = Process::start(&bed)?;
    sent(&bed, 4).await?;
    for filler in 1..4 {
        chain.anvil.mine(1).await?;
        let hash = sent(&bed, filler).await?;
        let filler = chain.anvil.provider().get_transaction_by_hash(hash).await?.ok_or("unknown")?;
        let gas = alloy::consensus::Transaction::gas_limit(&filler);
        assert!(gas > 21_000, "some chains charge more than the work: {gas}");
    }
    bed.mine_until_receipts(2).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.mine_until("fillers are forgotten", async |bed| {
        Ok(bed.link.lane_state(&bed.chain().name).await?.fillers.is_empty())
    })
    .await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 5, "one before, three fillers, one after");
    Ok(())
}

#[actix_rt::test]
async fn a_transaction_that_leaves_the_chain_is_delivered_again() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(2);
    bed.relay(&chain.name, 1, &work).await?;
    let _process = Process::start(&bed)?;
    let hash = sent(&bed, 0).await?;
    chain.anvil.mine(1).await?;
    bed.until("included", async |bed| {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == common::status::Delivery::Included)
    })
    .await?;
    let provider = chain.anvil.provider();
    provider.anvil_reorg(ReorgOptions { depth: 1, tx_block_pairs: Vec::new() }).await?;
    provider.anvil_drop_all_transactions().await?;
    assert!(provider.get_transaction_receipt(hash).await?.is_none(), "the block is gone");
    assert_eq!(sent(&bed, 0).await?, hash);
    let receipts = bed.mine_until_receipts(2).await?;
    assert_eq!(receipts[0].parts[0].tx, Some(hash.to_string()));
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn a_transaction_whose_block_was_replaced_is_noticed_before_anything_is_final() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(1);
    bed.relay(&chain.name, 1, &work).await?;
    let process = Process::start(&bed)?;
    sent(&bed, 0).await?;
    chain.anvil.mine(1).await?;
    bed.until("included", async |bed| {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == common::status::Delivery::Included)
    })
    .await?;
    // The nonce stays used, by something else: only the block tells.
    let foreign = TransactionRequest::default().from(bed.sender()).to(chain.anvil.account(9)).nonce(0);
    let foreign = foreign.value(U256::from(1)).gas_limit(21_000).max_fee_per_gas(9_000_000_000);
    let foreign = TransactionData::JSON(foreign.max_priority_fee_per_gas(1));
    let provider = chain.anvil.provider();
    provider.anvil_reorg(ReorgOptions { depth: 1, tx_block_pairs: vec![(foreign, 0)] }).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1);
    bed.until("noticed", async |bed| {
        Ok(process.log(bed)?.contains("A transaction has left the chain again"))
    })
    .await?;
    bed.mine_until_receipts(1).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 2);
    Ok(())
}

#[actix_rt::test]
async fn nonces_that_somebody_else_used_and_a_reorganisation_took_back_are_filled() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let provider = chain.anvil.provider();
    for nonce in 0..2 {
        use_nonce(&chain.anvil, bed.sender(), nonce).await?;
    }
    chain.anvil.mine(1).await?;
    let work = entries(1);
    bed.relay(&chain.name, 1, &work).await?;
    let process = Process::start(&bed)?;
    sent(&bed, 2).await?;
    // Neither was final.
    provider.anvil_reorg(ReorgOptions { depth: 1, tx_block_pairs: Vec::new() }).await?;
    provider.anvil_drop_all_transactions().await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 0, "they are gone");
    bed.mine_until_receipts(1).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.mine_until("fillers are forgotten", async |bed| {
        Ok(bed.link.lane_state(&bed.chain().name).await?.fillers.is_empty())
    })
    .await?;
    bed.assert_at_rest(chain).await?;
    assert!(!process.log(&bed)?.contains("CHAIN_RESET"));
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 3);
    Ok(())
}

#[actix_rt::test]
async fn a_chain_that_came_back_empty_stops_its_lane_and_no_other() -> Check {
    let mut bed = Bed::set(&[("base", 8453), ("optimism", 10)], &[], Tier::Safe).await?;
    let process = Process::start(&bed)?;
    let work = entries(2);
    for target in bed.target_names() {
        bed.relay(&target, 1, &work[..1]).await?;
    }
    bed.mine_until_receipts(2).await?;
    bed.chains[0].anvil.restart()?;
    for target in bed.target_names() {
        bed.relay(&target, 2, &work[1..]).await?;
    }
    bed.mine_until_receipts(3).await?;
    bed.until("the lane is stopped", async |_| {
        let lane = process.lane("base").await?;
        Ok(lane["state"] == "stopped" && lane["last_error"]["code"] == "CHAIN_RESET")
    })
    .await?;
    assert_eq!(bed.chains[0].anvil.nonce(bed.sender()).await?, 0, "nothing was sent to the empty chain");
    assert_eq!(process.lane("optimism").await?["state"], "driving");

    // A process that starts while the chain is empty says the same, and serves the other targets.
    assert_eq!(process.terminate()?, Some(0));
    let process = Process::start(&bed)?;
    bed.until("the restarted lane is stopped", async |_| {
        let Ok(lane) = process.lane("base").await else { return Ok(false) };
        assert_ne!(lane["last_error"]["code"], "NO_CONTRACT");
        Ok(lane["state"] == "stopped" && lane["last_error"]["code"] == "CHAIN_RESET")
    })
    .await?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    bed.relay(&bed.chains[1].name, 3, &entries(3)[2..]).await?;
    bed.mine_until_receipts(4).await?;
    assert_eq!(process.ready().await.0, 200);
    Ok(())
}

#[actix_rt::test]
async fn a_chain_that_loses_final_blocks_gets_no_fillers_and_goes_on_when_they_are_back() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let provider = chain.anvil.provider();
    let process = Process::start(&bed)?;
    let work = entries(3);
    bed.relay(&chain.name, 1, &work[..1]).await?;
    bed.mine_until_receipts(1).await?;
    bed.relay(&chain.name, 2, &work[1..2]).await?;
    sent(&bed, 1).await?;
    let stored = bed.link.lane_state(&chain.name).await?.raws[&1].attempts[&1].raw.clone();
    let receipts = bed.mine_until_receipts(2).await?;

    // Deeper than the tier: the block of the second transaction is gone, that of the first stays.
    let block = receipts[1].parts[0].block.ok_or("no block")?;
    let depth = provider.get_block_number().await? - block + 1;
    provider.anvil_reorg(ReorgOptions { depth, tx_block_pairs: Vec::new() }).await?;
    provider.anvil_drop_all_transactions().await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1, "the second one is gone");
    assert_eq!(chain.bridge.latest(0).await?.0, 1, "the first one is not");

    bed.relay(&chain.name, 3, &work[2..]).await?;
    bed.until("the lane is stopped", async |_| {
        let lane = process.lane("base").await?;
        Ok(lane["state"] == "stopped" && lane["last_error"]["code"] == "CHAIN_RESET")
    })
    .await?;
    chain.anvil.mine(5).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1, "nothing was sent");
    let state = bed.link.lane_state(&chain.name).await?;
    assert!(state.fillers.is_empty() && state.raws.is_empty(), "nothing was signed: {state:?}");
    assert_eq!(process.ready().await.0, 200, "one chain's loss does not make the process unready");

    drop(provider.send_raw_transaction(&stored).await?);
    bed.mine_until_receipts(3).await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}
