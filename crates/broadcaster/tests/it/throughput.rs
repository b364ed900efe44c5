//! How fast a lane empties an outbox into the `null` target: read, take, DONE, receipts, all through Redis with
//! `appendfsync always`. A smoke test with a floor far below what a release build does; it prints what it saw.

use std::time::Instant;

use common::targets::Tier;

use crate::bed::{Bed, Check, entries, name};
use crate::process::Process;

const ENTRIES: usize = 20_000;
/// Entries per second that even an unoptimised build on a very busy machine reaches: one entry per call would not.
const FLOOR: f64 = 400.0;

#[actix_rt::test]
async fn the_null_target_takes_entries_in_batches() -> Check {
    let bed = Bed::set(&[], &["bench"], Tier::Latest).await?;
    bed.relay(&name("bench"), 1, &entries(ENTRIES)).await?;
    let process = Process::start(&bed)?;
    let received = async |bed: &Bed| -> Check<u64> { Ok(bed.link.backlog().await?.receipts) };
    bed.until("the first receipts", async |bed| Ok(received(bed).await? > 0)).await?;
    let (begun, first) = (Instant::now(), received(&bed).await?);
    bed.until("all receipts", async |bed| Ok(received(bed).await? == u64::try_from(ENTRIES)?)).await?;
    let taken = u32::try_from(u64::try_from(ENTRIES)? - first)?;
    let rate = f64::from(taken) / begun.elapsed().as_secs_f64();
    eprintln!("null target: {rate:.0} entries/s");
    assert!(rate > FLOOR, "{rate:.0} entries/s");
    assert_eq!(process.terminate()?, Some(0));
    Ok(())
}
