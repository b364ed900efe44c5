//! A view in a checkpoint and back.

use common::entry::InputStream;
use common::ids::Rid;
use common::message::{self, About, Command, Message, Receipt};
use common::request::SyncRequest;
use common::status::Delivery;
use common::targets::Targets;
use serde_json::{Value, json};

use super::*;
use crate::checkpoint::{CheckpointError, Folder, Found, Reader, Row, restore, write};
use crate::engine::{Batch, Engine, RawInput, Stamp, inputs_of};

const UNDO_ENTRIES: u64 = 40;
const TENANT: &str = "acme";
const NOW_MS: u64 = 1_700_000_000_000;

/// A process: an engine and a view of its own.
struct Process {
    engine: Engine,
    view: View,
    last: Digest,
    /// What was written to the view.
    written: Vec<Written>,
    checkpoints: Folder,
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    fn new(undo_entries: u64) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().to_owned();
        let view =
            View::open(&path.join("test.redb"), Shard::Financial, settings(undo_entries)).expect("opens");
        view.set_generation("first").expect("a generation");
        let checkpoints = Folder::open(&path.join("checkpoints")).expect("opens");
        let (engine, last, written) = (Engine::genesis(Shard::Financial), Digest::ZERO, Vec::new());
        Self { engine, view, last, written, checkpoints, path, _folder: folder }
    }

    /// Decides an entry as a leader does.
    fn lead(&mut self, inputs: Vec<RawInput>) -> Entry {
        let plan = Engine::read(inputs);
        let loaded = self.view.load(plan.needs()).expect("loads");
        let stamp = Stamp { epoch: 1, node: "validator-1".to_owned(), time_ms: NOW_MS };
        let batch = self.engine.run(plan, loaded, stamp).expect("decides");
        let entry = Entry::seal(self.last, &batch.body);
        self.take(&entry, batch);
        entry
    }

    /// Computes an entry again as a standby does.
    fn follow(&mut self, entry: &Entry) {
        let body = entry.decode().expect("a body");
        let plan = Engine::read(inputs_of(&body));
        let loaded = self.view.load(plan.needs()).expect("loads");
        let batch = self.engine.replay(&body, plan, loaded).expect("is the same");
        self.take(entry, batch);
    }

    fn follow_all(&mut self, log: &[Entry]) {
        for entry in log {
            self.follow(entry);
        }
    }

    fn take(&mut self, entry: &Entry, batch: Batch) {
        let targets = batch.next.position().targets.canonical();
        self.engine.accept(batch.next.clone()).expect("follows");
        let Batch { body, changes, .. } = batch;
        let written = Written { entry: entry.clone(), body, changes, targets };
        self.view.write(&written.record()).expect("writes");
        self.written.push(written);
        self.last = entry.digest;
    }

    fn checkpoint(&self) -> Found {
        write(&self.view, &self.checkpoints, &|| true).expect("writes").expect("there are entries")
    }

    /// Deletes the view, which is what a checkpoint is for.
    fn forget(&mut self) {
        self.view.clear().expect("clears");
    }

    /// Goes on from where the view stands.
    fn start(&mut self) {
        let snapshot = self.view.snapshot().expect("snapshot");
        let head = snapshot.head().expect("a head");
        let position = crate::engine::Position {
            seq: head.seq,
            root: head.root,
            aux: head.aux,
            time_ms: head.time_ms,
            epoch: head.epoch,
            ruleset: head.ruleset,
            targets: head.targets().expect("targets"),
        };
        let leaves = snapshot.leaves().expect("leaves");
        self.engine = Engine::restore(Shard::Financial, position, leaves, 0).expect("the root is right");
        self.last = head.digest;
    }
}

struct Written {
    entry: Entry,
    body: Body,
    changes: Changes,
    targets: Vec<u8>,
}

impl Written {
    fn record(&self) -> Record<'_> {
        let Self { entry, body, changes, targets } = self;
        Record { entry, body, changes, effects: b"", targets }
    }
}

