//! The yardstick: the same bytes through three Redis streams with nothing in between.
//!
//! Producer → hop → hop → sink, each a thread with a connection of its own, as three processes would be. A hop
//! reads by consumer group (COUNT 1000) and moves what it read in one MULTI: XADD each, XACK all, trim. Every
//! write is fsynced by the server's settings, which are those of the stack it is compared with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands as _, AsyncConnectionConfig};

use super::on_thread;

/// Messages one read or write takes at most.
const COUNT: usize = 1_000;
/// How far the producer may be ahead of the sink.
const LEAD_MAX: u64 = 20_000;
const BLOCK_MS: usize = 1_000;
const GROUP: &str = "relay";
/// Nothing arriving for so long means that a part has failed.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// What one pass through the relay took.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) seconds: f64,
    /// Per message, producer to sink; empty for a pass at full speed.
    pub(super) latencies: Vec<Duration>,
}

/// How the producer sends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// As fast as it goes, in batches.
    Full,
    /// One message at a time, so many a second.
    PerSecond(u32),
}

/// Shared by the threads of one pass.
struct Shared<'a> {
    url: &'a str,
    streams: [String; 3],
    total: u64,
    started: Instant,
    /// Per message, microseconds since `started`.
    sent_us: Vec<AtomicU64>,
    received_us: Vec<AtomicU64>,
    received: AtomicU64,
}

/// Sends `total` messages of `payload_bytes` through the relay. Blocks its thread.
pub(super) fn pass(url: &str, total: u32, payload_bytes: usize, pace: Pace) -> anyhow::Result<Pass> {
    let run: u32 = rand::random();
    let zeros = || (0..total).map(|_| AtomicU64::new(0)).collect();
    let shared = Shared {
        url,
        streams: [1, 2, 3].map(|hop| format!("bench:{run:08x}:{hop}")),
        total: u64::from(total),
        started: Instant::now(),
        sent_us: zeros(),
        received_us: zeros(),
        received: AtomicU64::new(0),
    };
    on_thread(prepare(&shared))?;
    std::thread::scope(|scope| {
        let sink = scope.spawn(|| on_thread(hop(&shared, 2)));
        let second = scope.spawn(|| on_thread(hop(&shared, 1)));
        let first = scope.spawn(|| on_thread(hop(&shared, 0)));
        let produced = on_thread(produce(&shared, payload_bytes, pace));
        for thread in [first, second, sink] {
            thread.join().unwrap_or_else(|_| bail!("a thread of the relay panicked"))?;
        }
        produced
    })?;
    on_thread(clean(&shared))?;
    Ok(shared.result(pace))
}

async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    // A blocking read outlasts the client's standard time-out.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(url)?;
    client.get_multiplexed_async_connection_with_config(&config).await.context("cannot connect to Redis")
}

async fn prepare(shared: &Shared<'_>) -> anyhow::Result<()> {
    let mut connection = connect(shared.url).await?;
    for stream in &shared.streams {
        let () = connection.xgroup_create_mkstream(stream, GROUP, "0").await?;
    }
    Ok(())
}

async fn clean(shared: &Shared<'_>) -> anyhow::Result<()> {
    let mut connection = connect(shared.url).await?;
    Ok(connection.del(&shared.streams).await?)
}

async fn produce(shared: &Shared<'_>, payload_bytes: usize, pace: Pace) -> anyhow::Result<()> {
    let mut connection = connect(shared.url).await?;
    let [first, ..] = &shared.streams;
    let mut next = 0;
    while next < shared.total {
        let until = match pace {
            Pace::Full => shared.room(next).await?,
            Pace::PerSecond(rate) => {
                let due = Duration::from_secs(next) / rate;
                tokio::time::sleep(due.saturating_sub(shared.started.elapsed())).await;
                next + 1
            }
        };
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for index in next..until {
            pipeline.xadd(first, "*", &[("m", payload(index, payload_bytes))]).ignore();
            shared.stamp(&shared.sent_us, index);
        }
        pipeline.query_async::<()>(&mut connection).await?;
        next = until;
    }
    Ok(())
}

