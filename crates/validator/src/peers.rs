//! Peers: what Redis has trimmed is read from another validator: its log, and its checkpoints.
//!
//! In: the validators in `:members:validator` with their URLs (BEAT; no other service may write them), and an API key of
//! scope peer, which opens the log and the checkpoints alone, from a file. Out: pages of entries, lists of checkpoints and parts
//! of their files. Nothing is taken on trust: whoever asked replays each entry as one from Redis, digest, chain and
//! content, and compares a checkpoint with the log.

use std::time::Duration;

use common::entry::Entry;
use common::hash::Digest;
use common::ids::{Name, Shard};
use common::link::{LinkError, StreamId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::shard::ShardState;

/// Entries asked for at once; the answer has 4 MiB of bodies at most, a single entry whatever its size.
const LIMIT: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer: a page of bodies as JSON text, twice over for escapes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A process that has not told its place for longer is not asked.
const SILENT_MS: u64 = 10_000;

/// Why nothing came from a peer. All of them may be over at the next look.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("peer.key_file is not set, so no other validator can be asked for it")]
    NoKey,
    #[error("no other validator that is alive names its URL")]
    NoPeer,
    #[error("{url} does not answer")]
    Http { url: String, source: reqwest::Error },
    #[error("{url} answers {status}")]
    Refused { url: String, status: u16 },
    #[error("{url} has the log from entry {first_seq} on; a checkpoint is needed to go on from there")]
    Gone { url: String, first_seq: u64 },
    #[error("{url} gives something else than what it was asked for")]
    Answer { url: String },
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Asks other validators.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    node: Name,
    /// `oss_<id>_<secret>`.
    key: Option<SecretString>,
    client: reqwest::Client,
}

/// Another validator that is alive and says where it is.
#[derive(Debug)]
pub(crate) struct Peer<'a> {
    url: String,
    key: &'a SecretString,
    client: &'a reqwest::Client,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
    prev: Digest,
    digest: Digest,
    body: String,
}

/// The problem of a 410.
#[derive(Deserialize)]
struct Gone {
    first_seq: u64,
}

#[derive(Deserialize)]
struct List {
    shards: Vec<OfShard>,
}

#[derive(Deserialize)]
struct OfShard {
    shard: Shard,
    checkpoints: Vec<Listed>,
}

/// A checkpoint, as the validator that has it says.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Listed {
    pub(crate) seq: u64,
    pub(crate) hash: Digest,
    pub(crate) bytes: u64,
}

impl Peers {
    /// # Errors
    /// The HTTP client cannot be made.
    pub(crate) fn new(node: Name, key: Option<SecretString>) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { node, key, client })
    }

    /// The others that can be asked; at least one.
    pub(crate) async fn alive(&self, shard: &ShardState) -> Result<Vec<Peer<'_>>, NoAnswer> {
        let key = self.key.as_ref().ok_or(NoAnswer::NoKey)?;
        let now_ms = shard.link.beat_validator(StreamId::of_seq(shard.view.synced_seq()), &shard.url).await?;
        let mut alive = Vec::new();
        for (name, member) in shard.link.validators().await? {
            let Some(url) = member.url else { continue };
            if name != self.node.as_str() && now_ms.saturating_sub(member.beat_ms) <= SILENT_MS {
                alive.push(Peer { url, key, client: &self.client });
            }
        }
        if alive.is_empty() { Err(NoAnswer::NoPeer) } else { Ok(alive) }
    }

    /// Entries from `from_seq` on, from the first validator that has them.
    pub(crate) async fn page(&self, shard: &ShardState, from_seq: u64) -> Result<Vec<Entry>, NoAnswer> {
        let mut failed = NoAnswer::NoPeer;
        for peer in self.alive(shard).await? {
            match peer.page(shard.shard, from_seq).await {
                Ok(entries) if !entries.is_empty() => return Ok(entries),
                // Another one may have it.
                Ok(_) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Peer<'_> {
    #[must_use]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Entries from `from_seq` on, as it says; none if that is beyond its head.
    pub(crate) async fn page(&self, shard: Shard, from_seq: u64) -> Result<Vec<Entry>, NoAnswer> {
        let page: Page =
            self.json(&format!("/v1/shards/{shard}/log?from_seq={from_seq}&limit={LIMIT}")).await?;
        let entry = |Line { seq, prev, digest, body }| Entry { seq, prev, digest, body: body.into_bytes() };
        Ok(page.entries.into_iter().map(entry).collect())
    }

    /// Its checkpoints, the newest first.
    pub(crate) async fn checkpoints(&self, shard: Shard) -> Result<Vec<Listed>, NoAnswer> {
        let list: List = self.json("/v1/checkpoints").await?;
        let mut found: Vec<Listed> =
            list.shards.into_iter().filter(|of| of.shard == shard).flat_map(|of| of.checkpoints).collect();
        found.sort_by_key(|listed| std::cmp::Reverse(listed.seq));
        Ok(found)
    }

    /// Bytes of a checkpoint's file from `from_byte` on, as many as it gives at once; none = the file's end.
    pub(crate) async fn part(&self, shard: Shard, hash: Digest, from_byte: u64) -> Result<Vec<u8>, NoAnswer> {
        self.ask(&format!("/v1/shards/{shard}/checkpoints/{hash}?from_byte={from_byte}")).await
    }

    async fn json<T: DeserializeOwned>(&self, place: &str) -> Result<T, NoAnswer> {
        let text = self.ask(place).await?;
        serde_json::from_slice(&text).map_err(|_| NoAnswer::Answer { url: self.url.clone() })
    }

    async fn ask(&self, place: &str) -> Result<Vec<u8>, NoAnswer> {
        let url = self.url.clone();
        let asked = self.client.get(format!("{url}{place}")).bearer_auth(self.key.expose_secret());
        let mut response = match asked.send().await {
            Ok(response) => response,
            Err(source) => return Err(NoAnswer::Http { url, source: source.without_url() }),
        };
        let status = response.status();
        let mut text = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if text.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                    text.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => return Err(NoAnswer::Answer { url }),
                Ok(None) => break,
                Err(source) => return Err(NoAnswer::Http { url, source: source.without_url() }),
            }
        }
        match status {
            reqwest::StatusCode::OK => Ok(text),
            reqwest::StatusCode::GONE => match serde_json::from_slice(&text) {
                Ok(Gone { first_seq }) => Err(NoAnswer::Gone { url, first_seq }),
                Err(_) => Err(NoAnswer::Answer { url }),
            },
            other => Err(NoAnswer::Refused { url, status: other.as_u16() }),
        }
    }
}