fn input(stream: InputStream, body: message::Body) -> RawInput {
    let bytes = Message { id: "m".to_owned(), traceparent: None, body }.encode();
    RawInput { stream, id: "1-1".to_owned(), bytes }
}

fn rid(number: u64) -> Rid {
    format!("00000000-0000-7000-8000-{number:010x}00").parse().expect("a rid")
}

fn about(number: u64, fp: Digest) -> About {
    About { rid: rid(number), tenant: TENANT.parse().expect("a tenant"), fp, accepted_ms: Some(NOW_MS) }
}

fn request(number: u64, asset: &str, change: &Value) -> RawInput {
    let request = json!({"asset": {"id": asset}, "state_changes": [change]});
    let request = Box::new(SyncRequest::parse(&request).expect("valid"));
    let about = about(number, request.fingerprint());
    input(InputStream::In, message::Body::Collected { about, request, observations: Vec::new() })
}

fn rollback(number: u64, undone: u64) -> RawInput {
    let command = Command::Rollback { rid: rid(undone) };
    let about = about(number, Digest::of(&[b"rollback", &undone.to_be_bytes()]));
    input(InputStream::Inx, message::Body::Command { about, command })
}

fn receipt(seq: u64, target: &str) -> RawInput {
    let receipt = Receipt { seq, target: name(target), status: Delivery::Final, parts: Vec::new() };
    input(InputStream::Receipts, message::Body::Receipt(receipt))
}

/// The log of a leader on which nearly everything happens, with the leader.
fn log(seed: u64, entries: u64) -> (Process, Vec<Entry>) {
    let (mut leader, mut random) = (Process::new(UNDO_ENTRIES), Random(seed));
    let list = json!({"targets": [{"name": "base", "kind": "null"}, {"name": "op", "kind": "null"}]});
    let list: Targets = serde_json::from_value(list).expect("targets");
    let mut log = vec![leader.lead(vec![input(InputStream::Local, message::Body::Targets(list))])];
    let assets = ["bond:A", "bond:B", "stock:C"];
    let (mut number, mut minted) = (0, Vec::new());
    for asset in assets {
        number += 1;
        let register = json!({"kind": "REGISTER", "decimals": 0, "chains": ["base", "op"]});
        log.push(leader.lead(vec![request(number, asset, &register)]));
        number += 1;
        let mint = json!({"kind": "MINT", "to": "alice", "amount": "1000"});
        log.push(leader.lead(vec![request(number, asset, &mint)]));
    }
    while (log.len() as u64) < entries {
        number += 1;
        let asset = assets[usize::try_from(random.below(3)).expect("small")];
        let inputs = match random.below(6) {
            // Of what nothing later rests on, and of anything.
            0 => vec![rollback(number, minted.pop().unwrap_or(number / 2))],
            1 | 2 => {
                let seq = 1 + random.below(log.len() as u64);
                vec![receipt(seq, "base"), receipt(seq, ["op", "base"][usize::from(random.below(2) == 0)])]
            }
            3 => {
                let to = format!("own-{number}");
                minted.push(number);
                vec![request(number, asset, &json!({"kind": "MINT", "to": to, "amount": "7"}))]
            }
            _ => {
                let to = format!("account-{}", random.below(8));
                vec![request(
                    number,
                    asset,
                    &json!({"kind": "TRANSFER", "from": "alice", "to": to, "amount": "1"}),
                )]
            }
        };
        log.push(leader.lead(inputs));
    }
    (leader, log)
}

/// Another process that has all of the log in its archive, and no view.
fn without_a_view(log: &[Entry]) -> Process {
    let mut process = Process::new(UNDO_ENTRIES);
    process.follow_all(log);
    process.forget();
    process
}

/// Takes the file into another process' folder.
fn copy(found: &Found, to: &Process) {
    let name = found.path.file_name().expect("a name");
    std::fs::copy(&found.path, to.path.join("checkpoints").join(name)).expect("copies");
}

