//! Load that goes on until somebody says that it is calm.

use std::time::Duration;

use tokio::sync::watch;

use super::{Acknowledged, Client, Generator, LoadError, Planned};

const SENDERS: usize = 8;
/// Slices of a second's load.
const SLICES: u32 = 4;

/// What was sent, and what of it was acknowledged.
pub type Sent = Result<(Vec<Planned>, Vec<Acknowledged>), LoadError>;

/// Offers so many requests a second until it is calm; every request is repeated until it is acknowledged.
///
/// # Errors
/// The first request that failed.
pub async fn offer(
    client: Client,
    mut generator: Generator,
    per_second: u32,
    calm: watch::Receiver<bool>,
) -> Sent {
    let (mut sent, mut acknowledged) = (Vec::new(), Vec::new());
    let mut slices = tokio::time::interval(Duration::from_secs(1) / SLICES);
    slices.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*calm.borrow() {
        slices.tick().await;
        let slice: Vec<Planned> = (0..per_second.div_ceil(SLICES)).map(|_| generator.request()).collect();
        sent.extend(slice.iter().cloned());
        acknowledged.extend(client.send_all(slice, SENDERS).await?);
    }
    Ok((sent, acknowledged))
}
