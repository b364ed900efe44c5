//! Joining: an empty view is filled from a checkpoint of another validator and goes on from there.
//!
//! In: the checkpoints of the validators in `:members`, their log, and ours in Redis. Out: view and archive up to a
//! checkpoint's entry, or why none was taken; then nothing is changed. What a peer gives counts only beside the log (ADR 20):
//!
//! 1. which digest the entry has follows from `:head` or `:log`; the entries in between, if Redis has trimmed them, have
//!    to lead from one to the other;
//! 2. the file has the hash that was asked for, and states this digest;
//! 3. the entries that a view needs beside it, and those that targets still wait for, are intact, follow each other and end
//!    with that digest; the last one states the header's root, aux, time, rule set and epoch;
//! 4. the file's values give this root.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use common::entry::{Body, Entry};
use common::hash::Digest;
use common::link::{Head, LinkError};
use common::message::{self, Command, Message};
use tokio::sync::watch;

use crate::checkpoint::{CheckpointError, Folder, Header, Reader};
use crate::consumers;
use crate::error::{Failure, chain};
use crate::peers::{Listed, NoAnswer, Peer, Peers};
use crate::shard::ShardState;
use crate::view::{HeadRow, ViewError};

/// The largest file that is fetched.
const FILE_BYTES_MAX: u64 = 64 << 30;

/// Why a checkpoint of a peer was not taken. Nothing of it is here.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("it is after entry {seq}, and the log ends at entry {head}")]
    Ahead { seq: u64, head: u64 },
    #[error("it states digest {stated} for entry {seq}, the log says {logged}")]
    OtherLog { seq: u64, stated: Digest, logged: Digest },
    #[error("entry {seq} of this validator does not follow what comes before it, or is damaged")]
    Chain { seq: u64 },
    #[error("the archive here begins at entry {kept}, and {first} is needed: empty the data folder")]
    Archive { kept: u64, first: u64 },
    #[error("it states another {field} than entry {seq}")]
    Stated { seq: u64, field: &'static str },
    #[error("what entry {seq} asks of Redis may not be carried out yet")]
    Effects { seq: u64 },
    #[error("the file has {found} bytes or more, and not {stated}")]
    Length { stated: u64, found: u64 },
    #[error("the process ends")]
    Stopped,
}

impl From<ViewError> for NotTaken {
    fn from(error: ViewError) -> Self {
        Self::Checkpoint(error.into())
    }
}

impl From<LinkError> for NotTaken {
    fn from(error: LinkError) -> Self {
        Self::NoAnswer(error.into())
    }
}

/// A shard that joins, and whom it asks.
struct Joining<'a> {
    shard: &'a ShardState,
    peer: &'a Peer<'a>,
    folder: &'a Folder,
    stop: &'a watch::Receiver<bool>,
}

/// Fills the empty view from the newest checkpoint of a peer that holds; gives where it then stands, or `None` = none
/// was taken, and the log says why.
///
/// # Errors
/// The own database or folder cannot be used.
pub(crate) async fn join(
    shard: &ShardState,
    peers: &Peers,
    stop: &watch::Receiver<bool>,
) -> Result<Option<HeadRow>, Failure> {
    let Ok(alive) = peers.alive(shard).await else { return Ok(None) };
    let _turn = shard.checkpoint_turn().await;
    let folder = Folder::open(&crate::checkpoint::keeper::folder_of(shard))?;
    for peer in &alive {
        let joining = Joining { shard, peer, folder: &folder, stop };
        let listed = match peer.checkpoints(shard.shard).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(shard = %shard.shard, error = %chain(&error), "A validator does not list its checkpoints");
                continue;
            }
        };
        for listed in listed {
            match joining.take(listed).await {
                Ok(head) => {
                    let Listed { hash, bytes, .. } = listed;
                    tracing::info!(shard = %shard.shard, url = peer.url(), seq = head.seq, root = %head.root, %hash, bytes, "Took a checkpoint of another validator");
                    return Ok(Some(head));
                }
                Err(NotTaken::Stopped) => return Ok(None),
                // The own database's fault.
                Err(NotTaken::Checkpoint(error @ CheckpointError::View(_))) => return Err(error.into()),
                Err(error) => {
                    let Listed { hash, seq, .. } = listed;
                    tracing::error!(shard = %shard.shard, url = peer.url(), %hash, seq, error = %chain(&error), "A checkpoint of another validator was not taken");
                }
            }
        }
    }
    Ok(None)
}

