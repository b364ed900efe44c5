//! The kept versions: which are there, what they cost, when they go.

use std::sync::Weak;

use super::super::{History, HistoryError, HistoryLimits};
use super::*;

const WIDE: HistoryLimits = HistoryLimits { versions_max: 4096, nodes_max: usize::MAX };

fn key(n: u64) -> Digest {
    Digest::of(&[&n.to_be_bytes()])
}

fn set(n: u64, value: u64) -> LeafWrite {
    LeafWrite { key_hash: key(n), value_hash: Some(key(value)) }
}

/// One entry after the other, entry `seq` writing `seq` into two keys; returns each entry's root.
fn run(history: &mut History, entries: u64) -> Vec<(u64, Digest)> {
    let mut roots = vec![(history.newest_seq(), history.newest().root())];
    for _ in 0..entries {
        let seq = history.newest_seq() + 1;
        let update = history.newest().update(&[set(seq % 7, seq), set(seq, seq)]);
        roots.push((seq, update.tree.root()));
        history.push(seq, update).expect("the next entry");
    }
    roots
}

fn kept(history: &History) -> impl Iterator<Item = &Tree> {
    (history.oldest_seq()..=history.newest_seq()).map(|seq| history.at(seq).expect("kept"))
}

/// The nodes that the count stands for, counted one by one.
fn nodes_of_older(history: &History) -> usize {
    nodes(kept(history)).len() - nodes([history.newest()]).len()
}

#[test]
fn each_kept_entry_has_its_root_and_no_other_entry_has_one() {
    let mut history = History::new(40, Tree::from_leaves([(key(1), key(2))]), WIDE);
    let roots = run(&mut history, 30);
    for (seq, root) in roots {
        assert_eq!(history.at(seq).map(Tree::root), Some(root), "entry {seq}");
    }
    assert!(history.at(39).is_none());
    assert!(history.at(71).is_none());
    assert!(history.at(0).is_none());
    assert!(history.at(u64::MAX).is_none());
}

#[test]
fn an_entry_without_writes_has_the_root_of_the_one_before() {
    let mut history = History::new(0, Tree::from_leaves([(key(1), key(2))]), WIDE);
    let update = history.newest().update(&[]);
    history.push(1, update).expect("the next entry");
    assert_eq!(history.at(0).map(Tree::root), history.at(1).map(Tree::root));
    assert_eq!(history.nodes(), 0);
}

#[test]
fn the_oldest_versions_beyond_the_count_are_dropped_and_their_nodes_freed() {
    let limits = HistoryLimits { versions_max: 5, nodes_max: usize::MAX };
    let mut history = History::new(0, Tree::from_leaves([(key(1), key(2)), (key(3), key(4))]), limits);
    let Link::Internal(top) = &history.newest().top else { panic!("two leaves have a node above") };
    let first: Weak<_> = Arc::downgrade(top);
    run(&mut history, 4);
    assert_eq!(history.oldest_seq(), 0);
    assert!(first.upgrade().is_some());
    run(&mut history, 1);
    assert_eq!((history.oldest_seq(), history.newest_seq()), (1, 5));
    assert!(history.at(0).is_none());
    assert!(first.upgrade().is_none(), "the nodes of a dropped version are still there");
    run(&mut history, 1000);
    assert_eq!((history.oldest_seq(), history.newest_seq()), (1001, 1005));
    assert_eq!(history.nodes(), nodes_of_older(&history));
}

#[test]
fn versions_beyond_the_bound_of_nodes_are_dropped_and_the_newest_never() {
    let limits = HistoryLimits { versions_max: 4096, nodes_max: 100 };
    let mut history = History::new(0, Tree::from_leaves((0..200).map(|n| (key(n), key(0)))), limits);
    for _ in 0..50 {
        run(&mut history, 1);
        assert!(history.nodes() <= 100);
        assert_eq!(history.nodes(), nodes_of_older(&history));
    }
    assert!(history.oldest_seq() > 40 && history.oldest_seq() < 50, "{}", history.oldest_seq());

    // One entry that touches everything exceeds the bound alone: only its own version is left.
    let everything: Vec<_> = (0..200).map(|n| set(n, 9999)).collect();
    let update = history.newest().update(&everything);
    let root = update.tree.root();
    history.push(51, update).expect("the next entry");
    assert_eq!((history.oldest_seq(), history.newest_seq(), history.nodes()), (51, 51, 0));
    assert_eq!(history.at(51).map(Tree::root), Some(root));
}

#[test]
fn limits_of_zero_keep_the_newest_version() {
    let mut history = History::new(0, Tree::new(), HistoryLimits { versions_max: 0, nodes_max: 0 });
    let roots = run(&mut history, 3);
    assert_eq!(history.at(3).map(Tree::root), Some(roots[3].1));
    assert_eq!(history.oldest_seq(), 3);
}