fn restored(process: &Process) -> (Option<u64>, Vec<CheckpointError>) {
    let (head, refused) = restore(&process.view, &process.checkpoints).expect("the folder is there");
    (head.map(|head| head.seq), refused)
}

/// The undone requests of a log.
fn reverts(log: &[Entry]) -> usize {
    let kinds = log.iter().map(|entry| entry.decode().expect("a body").kind);
    kinds.filter(|kind| *kind == EntryKind::Revert).count()
}

#[test]
fn a_view_restored_anywhere_goes_on_as_the_one_it_was_taken_from() {
    let mut reverted = 0;
    for seed in 0..10 {
        let (leader, log) = log(seed, 90);
        let end = leader.checkpoint();
        let at = 10 + usize::try_from(Random(seed).below(50)).expect("small");
        let mut other = Process::new(UNDO_ENTRIES);
        other.follow_all(&log[..at]);
        let found = other.checkpoint();
        let mut joined = without_a_view(&log);
        copy(&found, &joined);
        let (seq, refused) = restored(&joined);
        assert_eq!((seq, refused.len()), (Some(at as u64), 0), "seed {seed}");
        joined.start();
        // Every entry is compared with the log: outcomes, updates, root, aux; rollbacks of requests before the checkpoint too.
        joined.follow_all(&log[at..]);
        reverted += reverts(&log[at..]);
        assert_eq!(joined.checkpoint().hash, end.hash, "seed {seed}, checkpoint at {at}");
        let (ours, theirs) = (joined.snapshot(), leader.snapshot());
        for number in 0..120 {
            let decided = ours.decision(rid(number)).expect("reads");
            assert_eq!(decided, theirs.decision(rid(number)).expect("reads"));
        }
        for target in ["base", "op"] {
            let open = ours.open_entries(target, 1_000).expect("reads");
            assert_eq!(open, theirs.open_entries(target, 1_000).expect("reads"));
            assert!(!open.is_empty(), "the test has nothing open");
        }
    }
    assert!(reverted > 20, "only {reverted} rollbacks after a checkpoint");
}

#[test]
fn a_request_from_before_the_checkpoint_is_undone_as_it_is_on_the_leader() {
    let (mut leader, log) = log(7, 50);
    let transfer = json!({"kind": "TRANSFER", "from": "alice", "to": "dora", "amount": "5"});
    let mut all = log;
    all.push(leader.lead(vec![request(500, "bond:A", &transfer)]));
    all.push(leader.lead(vec![receipt(1, "base")]));
    let found = leader.checkpoint();
    let mut joined = without_a_view(&all);
    copy(&found, &joined);
    assert_eq!(restored(&joined).0, Some(52));
    joined.start();
    let entry = leader.lead(vec![rollback(501, 500)]);
    assert_eq!(entry.decode().expect("a body").kind, EntryKind::Revert);
    assert_eq!(joined.lead(vec![rollback(501, 500)]), entry);
}

#[test]
fn every_process_writes_the_same_bytes_at_the_same_entry() {
    let (mut leader, _) = log(3, 100);
    for number in 900..920 {
        let transfer = json!({"kind": "TRANSFER", "from": "alice", "to": "dora", "amount": "1"});
        leader.lead(vec![request(number, "bond:A", &transfer)]);
    }
    let standby = Process::new(UNDO_ENTRIES);
    // In runs, which forget what is old at other times.
    for run in leader.written.chunks(40) {
        let run: Vec<Record<'_>> = run.iter().map(Written::record).collect();
        standby.view.write_run(&run).expect("writes");
    }
    let finals = |process: &Process| process.snapshot().finals("base", 1_000).expect("reads").len();
    assert!(finals(&leader) > finals(&standby), "both have forgotten the same");
    let (ours, theirs) = (leader.checkpoint(), standby.checkpoint());
    assert_eq!(ours.hash, theirs.hash);
    assert_eq!(std::fs::read(&ours.path).expect("a file"), std::fs::read(&theirs.path).expect("a file"));
    assert_eq!(Digest::of(&[&std::fs::read(&ours.path).expect("a file")]), ours.hash);
    assert_eq!(leader.checkpoint().hash, ours.hash, "written again");
}

