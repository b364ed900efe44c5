//! A look at what waits in Redis, every few seconds, for the metrics: every process takes it, whether it leads or not, so
//! that a backlog shows while nobody leads.
//!
//! In: time. Out: gauges. Only reads; a look that fails changes no gauge but `oss_redis_answers`.

use std::sync::Arc;
use std::time::Duration;

use common::entry::InputStream;
use common::link::{Fronts, LinkError};

use crate::metrics::{self, Look};
use crate::shard::ShardState;

const EVERY: Duration = Duration::from_secs(5);

/// Looks for as long as the process lives.
pub(crate) async fn run(shards: Vec<Arc<ShardState>>) {
    let mut rounds = tokio::time::interval(EVERY);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_told = false;
    metrics::begin();
    loop {
        rounds.tick().await;
        for shard in &shards {
            let (now, leads) = (shard.now(), shard.is_leading());
            let is_blocked = shard.stats().blocked_by.is_some();
            let waiters = shard.engine().waiters();
            Look { leads, is_blocked, seq: now.seq, epoch: shard.epoch_floor(), waiters }.at(shard.shard);
        }
        match at_redis(&shards).await {
            Ok(()) => is_told = false,
            Err(error) => {
                metrics::redis(None);
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(error = %crate::error::chain(&error), "Redis cannot be looked at; its figures stand still");
                }
            }
        }
    }
}

async fn at_redis(shards: &[Arc<ShardState>]) -> Result<(), LinkError> {
    for shard in shards {
        let head = shard.link.head().await?.seq;
        metrics::waiting(shard.shard, &shard.link.backlog().await?, head.saturating_sub(shard.now().seq));
        for (stream, age) in ages(&shard.link.fronts(1).await?) {
            metrics::oldest(shard.shard, stream, age);
        }
    }
    // The same for all shards.
    let Some(shard) = shards.first() else { return Ok(()) };
    metrics::redis(Some(&shard.link.server().await?));
    Ok(())
}

/// How long the first message of each input has waited.
fn ages(fronts: &Fronts) -> [(InputStream, Duration); 3] {
    let inputs = [
        (InputStream::Inx, &fronts.express),
        (InputStream::Receipts, &fronts.receipts),
        (InputStream::In, &fronts.input),
    ];
    inputs.map(|(stream, messages)| {
        let waited = messages.first().map_or(0, |message| fronts.now_ms.saturating_sub(message.id.ms()));
        (stream, Duration::from_millis(waited))
    })
}

#[cfg(test)]
mod tests {
    use common::link::{Message, StreamId};

    use super::*;

    #[test]
    fn the_age_of_an_input_is_that_of_its_first_message_and_nothing_is_zero() {
        let message = |ms| {
            let id = StreamId::new(ms, 0);
            Message { id, first: id, payload: Vec::new() }
        };
        let input = vec![message(1_000), message(9_000)];
        let fronts = Fronts { now_ms: 10_000, input, receipts: vec![message(20_000)], ..Fronts::default() };
        let seconds = ages(&fronts).map(|(_, age)| age.as_secs());
        assert_eq!(seconds, [0, 0, 9], "inx, receipts, in");
    }
}
