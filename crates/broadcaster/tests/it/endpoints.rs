//! Several endpoints of one chain: dead, lagging, of another chain; and what is shown of them.

use testkit::anvil::{Anvil, AnvilOptions, Bridge, Mining};

use crate::bed::{Bed, Check, entries, flat};
use crate::process::Process;

fn use_endpoints(bed: &Bed, urls: &[&str]) -> Check {
    let endpoints = serde_json::json!({"base": {"rpc": urls}});
    Ok(std::fs::write(bed.path("endpoints.json"), serde_json::to_vec(&endpoints)?)?)
}

fn chain(chain_id: u64) -> Check<Anvil> {
    Ok(Anvil::start(AnvilOptions { chain_id, mining: Mining::Manual, keep_state: false })?)
}

async fn is_told(process: &Process, code: &str) -> Check<bool> {
    Ok(process.lane("base").await.is_ok_and(|lane| lane["last_error"]["code"] == code))
}

#[actix_rt::test]
async fn an_endpoint_that_fails_is_left_for_the_next_one() -> Check {
    let bed = Bed::one_chain().await?;
    use_endpoints(&bed, &["http://127.0.0.1:1", &bed.chain().anvil.url()])?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    let _process = Process::start(&bed)?;
    bed.mine_until_receipts(1).await?;
    bed.assert_at_rest(bed.chain()).await
}

#[actix_rt::test]
async fn an_endpoint_of_another_chain_alarms_and_is_not_used_when_the_others_fail() -> Check {
    let bed = Bed::one_chain().await?;
    let right = &bed.chain().anvil;
    // There the wallet has nonce 3: what is bound by its word leaves a gap.
    let wrong = chain(77)?;
    for _ in 0..3 {
        wrong.transfer(bed.sender(), wrong.account(9), alloy::primitives::U256::from(1)).await?;
        wrong.mine(1).await?;
    }
    for urls in [[wrong.url(), right.url()], [right.url(), wrong.url()]] {
        use_endpoints(&bed, &[&urls[0], &urls[1]])?;
        let process = Process::start(&bed)?;
        bed.until("the alarm", async |_| is_told(&process, "WRONG_CHAIN").await).await?;
        assert_eq!(process.ready().await.0, 200, "the other endpoint delivers");
        assert_eq!(process.terminate()?, Some(0));
    }
    let process = Process::start(&bed)?;
    bed.until("ready", async |_| Ok(process.ready().await.0 == 200)).await?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    bed.mine_until_receipts(1).await?;
    right.freeze()?;
    bed.relay(&bed.chain().name, 2, &entries(2)[1..]).await?;
    bed.until("nothing answers", async |_| is_told(&process, "CHAIN_UNREACHABLE").await).await?;
    assert_eq!(
        bed.link.lane_state(&bed.chain().name).await?.next_nonce,
        1,
        "nothing is bound by a stranger's word"
    );
    right.thaw()?;
    bed.mine_until_receipts(2).await?;
    bed.assert_applied_once(bed.chain(), &flat(&entries(2))).await?;
    bed.assert_at_rest(bed.chain()).await?;
    assert_eq!(wrong.nonce(bed.sender()).await?, 3);
    Ok(())
}

#[actix_rt::test]
async fn an_endpoint_that_lags_behind_what_was_final_is_left_for_one_that_does_not() -> Check {
    let bed = Bed::one_chain().await?;
    let good = bed.chain();
    // The same chain as long ago: there is the contract and nothing else.
    let lagging = chain(8453)?;
    let owner: alloy::signers::local::PrivateKeySigner = good.anvil.key(9).parse()?;
    let bridge = Bridge::deploy(&lagging, &[owner.address()], 1).await?;
    assert_eq!(bridge.address, good.bridge.address);
    bed.relay(&good.name, 1, &entries(1)).await?;
    let process = Process::start(&bed)?;
    bed.mine_until_receipts(1).await?;
    assert_eq!(process.terminate()?, Some(0));

    use_endpoints(&bed, &[&lagging.url(), &good.anvil.url()])?;
    bed.relay(&good.name, 2, &entries(2)[1..]).await?;
    let process = Process::start(&bed)?;
    bed.mine_until_receipts(2).await?;
    bed.assert_applied_once(good, &flat(&entries(2))).await?;
    bed.assert_at_rest(good).await?;
    assert!(!process.log(&bed)?.contains("CHAIN_RESET"));
    assert_eq!(lagging.nonce(bed.sender()).await?, 0);
    Ok(())
}

#[actix_rt::test]
async fn the_key_in_an_endpoints_url_is_neither_logged_nor_shown() -> Check {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let bed = Bed::one_chain().await?;
    let answers = format!("{}/v3/{KEY}?token={KEY}", bed.chain().anvil.url());
    for (url, code) in
        [(format!("http://127.0.0.1:1/v3/{KEY}"), "CHAIN_UNREACHABLE"), (answers, "CHAIN_UNREACHABLE")]
    {
        use_endpoints(&bed, &[&url])?;
        let process = Process::start_with(&bed, "one", &[("RUST_LOG", "debug")])?;
        bed.until("the failure is told", async |_| is_told(&process, code).await).await?;
        let (_, shown) = process.get("/v1/targets", "read").await?;
        let detail =
            process.lane("base").await?["last_error"]["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("endpoint 0") && detail.len() <= 256, "{detail}");
        assert!(!shown.to_string().contains(KEY), "{shown}");
        assert!(!process.log(&bed)?.contains(KEY));
        assert_eq!(process.terminate()?, Some(0));
    }
    Ok(())
}
