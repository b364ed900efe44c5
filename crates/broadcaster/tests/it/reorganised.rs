//! Deep reorganisations: what is reported final is on the chain and stays there, and everything lands at last.

use alloy::primitives::B256;
use alloy::providers::Provider as _;
use alloy::providers::ext::AnvilApi as _;
use alloy::rpc::types::anvil::ReorgOptions;
use common::message::Receipt;
use common::status::Delivery;
use common::targets::Tier;

use crate::bed::{Bed, Check, entries, flat};
use crate::nonces::sent;
use crate::process::Process;

/// Less than an epoch.
const DEPTH: u64 = 3;
const EPOCH: u64 = 4;

/// Replaces the last blocks by empty ones; nothing of them waits for another block.
async fn reorganise(bed: &Bed) -> Check {
    let provider = bed.chain().anvil.provider();
    provider.anvil_reorg(ReorgOptions { depth: DEPTH, tx_block_pairs: Vec::new() }).await?;
    Ok(provider.anvil_drop_all_transactions().await?)
}

/// Whether the chain shows the transaction in the block that the receipt names.
async fn stands(bed: &Bed, receipt: &Receipt) -> Check<bool> {
    let hash: B256 = receipt.parts[0].tx.as_deref().ok_or("no transaction")?.parse()?;
    let found = bed.chain().anvil.provider().get_transaction_receipt(hash).await?;
    Ok(found.is_some_and(|found| found.block_number == receipt.parts[0].block))
}

/// Three entries, each in a block of its own; the chain has used their nonces.
async fn three_blocks(bed: &Bed) -> Check {
    for (seq, entry) in (1..).zip(entries(3)) {
        bed.relay(&bed.chain().name, seq, &[entry]).await?;
        sent(bed, seq - 1).await?;
        bed.chain().anvil.mine(1).await?;
    }
    assert_eq!(bed.chain().anvil.nonce(bed.sender()).await?, 3);
    Ok(())
}

async fn nothing_final_is_lost(tier: Tier) -> Check {
    let bed = Bed::set_in_epochs(&[("base", 8453)], &[], tier, EPOCH).await?;
    let chain = bed.chain();
    let _process = Process::start(&bed)?;
    three_blocks(&bed).await?;
    bed.until("all are seen in blocks", async |bed| {
        for seq in 1..=3 {
            let progress = bed.link.progress(seq).await?.ok_or("expired")?;
            if progress.targets["base"].state != Delivery::Included {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await?;
    for _ in 0..2 {
        reorganise(&bed).await?;
        assert_eq!(chain.anvil.nonce(bed.sender()).await?, 0, "all three are gone");
        // They come again, and the next ones are just as young.
        bed.mine_until("sent again", async |bed| Ok(bed.chain().anvil.nonce(bed.sender()).await? == 3))
            .await?;
        assert!(bed.receipts().await?.is_empty(), "nothing is final");
    }
    bed.mine_until("three receipts, each of which stands", async |bed| {
        let receipts = bed.receipts().await?;
        for receipt in &receipts {
            assert!(stands(bed, receipt).await?, "{receipt:?}");
        }
        Ok(receipts.len() == 3)
    })
    .await?;
    reorganise(&bed).await?;
    for receipt in bed.receipts().await? {
        assert_eq!(receipt.status, Delivery::Final);
        assert!(stands(&bed, &receipt).await?, "deeper than the reorganisation: {receipt:?}");
    }
    bed.assert_applied_once(chain, &flat(&entries(3))).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn a_reorganisation_of_three_blocks_takes_nothing_that_was_reported_at_the_tier_finalized() -> Check {
    nothing_final_is_lost(Tier::Finalized).await
}

#[actix_rt::test]
async fn a_reorganisation_of_three_blocks_takes_nothing_that_was_reported_at_the_tier_safe() -> Check {
    nothing_final_is_lost(Tier::Safe).await
}

#[actix_rt::test]
async fn at_the_tier_latest_the_same_reorganisation_takes_what_was_reported() -> Check {
    let bed = Bed::set_in_epochs(&[("base", 8453)], &[], Tier::Latest, EPOCH).await?;
    let _process = Process::start(&bed)?;
    three_blocks(&bed).await?;
    bed.until("three receipts", async |bed| Ok(bed.receipts().await?.len() == 3)).await?;
    reorganise(&bed).await?;
    for receipt in bed.receipts().await? {
        assert!(!stands(&bed, &receipt).await?, "{receipt:?}");
    }
    Ok(())
}
