//! `oss verify log`: a shard's log from its first entry, checked and computed again.
//!
//! In: entries, page by page from the validator or from a recorded file. Out: `equal` with the head, or the
//! first entry and field that differ. Checked per entry: the digest covers `prev` and body, `prev` is the entry
//! before, numbers are dense, epochs never fall; then the engine runs its inputs again and must give the same
//! outcomes, updates, root and aux. The state it runs on is this program's own, from the log alone.

mod entries;
mod replay;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::Instant;

use anyhow::Context as _;
use common::hash::Digest;
use common::ids::Shard;
use serde::Serialize;

use crate::access::Access;
use crate::args::{Global, VerifyLogArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::ui::{self, Ui};
use entries::Entries;
use replay::{Difference, Replay};

/// How often progress is told, in entries.
const TELL_EVERY: u64 = 1_000;

/// The result, as `-o json` prints it.
#[derive(Debug, Serialize)]
struct Report {
    shard: Shard,
    equal: bool,
    /// Entries that were checked and are equal.
    entries: u64,
    /// Requests decided in them.
    decided: u64,
    head: Digest,
    root: Digest,
    aux: Digest,
    epoch: u64,
    seconds: f64,
    difference: Option<String>,
}

pub(crate) async fn run(global: &Global, args: &VerifyLogArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut entries = match &args.from_file {
        Some(file) => Entries::of_file(file)?,
        None => Entries::of_service(Client::new(Access::find(global)?)?, args.shard),
    };
    let mut record = match &args.save {
        Some(path) => Some(BufWriter::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        )),
        None => None,
    };
    let started = Instant::now();
    let spinner = ui.spinner(format!("log of {}", args.shard));
    let mut replay = Replay::new(args.shard);
    let mut difference = None;
    while let Some(entry) = entries.next().await? {
        if let Some(file) = &mut record {
            serde_json::to_writer(&mut *file, &entry)?;
            file.write_all(b"\n")?;
        }
        let seq = entry.seq;
        if let Err(found) = replay.take(&entry.into()) {
            difference = Some(found);
            break;
        }
        if seq.is_multiple_of(TELL_EVERY) {
            spinner.set_message(format!("log of {}: {seq} entries", args.shard));
        }
    }
    if let Some(mut file) = record {
        file.flush()?;
    }
    spinner.finish_and_clear();
    let report = report(&replay, difference.as_ref(), started.elapsed().as_secs_f64());
    ui.result(&report, || human(&report))?;
    Ok(if report.equal { Exit::Done } else { Exit::Failed })
}

fn report(replay: &Replay, difference: Option<&Difference>, seconds: f64) -> Report {
    let position = replay.position();
    Report {
        shard: replay.shard(),
        equal: difference.is_none(),
        entries: position.seq,
        decided: replay.decided(),
        head: replay.head(),
        root: position.root,
        aux: position.aux,
        epoch: position.epoch,
        seconds,
        difference: difference.map(Difference::sentence),
    }
}

fn human(report: &Report) -> String {
    let mut table = ui::table(["log", if report.equal { "equal" } else { "different" }]);
    table.add_row(["shard", report.shard.name()]);
    table.add_row(["entries", &report.entries.to_string()]);
    table.add_row(["requests decided", &report.decided.to_string()]);
    table.add_row(["head digest", &report.head.to_string()]);
    table.add_row(["state root", &report.root.to_string()]);
    table.add_row(["aux", &report.aux.to_string()]);
    table.add_row(["epoch", &report.epoch.to_string()]);
    if let Some(difference) = &report.difference {
        table.add_row(["difference", difference]);
    }
    table.to_string()
}
