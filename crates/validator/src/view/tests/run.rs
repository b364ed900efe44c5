//! A run of entries: it leaves what its entries leave one by one, or nothing.

use common::ids::Rid;
use redb::{ReadableTable as _, TableDefinition};

use super::*;
use crate::engine::Withdrawal;

const UNDO_ENTRIES: u64 = 5;

fn rid(number: u64) -> Rid {
    format!("00000000-0000-7000-8000-{number:010x}00").parse().expect("a rid")
}

/// An entry with what it changed.
struct Made {
    entry: Entry,
    body: Body,
    changes: Changes,
    effects: &'static [u8],
    targets: Vec<u8>,
}

impl Made {
    fn record(&self) -> Record<'_> {
        let Self { entry, body, changes, effects, targets } = self;
        Record { entry, body, changes, effects, targets }
    }
}

/// The rows of a table, as text.
fn rows<K: redb::Key + 'static, V: redb::Value + 'static>(
    view: &View,
    table: TableDefinition<'_, K, V>,
) -> Vec<String> {
    let table = view.db.begin_read().expect("reads").open_table(table).expect("opens");
    let row = |row: Result<(redb::AccessGuard<'_, K>, redb::AccessGuard<'_, V>), _>| {
        let (key, value) = row.expect("a row");
        format!("{:?} = {:?}", key.value(), value.value())
    };
    table.iter().expect("reads").map(row).collect()
}

