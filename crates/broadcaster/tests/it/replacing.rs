//! Transactions that wait too long are replaced by ones that pay more, up to the caps.

use alloy::primitives::{B256, U256};
use alloy::providers::Provider as _;
use alloy::providers::ext::AnvilApi as _;
use alloy::rpc::types::TransactionRequest;
use common::link::RawAttempt;

use crate::bed::{Bed, Check, entries, flat};
use crate::process::Process;

const GWEI: u128 = 1_000_000_000;
/// Longer than any test.
const FOR_EVER_MS: &str = "3600000";
const QUICK: (&str, &str) = ("OSS__EVM__REPLACE_MS", "300");
/// Whatever is sent is sent by the first offer or as a replacement.
const NEVER_AGAIN: (&str, &str) = ("OSS__EVM__RESEND_MS", FOR_EVER_MS);

/// The stored transactions of the first nonce.
async fn attempts(bed: &Bed) -> Check<Vec<RawAttempt>> {
    let state = bed.link.lane_state(&bed.chain().name).await?;
    Ok(state.raws.get(&0).map_or_else(Vec::new, |raw| raw.attempts.values().cloned().collect()))
}

/// The stored transactions of the first nonce, once there are `count` and the chain holds the last one.
async fn sent(bed: &Bed, count: usize) -> Check<Vec<RawAttempt>> {
    let mut found = Vec::new();
    bed.until("so many attempts, the last with the chain", async |bed| {
        found = attempts(bed).await?;
        let Some(last) = found.get(count - 1) else { return Ok(false) };
        let hash: B256 = last.tx_hash.parse()?;
        Ok(bed.chain().anvil.provider().get_transaction_by_hash(hash).await?.is_some())
    })
    .await?;
    Ok(found)
}

/// Makes a block of that base fee.
async fn mine_at(bed: &Bed, gwei: u128) -> Check {
    let anvil = &bed.chain().anvil;
    anvil.provider().anvil_set_next_block_base_fee_per_gas(gwei * GWEI).await?;
    Ok(anvil.mine(1).await?)
}

/// Most per gas, as stored.
fn max_fee(attempt: &RawAttempt) -> Check<u128> {
    Ok(attempt.fee.split_once('/').ok_or("no fee")?.0.parse()?)
}

async fn is_told(process: &Process, code: &str) -> Check<bool> {
    Ok(process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == code))
}

#[actix_rt::test]
async fn a_transaction_that_the_base_fee_has_passed_is_replaced_and_mined_once() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(2);
    bed.relay(&chain.name, 1, &work).await?;
    let _process = Process::start_with(&bed, "one", &[QUICK])?;
    sent(&bed, 1).await?;
    mine_at(&bed, 50).await?;
    let stored = sent(&bed, 2).await?;
    assert!(max_fee(&stored[1])? >= 100 * GWEI, "twice the base fee: {}", stored[1].fee);
    let receipts = bed.mine_until_receipts(2).await?;
    assert_eq!(receipts[0].parts[0].tx.as_ref(), Some(&stored[1].tx_hash));
    let block = receipts[0].parts[0].block.ok_or("no block")?;
    let block = chain.anvil.provider().get_block_by_number(block.into()).await?.ok_or("unknown block")?;
    let base_fee = block.header.base_fee_per_gas.map(u128::from).ok_or("no base fee")?;
    assert!(base_fee > max_fee(&stored[0])?, "the first one could not have been in it");
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!((bed.receipts().await?.len(), chain.anvil.nonce(bed.sender()).await?), (2, 1));
    Ok(())
}

