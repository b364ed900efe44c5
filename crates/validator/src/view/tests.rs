use std::collections::{BTreeMap, BTreeSet};

use common::entry::{Body, Entry, EntryKind};
use common::hash::Digest;
use common::ids::Name;

use super::*;
use crate::engine::tree::LeafWrite;
use crate::engine::{Changes, Decision, Deliveries, Needs, ValueChange};

mod checkpoint;
mod past;
mod run;

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn is_one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

struct Bed {
    view: View,
    /// The state as a plain map, after every entry.
    states: Vec<BTreeMap<String, Vec<u8>>>,
    last: Digest,
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

fn settings(undo_entries: u64) -> ViewSettings {
    // Never due, so that only the tests fsync.
    ViewSettings { cache_bytes: 1 << 20, sync_ms: 3_600_000, undo_entries }
}

fn name(text: &str) -> Name {
    text.parse().expect("name")
}

impl Bed {
    fn new(undo_entries: u64) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("test.redb");
        let view = View::open(&path, Shard::Financial, settings(undo_entries)).expect("opens");
        Self { view, states: vec![BTreeMap::new()], last: Digest::ZERO, path, _folder: folder }
    }

    fn entry(&self, seq: u64) -> (Entry, Body) {
        let body = Body {
            shard: Shard::Financial,
            seq,
            epoch: 1,
            node: "validator-1".to_owned(),
            kind: EntryKind::Batch,
            time_ms: seq * 10,
            ruleset: 0,
            inputs: Vec::new(),
            outcomes: Vec::new(),
            updates: Vec::new(),
            root: Digest::of(&[b"root", &seq.to_be_bytes()]),
            aux: Digest::ZERO,
        };
        (Entry::seal(self.last, &body), body)
    }

    /// Writes the next entry with these values; `None` removes a key.
    fn write(&mut self, values: &[(&str, Option<&[u8]>)], mut changes: Changes) {
        let mut state = self.states.last().expect("a state").clone();
        for (key, after) in values {
            let before = state.get(*key).cloned();
            match after {
                Some(after) => state.insert((*key).to_owned(), after.to_vec()),
                None => state.remove(*key),
            };
            let change = ValueChange { before, after: after.map(<[u8]>::to_vec) };
            changes.values.insert((*key).to_owned(), change);
        }
        let (entry, body) = self.entry(self.states.len() as u64);
        self.view.write(&record(&entry, &body, &changes)).expect("writes");
        self.states.push(state);
        self.last = entry.digest;
    }

    /// The same database under other settings.
    fn again(self, undo_entries: u64) -> Self {
        let Self { view, states, last, path, _folder: folder } = self;
        drop(view);
        let view = View::open(&path, Shard::Financial, settings(undo_entries)).expect("opens");
        Self { view, states, last, path, _folder: folder }
    }

    fn snapshot(&self) -> Snapshot {
        self.view.snapshot().expect("snapshot")
    }
}

fn record<'a>(entry: &'a Entry, body: &'a Body, changes: &'a Changes) -> Record<'a> {
    Record { entry, body, changes, effects: b"", targets: b"" }
}

fn row(open: &[&str], waiting: &[([u8; 16], &[&str])]) -> Deliveries {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    Deliveries { open: set(open), waiting: waiting.iter().map(|(rid, names)| (*rid, set(names))).collect() }
}

#[test]
fn the_value_of_a_key_after_any_kept_entry_is_the_one_it_had_then() {
    let mut bed = Bed::new(1_024);
    let keys = ["asset/bond:A", "holding/bond:A/x", "holding/bond:A/xy", "used/1"];
    for step in 0..60_usize {
        let value = [u8::try_from(step).expect("small")];
        let touched: Vec<(&str, Option<&[u8]>)> = (0..)
            .zip(keys)
            .filter(|(n, _)| (step + n).is_multiple_of(n + 2))
            .map(|(n, key)| (key, (step % 7 != n).then_some(value.as_slice())))
            .filter(|(key, after)| bed.states.last().expect("state").get(*key).map(Vec::as_slice) != *after)
            .collect();
        bed.write(&touched, Changes::default());
    }
    let snapshot = bed.snapshot();
    for (seq, state) in bed.states.iter().enumerate() {
        for key in keys {
            let found = snapshot.value_at(key, seq as u64).expect("reads");
            assert_eq!(found.as_ref(), state.get(key), "{key} after entry {seq}");
        }
    }
}

