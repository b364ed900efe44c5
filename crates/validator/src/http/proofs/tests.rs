use std::sync::Arc;

use common::entry::{Entry, InputStream};
use common::message::Body;
use serde_json::{Value, json};

use super::*;
use crate::engine::{Engine, Stamp};
use crate::old_roots::Step;
use crate::shard::bed::{Ground, collected, input, targets};

/// A shard as a sequencer leaves it, and what it needs to live.
struct Bed {
    state: Arc<ShardState>,
    _ground: Ground,
}

impl Bed {
    /// Entries: targets, REGISTER, and four MINTs.
    async fn new() -> Self {
        let ground = Ground::new(&"test".parse().expect("a name")).await;
        let bed = Self { state: ground.shard("v.redb"), _ground: ground };
        let base = targets(&json!([{"name": "base", "kind": "null"}]));
        bed.commit(InputStream::Local, Body::Targets(base));
        bed.request(&json!({"kind": "REGISTER", "decimals": 2, "chains": ["base"]}));
        for _ in 0..4 {
            bed.request(&json!({"kind": "MINT", "to": "acct:alice", "amount": "1"}));
        }
        bed
    }

    fn request(&self, change: &Value) {
        self.commit(InputStream::In, collected(change).1);
    }

    fn commit(&self, stream: InputStream, body: Body) {
        let plan = Engine::read(vec![input(stream, "1-0", body)]);
        let loaded = self.state.view.load(plan.needs()).expect("loads");
        let stamp = Stamp { epoch: 1, node: "validator-1".to_owned(), time_ms: 1 };
        let batch = self.state.engine().run(plan, loaded, stamp).expect("runs");
        let entry = Entry::seal(self.state.now().digest, &batch.body);
        let committed = crate::pipeline::accept(&self.state, entry, batch).expect("follows");
        crate::writer::write(&self.state, &[Arc::new(committed)]).expect("writes");
    }

    /// The same from the database alone.
    fn restart(&self) {
        crate::replay::restore(&self.state).expect("restores");
        assert_eq!(self.state.engine().history().oldest_seq(), 6, "a start has one version");
    }

    fn tree_at(&self, seq: u64, rebuilt: Option<&mut Option<Rebuilt>>) -> Result<Option<Tree>, Problem> {
        tree_at(&self.state, &self.state.view.snapshot().expect("a snapshot"), seq, rebuilt)
    }

    fn root_of(&self, seq: u64) -> common::hash::Digest {
        self.state.view.root_of(seq).expect("reads")
    }
}

#[tokio::test]
async fn a_tree_that_is_not_in_memory_waits_for_its_turn_and_the_last_rebuilt_one_is_kept() {
    let bed = Bed::new().await;
    bed.restart();
    assert!(bed.tree_at(6, None).expect("the newest").is_some(), "what is in memory needs no turn");
    assert!(bed.tree_at(3, None).expect("known").is_none());
    let mut kept = None;
    let tree = bed.tree_at(3, Some(&mut kept)).expect("rebuilt").expect("a tree");
    assert_eq!(tree.root(), bed.root_of(3));
    // Without undo records nothing can be rebuilt any more, and nothing is proved against another root.
    bed.state.view.clear().expect("clears");
    let again = bed.tree_at(3, Some(&mut kept)).expect("kept").expect("a tree");
    assert_eq!(again.root(), bed.root_of(3));
    assert_eq!(bed.tree_at(4, Some(&mut kept)).err().map(|problem| problem.status), Some(500));
    assert!(kept.is_none(), "its memory was given back before the next one was begun");
}

#[tokio::test]
async fn old_roots_come_back_step_by_step_until_the_first_one() {
    let bed = Bed::new().await;
    bed.restart();
    for _ in 0..6 {
        assert_eq!(crate::old_roots::step(&bed.state).expect("steps"), Step::Extended);
    }
    assert_eq!(crate::old_roots::step(&bed.state).expect("steps"), Step::Done);
    for seq in 0..=6 {
        let tree = bed.tree_at(seq, None).expect("known").expect("in memory");
        assert_eq!(tree.root(), bed.root_of(seq), "entry {seq}");
    }
}

#[tokio::test]
async fn an_undo_record_that_does_not_lead_to_the_stated_root_brings_nothing_back() {
    let bed = Bed::new().await;
    bed.restart();
    bed.state.view.clear().expect("clears");
    // A view that ends where it did, without undo records: as if one had been lost.
    let refused = bed.state.engine_mut().restore_older(&[], bed.root_of(5));
    assert!(refused.is_err());
    assert_eq!(bed.state.engine().history().oldest_seq(), 6);
}