/// Reads one stream and, unless it is the last one, writes all of it to the next.
async fn hop(shared: &Shared<'_>, stage: usize) -> anyhow::Result<()> {
    let mut connection = connect(shared.url).await?;
    let from = shared.streams.get(stage).context("a stage of the relay")?;
    let to = shared.streams.get(stage + 1);
    let options = StreamReadOptions::default().group(GROUP, "worker").count(COUNT).block(BLOCK_MS);
    let mut moved = 0;
    let mut last_seen = Instant::now();
    while moved < shared.total {
        let reply: Option<StreamReadReply> = connection.xread_options(&[from], &[">"], &options).await?;
        let ids = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect::<Vec<_>>();
        let Some(last) = ids.last() else {
            if last_seen.elapsed() > STALLED_AFTER {
                bail!("the relay stalled at hop {stage} after {moved} messages");
            }
            continue;
        };
        last_seen = Instant::now();
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for entry in &ids {
            let payload: Vec<u8> = entry.get("m").context("a message of the relay")?;
            match to {
                Some(to) => drop(pipeline.xadd(to, "*", &[("m", payload)]).ignore()),
                None => shared.arrived(&payload)?,
            }
        }
        let names: Vec<&str> = ids.iter().map(|entry| entry.id.as_str()).collect();
        pipeline.xack(from, GROUP, &names).ignore();
        pipeline.cmd("XTRIM").arg(from).arg("MINID").arg("~").arg(&last.id).ignore();
        pipeline.query_async::<()>(&mut connection).await?;
        moved += ids.len() as u64;
    }
    Ok(())
}

/// A message: its number in 16 digits, then filling.
fn payload(index: u64, bytes: usize) -> Vec<u8> {
    let mut payload = format!("{index:016}").into_bytes();
    payload.resize(bytes.max(payload.len()), b'.');
    payload
}

impl Shared<'_> {
    /// Waits until the producer may send; gives the end of its next batch.
    async fn room(&self, next: u64) -> anyhow::Result<u64> {
        let began = Instant::now();
        while next.saturating_sub(self.received.load(Ordering::Relaxed)) >= LEAD_MAX {
            if began.elapsed() > STALLED_AFTER {
                bail!("the relay does not take what is produced");
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Ok((next + COUNT as u64).min(self.total))
    }

    fn stamp(&self, times: &[AtomicU64], index: u64) {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(time) = usize::try_from(index).ok().and_then(|index| times.get(index)) {
            time.store(elapsed, Ordering::Relaxed);
        }
    }

    fn arrived(&self, payload: &[u8]) -> anyhow::Result<()> {
        let digits = payload.get(..16).and_then(|digits| std::str::from_utf8(digits).ok());
        let index = digits.and_then(|digits| digits.parse().ok()).context("a message of the relay")?;
        self.stamp(&self.received_us, index);
        self.received.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn result(&self, pace: Pace) -> Pass {
        let last = self.received_us.iter().map(|time| time.load(Ordering::Relaxed)).max().unwrap_or(0);
        let latencies = match pace {
            Pace::Full => Vec::new(),
            Pace::PerSecond(_) => super::latencies(&self.sent_us, &self.received_us),
        };
        Pass { seconds: Duration::from_micros(last).as_secs_f64(), latencies }
    }
}

#[cfg(test)]
mod tests {
    use testkit::redis::{RedisOptions, RedisServer};

    use super::*;

    #[test]
    fn every_message_passes_once_and_nothing_is_left_behind() {
        let server = RedisServer::start(RedisOptions::default()).expect("a redis-server");
        let full = pass(&server.url(), 2_500, 1_024, Pace::Full).expect("it passes");
        assert!(full.seconds > 0.0 && full.latencies.is_empty());
        let paced = pass(&server.url(), 50, 1_024, Pace::PerSecond(1_000)).expect("it passes");
        assert_eq!(paced.latencies.len(), 50);
        assert!(paced.latencies.iter().all(|latency| !latency.is_zero()));
        let keys = server.command(&["DBSIZE"]).expect("an answer");
        assert_eq!(keys, redis::Value::Int(0));
    }

    #[test]
    fn a_relay_without_its_server_is_an_error_and_not_a_figure() {
        assert!(pass("redis://127.0.0.1:1", 10, 64, Pace::Full).is_err());
    }
}
