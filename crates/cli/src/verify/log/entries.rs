//! Where entries come from: the validator's log, page by page, or a recorded file of one entry a line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;

use anyhow::{Context as _, bail};
use common::auth::Scope;
use common::entry::Entry;
use common::hash::Digest;
use common::ids::Shard;
use serde::{Deserialize, Serialize};

use crate::client::{Client, Origin};

/// Entries asked for at once; the service gives fewer when they are large.
const PAGE_ENTRIES: usize = 500;

/// An entry as the API and recorded files hold it. `body` is the entry's text, byte for byte: its digest
/// covers exactly these bytes, so it travels as a string and not as JSON that someone may write anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) seq: u64,
    pub(super) prev: Digest,
    pub(super) digest: Digest,
    pub(super) body: String,
}

impl From<Recorded> for Entry {
    fn from(entry: Recorded) -> Self {
        Self { seq: entry.seq, prev: entry.prev, digest: entry.digest, body: entry.body.into_bytes() }
    }
}

/// One page of `GET /v1/shards/{S}/log?from_seq=`.
#[derive(Debug, Deserialize)]
struct Page {
    /// The last entry of the log.
    head: u64,
    entries: Vec<Recorded>,
    /// Left out at the head.
    next_from_seq: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Entries {
    File {
        path: String,
        line: u64,
        lines: Lines<BufReader<File>>,
    },
    Service {
        client: Client,
        shard: Shard,
        /// The first entry of the next page; `None` after the last page.
        next_from_seq: Option<u64>,
        page: VecDeque<Recorded>,
        /// The last entry of the log, as the newest page has it.
        head: u64,
    },
}

impl Entries {
    pub(super) fn of_file(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::File { path: path.display().to_string(), line: 0, lines: BufReader::new(file).lines() })
    }

    pub(super) fn of_service(client: Client, shard: Shard, from_seq: u64) -> Self {
        Self::Service { client, shard, next_from_seq: Some(from_seq), page: VecDeque::new(), head: 0 }
    }

    /// The last entry that the service says there is, so far; a file says nothing.
    pub(super) const fn head(&self) -> Option<u64> {
        match self {
            Self::File { .. } => None,
            Self::Service { head, .. } => Some(*head),
        }
    }

    /// The next entry; `None` after the last one.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Recorded>> {
        match self {
            Self::File { path, line, lines } => {
                let Some(text) = lines.next() else { return Ok(None) };
                *line += 1;
                let text = text.with_context(|| format!("cannot read {path}"))?;
                let entry = serde_json::from_str(&text)
                    .with_context(|| format!("{path}: line {line} is no entry"))?;
                Ok(Some(entry))
            }
            Self::Service { client, shard, next_from_seq, page, head } => {
                if page.is_empty()
                    && let Some(from) = *next_from_seq
                {
                    let path = format!("/v1/shards/{shard}/log?from_seq={from}&limit={PAGE_ENTRIES}");
                    let next: Page = client.get(Origin::Validator, &path, Scope::Operate).await?;
                    if next.next_from_seq.is_some_and(|next| next <= from) {
                        bail!("the service sends back from entry {from}");
                    }
                    *head = next.head;
                    *next_from_seq = next.next_from_seq;
                    page.extend(next.entries);
                }
                Ok(page.pop_front())
            }
        }
    }
}
