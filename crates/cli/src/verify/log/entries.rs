//! Where entries come from: the validator's log, page by page, or a recorded file of one entry a line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::Path;

use anyhow::{Context as _, bail};
use common::entry::Entry;
use common::hash::Digest;
use common::ids::Shard;
use serde::{Deserialize, Serialize};

use crate::client::{Client, Origin};

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
    items: Vec<Recorded>,
}

#[derive(Debug)]
pub(super) enum Entries {
    File { path: String, line: u64, lines: Lines<BufReader<File>> },
    Service { client: Client, shard: Shard, next_seq: u64, page: VecDeque<Recorded> },
}

impl Entries {
    pub(super) fn of_file(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::File { path: path.display().to_string(), line: 0, lines: BufReader::new(file).lines() })
    }

    pub(super) fn of_service(client: Client, shard: Shard) -> Self {
        Self::Service { client, shard, next_seq: 1, page: VecDeque::new() }
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
            Self::Service { client, shard, next_seq, page } => {
                if page.is_empty() {
                    let path = format!("/v1/shards/{shard}/log?from_seq={next_seq}");
                    page.extend(client.get::<Page>(Origin::Validator, &path).await?.items);
                }
                let Some(entry) = page.pop_front() else { return Ok(None) };
                if entry.seq < *next_seq {
                    bail!("the service gave entry {} again", entry.seq);
                }
                *next_seq = entry.seq + 1;
                Ok(Some(entry))
            }
        }
    }
}