#[test]
fn undo_records_between_two_entries_give_the_older_state_of_every_key_touched() {
    let mut bed = Bed::new(1_024);
    bed.write(&[("a", Some(b"1")), ("b", Some(b"1"))], Changes::default());
    bed.write(&[("a", Some(b"2"))], Changes::default());
    bed.write(&[("a", None), ("c", Some(b"3"))], Changes::default());
    let undo = |older, newer, keys_max| bed.snapshot().undo_between(older, newer, keys_max).expect("reads");
    let write = |key, value: Option<&[u8]>| LeafWrite {
        key_hash: common::proof::key_hash(key),
        value_hash: value.map(common::proof::value_hash),
    };
    let mut expected = vec![write("a", Some(b"1")), write("c", None)];
    expected.sort_by_key(|write| write.key_hash);
    assert_eq!(undo(1, 3, 2), Some(expected));
    assert_eq!(undo(1, 3, 1), None, "more keys than are asked for");
    assert_eq!(undo(3, 3, 1), Some(Vec::new()));
}

#[test]
fn undo_records_older_than_what_is_kept_are_gone() {
    let mut bed = Bed::new(3);
    for value in [b"1", b"2", b"3", b"4", b"5"] {
        bed.write(&[("a", Some(value))], Changes::default());
    }
    // Entries 3 to 5 have undo records, so the states after 2 to 5 are known.
    let snapshot = bed.snapshot();
    assert_eq!(snapshot.value_at("a", 2).expect("reads"), Some(b"2".to_vec()));
    let undo = snapshot.undo_between(0, 5, 9).expect("reads").expect("few keys");
    assert_eq!(undo.first().map(|write| write.value_hash), Some(Some(common::proof::value_hash(b"2"))));
}

#[test]
fn an_entry_that_does_not_follow_the_head_is_refused_and_changes_nothing() {
    let mut bed = Bed::new(1_024);
    bed.write(&[("a", Some(b"1"))], Changes::default());
    let (skipping, body) = bed.entry(3);
    let refused = bed.view.write(&record(&skipping, &body, &Changes::default()));
    assert!(matches!(refused, Err(ViewError::NotNext { seq: 3, head: 1 })));
    bed.last = Digest::of(&[b"another"]);
    let (forked, body) = bed.entry(2);
    let refused = bed.view.write(&record(&forked, &body, &Changes::default()));
    assert!(matches!(refused, Err(ViewError::NotNext { seq: 2, head: 1 })));
    assert_eq!(bed.snapshot().head().expect("reads").seq, 1);
    assert_eq!(bed.view.archive_head().expect("reads").map(|entry| entry.seq), Some(1));
}

#[test]
fn the_archive_is_never_rewritten() {
    let mut bed = Bed::new(1_024);
    bed.write(&[], Changes::default());
    bed.view.clear().expect("clears");
    let first = bed.view.entries(1, Page { entries_max: 9, bytes_max: 1 << 20 }).expect("reads");
    assert_eq!(first.len(), 1, "the archive outlives the view");
    bed.last = Digest::ZERO;
    let (other, body) = {
        let (_, mut body) = bed.entry(1);
        body.time_ms += 1;
        (Entry::seal(Digest::ZERO, &body), body)
    };
    let refused = bed.view.write(&record(&other, &body, &Changes::default()));
    assert!(matches!(refused, Err(ViewError::Fork { seq: 1 })));
}

#[test]
fn a_cleared_view_is_blank_but_the_database_is_not() {
    let mut bed = Bed::new(1_024);
    assert!(bed.view.is_blank().expect("reads"));
    let rid = common::ids::Rid::fresh(Shard::Financial);
    let decision = Decision {
        tenant: "demo".to_owned(),
        fp: Digest::ZERO,
        seq: 1,
        outcome: "APPLIED".to_owned(),
        code: None,
        delivered: None,
        reverted: None,
    };
    let changes = Changes { decisions: BTreeMap::from([(rid, decision.clone())]), ..Changes::default() };
    bed.write(&[("a", Some(b"1"))], changes);
    assert_eq!(bed.snapshot().decision(rid).expect("reads"), Some(decision));
    bed.view.clear().expect("clears");
    assert_eq!(bed.snapshot().head().expect("reads"), tables::HeadRow::empty());
    assert_eq!(bed.snapshot().value("a").expect("reads"), None);
    assert_eq!(bed.snapshot().decision(rid).expect("reads"), None);
    assert!(!bed.view.is_blank().expect("reads"));
}

