//! What a hop costs: the time from XADD to being read, by Redis' own clock.
//!
//! MONITOR tells every command with its time, those of scripts included. A message is written by an XADD; it is read, at
//! the latest, when its reader's next command on the same stream arrives: XRANGE, or the next XREAD or XREADGROUP once the
//! waiting one was answered, or for an outbox the XDEL of the lane that is done with it. So a hop counts in: the fsync
//! before any reply, the way to the reader, its decoding, and the way of its next command. Requests go one at a time
//! and without delays, so that nothing else is in the way.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::ids::{Name, Shard};
use common::keys::Keys;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::oneshot;

use super::TARGETS;
use super::pipelined::Load;
use crate::bench::on_thread;
use crate::bench::target::Target;
use crate::ui::Ui;

/// How long the last commands may take to be told.
const TAIL: Duration = Duration::from_millis(200);

/// One hop, microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Hop {
    pub(super) name: &'static str,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
    pub(super) messages: u64,
}

/// The hops in the order of the path, and the streams they go through.
fn streams() -> anyhow::Result<Vec<(&'static str, Vec<String>)>> {
    let keys = Keys::new(Shard::Financial);
    let out = |target: &&str| Ok(keys.out(&target.parse::<Name>().context("a target's name")?));
    Ok(vec![
        ("collector to collector (:requests)", vec![keys.requests()]),
        ("collector to validator (:in)", vec![keys.input()]),
        ("validator to broadcaster (:out)", TARGETS.iter().map(out).collect::<anyhow::Result<_>>()?),
        ("broadcaster to validator (:receipts)", vec![keys.receipts()]),
    ])
}

pub(super) async fn measure(target: &Target, requests: u32, ui: &Ui) -> anyhow::Result<Vec<Hop>> {
    let load = Load::new(target, ui).await?;
    let (url, streams) = (target.redis_url().to_owned(), streams()?);
    let (started, is_watched) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let names: Vec<String> = streams.iter().flat_map(|(_, keys)| keys.clone()).collect();
    let watch = tokio::task::spawn_blocking(move || on_thread(watch(url, names, started, stopped)));
    is_watched.await.context("Redis does not tell its commands")?;
    for _ in 0..requests {
        load.one().await?;
    }
    tokio::time::sleep(TAIL).await;
    // Gone only if it has failed, which it says itself.
    let _ended = stop.send(());
    let mut samples = watch.await.context("the watcher's thread")??;
    streams
        .into_iter()
        .map(|(hop, keys)| {
            distribution(hop, keys.iter().flat_map(|key| samples.remove(key).unwrap_or_default()))
        })
        .collect()
}

fn distribution(name: &'static str, samples: impl Iterator<Item = u64>) -> anyhow::Result<Hop> {
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3).context("a histogram")?;
    for sample in samples {
        histogram.record(sample.max(1)).context("a hop's time")?;
    }
    if histogram.is_empty() {
        bail!("no message of the hop {name} was seen");
    }
    Ok(Hop {
        name,
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
        messages: histogram.len(),
    })
}

/// Follows Redis' commands until it is stopped; gives the times per stream.
async fn watch(
    url: String,
    streams: Vec<String>,
    started: oneshot::Sender<()>,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<BTreeMap<String, Vec<u64>>> {
    let monitor = redis::Client::open(url)?.get_async_monitor().await.context("MONITOR")?;
    let mut lines = monitor.into_on_message::<String>();
    // Whoever waits for it has gone if this fails.
    let _gone = started.send(());
    let mut hops = Waiting::new(streams);
    loop {
        tokio::select! {
            line = lines.next() => hops.take(&line.context("Redis has ended the watch")?),
            _ = &mut stopped => return Ok(hops.samples),
        }
    }
}

/// Messages that are written and not read yet.
#[derive(Debug)]
struct Waiting {
    /// Per stream the times of its XADDs, microseconds.
    written: BTreeMap<String, Vec<u64>>,
    samples: BTreeMap<String, Vec<u64>>,
}

impl Waiting {
    fn new(streams: Vec<String>) -> Self {
        let written = streams.into_iter().map(|stream| (stream, Vec::new())).collect();
        Self { written, samples: BTreeMap::new() }
    }

    fn take(&mut self, line: &str) {
        let Some((at_us, words)) = parse(line) else { return };
        let is = |name: &str| words.first().is_some_and(|word| word.eq_ignore_ascii_case(name));
        if is("XADD") {
            if let Some(written) = words.get(1).and_then(|stream| self.written.get_mut(*stream)) {
                written.push(at_us);
            }
        } else if is("XRANGE") || is("XDEL") {
            if let Some(stream) = words.get(1) {
                self.read(stream, at_us);
            }
        } else if is("XREAD") || is("XREADGROUP") {
            let streams = words.iter().skip_while(|word| !word.eq_ignore_ascii_case("STREAMS")).skip(1);
            streams.for_each(|stream| self.read(stream, at_us));
        }
    }

    fn read(&mut self, stream: &str, at_us: u64) {
        let Some(written) = self.written.get_mut(stream) else { return };
        if !written.is_empty() {
            let times = written.drain(..).map(|written_us| at_us.saturating_sub(written_us));
            self.samples.entry(stream.to_owned()).or_default().extend(times);
        }
    }
}

/// The time, in microseconds, and the words of a line `<seconds>.<micros> [<db> <client>] "word" "word" …`. Quotes
/// within a word are escaped, so that words end where a quote stands before a space and a quote.
fn parse(line: &str) -> Option<(u64, Vec<&str>)> {
    let (time, rest) = line.split_once(' ')?;
    let (seconds, micros) = time.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    let (_, words) = rest.split_once("] \"")?;
    Some((at_us, words.trim_end().trim_end_matches('"').split("\" \"").collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_goes_from_the_write_to_the_readers_next_command_on_the_same_stream() {
        let mut hops = Waiting::new(vec!["{s}:in".to_owned(), "{s}:out:base".to_owned()]);
        for line in [
            r#"10.000100 [0 lua] "XADD" "{s}:in" "*" "m" "{\"a\": \"XDEL\" \"b\"}""#,
            r#"10.000150 [0 lua] "XADD" "{s}:out:base" "7-0" "m" "x""#,
            r#"10.000200 [0 127.0.0.1:1] "XRANGE" "{s}:other" "-" "+""#,
            r#"10.000400 [0 127.0.0.1:1] "XRANGE" "{s}:in" "0-1" "+" "COUNT" "32""#,
            r#"10.000500 [0 127.0.0.1:1] "XRANGE" "{s}:in" "0-1" "+" "COUNT" "32""#,
            r#"10.000650 [0 127.0.0.1:2] "XREAD" "COUNT" "9" "BLOCK" "500" "STREAMS" "{s}:out:base" "{s}:in" "7-0" "0-0""#,
            "OK",
        ] {
            hops.take(line);
        }
        assert_eq!(hops.samples.remove("{s}:in"), Some(vec![300]), "and once only");
        assert_eq!(hops.samples.remove("{s}:out:base"), Some(vec![500]));
    }

    #[test]
    fn a_hop_nobody_was_seen_on_is_an_error_and_no_figure() {
        assert!(distribution("h", [].into_iter()).is_err());
        let hop = distribution("h", [300, 100, 200].into_iter()).expect("three");
        assert_eq!((hop.p50_us, hop.max_us, hop.messages), (200, 300, 3));
    }
}