#[test]
fn a_damaged_or_short_file_is_named_and_the_next_older_one_is_taken() {
    let (mut leader, log) = log(4, 60);
    let older = leader.checkpoint();
    let mut log = log;
    log.push(leader.lead(vec![receipt(2, "base")]));
    let newer = leader.checkpoint();
    let good = std::fs::read(&newer.path).expect("a file");
    let joined = without_a_view(&log);
    copy(&older, &joined);
    let path = joined.path.join("checkpoints").join(newer.path.file_name().expect("a name"));
    let mut damaged: Vec<Vec<u8>> =
        (0..good.len()).step_by(good.len() / 40).map(|end| good[..end].to_vec()).collect();
    for place in (0..good.len()).step_by(good.len() / 40) {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        damaged.push(bytes);
    }
    damaged.push([good.as_slice(), b"x"].concat());
    for bytes in damaged {
        std::fs::write(&path, &bytes).expect("writes");
        let (seq, refused) = restored(&joined);
        assert_eq!(seq, Some(60));
        let [error] = refused.as_slice() else { panic!("{refused:?}") };
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        joined.view.clear().expect("clears");
    }
    std::fs::write(&path, &good).expect("writes");
    assert_eq!(restored(&joined).0, Some(61));
}

fn rows_of(found: &Found) -> Vec<Row> {
    let mut file = Reader::open(&found.path, found.hash).expect("opens");
    std::iter::from_fn(|| file.next().expect("reads")).collect()
}

#[test]
fn values_that_do_not_give_the_stated_root_are_not_taken() {
    let (leader, log) = log(5, 30);
    let found = leader.checkpoint();
    let joined = without_a_view(&log);
    // A whole file with the right name, whose first value is another one.
    let mut rows = rows_of(&found);
    rows[0].value.push(0);
    let forged = joined.checkpoints.write(found.header.clone(), |out| {
        rows.iter().try_for_each(|row| out.row(row.table, &row.key, &row.value))
    });
    let (seq, refused) = restored(&joined);
    assert_eq!(seq, None);
    let path = forged.expect("writes").path;
    assert!(
        matches!(&refused[..], [CheckpointError::Root { path: named, .. }] if *named == path),
        "{refused:?}"
    );
    assert_eq!(joined.snapshot().leaves().expect("reads"), []);
    assert_eq!(joined.snapshot().decision(rid(1)).expect("reads"), None);
}

#[test]
fn rows_out_of_order_or_fewer_than_stated_are_not_taken() {
    let (leader, log) = log(6, 30);
    let found = leader.checkpoint();
    let joined = without_a_view(&log);
    let mut rows = rows_of(&found);
    let count = rows.len();
    rows.swap(count - 1, count - 2);
    let swapped = joined.checkpoints.write(found.header.clone(), |out| {
        rows.iter().try_for_each(|row| out.row(row.table, &row.key, &row.value))
    });
    let swapped = swapped.expect("writes");
    let whole = zstd::decode_all(&*std::fs::read(&found.path).expect("a file")).expect("one frame");
    let mut fewer = whole.clone();
    fewer[whole.len() - 8] ^= 1;
    let longer = [whole.as_slice(), &[0]].concat();
    let forged = [fewer, longer].map(|content| {
        let bytes = zstd::encode_all(&*content, 3).expect("compresses");
        let (path, hash) = (joined.path.join("forged"), Digest::of(&[&bytes]));
        std::fs::write(&path, bytes).expect("writes");
        joined.view.restore(Reader::open(&path, hash).expect("the hash is right"))
    });
    let swapped = joined.view.restore(Reader::open(&swapped.path, swapped.hash).expect("the hash is right"));
    for refused in forged.into_iter().chain([swapped]) {
        assert!(matches!(refused, Err(CheckpointError::Form { .. })), "{refused:?}");
    }
    assert_eq!(joined.snapshot().head().expect("a head"), HeadRow::empty());
}

