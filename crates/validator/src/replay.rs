//! Replay: from the database and the log to a running engine.
//!
//! In: the view, the archive, `:log`. Out: an engine, view and archive at the log's head, or a [`Failure`] that
//! names the first thing that differs. Three steps: the view's head is restored as it is (an empty view is filled from the
//! newest checkpoint that holds); archived entries that the view lacks are replayed; then entries of `:log`. Every entry is computed again and
//! compared: digest, chain, inputs, outcomes, updates, root, aux.

use std::time::{Duration, Instant};

use common::entry::Entry;
use common::link::{Head, Initialised, LinkError, LoggedEntry, StreamId};
use tokio::sync::watch;

use crate::checkpoint;
use crate::engine::{Divergence, Engine, Position, inputs_of};
use crate::error::{DataLoss, Failure, chain};
use crate::peers::{NoAnswer, Peers};
use crate::read_size::{Came, ReadSize};
use crate::shard::ShardState;
use crate::view::{Page, Record};

/// Entries read at once.
const PAGE: Page = Page { entries_max: 64, bytes_max: 8 << 20 };
/// Entries of `:log` read at first, at least after a surplus, at most. One has up to 4 MiB.
const LOGGED: ReadSize = ReadSize::new(8, 1, PAGE.entries_max);

/// How often a long replay tells where it is; see [`crate::trim`] for when it would count as dead.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The log is not what the fold of it gives, or not what it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Difference {
    #[error("{shard}: entry {seq} has another digest than its content")]
    Digest { shard: common::ids::Shard, seq: u64 },
    #[error("{shard}: entry {seq} does not follow entry {}: its prev is another digest", seq - 1)]
    Chain { shard: common::ids::Shard, seq: u64 },
    #[error("{shard}: the body of entry {seq} cannot be read")]
    Body { shard: common::ids::Shard, seq: u64, source: serde_json::Error },
    #[error("{shard}: replay")]
    Divergence { shard: common::ids::Shard, source: Divergence },
}

/// Compares the generation of Redis with the own one. A blank database takes the one that is there, or writes
/// the first one.
pub(crate) async fn check_generation(shard: &ShardState) -> Result<(), Failure> {
    let own = shard.view.generation()?;
    let is_blank = shard.view.is_blank()?;
    let fresh = uuid_like();
    let call = async || shard.link.init(&fresh, is_blank).await;
    let (shard_name, seq) = (shard.shard, shard.now().seq);
    match crate::retry::until_known("ask for the generation", call).await? {
        Initialised::Missing => Err(DataLoss::GenerationMissing { shard: shard_name, seq }.into()),
        Initialised::Ok { generation } => match own {
            Some(expected) if expected != generation => {
                Err(DataLoss::GenerationOther { shard: shard_name, expected, found: generation }.into())
            }
            Some(_) => Ok(()),
            None => Ok(shard.view.set_generation(&generation)?),
        },
    }
}

/// A random text for a generation; a lease token is one.
fn uuid_like() -> String {
    common::link::Token::random().as_str().to_owned()
}

/// From the database as the process finds it to an engine at the archive's end.
pub(crate) async fn start(shard: &ShardState) -> Result<(), Failure> {
    check_generation(shard).await?;
    // Only an empty view looks at the folder, and has nothing to be written there.
    let is_empty = shard.view.snapshot()?.head()?.seq == 0;
    let _turn = if is_empty { Some(shard.checkpoint_turn().await) } else { None };
    restore(shard)
}

/// Brings the engine to the view's head, then to the archive's. An empty view is filled from a checkpoint, if there is one.
pub(crate) fn restore(shard: &ShardState) -> Result<(), Failure> {
    let began = Instant::now();
    if shard.view.snapshot()?.head()?.seq == 0 {
        take_checkpoint(shard)?;
    }
    let snapshot = shard.view.snapshot()?;
    let head = snapshot.head()?;
    if head.seq > 0 {
        let targets = head.targets()?;
        let position = Position {
            seq: head.seq,
            root: head.root,
            aux: head.aux,
            time_ms: head.time_ms,
            epoch: head.epoch,
            ruleset: head.ruleset,
            targets,
        };
        *shard.engine_mut() =
            Engine::restore(shard.shard, position, snapshot.leaves()?, snapshot.waiters_count()?)?;
    }
    shard.moved(head.digest);
    if let Some(first_seq) = shard.view.archive_first()?.filter(|first| head.seq == 0 && *first > 1) {
        tracing::error!(shard = %shard.shard, first_seq, "The archive does not reach back to the first entry, and no checkpoint was taken");
        return Ok(());
    }
    loop {
        let page = shard.view.entries(shard.now().seq + 1, PAGE)?;
        if page.is_empty() {
            break;
        }
        for entry in &page {
            replay_entry(shard, entry)?;
        }
    }
    crate::metrics::replayed(shard.shard, head.seq, shard.now().seq, began.elapsed());
    Ok(())
}

