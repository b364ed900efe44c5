//! Peers: what Redis has trimmed is read from another validator's log route.
//!
//! In: the validators in `:members:validator` with their URLs (BEAT; no other service may write them), and an API key of
//! scope peer, which opens the log route alone, from a file. Out: pages of
//! entries. Nothing is taken on trust: whoever asked replays each entry as one from Redis, digest, chain and content.

use std::time::Duration;

use common::entry::Entry;
use common::hash::Digest;
use common::ids::Name;
use common::link::{LinkError, StreamId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

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
pub(crate) enum NoPage {
    #[error("peer.key_file is not set, so no other validator can be asked for it")]
    NoKey,
    #[error("no other validator that is alive names its URL")]
    NoPeer,
    #[error("{url} does not answer")]
    Http { url: String, source: reqwest::Error },
    #[error("{url} answers {status}")]
    Refused { url: String, status: u16 },
    #[error("{url} gives what is no page of the log")]
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

    /// Entries from `from_seq` on, from the first validator that has them.
    pub(crate) async fn page(&self, shard: &ShardState, from_seq: u64) -> Result<Vec<Entry>, NoPage> {
        let key = self.key.as_ref().ok_or(NoPage::NoKey)?;
        let now_ms = shard.link.beat_validator(StreamId::of_seq(shard.view.synced_seq()), &shard.url).await?;
        let mut failed = NoPage::NoPeer;
        for (name, member) in shard.link.validators().await? {
            let Some(url) = member.url else { continue };
            if name == self.node.as_str() || now_ms.saturating_sub(member.beat_ms) > SILENT_MS {
                continue;
            }
            match self.ask(&url, key, shard, from_seq).await {
                Ok(entries) if !entries.is_empty() => return Ok(entries),
                // Another one may have it.
                Ok(_) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn ask(
        &self,
        url: &str,
        key: &SecretString,
        shard: &ShardState,
        from_seq: u64,
    ) -> Result<Vec<Entry>, NoPage> {
        let url = url.to_owned();
        let place = format!("{url}/v1/shards/{}/log?from_seq={from_seq}&limit={LIMIT}", shard.shard);
        let mut response = match self.client.get(place).bearer_auth(key.expose_secret()).send().await {
            Ok(response) if response.status() == reqwest::StatusCode::OK => response,
            Ok(response) => return Err(NoPage::Refused { url, status: response.status().as_u16() }),
            Err(source) => return Err(NoPage::Http { url, source: source.without_url() }),
        };
        let mut text = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if text.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                    text.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => return Err(NoPage::Answer { url }),
                Ok(None) => break,
                Err(source) => return Err(NoPage::Http { url, source: source.without_url() }),
            }
        }
        let page: Page = serde_json::from_slice(&text).map_err(|_| NoPage::Answer { url })?;
        let entry = |Line { seq, prev, digest, body }| Entry { seq, prev, digest, body: body.into_bytes() };
        Ok(page.entries.into_iter().map(entry).collect())
    }
}