#[test]
fn what_is_of_something_else_is_not_taken() {
    let (leader, log) = log(8, 30);
    let found = leader.checkpoint();
    let joined = without_a_view(&log);
    let file = || Reader::open(&found.path, found.hash).expect("opens");
    joined.view.set_generation("second").expect("a generation");
    let refused = joined.view.restore(file()).expect_err("another generation");
    assert!(matches!(refused, CheckpointError::Other { what: "generation of Redis", .. }));
    let header = &found.header;
    assert_eq!(header.check(Shard::Gaming, None, tables::SCHEMA_VERSION, 1), Err("shard"));
    assert_eq!(header.check(Shard::Financial, None, "0", 1), Err("schema of the view"));
    let more = header.check(Shard::Financial, None, tables::SCHEMA_VERSION, UNDO_ENTRIES + 1);
    assert_eq!(more, Err("number of undo records"));
    assert_eq!(header.check(Shard::Financial, None, tables::SCHEMA_VERSION, UNDO_ENTRIES), Ok(()));
    // One that has entries already.
    let refused = leader.view.restore(file()).expect_err("it is not empty");
    assert!(matches!(refused, CheckpointError::NotEmpty { seq: 30 }));
}

#[test]
fn a_view_without_the_entries_that_a_rollback_looks_at_takes_no_checkpoint() {
    let (leader, log) = log(9, 30);
    let found = leader.checkpoint();
    let file = || Reader::open(&found.path, found.hash).expect("opens");
    let blank = Process::new(UNDO_ENTRIES);
    let refused = blank.view.restore(file()).expect_err("no entry is there");
    assert!(matches!(refused, CheckpointError::Window { seq: 30, first: 1, .. }));
    let short = without_a_view(&log[..29]);
    assert!(
        matches!(short.view.restore(file()), Err(CheckpointError::Window { .. })),
        "the last one is missing"
    );
    // The same number, another entry.
    let mut forked = Process::new(UNDO_ENTRIES);
    forked.follow_all(&log[..29]);
    forked.lead(vec![receipt(9, "unknown")]);
    forked.forget();
    assert!(matches!(forked.view.restore(file()), Err(CheckpointError::Window { .. })));
    assert_eq!(forked.snapshot().head().expect("a head"), HeadRow::empty());
}

#[test]
fn what_was_not_finished_is_no_checkpoint() {
    let (leader, log) = log(10, 30);
    let rows = std::cell::Cell::new(0);
    let go_on = || rows.replace(rows.get() + 1) < 20;
    let given_up = write(&leader.view, &leader.checkpoints, &go_on);
    assert!(matches!(given_up, Err(CheckpointError::Stopped)));
    let files = || std::fs::read_dir(leader.path.join("checkpoints")).expect("a folder").count();
    assert_eq!(files(), 0);
    // What a process that dies before the renaming leaves: the whole content, under the other name.
    let found = leader.checkpoint();
    let unfinished = leader.path.join("checkpoints").join("next.unfinished");
    std::fs::rename(&found.path, &unfinished).expect("renames");
    let joined = without_a_view(&log);
    std::fs::copy(&unfinished, joined.path.join("checkpoints").join("next.unfinished")).expect("copies");
    assert_eq!(restored(&joined).0, None);
    Folder::open(&leader.path.join("checkpoints")).expect("opens");
    assert_eq!(files(), 0, "the next start deletes it");
}

#[test]
fn the_two_newest_are_kept() {
    let (mut leader, _) = log(11, 20);
    let hashes: Vec<Digest> = (0..3)
        .map(|_| {
            leader.lead(vec![receipt(3, "base")]);
            leader.checkpoint().hash
        })
        .collect();
    let (found, unreadable) = leader.checkpoints.list().expect("reads");
    assert_eq!(found.iter().map(|found| found.hash).collect::<Vec<_>>(), [hashes[2], hashes[1]]);
    assert!(unreadable.is_empty());
}

impl Process {
    fn snapshot(&self) -> Snapshot {
        self.view.snapshot().expect("snapshot")
    }
}
