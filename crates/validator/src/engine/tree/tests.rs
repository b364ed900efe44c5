//! The tree against crate `jmt` and against its own invariants.

mod contract_vectors;
mod golden;
mod history;
mod jmt_oracle;
mod proofs;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::hash::Digest;
use common::proof::value_hash;
use proptest::collection::vec;
use proptest::prelude::*;

use super::node::Link;
use super::{LeafWrite, Tree};

/// A key and its new value bytes, `None` to remove it.
type Write = (Digest, Option<Vec<u8>>);

fn leaf_writes(writes: &[Write]) -> Vec<LeafWrite> {
    writes
        .iter()
        .map(|(key_hash, value)| LeafWrite {
            key_hash: *key_hash,
            value_hash: value.as_deref().map(value_hash),
        })
        .collect()
}

/// A few keys and batches of writes over them. Half of the keys branch off another one at a random depth,
/// so that long shared prefixes, deep splits and deep collapses are common.
#[derive(Debug, Clone)]
struct Script {
    keys: Vec<Digest>,
    versions: Vec<Vec<Write>>,
}

fn scripts() -> impl Strategy<Value = Script> {
    let seed = (any::<[u8; 32]>(), any::<bool>(), any::<prop::sample::Index>(), 0..256_usize);
    vec(seed, 2..24).prop_map(clustered).prop_flat_map(|keys| {
        let value = prop_oneof![2 => vec(any::<u8>(), 0..3).prop_map(Some), 1 => Just(None)];
        let write = (prop::sample::select(keys.clone()), value);
        vec(vec(write, 0..12), 1..12).prop_map(move |versions| Script { keys: keys.clone(), versions })
    })
}

fn clustered(seeds: Vec<([u8; 32], bool, prop::sample::Index, usize)>) -> Vec<Digest> {
    let mut keys: Vec<Digest> = Vec::new();
    for (bytes, alone, parent, depth) in seeds {
        let mut key = Digest(bytes);
        if !alone && !keys.is_empty() {
            key = keys[parent.index(keys.len())];
            key.0[depth / 8] ^= 0x80 >> (depth % 8);
        }
        keys.push(key);
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// What the leaves are after each version, kept the plain way.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    values: BTreeMap<Digest, Vec<u8>>,
}

impl Model {
    fn apply(&mut self, writes: &[Write]) {
        for (key, value) in writes {
            match value {
                Some(value) => drop(self.values.insert(*key, value.clone())),
                None => drop(self.values.remove(key)),
            }
        }
    }

    fn leaves(&self) -> Vec<(Digest, Digest)> {
        self.values.iter().map(|(key, value)| (*key, value_hash(value))).collect()
    }
}

/// The addresses of all nodes of these trees, each once.
fn nodes<'a>(trees: impl IntoIterator<Item = &'a Tree>) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut links: Vec<&Link> = trees.into_iter().map(|tree| &tree.top).collect();
    while let Some(link) = links.pop() {
        match link {
            Link::Empty => {}
            Link::Leaf(leaf) => drop(seen.insert(Arc::as_ptr(leaf).addr())),
            Link::Internal(node) => {
                if seen.insert(Arc::as_ptr(node).addr()) {
                    links.extend([&node.left, &node.right]);
                }
            }
        }
    }
    seen
}
