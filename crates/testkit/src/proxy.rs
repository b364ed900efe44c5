//! A TCP proxy that fails on demand: between a service and Redis, or a service and a chain.
//!
//! In: where to connect to. Out: a port that passes bytes both ways, and a [`Proxy::set`] that changes at once what
//! happens to all connections, old and new. One proxy stands for one network path; what is behind it does not
//! know of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ports;

const CHUNK: usize = 16 << 10;

/// What happens to bytes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Open,
    /// Nothing passes either way and nothing is closed. What is under way arrives when the path opens again, as after
    /// a partition that TCP outlives.
    Held,
    /// Requests arrive, answers do not: at the first one the connection breaks. The client cannot know what happened.
    AnswersLost,
    /// Answers pass, requests are held.
    RequestsHeld,
    /// Connections break, new ones too.
    Cut,
    /// Every chunk takes this much longer.
    Slow(Duration),
}

/// A running proxy; dropped, it breaks all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    path: Arc<watch::Sender<Path>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and passes everything to `upstream`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", ports::free()?)).await?;
        let address = listener.local_addr()?;
        let path = Arc::new(watch::Sender::new(Path::Open));
        let task = tokio::spawn(accept(listener, upstream, Arc::clone(&path)));
        Ok(Self { address, path, task })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the path from now on.
    pub fn set(&self, path: Path) {
        self.path.send_replace(path);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.path.send_replace(Path::Cut);
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, path: Arc<watch::Sender<Path>>) {
    // A connection that cannot be accepted is one that breaks.
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(carry(client, upstream, path.subscribe()));
    }
}

async fn carry(client: TcpStream, upstream: SocketAddr, mut path: watch::Receiver<Path>) {
    if is_cut(&path) || wait_open(&mut path, Direction::Requests).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // Latency is what is measured here: no waiting for fuller packets.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = path.clone();
    tokio::select! {
        () = pump(from_client, to_server, path.clone(), Direction::Requests) => {}
        () = pump(from_server, to_client, path, Direction::Answers) => {}
        // An error means that the proxy is gone, which breaks the connection too.
        _ = cut.wait_for(|path| *path == Path::Cut) => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

/// What becomes of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Pass,
    Wait,
    Break,
    After(Duration),
}

fn judge(path: Path, direction: Direction) -> Chunk {
    match (path, direction) {
        (Path::Open, _)
        | (Path::AnswersLost, Direction::Requests)
        | (Path::RequestsHeld, Direction::Answers) => Chunk::Pass,
        (Path::Held, _) | (Path::RequestsHeld, Direction::Requests) => Chunk::Wait,
        (Path::AnswersLost, Direction::Answers) | (Path::Cut, _) => Chunk::Break,
        (Path::Slow(delay), _) => Chunk::After(delay),
    }
}

fn is_cut(path: &watch::Receiver<Path>) -> bool {
    *path.borrow() == Path::Cut
}

/// The connection breaks.
struct Broken;

/// Waits until a chunk may pass.
async fn wait_open(path: &mut watch::Receiver<Path>, direction: Direction) -> Result<(), Broken> {
    loop {
        let now = *path.borrow_and_update();
        match judge(now, direction) {
            Chunk::Pass => return Ok(()),
            Chunk::Break => return Err(Broken),
            Chunk::Wait => path.changed().await.map_err(|_| Broken)?,
            Chunk::After(delay) => {
                tokio::time::sleep(delay).await;
                return Ok(());
            }
        }
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut path: watch::Receiver<Path>,
    direction: Direction,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if read == 0 {
            return;
        }
        if wait_open(&mut path, direction).await.is_err() {
            return;
        }
        if to.write_all(buffer.get(..read).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
