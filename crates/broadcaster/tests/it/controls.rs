//! Negative controls: what each safety step is for, shown by switching it off.

use std::sync::Arc;

use alloy::eips::BlockNumberOrTag;
use alloy::primitives::B256;
use alloy::providers::Provider as _;
use alloy::providers::ext::AnvilApi as _;
use broadcaster::{Settings, build_with_scripts};
use common::link::Scripts;

use crate::bed::{Bed, Check, entries};
use crate::process::Process;

fn settings(bed: &Bed) -> Check<Settings> {
    let mut settings = Settings::load(None)?;
    "inside".clone_into(&mut settings.instance);
    settings.keys_file = bed.path("keys.json");
    settings.targets_file = bed.path("targets.json");
    settings.endpoints_file = bed.path("endpoints.json");
    settings.sender_keys_file = bed.path("senders.json");
    settings.redis.url = bed.redis.url();
    "127.0.0.1:0".clone_into(&mut settings.http.listen);
    "127.0.0.1:0".clone_into(&mut settings.http.admin_listen);
    settings.lane.watch_ms = 50;
    settings.lane.idle_ms = 50;
    settings.evm.poll_ms = 30;
    settings.evm.resend_ms = 500;
    Ok(settings)
}

/// The only transaction that waits for a block, as soon as there is one.
async fn waiting(bed: &Bed) -> Check<B256> {
    let mut found = None;
    bed.until("a waiting transaction", async |bed| {
        let block = bed.chain().anvil.provider().get_block_by_number(BlockNumberOrTag::Pending).await?;
        found = block.and_then(|block| block.transactions.hashes().next());
        Ok(found.is_some())
    })
    .await?;
    found.ok_or_else(|| "none".into())
}

/// Sends, ends, loses the chain's waiting transactions while the fees move, starts again: both hashes sent.
async fn two_starts(scripts: Arc<Scripts>) -> Check<(B256, B256)> {
    let bed = Bed::one_chain().await?;
    let provider = bed.chain().anvil.provider();
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    let service = build_with_scripts(settings(&bed)?, Arc::clone(&scripts)).await?;
    let first = service.run(waiting(&bed)).await?;
    provider.anvil_drop_all_transactions().await?;
    // Lower than before: the stored transaction can still be included, a newly signed one differs.
    provider.anvil_set_next_block_base_fee_per_gas(300_000_000).await?;
    bed.chain().anvil.mine(1).await?;
    let service = build_with_scripts(settings(&bed)?, scripts).await?;
    let second = service.run(waiting(&bed)).await?;
    Ok((first, second))
}

#[actix_rt::test]
async fn one_nonce_has_one_transaction_because_it_is_stored_before_it_is_sent() -> Check {
    let (first, second) = two_starts(Scripts::standard()).await?;
    assert_eq!(first, second);
    let forgetful = Scripts::edited(|script, source| match script {
        "store" => "#!lua flags=allow-oom\nreturn {'OK'}".to_owned(),
        _ => source.to_owned(),
    });
    let (first, second) = two_starts(forgetful).await?;
    assert_ne!(first, second, "without STORE the same nonce is signed anew");
    Ok(())
}

#[actix_rt::test]
async fn without_the_gap_filler_a_gap_holds_work_up() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let process = Process::start(&bed)?;
    waiting(&bed).await?;
    assert_eq!(process.terminate()?, Some(0));
    bed.redis.command(&["HINCRBY", "{oss:financial}:lane:base", "next_nonce", "1"])?;
    bed.relay(&chain.name, 2, &entries(2)[1..]).await?;
    let process = Process::start_with(&bed, "one", &[("OSS__EVM__GAP_MS", "3600000")])?;
    bed.until("stored beyond the gap", async |bed| {
        Ok(bed.link.lane_state(&chain.name).await?.raws.contains_key(&2))
    })
    .await?;
    // Not final: once it is, a gap could not be told from blocks that are lost.
    chain.anvil.mine(2).await?;
    assert_eq!((bed.receipts().await?.len(), chain.anvil.nonce(bed.sender()).await?), (0, 1));
    process.kill()?;
    let _process = Process::start_with(&bed, "two", &[])?;
    bed.until("the filler is stored", async |bed| {
        Ok(bed.link.lane_state(&chain.name).await?.raws.contains_key(&1))
    })
    .await?;
    bed.mine_until_receipts(2).await?;
    Ok(())
}

#[actix_rt::test]
async fn without_sending_again_a_dropped_transaction_stays_away() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let process = Process::start_with(&bed, "one", &[("OSS__EVM__RESEND_MS", "3600000")])?;
    let first = waiting(&bed).await?;
    bed.until("noted as sent", async |bed| {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state == common::status::Delivery::Sent)
    })
    .await?;
    chain.anvil.provider().anvil_drop_all_transactions().await?;
    chain.anvil.mine(20).await?;
    assert!(bed.receipts().await?.is_empty());
    process.kill()?;
    let _process = Process::start_with(&bed, "two", &[])?;
    assert_eq!(waiting(&bed).await?, first);
    bed.mine_until_receipts(1).await?;
    Ok(())
}