#[test]
fn a_view_of_another_schema_is_deleted_in_the_transaction_that_notes_the_new_one() {
    let mut bed = Bed::new(10);
    bed.write(&[("asset/a", Some(b"1"))], Changes::default());
    let txn = bed.view.db.begin_write().expect("begins");
    txn.open_table(tables::IDENTITY).expect("opens").insert(tables::SCHEMA, "0").expect("writes");
    txn.commit().expect("commits");

    // A crash before the commit: the old view under its old schema, as if nothing had begun.
    let txn = bed.view.db.begin_write().expect("begins");
    assert_eq!(lay_out(&txn, 10).expect("lays out"), Layout::Renewed);
    txn.abort().expect("aborts");
    assert_eq!(bed.snapshot().value("asset/a").expect("reads"), Some(b"1".to_vec()));

    let Bed { view, path, _folder, .. } = bed;
    drop(view);
    let again = View::open(&path, Shard::Financial, settings(10)).expect("opens");
    let snapshot = again.snapshot().expect("snapshot");
    assert_eq!((snapshot.head().expect("reads").seq, snapshot.value("asset/a").expect("reads")), (0, None));
    assert_eq!(again.archive_head().expect("reads").map(|entry| entry.seq), Some(1), "the archive stays");
    drop((snapshot, again));
    let txn =
        View::open(&path, Shard::Financial, settings(10)).expect("opens").db.begin_write().expect("begins");
    assert_eq!(lay_out(&txn, 10).expect("lays out"), Layout::Present);
}

#[test]
fn a_view_that_kept_fewer_undo_records_than_are_wanted_is_rebuilt_and_one_that_kept_more_forgets_them() {
    let mut bed = Bed::new(2);
    for value in [b"1", b"2", b"3", b"4"] {
        bed.write(&[("asset/a", Some(value))], Changes::default());
    }
    let mut bed = bed.again(1);
    assert_eq!(bed.snapshot().head().expect("reads").seq, 4, "nothing is missing");
    bed.write(&[("asset/a", Some(b"5"))], Changes::default());
    let kept = |bed: &Bed| {
        let txn = bed.view.db.begin_read().expect("begins");
        let table = txn.open_table(tables::UNDO).expect("opens");
        table.range(0..).expect("reads").map(|row| row.expect("reads").0.value()).collect::<Vec<u64>>()
    };
    assert_eq!(kept(&bed), [5]);

    // Entry 4 is within reach again, its record is gone: the value after entry 3 would be told wrong.
    let bed = bed.again(2);
    assert_eq!(bed.snapshot().head().expect("reads").seq, 0);
    assert_eq!(bed.view.archive_head().expect("reads").map(|entry| entry.seq), Some(5), "the archive stays");
}

#[test]
fn open_targets_follow_the_deliveries_and_their_requests_are_loaded_with_them() {
    let mut bed = Bed::new(1_024);
    let rid = common::ids::Rid::fresh(Shard::Financial);
    let decision = Decision {
        tenant: "demo".to_owned(),
        fp: Digest::ZERO,
        seq: 1,
        outcome: "APPLIED".to_owned(),
        code: None,
        delivered: None,
        reverted: None,
    };
    let first = row(&["base", "op"], &[(*rid.as_bytes(), &["base"])]);
    let changes = Changes {
        decisions: BTreeMap::from([(rid, decision.clone())]),
        deliveries: BTreeMap::from([(1, Some(first.clone()))]),
        ..Changes::default()
    };
    bed.write(&[], changes);
    let changes =
        Changes { deliveries: BTreeMap::from([(2, Some(row(&["op"], &[])))]), ..Changes::default() };
    bed.write(&[], changes);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(bed.snapshot().open_targets().expect("reads"), names(&["base", "op"]));
    assert_eq!(bed.snapshot().open_entries("op", 9).expect("reads"), [1, 2]);
    let needs = Needs { seqs: BTreeSet::from([1]), ..Needs::default() };
    let loaded = bed.view.load(&needs).expect("loads");
    assert_eq!(loaded.deliveries, BTreeMap::from([(1, first)]));
    assert_eq!(loaded.decisions, BTreeMap::from([(rid, decision)]));

    let deliveries = BTreeMap::from([(1, Some(row(&["base"], &[]))), (2, None)]);
    bed.write(&[], Changes { deliveries, ..Changes::default() });
    assert_eq!(bed.snapshot().open_targets().expect("reads"), names(&["base"]));
    assert_eq!(bed.snapshot().open_entries("op", 9).expect("reads"), Vec::<u64>::new());
}

#[test]
fn finals_come_newest_first_and_the_newest_stays_however_old_it_is() {
    let mut bed = Bed::new(4);
    let finals = |pairs: &[(&str, u64)]| Changes {
        finals: pairs.iter().map(|(target, seq)| (name(target), *seq)).collect(),
        ..Changes::default()
    };
    bed.write(&[], finals(&[]));
    bed.write(&[], finals(&[("base", 1), ("op", 1)]));
    for _ in 3..=9 {
        bed.write(&[], Changes::default());
    }
    assert_eq!(bed.snapshot().finals("op", 9).expect("reads"), [1]);
    bed.write(&[], finals(&[("base", 8), ("base", 9)]));
    assert_eq!(bed.snapshot().finals("base", 9).expect("reads"), [9, 8], "1 is older than 10 - 4");
    assert!(
        bed.snapshot().is_final("base", 9).expect("reads")
            && !bed.snapshot().is_final("base", 7).expect("reads")
    );
}