#[actix_rt::test]
async fn without_replacement_a_transaction_that_the_base_fee_has_passed_stays_where_it_is() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let process = Process::start_with(&bed, "one", &[("OSS__EVM__REPLACE_MS", "0")])?;
    let first = sent(&bed, 1).await?;
    for _ in 0..10 {
        mine_at(&bed, 50).await?;
    }
    assert_eq!((attempts(&bed).await?, chain.anvil.nonce(bed.sender()).await?), (first.clone(), 0));
    process.kill()?;
    let _process = Process::start_with(&bed, "two", &[QUICK])?;
    // It is offered anew first; then blocks have to pass over it.
    bed.until("it is replaced", async |bed| {
        mine_at(bed, 50).await?;
        Ok(attempts(bed).await?.len() > 1)
    })
    .await?;
    let receipts = bed.mine_until_receipts(1).await?;
    assert_ne!(receipts[0].parts[0].tx.as_ref(), Some(&first[0].tx_hash));
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn at_the_cap_it_stays_alarms_and_is_mined_when_the_base_fee_falls() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(1);
    bed.relay(&chain.name, 1, &work).await?;
    let process = Process::start_with(&bed, "one", &[QUICK, ("OSS__EVM__FEE_CAP_GWEI", "30")])?;
    sent(&bed, 1).await?;
    mine_at(&bed, 100).await?;
    // This chain, unlike others, does not even take what is below the base fee.
    bed.until("it is replaced", async |bed| Ok(attempts(bed).await?.len() == 2)).await?;
    let stored = attempts(&bed).await?;
    assert_eq!(max_fee(&stored[1])?, 30 * GWEI, "as much as is allowed");
    bed.until("the alarm", async |bed| {
        mine_at(bed, 100).await?;
        is_told(&process, "FEE_CAP").await
    })
    .await?;
    let alarm = process.lane("base").await?["alarms"][0].clone();
    assert_eq!(alarm["code"], "FEE_CAP");
    let detail = alarm["detail"].to_string();
    assert!(detail.contains("nonce 0") && detail.contains("evm.fee_cap_gwei"), "{detail}");
    assert_eq!(
        (attempts(&bed).await?, bed.receipts().await?.len()),
        (stored.clone(), 0),
        "nothing above the cap"
    );
    mine_at(&bed, 20).await?;
    let receipts = bed.mine_until_receipts(1).await?;
    assert_eq!(receipts[0].parts[0].tx.as_ref(), Some(&stored[1].tx_hash));
    bed.until("the alarm is over", async |_| {
        Ok(process.lane("base").await?["alarms"].as_array().is_some_and(Vec::is_empty))
    })
    .await?;
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn the_first_one_may_be_mined_although_a_replacement_was_sent() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let (work, provider) = (entries(2), chain.anvil.provider());
    bed.relay(&chain.name, 1, &work).await?;
    let process = Process::start_with(&bed, "one", &[QUICK, NEVER_AGAIN])?;
    sent(&bed, 1).await?;
    mine_at(&bed, 50).await?;
    let stored = sent(&bed, 2).await?;
    process.freeze()?;
    provider.anvil_drop_all_transactions().await?;
    provider.anvil_set_next_block_base_fee_per_gas(GWEI).await?;
    drop(provider.send_raw_transaction(&stored[0].raw).await?);
    mine_at(&bed, 1).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1);
    process.thaw()?;
    let receipts = bed.mine_until_receipts(2).await?;
    assert_eq!(receipts.len(), 2, "one receipt per entry");
    assert!(receipts.iter().all(|receipt| receipt.parts[0].tx.as_ref() == Some(&stored[0].tx_hash)));
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn what_a_node_refuses_for_its_price_is_raised_until_it_takes_it() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    // Somebody else's transaction of the same nonce waits and pays more than a first one of ours.
    let foreign = TransactionRequest::default().from(bed.sender()).to(chain.anvil.account(9)).nonce(0);
    let foreign =
        foreign.value(U256::from(1)).max_fee_per_gas(6 * GWEI).max_priority_fee_per_gas(3 * GWEI / 2);
    drop(chain.anvil.provider().send_transaction(foreign).await?);
    let work = entries(1);
    bed.relay(&chain.name, 1, &work).await?;
    // No block is made, and none of the usual patience is spent.
    let process = Process::start_with(
        &bed,
        "one",
        &[("OSS__EVM__REPLACE_MS", FOR_EVER_MS), ("OSS__EVM__RESEND_MS", "100")],
    )?;
    bed.until("the refusal is told", async |_| is_told(&process, "FEE_REFUSED").await).await?;
    bed.until("sent", async |bed| {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == common::status::Delivery::Sent)
    })
    .await?;
    let stored = attempts(&bed).await?;
    assert!(stored.len() > 1, "{}", stored.len());
    let receipts = bed.mine_until_receipts(1).await?;
    assert_eq!(receipts[0].parts[0].tx.as_ref(), stored.last().map(|last| &last.tx_hash));
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1);
    Ok(())
}

/// Dies at `point` of a replacement, starts again, and finishes: each update once, by a stored transaction.
async fn survives(point: &str, stored_then: usize) -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(3);
    bed.relay(&chain.name, 1, &work).await?;
    let mut doomed = Process::start_with(&bed, "doomed", &[("OSS_CRASH_POINT", point), QUICK, NEVER_AGAIN])?;
    sent(&bed, 1).await?;
    mine_at(&bed, 50).await?;
    assert_eq!(doomed.ended().await?, None, "it died of a signal");
    let stored = attempts(&bed).await?;
    assert_eq!(stored.len(), stored_then);
    let _process = Process::start_with(&bed, "next", &[QUICK])?;
    bed.until("it is replaced", async |bed| {
        // One that is offered anew has to be passed over.
        if stored_then == 1 {
            mine_at(bed, 50).await?;
        }
        Ok(attempts(bed).await?.len() > 1)
    })
    .await?;
    let second = attempts(&bed).await?.remove(1);
    let receipts = bed.mine_until_receipts(3).await?;
    assert_eq!(receipts.len(), 3, "one receipt per entry");
    assert!(receipts.iter().all(|receipt| receipt.parts[0].tx.as_ref() == Some(&second.tx_hash)));
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await?;
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1, "nothing was sent twice");
    Ok(())
}

#[actix_rt::test]
async fn a_replacement_is_signed_and_not_stored() -> Check {
    survives("link.store.before:2", 1).await
}

#[actix_rt::test]
async fn a_replacement_is_stored_and_the_reply_lost() -> Check {
    survives("link.store.after:2", 2).await
}

#[actix_rt::test]
async fn a_replacement_is_stored_and_not_sent() -> Check {
    survives("broadcaster.store:2", 2).await
}

#[actix_rt::test]
async fn a_replacement_is_sent_before_anything_is_noted() -> Check {
    survives("broadcaster.send:2", 2).await
}

#[actix_rt::test]
async fn what_a_node_refuses_for_lack_of_funds_is_not_raised() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let provider = chain.anvil.provider();
    provider.anvil_set_balance(bed.sender(), U256::ZERO).await?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let quick = [("OSS__EVM__REPLACE_MS", "100"), ("OSS__EVM__RESEND_MS", "100")];
    let process = Process::start_with(&bed, "one", &quick)?;
    bed.mine_until("it was refused often, and blocks were made", async |_| {
        let metrics = process.metrics().await?;
        let refused = metrics.lines().find(|line| line.contains("SEND_REFUSED"));
        let times = refused.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(times.is_some_and(|times| times >= 8.0))
    })
    .await?;
    assert_eq!(attempts(&bed).await?.len(), 1, "a dearer one would be refused as well");
    provider.anvil_set_balance(bed.sender(), U256::from(10).pow(U256::from(20))).await?;
    bed.mine_until_receipts(1).await?;
    bed.assert_at_rest(chain).await
}