impl Joining<'_> {
    async fn take(&self, listed: Listed) -> Result<HeadRow, NotTaken> {
        let head = self.shard.link.head().await?;
        if listed.seq > head.seq {
            return Err(NotTaken::Ahead { seq: listed.seq, head: head.seq });
        }
        let logged = self.logged_digest(listed.seq, &head).await?;
        let path = self.fetch(listed).await?;
        match self.take_file(&path, listed, logged, &head).await {
            Ok(header) => {
                let head = header.head.clone();
                self.folder.adopt(&path, listed.hash, header)?;
                Ok(head)
            }
            Err(error) => {
                // What cannot be deleted now goes with the next start.
                drop(std::fs::remove_file(&path));
                Err(error)
            }
        }
    }

    async fn take_file(
        &self,
        path: &Path,
        listed: Listed,
        logged: Digest,
        log: &Head,
    ) -> Result<Header, NotTaken> {
        let file = Reader::open(path, listed.hash)?;
        let header = file.header().clone();
        let HeadRow { seq, digest: stated, .. } = header.head;
        if (seq, stated) != (listed.seq, logged) {
            return Err(NotTaken::OtherLog { seq, stated, logged });
        }
        let open = Reader::open(path, listed.hash)?.first_open()?;
        let targets = header.head.targets()?;
        let waits =
            consumers::relay_first(&targets, &log.watermarks, |target| open.get(target.as_str()).copied());
        let window_first = header.window_first();
        let first = waits.map_or(u64::MAX, |(_, first)| first).min(window_first);
        if let Some(kept) = self.shard.view.archive_first()?.filter(|kept| *kept > first) {
            return Err(NotTaken::Archive { kept, first });
        }
        let mut staged = self.shard.view.stage()?;
        let mut last = None;
        while let Some(from) = next(staged.last(), first, seq) {
            let page = match self.page(from).await {
                // What a target asked for when the file was written, and no longer does.
                Err(NotTaken::NoAnswer(NoAnswer::Gone { first_seq, .. }))
                    if staged.last().is_none() && (first..=window_first).contains(&first_seq) =>
                {
                    self.page(first_seq).await?
                }
                page => page?,
            };
            for entry in page.into_iter().take_while(|entry| entry.seq <= seq) {
                if !staged.take(&entry)? {
                    return Err(NotTaken::Chain { seq: entry.seq });
                }
                last = Some(entry);
            }
        }
        let last = match last {
            Some(last) => last,
            // All of them were here.
            None => self.shard.view.entry(seq)?.ok_or(NotTaken::Chain { seq })?,
        };
        check_stated(&last, &header.head, log.seq)?;
        staged.restore(file)?;
        Ok(header)
    }

    /// The digest that the log gives entry `seq`.
    async fn logged_digest(&self, seq: u64, head: &Head) -> Result<Digest, NotTaken> {
        if seq == head.seq {
            return Ok(head.digest);
        }
        // What this has to lead to: Redis' first entry from there on, or the one that will follow its last one.
        let (until, prev) = match self.shard.link.log_range(seq, 1).await?.into_iter().next() {
            Some(entry) if entry.seq == seq => return Ok(entry.digest),
            Some(entry) => (entry.seq, entry.prev),
            None => (head.seq + 1, head.digest),
        };
        let mut between: Option<(Digest, Digest)> = None;
        let mut from = seq + 1;
        while from < until {
            for entry in self.page(from).await?.into_iter().take_while(|entry| entry.seq < until) {
                let follows = between.is_none_or(|(_, last)| last == entry.prev);
                if entry.seq != from || !follows || !entry.is_intact() {
                    return Err(NotTaken::Chain { seq: from });
                }
                between = Some((between.map_or(entry.prev, |(first, _)| first), entry.digest));
                from += 1;
            }
        }
        match between {
            None => Ok(prev),
            Some((first, last)) if last == prev => Ok(first),
            Some(_) => Err(NotTaken::Chain { seq: until }),
        }
    }

    /// Entries from `from` on; at least one.
    async fn page(&self, from: u64) -> Result<Vec<Entry>, NotTaken> {
        if *self.stop.borrow() {
            return Err(NotTaken::Stopped);
        }
        let page = self.peer.page(self.shard.shard, from).await?;
        if page.first().is_none_or(|first| first.seq != from) {
            return Err(NotTaken::Chain { seq: from });
        }
        Ok(page)
    }

    /// Brings the file here; its hash is not compared yet.
    async fn fetch(&self, listed: Listed) -> Result<PathBuf, NotTaken> {
        let Listed { hash, bytes: stated, .. } = listed;
        let (path, mut file) = self.folder.fetched()?;
        let mut found = 0;
        while found < stated {
            if *self.stop.borrow() {
                return Err(NotTaken::Stopped);
            }
            let part = self.peer.part(self.shard.shard, hash, found).await?;
            found += part.len() as u64;
            if part.is_empty() || found > stated.min(FILE_BYTES_MAX) {
                return Err(NotTaken::Length { stated, found });
            }
            file.write_all(&part).map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
        }
        file.sync_all().map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
        Ok(path)
    }
}

/// The next entry to ask for; `None` = they are here up to `seq`.
fn next(last: Option<u64>, first: u64, seq: u64) -> Option<u64> {
    last.map_or(Some(first), |last| (last < seq).then_some(last + 1))
}

/// The file's head is what the entry says, and nobody has still to carry out what it asks for.
fn check_stated(entry: &Entry, stated: &HeadRow, log_head: u64) -> Result<(), NotTaken> {
    let seq = entry.seq;
    let body = entry.decode().map_err(|_| NotTaken::Chain { seq })?;
    let rules = [
        (stated.root == body.root, "root"),
        (stated.aux == body.aux, "aux"),
        (stated.time_ms == body.time_ms, "time"),
        (stated.ruleset == body.ruleset, "rule set"),
        (stated.epoch == body.epoch, "epoch"),
    ];
    if let Some((_, field)) = rules.into_iter().find(|(holds, _)| !holds) {
        return Err(NotTaken::Stated { seq, field });
    }
    // A leader carries them out before it makes the next entry; only its own archive knows of them.
    if seq == log_head && asks_of_redis(&body) { Err(NotTaken::Effects { seq }) } else { Ok(()) }
}

/// Whether the entry may have effects beyond its COMMIT.
fn asks_of_redis(body: &Body) -> bool {
    let messages = body.inputs.iter().filter_map(|input| Message::decode(&input.bytes()).ok());
    messages.into_iter().any(|message| {
        let rewind = |command: &Command| matches!(command, Command::Rewind { .. });
        match &message.body {
            message::Body::Targets(_) => true,
            message::Body::Command { command, .. } => rewind(command),
            _ => false,
        }
    })
}
