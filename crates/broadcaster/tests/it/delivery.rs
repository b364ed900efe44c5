//! Entries reach one and several targets, and everybody learns of it once.

use alloy::primitives::B256;
use common::bridge::Update;
use common::status::Delivery;
use common::targets::Tier;

use crate::bed::{Bed, Check, asset, entries, flat, name, update};
use crate::process::Process;

#[actix_rt::test]
async fn entries_waiting_for_a_chain_share_one_transaction_and_are_final_once() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    // A full part of new assets, an entry in two parts, and two versions of one asset.
    let full: Vec<Update> = (0..50).map(|index| update(&format!("full-{index}"), 0, 1)).collect();
    let work = vec![
        vec![full],
        vec![vec![update("bond", 0, 1), update("stock", 0, 3)], vec![update("fund", 0, 1)]],
        vec![vec![update("bond", 1, 2)]],
    ];
    bed.relay(&chain.name, 1, &work).await?;
    let process = Process::start(&bed)?;
    let receipts = bed.mine_until_receipts(3).await?;

    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(receipts.iter().all(|receipt| receipt.status == Delivery::Final && receipt.target == chain.name));
    let parts: Vec<_> = receipts.iter().flat_map(|receipt| &receipt.parts).collect();
    assert_eq!(parts.iter().map(|part| part.applied.len()).collect::<Vec<_>>(), [50, 2, 1, 1]);
    assert!(
        parts.iter().all(|part| part.tx == parts[0].tx && part.tx.is_some() && part.block == parts[0].block)
    );
    assert_eq!(chain.anvil.nonce(bed.sender()).await?, 1, "one transaction carried all");

    bed.assert_applied_once(chain, &flat(&work)).await?;
    let bond = chain.bridge.asset_state(B256::from(asset("bond").0)).await?;
    assert_eq!(bond, (2, B256::from(update("bond", 1, 2).state_hash.0)));
    assert_eq!(chain.bridge.latest(0).await?.0, 3);
    bed.assert_at_rest(chain).await?;
    let progress = bed.link.progress(2).await?.expect("not expired");
    assert_eq!(progress.targets["base"].state, Delivery::Final);
    assert!(bed.link.out_after(&chain.name, 0, 10).await?.is_empty());
    assert_eq!(process.terminate()?, Some(0));
    Ok(())
}

#[actix_rt::test]
async fn three_chains_and_a_null_target_get_every_entry() -> Check {
    let chains = [("base", 8453), ("arbitrum", 42161), ("optimism", 10)];
    let bed = Bed::set(&chains, &["bench"], Tier::Safe).await?;
    let _process = Process::start(&bed)?;
    let work = entries(7);
    for target in bed.target_names() {
        bed.relay(&target, 1, &work).await?;
    }
    let receipts = bed.mine_until_receipts(28).await?;
    assert_eq!(receipts.len(), 28, "one receipt per entry and target");
    for chain in &bed.chains {
        bed.assert_applied_once(chain, &flat(&work)).await?;
        bed.assert_at_rest(chain).await?;
    }
    let bench: Vec<_> = receipts.iter().filter(|receipt| receipt.target == name("bench")).collect();
    assert!(bench.iter().all(|receipt| receipt.parts[0].tx.is_none() && receipt.parts[0].applied == [0]));
    Ok(())
}

#[actix_rt::test]
async fn clients_see_an_entry_sent_then_included_then_final() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let _process = Process::start(&bed)?;
    bed.relay(&chain.name, 1, &entries(1)).await?;
    let state = async |bed: &Bed| -> Check<Delivery> {
        let progress = bed.link.progress(1).await?.ok_or("expired")?;
        Ok(progress.targets["base"].state)
    };
    bed.until("sent", async |bed| Ok(state(bed).await? == Delivery::Sent)).await?;
    chain.anvil.mine(1).await?;
    bed.until("included", async |bed| Ok(state(bed).await? == Delivery::Included)).await?;
    assert!(bed.receipts().await?.is_empty(), "nothing is final one block deep");
    chain.anvil.mine(2).await?;
    bed.until("final", async |bed| Ok(state(bed).await? == Delivery::Final)).await?;
    Ok(())
}

#[actix_rt::test]
async fn a_clients_trace_is_found_with_its_transaction_in_the_log() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let (rid, trace) =
        ("00000000-0000-7000-8000-000000000000", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let payload = bed.entry(&chain.name, 1, &[vec![update("bond", 0, 1)]])?;
    let mut body: serde_json::Value = serde_json::from_slice(&payload)?;
    body["traces"] = serde_json::json!({ rid: trace });
    let untraced = bed.entry(&chain.name, 2, &[vec![update("stock", 0, 1)]])?;
    bed.relay_payloads(&chain.name, 1, &[serde_json::to_vec(&body)?]).await?;
    let process = Process::start(&bed)?;
    let receipts = bed.mine_until_receipts(1).await?;
    bed.relay_payloads(&chain.name, 2, &[untraced]).await?;
    bed.mine_until_receipts(2).await?;

    let tx = receipts[0].parts[0].tx.clone().expect("a transaction");
    let log = process.log(&bed)?;
    let told: Vec<serde_json::Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &serde_json::Value| line["message"] == "A transaction carries traced requests")
        .collect();
    assert_eq!(told.len(), 1, "one line for the traced one, none for the other: {told:?}");
    assert_eq!(told[0]["tx"], serde_json::json!(tx));
    assert_eq!(told[0]["traces"], format!("{rid}={trace}"));
    Ok(())
}
