//! Chains that charge more gas than the contract's own work.

use alloy::consensus::Transaction as _;
use alloy::primitives::{B256, Bytes};
use alloy::providers::Provider as _;
use alloy::providers::ext::AnvilApi as _;

use crate::bed::{Bed, Check, entries, flat};
use crate::process::Process;

/// What one part of one new asset may use by our own figures.
const OWN_BOUND: u64 = 214_000;

async fn gas_limit(bed: &Bed, hash: &str) -> Check<u64> {
    let found = bed.chain().anvil.provider().get_transaction_by_hash(hash.parse::<B256>()?).await?;
    Ok(found.ok_or("unknown transaction")?.gas_limit())
}

#[actix_rt::test]
async fn a_transaction_gets_the_gas_the_chain_estimates() -> Check {
    let bed = Bed::one_chain().await?;
    let (chain, provider) = (bed.chain(), bed.chain().anvil.provider());
    let code = provider.get_code_at(chain.bridge.address).await?;
    // gas > 3,000,000 ? stop : invalid
    let greedy: Bytes = "0x5a622dc6c010600a57fe5b00".parse()?;
    provider.anvil_set_code(chain.bridge.address, greedy).await?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let _process = Process::start(&bed)?;
    let mut hash = None;
    bed.until("a stored transaction", async |bed| {
        let state = bed.link.lane_state(&chain.name).await?;
        hash = state.raws.get(&0).and_then(|raw| raw.attempts.get(&1)).map(|raw| raw.tx_hash.clone());
        let Some(hash) = &hash else { return Ok(false) };
        Ok(provider.get_transaction_by_hash(hash.parse()?).await?.is_some())
    })
    .await?;
    let gas = gas_limit(&bed, &hash.ok_or("nothing stored")?).await?;
    assert!(gas > 3_000_000, "{gas}");
    provider.anvil_set_code(chain.bridge.address, code).await?;
    bed.mine_until_receipts(1).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn parts_that_ran_out_of_gas_are_sent_one_by_one_with_more() -> Check {
    let bed = Bed::one_chain().await?;
    let (chain, provider) = (bed.chain(), bed.chain().anvil.provider());
    let code = provider.get_code_at(chain.bridge.address).await?;
    // Uses up all gas, and no estimate can be made of it.
    provider.anvil_set_code(chain.bridge.address, Bytes::from_static(&[0xfe])).await?;
    let work = entries(2);
    bed.relay(&chain.name, 1, &work).await?;
    let process = Process::start(&bed)?;
    bed.mine_until("the revert is told", async |_| {
        Ok(process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == "TRANSACTION_REVERTED"))
    })
    .await?;
    provider.anvil_set_code(chain.bridge.address, code).await?;
    let receipts = bed.mine_until_receipts(2).await?;
    let hashes: Vec<&str> = receipts.iter().filter_map(|receipt| receipt.parts[0].tx.as_deref()).collect();
    assert!(hashes.len() == 2 && hashes[0] != hashes[1], "{hashes:?}");
    for hash in hashes {
        let gas = gas_limit(&bed, hash).await?;
        assert!(gas >= 2 * OWN_BOUND, "{gas}");
    }
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}
