//! `oss verify log`: a shard's log from its first entry, checked and computed again.
//!
//! In: entries, page by page from the validator or from a recorded file. Out: `equal` with the head, or the
//! first entry and field that differ. A service's log must reach the head that the service shows, with its digest,
//! root and aux; a file says no head, so that only what it holds is checked, and the result says that. Checked per entry: the digest covers `prev` and body, `prev` is the entry
//! before, numbers are dense, epochs never fall; then the engine runs its inputs again and must give the same
//! outcomes, updates, root and aux. The state it runs on is this program's own, from the log alone. Of a log whose first entries the
//! service no longer keeps only the chain is checked, from its first kept entry over the service's checkpoints to its
//! head, and the result says that nothing was computed again.

mod entries;
mod head;
mod kept;
mod replay;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use common::hash::Digest;
use common::ids::Shard;
use serde::Serialize;

use crate::access::Access;
use crate::args::{Global, VerifyLogArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::ui::{self, Ui};
use entries::{Entries, Recorded};
use head::Head;
use kept::Kept;
use replay::{Difference, Replay};

/// How often progress is told, in entries.
const TELL_EVERY: u64 = 1_000;

/// The result, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    shard: Shard,
    /// Every entry is what its replay gives, and the service's head was reached.
    equal: bool,
    /// The first entry that was checked.
    from_seq: u64,
    /// Every entry was computed again; else the log is checked as a chain alone.
    computed: bool,
    /// Entries whose digest a checkpoint of the service states; only of a chain.
    checkpoints: Vec<u64>,
    /// Entries that were checked and are equal.
    entries: u64,
    /// Requests decided in them.
    decided: u64,
    head: Digest,
    root: Digest,
    aux: Digest,
    epoch: u64,
    seconds: f64,
    /// The head that the service showed; none for a file, of which the end may be missing.
    compared_with: Option<Head>,
    difference: Option<String>,
}

pub(crate) async fn run(global: &Global, args: &VerifyLogArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let (mut entries, head, kept) = if let Some(file) = &args.from_file {
        (Entries::of_file(file)?, None, Kept::whole())
    } else {
        let client = Client::new(Access::find(global)?)?;
        let head = Head::of_service(&client, args.shard).await?;
        let kept = Kept::of_service(&client, args.shard).await?;
        (Entries::of_service(client, args.shard, kept.first), Some(head), kept)
    };
    let mut record = args.save.as_deref().map(Record::create).transpose()?;
    let started = Instant::now();
    let spinner = ui.spinner(format!("log of {}", args.shard));
    let mut replay =
        if kept.first > 1 { Replay::of_chain(args.shard, kept.first) } else { Replay::new(args.shard) };
    let told = |seq: u64| spinner.set_message(format!("log of {}: {seq} entries", args.shard));
    let checked = check(&mut entries, head.as_ref(), &kept, &mut replay, record.as_mut(), told).await?;
    if let Some(record) = record {
        record.finish()?;
    }
    spinner.finish_and_clear();
    if head.is_none() && checked.is_ok() && replay.position().seq == 0 {
        bail!("the file holds no entries: nothing was checked");
    }
    let report = report(&replay, head, &kept, checked.err().as_ref(), started.elapsed().as_secs_f64());
    ui.result(&report, || human(&report))?;
    Ok(if report.equal { Exit::Done } else { Exit::Failed })
}

/// Replays every entry; the outer error is one of reading.
async fn check(
    entries: &mut Entries,
    head: Option<&Head>,
    kept: &Kept,
    replay: &mut Replay,
    mut record: Option<&mut Record>,
    told: impl Fn(u64),
) -> anyhow::Result<Result<(), Difference>> {
    let compare = |replay: &Replay| {
        let (seq, computed) = (replay.position().seq, replay.head());
        match kept.checkpoints.get(&seq).filter(|stated| **stated != computed) {
            Some(stated) => Err(Difference::Checkpoint { seq, computed, stated: *stated }),
            None => head.map_or(Ok(()), |head| head.compare(replay)),
        }
    };
    // A shard without entries has a head too.
    if let Err(difference) = compare(replay) {
        return Ok(Err(difference));
    }
    while let Some(entry) = entries.next().await? {
        if let Some(record) = &mut record {
            record.write(&entry)?;
        }
        let seq = entry.seq;
        if let Err(difference) = replay.take(&entry.into()).and_then(|()| compare(replay)) {
            return Ok(Err(difference));
        }
        if seq.is_multiple_of(TELL_EVERY) {
            told(seq);
        }
    }
    let found = replay.position().seq;
    let promised = head.map(|head| head.seq).max(entries.head());
    Ok(match promised {
        Some(head) if found < head => Err(Difference::Short { found, head }),
        _ => Ok(()),
    })
}

/// A file of one entry a line, written while the log is read.
struct Record {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Record {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, entry: &Recorded) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.file, entry)?;
        self.file.write_all(b"\n").with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn report(
    replay: &Replay,
    head: Option<Head>,
    kept: &Kept,
    difference: Option<&Difference>,
    seconds: f64,
) -> Report {
    let position = replay.position();
    Report {
        shard: replay.shard(),
        equal: difference.is_none(),
        from_seq: replay.first(),
        computed: replay.is_computed(),
        checkpoints: kept.checkpoints.keys().copied().filter(|seq| *seq <= position.seq).collect(),
        entries: (position.seq + 1).saturating_sub(replay.first()),
        decided: replay.decided(),
        head: replay.head(),
        root: position.root,
        aux: position.aux,
        epoch: position.epoch,
        seconds,
        compared_with: head,
        difference: difference.map(Difference::sentence),
    }
}

fn human(report: &Report) -> String {
    let verdict = match (report.equal, &report.compared_with) {
        (false, _) => "different",
        (true, Some(_)) if !report.computed => "a whole chain, not computed again",
        (true, Some(_)) => "equal",
        (true, None) => "consistent, its end unknown",
    };
    let mut table = ui::table(["log", verdict]);
    table.add_row(["shard", report.shard.name()]);
    table.add_row(["entries", &report.entries.to_string()]);
    if !report.computed {
        let seqs: Vec<String> = report.checkpoints.iter().map(u64::to_string).collect();
        let begins = format!(
            "entry {}: older ones are not kept; digests are those of the checkpoints after entries {}",
            report.from_seq,
            seqs.join(", ")
        );
        table.add_row(["begins at", &begins]);
    }
    table.add_row(["requests decided", &report.decided.to_string()]);
    table.add_row(["head digest", &report.head.to_string()]);
    table.add_row(["state root", &report.root.to_string()]);
    table.add_row(["aux", &report.aux.to_string()]);
    table.add_row(["epoch", &report.epoch.to_string()]);
    let compared = match &report.compared_with {
        Some(head) => format!("the service's head, entry {}: digest, root, aux", head.seq),
        None => "nothing: a file says no head, later entries may be missing".to_owned(),
    };
    table.add_row(["compared with", &compared]);
    if let Some(difference) = &report.difference {
        table.add_row(["difference", difference]);
    }
    table.to_string()
}
