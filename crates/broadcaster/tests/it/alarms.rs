//! Conditions that last are shown while they do, counted, and logged when they begin and when they end.

use alloy::primitives::U256;
use alloy::providers::ext::AnvilApi as _;

use crate::bed::{Bed, Check, entries};
use crate::process::Process;

/// The codes of the alarms of the tests' lane.
async fn alarms(process: &Process) -> Check<Vec<String>> {
    let Ok(lane) = process.lane("base").await else { return Ok(vec!["no lane yet".to_owned()]) };
    let alarms = lane["alarms"].as_array().ok_or("no alarms")?;
    alarms.iter().map(|alarm| Ok(alarm["code"].as_str().ok_or("no code")?.to_owned())).collect()
}

/// The value of a figure of the tests' lane.
pub(crate) async fn figure(process: &Process, name: &str, label: &str) -> Check<Option<f64>> {
    let metrics = process.metrics().await?;
    let is_it = |line: &&str| {
        line.starts_with(&format!("{name}{{"))
            && line.contains(r#"shard="financial""#)
            && line.contains(r#"target="base""#)
            && line.contains(label)
    };
    let line = metrics.lines().find(is_it);
    Ok(line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()))
}

/// How often the tests' lane has logged these words with this code.
fn told(bed: &Bed, process: &Process, words: &str, code: &str) -> Check<usize> {
    let log = process.log(bed)?;
    let is_it = |line: &&str| line.contains(words) && line.contains(code) && line.contains("financial");
    Ok(log.lines().filter(is_it).count())
}

#[actix_rt::test]
async fn a_wallet_that_can_pay_for_few_transactions_alarms_until_it_is_funded() -> Check {
    let bed = Bed::one_chain().await?;
    let provider = bed.chain().anvil.provider();
    let process = Process::start(&bed)?;
    bed.until("well funded", async |_| Ok(alarms(&process).await?.is_empty())).await?;
    // A full transaction costs two hundredths or less.
    provider.anvil_set_balance(bed.sender(), U256::from(10).pow(U256::from(17))).await?;
    bed.until("the alarm", async |_| Ok(alarms(&process).await? == ["WALLET_LOW"])).await?;
    let lane = process.lane("base").await?;
    let detail = lane["alarms"][0]["detail"].as_str().ok_or("no detail")?.to_owned();
    assert!(detail.contains("100000000000000000 wei, 20 transactions"), "{detail}");
    assert!(lane["alarms"][0]["since"].as_str().is_some_and(|since| since.ends_with('Z')));
    assert_eq!(figure(&process, "oss_chain_wallet_balance", "").await?, Some(0.1));
    assert_eq!(figure(&process, "oss_broadcaster_lane_alarm", "WALLET_LOW").await?, Some(1.0));
    assert_eq!(process.ready().await.0, 200, "delivery goes on");
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    bed.mine_until_receipts(1).await?;
    provider.anvil_set_balance(bed.sender(), U256::from(10).pow(U256::from(20))).await?;
    bed.until("it is over", async |_| Ok(alarms(&process).await?.is_empty())).await?;
    assert_eq!(figure(&process, "oss_broadcaster_lane_alarm", "WALLET_LOW").await?, Some(0.0));
    assert_eq!(figure(&process, "oss_chain_tx_total", "first").await?, Some(1.0));
    let (began, over) = (
        told(&bed, &process, "An alarm began", "WALLET_LOW")?,
        told(&bed, &process, "An alarm is over", "WALLET_LOW")?,
    );
    assert_eq!((began, over), (1, 1), "one line each");
    Ok(())
}

#[actix_rt::test]
async fn a_nonce_that_the_chain_does_not_get_past_alarms_until_it_does() -> Check {
    let bed = Bed::one_chain().await?;
    // What the bed says of the log's head is far beyond what was relayed.
    bed.redis.command(&["HSET", "{oss:financial}:head", "seq", "2"])?;
    bed.relay(&bed.chain().name, 1, &entries(2)).await?;
    let process = Process::start_with(&bed, "one", &[("OSS__EVM__STUCK_MS", "300")])?;
    bed.until("the alarm", async |_| Ok(alarms(&process).await? == ["NONCE_STUCK"])).await?;
    let detail = process.lane("base").await?["alarms"][0]["detail"].to_string();
    assert!(detail.contains("nonce 0 is the chain's next"), "{detail}");
    bed.until("the lag", async |_| Ok(figure(&process, "oss_chain_root_lag", "").await? == Some(2.0)))
        .await?;
    bed.mine_until_receipts(2).await?;
    bed.until("it is over", async |_| Ok(alarms(&process).await?.is_empty())).await?;
    bed.until("no lag", async |_| Ok(figure(&process, "oss_chain_root_lag", "").await? == Some(0.0))).await?;
    let (began, over) = (
        told(&bed, &process, "An alarm began", "NONCE_STUCK")?,
        told(&bed, &process, "An alarm is over", "NONCE_STUCK")?,
    );
    assert_eq!((began, over), (1, 1), "one line each");
    Ok(())
}

#[actix_rt::test]
async fn with_the_settings_of_an_operator_who_does_not_care_nothing_alarms() -> Check {
    let bed = Bed::one_chain().await?;
    let provider = bed.chain().anvil.provider();
    provider.anvil_set_balance(bed.sender(), U256::from(10).pow(U256::from(17))).await?;
    bed.relay(&bed.chain().name, 1, &entries(1)).await?;
    let off = [("OSS__EVM__BALANCE_MIN_TRANSACTIONS", "0"), ("OSS__EVM__STUCK_MS", "3600000")];
    let process = Process::start_with(&bed, "one", &off)?;
    bed.until("examined", async |_| Ok(figure(&process, "oss_chain_wallet_balance", "").await? == Some(0.1)))
        .await?;
    bed.mine_until_receipts(1).await?;
    assert!(!process.log(&bed)?.contains("An alarm began"));
    Ok(())
}
