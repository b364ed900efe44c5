//! The invariants of the module head: shape from content alone, sharing, bounded depth, small nodes.

use common::proof::{Leaf, Membership, PLACEHOLDER};

use super::super::node::Internal;
use super::*;

fn key(n: u64) -> Digest {
    Digest::of(&[&n.to_be_bytes()])
}

fn write(key_hash: Digest, value: Option<&str>) -> LeafWrite {
    LeafWrite { key_hash, value_hash: value.map(|value| value_hash(value.as_bytes())) }
}

/// Leaves and their depths, from left to right.
fn layout(tree: &Tree) -> Vec<(Digest, Digest, usize)> {
    fn walk(link: &Link, depth: usize, found: &mut Vec<(Digest, Digest, usize)>) {
        match link {
            Link::Empty => {}
            Link::Leaf(leaf) => found.push((leaf.key_hash, leaf.value_hash, depth)),
            Link::Internal(node) => {
                walk(&node.left, depth + 1, found);
                walk(&node.right, depth + 1, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(&tree.top, 0, &mut found);
    found
}

proptest! {
    #[test]
    fn the_same_leaves_give_the_same_tree_whatever_the_history(script in scripts(), order in any::<u64>()) {
        let mut model = Model::default();
        let (mut batched, mut single) = (Tree::new(), Tree::new());
        for writes in &script.versions {
            model.apply(writes);
            batched = batched.update(&leaf_writes(writes)).tree;
            for write in leaf_writes(writes) {
                single = single.update(&[write]).tree;
            }
        }
        let mut leaves = model.leaves();
        let built = Tree::from_leaves(leaves.clone());
        leaves.sort_by_key(|(key, _)| Digest::of(&[&order.to_be_bytes(), &key.0]));
        let shuffled = Tree::from_leaves(leaves);
        for tree in [&single, &built, &shuffled] {
            prop_assert_eq!(tree.root(), batched.root());
            prop_assert_eq!(layout(tree), layout(&batched));
        }
    }

    #[test]
    fn the_undo_record_leads_back_and_names_only_what_changed(script in scripts()) {
        let mut tree = Tree::new();
        let mut model = Model::default();
        for writes in &script.versions {
            let before = model.clone();
            model.apply(writes);
            let update = tree.update(&leaf_writes(writes));
            let changed = script.keys.iter().filter(|key| before.values.get(*key) != model.values.get(*key));
            let expected: Vec<LeafWrite> = changed
                .map(|key| LeafWrite { key_hash: *key, value_hash: before.values.get(key).map(|value| value_hash(value)) })
                .collect();
            prop_assert_eq!(&update.undo, &expected);
            let back = update.tree.update(&update.undo);
            prop_assert_eq!(layout(&back.tree), layout(&tree));
            prop_assert_eq!(back.tree.root(), tree.root());
            tree = update.tree;
        }
    }

    #[test]
    fn an_update_shares_all_nodes_that_it_need_not_change_and_counts_the_others(script in scripts()) {
        let mut tree = Tree::new();
        for writes in &script.versions {
            let update = tree.update(&leaf_writes(writes));
            let (old, new) = (nodes([&tree]), nodes([&update.tree]));
            prop_assert_eq!(update.retired, old.difference(&new).count());
            prop_assert_eq!(update.created, new.difference(&old).count());
            tree = update.tree;
        }
    }
}

#[test]
fn one_write_replaces_only_the_nodes_of_its_path() {
    let tree = Tree::from_leaves((0..4096).map(|n| (key(n), value_hash(b"old"))));
    let update = tree.update(&[write(key(17), Some("new"))]);
    let depth = tree.prove(&key(17)).siblings.len();
    assert_eq!((update.retired, update.created), (depth + 1, depth + 1));
}

#[test]
fn writes_that_change_nothing_give_the_same_nodes() {
    let tree = Tree::from_leaves((0..100).map(|n| (key(n), value_hash(b"same"))));
    let same: Vec<_> = (0..100)
        .map(|n| write(key(n), Some("same")))
        .chain((200..300).map(|n| write(key(n), None)))
        .collect();
    let update = tree.update(&same);
    assert!(update.tree.top.is(&tree.top));
    assert_eq!((update.undo.len(), update.retired, update.created), (0, 0, 0));
    assert!(tree.update(&[]).tree.top.is(&tree.top));
}

#[test]
fn of_several_writes_of_one_key_the_last_counts() {
    let writes = [
        write(key(1), Some("a")),
        write(key(2), Some("x")),
        write(key(1), None),
        write(key(1), Some("b")),
        write(key(2), None),
    ];
    let update = Tree::new().update(&writes);
    assert_eq!(update.tree.get(&key(1)), Some(value_hash(b"b")));
    assert_eq!(update.tree.get(&key(2)), None);
    assert_eq!(update.undo, [write(key(1), None)]);
    let built = Tree::from_leaves([(key(1), value_hash(b"a")), (key(1), value_hash(b"b"))]);
    assert_eq!(built.root(), update.tree.root());
}

#[test]
fn an_old_version_stays_whole_while_it_is_held() {
    let old = Tree::from_leaves((0..50).map(|n| (key(n), value_hash(b"old"))));
    let (root, before) = (old.root(), layout(&old));
    let emptied = old.update(&(0..50).map(|n| write(key(n), None)).collect::<Vec<_>>()).tree;
    assert_eq!(emptied.root(), PLACEHOLDER);
    assert_eq!((old.root(), layout(&old)), (root, before));
    assert_eq!(old.get(&key(49)), Some(value_hash(b"old")));
}

#[test]
fn keys_that_share_255_bits_need_little_stack_to_add_prove_remove_and_drop() {
    let twin = |last_bit: u8| {
        let mut key = key(1);
        key.0[31] = (key.0[31] & 0xfe) | last_bit;
        key
    };
    let work = move || {
        let alone = Tree::from_leaves([(twin(0), value_hash(b"a"))]);
        let both = alone.update(&[write(twin(1), Some("b"))]).tree;
        let path = both.prove(&twin(1));
        assert_eq!(path.siblings.len(), 256);
        assert_eq!(path.verify(&both.root(), &twin(1), Some(&value_hash(b"b"))), Ok(Membership::Present));
        let again = both.update(&[write(twin(1), None)]).tree;
        drop(both);
        assert_eq!(again.prove(&twin(1)).siblings.len(), 0);
        assert_eq!(again.root(), alone.root());
    };
    // Unoptimised frames are several times larger than those of a release; threads have 2 MiB.
    std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(work)
        .expect("a thread")
        .join()
        .expect("no overflow");
}

#[test]
fn nodes_keep_the_size_that_the_memory_figure_rests_on() {
    assert_eq!((size_of::<Link>(), size_of::<Internal>(), size_of::<Leaf>()), (16, 64, 64));
    let size = 20_000;
    let tree = Tree::from_leaves((0..size).map(|n| (key(n), value_hash(b"v"))));
    let per_key = nodes([&tree]).len() as u64 * 96 / size;
    assert!(per_key <= 250, "{per_key} bytes per key");
}

#[test]
fn versions_may_be_read_from_other_threads() {
    const fn shared<T: Send + Sync + 'static>() {}
    const { shared::<Tree>() };
}
