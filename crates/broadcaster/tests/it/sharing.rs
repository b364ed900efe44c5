//! Several replicas share the lanes; each lane is driven by one at a time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::targets::Tier;

use crate::bed::{Bed, Check, entries, flat};
use crate::process::Process;

async fn holders(process: &Process) -> Check<BTreeSet<String>> {
    let (_, body) = process.get("/v1/targets", "read").await?;
    let mut holders = BTreeSet::new();
    for target in body["targets"].as_array().ok_or("no targets")? {
        for lane in target["lanes"].as_array().ok_or("no lanes")? {
            holders.insert(lane["holder"].as_str().unwrap_or("nobody").to_owned());
        }
    }
    Ok(holders)
}

fn named(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[actix_rt::test]
async fn two_replicas_share_lanes_and_the_survivor_takes_over_all() -> Check {
    let bed = Bed::set(&[("base", 8453), ("arbitrum", 42161), ("optimism", 10)], &[], Tier::Safe).await?;
    let (one, two) = (Process::start_with(&bed, "one", &[])?, Process::start_with(&bed, "two", &[])?);
    let both = named(&["broadcaster-one", "broadcaster-two"]);
    bed.until("both drive lanes", async |_| Ok(holders(&two).await.is_ok_and(|found| found == both))).await?;

    let work = entries(12);
    for target in bed.target_names() {
        bed.relay(&target, 1, &work[..6]).await?;
    }
    bed.mine_until_receipts(9).await?;
    one.kill()?;
    let killed = Instant::now();
    for target in bed.target_names() {
        bed.relay(&target, 7, &work[6..]).await?;
    }
    let survivor = named(&["broadcaster-two"]);
    bed.mine_until("the survivor drives all", async |_| Ok(holders(&two).await? == survivor)).await?;
    // A lease of 1.5 s, the member's last heartbeat as old, and room for a busy machine.
    assert!(killed.elapsed() < Duration::from_secs(8), "taken over after {:?}", killed.elapsed());
    let receipts = bed.mine_until_receipts(36).await?;
    assert_eq!(receipts.len(), 36);
    for chain in &bed.chains {
        bed.assert_applied_once(chain, &flat(&work)).await?;
        bed.assert_at_rest(chain).await?;
    }
    Ok(())
}

/// The one of two processes that drives the lane of the tests' shard, and the other.
async fn by_lane<'a>(one: &'a Process, two: &'a Process) -> Check<(&'a Process, &'a Process)> {
    let is_one = one.lane("base").await?["holder"] == "broadcaster-one";
    Ok(if is_one { (one, two) } else { (two, one) })
}

#[actix_rt::test]
async fn an_owner_that_was_stopped_beyond_its_lease_does_no_harm_when_it_goes_on() -> Check {
    let bed = Bed::one_chain().await?;
    let chain = bed.chain();
    let work = entries(6);
    let (one, two) = (Process::start_with(&bed, "one", &[])?, Process::start_with(&bed, "two", &[])?);
    let both = named(&["broadcaster-one", "broadcaster-two"]);
    bed.until("both drive lanes", async |_| Ok(holders(&two).await.is_ok_and(|found| found == both))).await?;
    bed.relay(&chain.name, 1, &work[..2]).await?;
    bed.until("sent", async |bed| Ok(!bed.link.lane_state(&chain.name).await?.raws.is_empty())).await?;
    let (owner, other) = by_lane(&one, &two).await?;

    owner.freeze()?;
    bed.relay(&chain.name, 3, &work[2..4]).await?;
    let survivor = other.name();
    bed.mine_until("the other one drives it", async |_| Ok(other.lane("base").await?["holder"] == survivor))
        .await?;
    bed.mine_until_receipts(4).await?;
    let has_left = |log: &str| {
        log.lines().any(|line| line.contains("Left the lane") && line.contains(r#""shard":"financial""#))
    };
    assert!(!has_left(&owner.log(&bed)?), "it was the owner all the time");
    owner.thaw()?;
    // It wakes in the middle of a turn, with a memory of two entries that are done.
    bed.until("it has left the lane", async |bed| Ok(has_left(&owner.log(bed)?))).await?;
    bed.relay(&chain.name, 5, &work[4..]).await?;
    let receipts = bed.mine_until_receipts(6).await?;
    assert_eq!(receipts.len(), 6, "one receipt per entry");
    bed.assert_applied_once(chain, &flat(&work)).await?;
    bed.assert_at_rest(chain).await
}

#[actix_rt::test]
async fn a_lane_moves_to_a_new_replica_with_work_in_flight_and_nothing_is_sent_twice() -> Check {
    let bed = Bed::set(&[("base", 8453), ("arbitrum", 42161), ("optimism", 10)], &[], Tier::Safe).await?;
    let one = Process::start_with(&bed, "one", &[])?;
    let work = entries(4);
    for target in bed.target_names() {
        bed.relay(&target, 1, &work).await?;
    }
    bed.until("all sent", async |bed| {
        let mut sent = 0;
        for chain in &bed.chains {
            sent += usize::from(!bed.link.lane_state(&chain.name).await?.raws.is_empty());
        }
        Ok(sent == 3)
    })
    .await?;
    let two = Process::start_with(&bed, "two", &[])?;
    let both = named(&["broadcaster-one", "broadcaster-two"]);
    bed.until("both drive lanes", async |_| Ok(holders(&two).await.is_ok_and(|found| found == both))).await?;
    assert_eq!(one.terminate()?, Some(0));
    bed.mine_until_receipts(12).await?;
    for chain in &bed.chains {
        bed.assert_applied_once(chain, &flat(&work)).await?;
        bed.assert_at_rest(chain).await?;
        assert_eq!(
            chain.anvil.nonce(bed.sender()).await?,
            bed.link.lane_state(&chain.name).await?.next_nonce
        );
    }
    Ok(())
}