/// Without a checkpoint that may be taken, the archive is replayed from its first entry, if that is the log's; else
/// another validator's checkpoint is needed ([`crate::join`]).
fn take_checkpoint(shard: &ShardState) -> Result<(), Failure> {
    let began = Instant::now();
    let folder = checkpoint::Folder::open(&checkpoint::keeper::folder_of(shard))?;
    let (head, refused) = checkpoint::restore(&shard.view, &folder)?;
    for error in refused {
        tracing::error!(shard = %shard.shard, error = %chain(&error), "A checkpoint was not taken");
    }
    if let Some(head) = head {
        let ms = began.elapsed().as_millis();
        tracing::info!(shard = %shard.shard, seq = head.seq, root = %head.root, ms, "Took a checkpoint");
    }
    Ok(())
}

/// Replays `:log` from the view's head to the log's, and tells the leader how far it is on disk here, so that
/// it does not trim what this process still needs.
///
/// # Errors
/// [`DataLoss::Hole`] leaves everything as it is: another process may have what is missing.
pub(crate) async fn catch_up(shard: &ShardState) -> Result<(), Failure> {
    let began = Instant::now();
    let from = shard.now().seq;
    let mut told = tell(shard).await?;
    let mut asked = Instant::now();
    let head = crate::retry::until_known("read head", async || {
        asked = Instant::now();
        shard.link.head().await
    })
    .await?;
    check_head(shard, &head)?;
    let mut size = LOGGED;
    while shard.now().seq < head.seq {
        if told.elapsed() >= TELL_EVERY {
            told = tell(shard).await?;
        }
        let next = shard.now().seq + 1;
        let call = async || {
            let page = shard.link.log_range(next, size.count()).await;
            if page.as_ref().is_err_and(LinkError::is_timeout) {
                size = size.after(Came::TooLate);
            }
            page
        };
        let page = crate::retry::until_known("read the log", call).await?;
        size = size.after(came(&page));
        let first = page.first().map_or(head.seq + 1, |entry| entry.seq);
        if first != next {
            return Err(DataLoss::Hole { shard: shard.shard, seq: next, first }.into());
        }
        for logged in page {
            let entry =
                Entry { seq: logged.seq, prev: logged.prev, digest: logged.digest, body: logged.body };
            replay_entry(shard, &entry)?;
        }
    }
    shard.reached_head_of(asked);
    let to = shard.now().seq;
    if to > from {
        crate::metrics::replayed(shard.shard, from, to, began.elapsed());
    }
    Ok(())
}

/// Replays what Redis has trimmed, up to entry `first`, from other validators; what comes is checked like the log.
pub(crate) async fn fetch(
    shard: &ShardState,
    peers: &Peers,
    first: u64,
    stop: &watch::Receiver<bool>,
    mut progress: impl FnMut(u64),
) -> Result<Result<(), NoAnswer>, Failure> {
    let (began, from) = (Instant::now(), shard.now().seq);
    while shard.now().seq + 1 < first && !*stop.borrow() {
        let page = match peers.page(shard, shard.now().seq + 1).await {
            Ok(page) => page,
            Err(why) => return Ok(Err(why)),
        };
        for entry in &page {
            replay_entry(shard, entry)?;
        }
        progress(shard.now().seq);
    }
    crate::metrics::replayed(shard.shard, from, shard.now().seq, began.elapsed());
    Ok(Ok(()))
}