#[test]
fn only_what_was_synced_survives_a_reopening_without_a_close_and_counts_as_synced() {
    let mut bed = Bed::new(1_024);
    bed.write(&[("a", Some(b"1"))], Changes::default());
    assert_eq!(bed.view.synced_seq(), 0);
    bed.view.sync_now().expect("syncs");
    assert_eq!(bed.view.synced_seq(), 1);
    bed.write(&[("a", Some(b"2"))], Changes::default());
    assert_eq!(bed.view.synced_seq(), 1);
    // What a crash leaves is the file as it is now.
    let copy = bed.path.with_extension("copy");
    std::fs::copy(&bed.path, &copy).expect("copies");
    let after = View::open(&copy, Shard::Financial, settings(1_024)).expect("opens");
    assert_eq!(after.synced_seq(), 1);
    assert_eq!(after.snapshot().expect("snapshot").value("a").expect("reads"), Some(b"1".to_vec()));
}

#[test]
fn the_root_of_an_entry_is_read_from_the_archive() {
    let mut bed = Bed::new(1_024);
    bed.write(&[], Changes::default());
    bed.write(&[], Changes::default());
    let stated = Digest::of(&[b"root", &2_u64.to_be_bytes()]);
    assert_eq!(bed.view.root_of(2).expect("reads"), stated);
    assert_eq!(bed.view.root_of(0).expect("reads"), common::proof::PLACEHOLDER);
    assert!(bed.view.root_of(3).is_err());
}

#[test]
fn a_page_of_the_archive_is_bounded_by_entries_and_bytes_but_never_empty() {
    let mut bed = Bed::new(1_024);
    for _ in 0..5 {
        bed.write(&[], Changes::default());
    }
    let seqs = |entries_max, bytes_max| -> Vec<u64> {
        let page = Page { entries_max, bytes_max };
        bed.view.entries(2, page).expect("reads").iter().map(|entry| entry.seq).collect()
    };
    assert_eq!(seqs(3, 1 << 20), [2, 3, 4]);
    assert_eq!(seqs(9, 1), [2]);
    assert_eq!(seqs(9, 1 << 20), [2, 3, 4, 5]);
}

#[test]
fn effects_wait_until_they_are_done_and_come_back_once_only() {
    let bed = Bed::new(1_024);
    let (entry, body) = bed.entry(1);
    let changes = Changes::default();
    let with_effects = Record { effects: b"{}", ..record(&entry, &body, &changes) };
    assert!(bed.view.may_have_effects(), "whatever an earlier process has left");
    bed.view.no_effects_left();
    bed.view.write(&with_effects).expect("writes");
    assert!(bed.view.may_have_effects());
    assert_eq!(bed.snapshot().effects().expect("reads"), [(1, b"{}".to_vec())]);
    bed.view.effects_done(1).expect("done");
    // A rebuilt view replays the entry, but its effects were carried out.
    bed.view.clear().expect("clears");
    bed.view.write(&with_effects).expect("writes");
    assert_eq!(bed.snapshot().effects().expect("reads"), []);
}

#[test]
fn an_archive_is_cut_at_its_front_a_part_at_a_time_and_the_view_over_it_is_not_deleted() {
    let mut bed = Bed::new(4);
    for _ in 1..=9 {
        bed.write(&[("a", Some(b"1"))], Changes::default());
    }
    assert_eq!(bed.view.cut_archive(6, 3).expect("cuts"), 3);
    assert_eq!(bed.view.archive_first().expect("reads"), Some(4));
    assert_eq!(bed.view.cut_archive(6, 3).expect("cuts"), 2);
    assert_eq!(bed.view.cut_archive(6, 3).expect("cuts"), 0);
    assert_eq!(bed.view.archive_first().expect("reads"), Some(6));
    assert!(bed.view.entry(5).expect("reads").is_none() && bed.view.entry(6).expect("reads").is_some());
    let before = bed.snapshot().head().expect("a head");
    let Bed { view, path, _folder: folder, .. } = bed;
    drop(view);
    // Nothing here could rebuild it.
    let refused =
        View::open(&path, Shard::Financial, settings(5)).expect_err("more undo records than there are");
    assert!(matches!(refused, ViewError::Cut { first: 6 }), "{refused}");
    let view = View::open(&path, Shard::Financial, settings(4)).expect("opens");
    assert_eq!(view.snapshot().expect("snapshot").head().expect("a head"), before);
    drop(folder);
}