#[test]
fn an_entry_out_of_turn_is_refused_and_changes_nothing() {
    let mut history = History::new(7, Tree::new(), WIDE);
    for seq in [7, 9, 0] {
        let update = history.newest().update(&[set(1, 1)]);
        assert_eq!(history.push(seq, update), Err(HistoryError::NotNext { seq, newest: 7 }));
    }
    assert_eq!((history.oldest_seq(), history.newest_seq()), (7, 7));
    let mut last = History::new(u64::MAX, Tree::new(), WIDE);
    let update = last.newest().update(&[]);
    assert!(last.push(0, update).is_err());
}

#[test]
fn an_update_of_another_version_is_refused() {
    let mut history = History::new(0, Tree::new(), WIDE);
    let stale = history.newest().update(&[set(1, 1)]);
    run(&mut history, 1);
    let newest = history.newest().root();
    let base = Tree::new().root();
    assert_eq!(history.push(2, stale), Err(HistoryError::OtherBase { seq: 2, base, newest }));
}

#[test]
fn updates_made_ahead_of_each_other_may_be_added_in_order() {
    let mut history = History::new(0, Tree::new(), WIDE);
    let first = history.newest().update(&[set(1, 1)]);
    let second = first.tree.update(&[set(2, 2)]);
    let root = second.tree.root();
    history.push(1, first).expect("the next entry");
    history.push(2, second).expect("the next entry");
    assert_eq!(history.newest().root(), root);
}

proptest! {
    #[test]
    fn undo_records_bring_every_older_root_back_after_a_start(script in scripts()) {
        let mut history = History::new(0, Tree::new(), WIDE);
        let mut undos = Vec::new();
        for writes in &script.versions {
            let update = history.newest().update(&leaf_writes(writes));
            undos.push(history.push(history.newest_seq() + 1, update).expect("the next entry"));
        }
        prop_assert_eq!(history.nodes(), nodes_of_older(&history));

        let mut restored = History::new(history.newest_seq(), history.newest().clone(), WIDE);
        for undo in undos.iter().rev() {
            let seq = restored.oldest_seq() - 1;
            let root = history.at(seq).map(Tree::root).expect("kept");
            let other = key(u64::MAX);
            prop_assert_eq!(
                restored.extend_back(undo, other),
                Err(HistoryError::OtherRoot { seq, stated: other, computed: root })
            );
            prop_assert_eq!(restored.extend_back(undo, root), Ok(Some(seq)));
            prop_assert_eq!(restored.nodes(), nodes_of_older(&restored));
        }
        prop_assert_eq!(restored.oldest_seq(), 0);
        for seq in 0..=history.newest_seq() {
            prop_assert_eq!(restored.at(seq).map(Tree::root), history.at(seq).map(Tree::root));
        }
    }
}

#[test]
fn undo_records_newest_first_lead_back_beyond_what_is_kept_in_one_batch() {
    let limits = HistoryLimits { versions_max: 10, nodes_max: usize::MAX };
    let mut history = History::new(0, Tree::new(), limits);
    let (mut roots, mut undos) = (vec![history.newest().root()], Vec::new());
    for seq in 1..=40 {
        let update = history.newest().update(&[set(seq % 7, seq), set(seq, seq)]);
        roots.push(update.tree.root());
        undos.push(history.push(seq, update).expect("the next entry"));
    }
    assert_eq!(history.oldest_seq(), 31);
    for wanted in [0, 5, 30] {
        let batch: Vec<LeafWrite> = undos[wanted..31].iter().rev().flatten().copied().collect();
        assert_eq!(history.oldest().update(&batch).tree.root(), roots[wanted], "entry {wanted}");
    }
}

#[test]
fn undo_records_without_room_are_refused() {
    let mut history = History::new(0, Tree::new(), WIDE);
    let update = history.newest().update(&[set(1, 1)]);
    let undo = history.push(1, update).expect("the next entry");
    let update = history.newest().update(&[set(2, 2), set(3, 3)]);
    let undo_of_two = history.push(2, update).expect("the next entry");

    let newest = history.newest().clone();
    let root = |seq| history.at(seq).map(Tree::root).expect("kept");
    let of =
        |versions_max, nodes_max| History::new(2, newest.clone(), HistoryLimits { versions_max, nodes_max });
    assert_eq!(of(1, 1000).extend_back(&undo_of_two, root(1)), Ok(None));
    let mut two = of(2, 1000);
    assert_eq!(two.extend_back(&undo_of_two, root(1)), Ok(Some(1)));
    assert_eq!(two.extend_back(&undo, root(0)), Ok(None));
    assert_eq!(two.oldest_seq(), 1);
    let mut nothing_before = History::new(0, Tree::new(), WIDE);
    assert_eq!(nothing_before.extend_back(&[], root(0)), Ok(None));
}

#[test]
fn undo_records_beyond_the_bound_of_nodes_are_refused() {
    let tree = Tree::from_leaves((0..64).map(|n| (key(n), key(0))));
    let depth = tree.prove(&key(5)).siblings.len();
    let root = tree.update(&[set(5, 1)]).tree.root();
    let of = |nodes_max| History::new(9, tree.clone(), HistoryLimits { versions_max: 10, nodes_max });
    assert_eq!(of(depth).extend_back(&[set(5, 1)], root), Ok(None));
    assert_eq!(of(depth + 1).extend_back(&[set(5, 1)], root), Ok(Some(8)));
}