/// Whether a page of the log was larger than what is to be in memory at once.
fn came(page: &[LoggedEntry]) -> Came {
    let mut bytes = 0;
    let fits = |entry: &&LoggedEntry| {
        bytes += entry.body.len();
        bytes <= PAGE.bytes_max
    };
    let used = page.iter().take_while(fits).count();
    if used < page.len() { Came::TooMuch { used } } else { Came::Right }
}

/// Says in `:members:validator` which entry is the last one on this disk; gives when.
async fn tell(shard: &ShardState) -> Result<Instant, Failure> {
    let told = Instant::now();
    let archived = StreamId::of_seq(shard.view.synced_seq());
    crate::retry::until_known("tell how far the log is here", async || {
        shard.link.beat_validator(archived, &shard.url).await
    })
    .await?;
    Ok(told)
}

fn check_head(shard: &ShardState, log: &Head) -> Result<(), Failure> {
    let own = shard.now();
    // Without a view the archive alone says how far the log was.
    let kept = if own.seq == 0 { shard.view.archive_head()?.map_or(0, |entry| entry.seq) } else { own.seq };
    if kept > log.seq {
        return Err(DataLoss::ViewAhead { shard: shard.shard, view: kept, log: log.seq }.into());
    }
    if own.seq == log.seq && own.digest != log.digest {
        return Err(
            DataLoss::Fork { shard: shard.shard, seq: own.seq, view: own.digest, log: log.digest }.into()
        );
    }
    Ok(())
}

/// Computes one entry again, compares, and writes it to the view.
fn replay_entry(shard: &ShardState, entry: &Entry) -> Result<(), Failure> {
    let (name, seq) = (shard.shard, entry.seq);
    if !entry.is_intact() {
        return Err(Difference::Digest { shard: name, seq }.into());
    }
    let own = shard.now();
    if entry.prev != own.digest || seq != own.seq + 1 {
        return Err(Difference::Chain { shard: name, seq }.into());
    }
    let body = entry.decode().map_err(|source| Difference::Body { shard: name, seq, source })?;
    let plan = Engine::read(inputs_of(&body));
    let loaded = shard.view.load(plan.needs())?;
    let batch = shard.engine().replay(&body, plan, loaded);
    let batch = batch.map_err(|source| diverged(shard, entry, source))?;
    let targets = batch.next.position().targets.canonical();
    let effects = crate::effects::encode(&batch.effects);
    shard.engine_mut().accept(batch.next)?;
    shard.view.write(&Record {
        entry,
        body: &body,
        changes: &batch.changes,
        effects: &effects,
        targets: &targets,
    })?;
    shard.moved(entry.digest);
    Ok(())
}

/// Leaves a dump beside the database, where the next look will be.
fn diverged(shard: &ShardState, entry: &Entry, source: Divergence) -> Difference {
    match crate::divergence::dump(shard.view.folder(), shard.shard, entry, &source) {
        Ok(path) => {
            tracing::error!(shard = %shard.shard, seq = entry.seq, path = %path.display(), "The replay differs from the log; what differs is written to a file");
        }
        Err(error) => {
            tracing::error!(shard = %shard.shard, seq = entry.seq, %error, "The replay differs from the log, and no dump could be written");
        }
    }
    Difference::Divergence { shard: shard.shard, source }
}

#[cfg(test)]
mod tests {
    use common::hash::Digest;

    use super::*;

    fn page(bodies: &[usize]) -> Vec<LoggedEntry> {
        let entry = |(seq, bytes): (u64, &usize)| {
            let (v, prev, digest) = (1, Digest::ZERO, Digest::ZERO);
            LoggedEntry { seq, v, prev, digest, body: vec![b' '; *bytes] }
        };
        (1..).zip(bodies).map(entry).collect()
    }

    #[test]
    fn a_page_of_large_entries_makes_the_next_read_of_the_log_smaller() {
        let large = 4 << 20;
        assert_eq!(came(&page(&[])), Came::Right);
        assert_eq!(came(&page(&[large, large])), Came::Right);
        assert_eq!(came(&page(&[large; 8])), Came::TooMuch { used: 2 });
        assert_eq!(LOGGED.after(came(&page(&[large; 8]))).count(), 4);
        assert_eq!(came(&page(&[9 << 20])), Came::TooMuch { used: 0 });
        assert_eq!(ReadSize::new(1, 1, 64).after(came(&page(&[9 << 20]))).count(), 1);
    }
}