/// Every table but `identity` and `finals`.
fn tables_of(view: &View) -> [(&'static str, Vec<String>); 11] {
    [
        ("entries", rows(view, tables::ENTRIES)),
        ("effects", rows(view, tables::EFFECTS)),
        ("values", rows(view, tables::VALUES)),
        ("undo", rows(view, tables::UNDO)),
        ("decisions", rows(view, tables::DECISIONS)),
        ("decided", rows(view, tables::DECIDED)),
        ("withdrawals", rows(view, tables::WITHDRAWALS)),
        ("deliveries", rows(view, tables::DELIVERIES)),
        ("locks", rows(view, tables::LOCKS)),
        ("waiters", rows(view, tables::WAITERS)),
        ("meta and open", [rows(view, tables::META), rows(view, tables::OPEN)].concat()),
    ]
}

/// Finals as far back as undo records are kept, and the newest of each target: older ones go sooner in a run.
fn finals_of(view: &View, head: u64) -> Vec<(String, u64)> {
    let table = view.db.begin_read().expect("reads").open_table(tables::FINALS).expect("opens");
    let mut all = BTreeMap::<String, Vec<u64>>::new();
    for row in table.iter().expect("reads") {
        let (key, _) = row.expect("a row");
        let (target, seq) = key.value();
        all.entry(target.to_owned()).or_default().push(seq);
    }
    let is_kept = |seq, newest| seq == newest || seq + UNDO_ENTRIES >= head;
    let kept = all.into_iter().flat_map(|(target, seqs)| {
        let newest = seqs.last().copied().unwrap_or_default();
        seqs.into_iter().filter(move |seq| is_kept(*seq, newest)).map(move |seq| (target.clone(), seq))
    });
    kept.collect()
}

fn decision(seq: u64, delivered: Option<&str>) -> Decision {
    Decision {
        tenant: "demo".to_owned(),
        fp: Digest::ZERO,
        seq,
        outcome: "APPLIED".to_owned(),
        code: None,
        delivered: delivered.map(str::to_owned),
        reverted: None,
    }
}

/// What entry `seq` changes: values that several entries change, decisions of its own and new states of older ones, rows of
/// deliveries that shrink and go, lists of withdrawals that grow, finals.
fn changes(
    random: &mut Random,
    seq: u64,
    state: &mut BTreeMap<String, Vec<u8>>,
    withdrawn: &mut BTreeMap<u64, Vec<Withdrawal>>,
) -> Changes {
    let mut changes = Changes::default();
    for _ in 0..random.below(4) {
        let key = format!("key/{}", random.below(6));
        if changes.values.contains_key(&key) {
            continue;
        }
        let before = state.get(&key).cloned();
        let after = (before.is_none() || !random.is_one_in(3)).then(|| seq.to_le_bytes().to_vec());
        match &after {
            Some(after) => state.insert(key.clone(), after.clone()),
            None => state.remove(&key),
        };
        changes.values.insert(key, ValueChange { before, after });
    }
    // Request n is decided by entry n, its row of deliveries is that entry's.
    changes.decisions.insert(rid(seq), decision(seq, None));
    changes.deliveries.insert(seq, Some(row(&["base", "op"], &[([1; 16], &["base", "op"])])));
    for old in (1..seq).rev().take(6) {
        if !random.is_one_in(3) {
            continue;
        }
        changes.decisions.insert(rid(old), decision(old, Some("completed")));
        let left = [None, Some(row(&["op"], &[])), Some(row(&["base", "op"], &[]))];
        let left = left[usize::try_from(random.below(3)).expect("small")].clone();
        changes.deliveries.insert(old, left);
        let target = if random.is_one_in(2) { "base" } else { "op" };
        changes.finals.insert((name(target), old));
    }
    if random.is_one_in(3) {
        let of = random.below(seq) + 1;
        let list = withdrawn.entry(of).or_default();
        list.push(Withdrawal {
            source: "node".to_owned(),
            identity: None,
            block: seq,
            block_hash: Digest::ZERO,
            pointer: String::new(),
            seq,
            time_ms: seq,
        });
        changes.withdrawals.insert(rid(of), list.clone());
    }
    changes
}

#[test]
fn a_run_leaves_the_tables_that_its_entries_leave_one_by_one() {
    for seed in 0..8 {
        let (mut random, mut single, run) = (Random(seed), Bed::new(UNDO_ENTRIES), Bed::new(UNDO_ENTRIES));
        let (mut state, mut withdrawn) = (BTreeMap::new(), BTreeMap::new());
        let mut seq = 0;
        for _ in 0..12 {
            let mut entries = Vec::new();
            for _ in 0..=random.below(8) {
                seq += 1;
                let (entry, body) = single.entry(seq);
                single.last = entry.digest;
                let changes = changes(&mut random, seq, &mut state, &mut withdrawn);
                let effects: &[u8] = if random.is_one_in(4) { b"{}" } else { b"" };
                let targets = seq.to_string().into_bytes();
                entries.push(Made { entry, body, changes, effects, targets });
            }
            for made in &entries {
                single.view.write(&made.record()).expect("writes");
            }
            let records: Vec<Record<'_>> = entries.iter().map(Made::record).collect();
            run.view.write_run(&records).expect("writes");
            for (expected, found) in tables_of(&single.view).into_iter().zip(tables_of(&run.view)) {
                assert_eq!(expected, found, "seed {seed}, {} entries up to {seq}", entries.len());
            }
            let finals = finals_of(&single.view, seq);
            assert_eq!(
                finals,
                finals_of(&run.view, seq),
                "seed {seed}, {} entries up to {seq}",
                entries.len()
            );
        }
        // The rows themselves, against what the entries were.
        let values = run.snapshot();
        for key in (0..6).map(|number| format!("key/{number}")) {
            assert_eq!(values.value(&key).expect("reads").as_ref(), state.get(&key), "seed {seed}: {key}");
        }
        let newest_undone = rows(&run.view, tables::UNDO).len();
        assert!((1..=5).contains(&newest_undone), "seed {seed}: {newest_undone} undo records");
    }
}

#[test]
fn a_run_in_which_an_entry_does_not_follow_the_one_before_is_not_written_at_all() {
    let changes = Changes::default();
    for (what, seq, is_chained) in [("another prev", 2, false), ("a hole", 3, true), ("a repeat", 1, true)] {
        let mut bed = Bed::new(UNDO_ENTRIES);
        let first = bed.entry(1);
        if is_chained {
            bed.last = first.0.digest;
        }
        let second = bed.entry(seq);
        let run = [record(&first.0, &first.1, &changes), record(&second.0, &second.1, &changes)];
        let written = bed.view.write_run(&run);
        let refused = matches!(written, Err(ViewError::NotNext { seq: at, head: 1 }) if at == seq);
        assert!(refused, "{what}: {written:?}");
        assert!(bed.view.archive_head().expect("reads").is_none(), "{what}");
        assert_eq!(bed.snapshot().head().expect("reads").seq, 0, "{what}");
        // The same first entry, with the one that does follow it.
        bed.last = first.0.digest;
        let second = bed.entry(2);
        let run = [record(&first.0, &first.1, &changes), record(&second.0, &second.1, &changes)];
        bed.view.write_run(&run).expect("writes");
    }
}
