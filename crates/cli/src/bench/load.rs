//! The load: requests over keep-alive HTTP connections.
//!
//! The generator runs on the machine it measures, so it is lean: every request's bytes are made before the
//! clock starts, a response is read as far as its status and length. At most `in_flight` requests are between
//! sent and [received].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::ids::Rid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::on_thread;
use super::received::{self, Board, STALLED_AFTER};

/// Wait before a refused request is sent again; shorter than the server's hint, which is in whole seconds.
const REFUSED_WAIT: Duration = Duration::from_millis(20);
/// Most bytes of a response that are of interest; more is an error.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// One prepared request.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) rid: Rid,
    /// Head and body of the POST.
    pub(super) bytes: Vec<u8>,
}

/// How to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    pub(super) connections: u16,
    pub(super) in_flight: u32,
    /// `None` = as fast as it goes.
    pub(super) per_second: Option<u32>,
    /// Only send; nothing is expected to be received.
    pub(super) send_only: bool,
}

#[derive(Debug)]
pub(super) struct Outcome {
    /// First byte sent to last request received.
    pub(super) seconds: f64,
    /// Per request, sent to received.
    pub(super) latencies: Vec<Duration>,
    /// Answers 503; those requests were sent again.
    pub(super) refused: u64,
}

struct Shared {
    requests: Vec<Prepared>,
    next: AtomicU64,
    sent_us: Vec<AtomicU64>,
    refused: AtomicU64,
    pattern: Pattern,
    board: Board,
}

/// Sends all requests and, unless it is told to send only, waits until all are received. Blocks its thread.
///
/// Connections take turns over `addresses`.
pub(super) fn run(
    addresses: &[String],
    redis_url: &str,
    requests: Vec<Prepared>,
    pattern: Pattern,
) -> anyhow::Result<Outcome> {
    let after = if pattern.send_only { None } else { Some(on_thread(received::newest(redis_url))?) };
    let rids = requests.iter().map(|request| request.rid).collect();
    let shared = Arc::new(Shared {
        next: AtomicU64::new(0),
        sent_us: requests.iter().map(|_| AtomicU64::new(0)).collect(),
        refused: AtomicU64::new(0),
        board: Board::new(rids, pattern.in_flight),
        requests,
        pattern,
    });
    std::thread::scope(|scope| {
        let board = &shared.board;
        let reader =
            after.map(|after| scope.spawn(move || on_thread(received::read(redis_url, after, board))));
        let sent = on_thread(send_all(addresses, Arc::clone(&shared)));
        let read = reader.map_or(Ok(()), |reader| match reader.join() {
            Ok(read) => read.map(drop),
            Err(_) => bail!("the receiver panicked"),
        });
        sent.and(read)
    })?;
    let last =
        shared.board.received_us.iter().chain(&shared.sent_us).map(|time| time.load(Ordering::Relaxed)).max();
    Ok(Outcome {
        seconds: Duration::from_micros(last.unwrap_or(0)).as_secs_f64(),
        latencies: super::latencies(&shared.sent_us, &shared.board.received_us),
        refused: shared.refused.load(Ordering::Relaxed),
    })
}

async fn send_all(addresses: &[String], shared: Arc<Shared>) -> anyhow::Result<()> {
    let mut connections = tokio::task::JoinSet::new();
    for address in addresses.iter().cycle().take(usize::from(shared.pattern.connections)) {
        let (address, shared) = (address.clone(), Arc::clone(&shared));
        connections.spawn(async move { connection(&address, &shared).await });
    }
    while let Some(ended) = connections.join_next().await {
        ended.context("a connection's task")??;
    }
    Ok(())
}

async fn connection(address: &str, shared: &Shared) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = usize::try_from(index).ok().and_then(|index| shared.requests.get(index)) else {
            return Ok(());
        };
        if let Some(rate) = shared.pattern.per_second {
            let due = Duration::from_secs(index) / rate;
            tokio::time::sleep(due.saturating_sub(shared.board.started.elapsed())).await;
        }
        if !shared.pattern.send_only {
            let permit = tokio::time::timeout(STALLED_AFTER, shared.board.permits.acquire()).await;
            permit.context("nothing is received any more")??.forget();
        }
        shared.board.stamp(&shared.sent_us, usize::try_from(index)?);
        loop {
            stream.get_mut().write_all(&request.bytes).await?;
            match response(&mut stream, &mut line).await? {
                200..=299 => break,
                503 => {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(REFUSED_WAIT).await;
                }
                status => bail!("the collector answered {status} to a request of the bench"),
            }
        }
    }
}

/// Reads one response and gives its status.
async fn response(stream: &mut BufReader<TcpStream>, line: &mut String) -> anyhow::Result<u16> {
    line.clear();
    stream.read_line(line).await?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no HTTP response")?;
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(line).await?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().context("the length of a response")?;
        }
    }
    if length > RESPONSE_BYTES_MAX {
        bail!("a response of {length} bytes");
    }
    let mut body = [0; 1_024];
    while length > 0 {
        let part = length.min(body.len());
        let buffer = body.get_mut(..part).context("the length of a response")?;
        stream.read_exact(buffer).await?;
        length -= part;
    }
    Ok(status)
}
