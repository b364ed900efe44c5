use std::time::Duration;

use common::entry::InputStream;
use common::ids::Rid;
use common::message::{Body as Said, Receipt};
use common::status::Delivery;
use serde_json::{Value, json};

use super::*;
use crate::engine::{Engine, Fault, RawInput, Stamp};
use crate::shard::bed::{Ground, collected, input, targets};

struct Bed {
    shard: Arc<ShardState>,
    writer: Writer,
    _ground: Ground,
}

fn message(said: Said) -> Vec<RawInput> {
    let (stream, id) = match &said {
        Said::Targets(_) => (InputStream::Local, ""),
        Said::Receipt(_) => (InputStream::Receipts, "1-0"),
        _ => (InputStream::In, "1-0"),
    };
    vec![input(stream, id, said)]
}

fn request(change: &Value) -> (Rid, Vec<RawInput>) {
    let (rid, said) = collected(change);
    (rid, message(said))
}

fn mint() -> (Rid, Vec<RawInput>) {
    request(&json!({"kind": "MINT", "to": "acct:alice", "amount": "1"}))
}

impl Bed {
    /// The view has two entries: targets and REGISTER.
    async fn new() -> Self {
        let ground = Ground::new(&"test".parse().expect("a name")).await;
        let shard = ground.shard("v.redb");
        let writer = Writer::new(Arc::clone(&shard));
        let mut bed = Self { shard, writer, _ground: ground };
        bed.push(message(Said::Targets(targets(&json!([{"name": "base", "kind": "null"}]))))).await;
        bed.push(request(&json!({"kind": "REGISTER", "decimals": 2, "chains": ["base"]})).1).await;
        bed.writer.join().await.expect("writes");
        bed
    }

    fn decide(&mut self, inputs: Vec<RawInput>) -> Unwritten {
        let plan = Engine::read(inputs);
        let loaded = self.writer.state().expect("a state").load(plan.needs()).expect("loads");
        let stamp = Stamp { epoch: 1, node: "validator-1".to_owned(), time_ms: 1 };
        let batch = self.shard.engine().run(plan, loaded, stamp).expect("runs");
        let entry = Entry::seal(self.writer.tip(), &batch.body);
        crate::pipeline::accept(&self.shard, entry, batch).expect("follows")
    }

    async fn push(&mut self, inputs: Vec<RawInput>) {
        let committed = self.decide(inputs);
        self.writer.push(committed).await.expect("takes it");
    }

    fn balance(&self) -> Option<Vec<u8>> {
        self.shard.view.snapshot().expect("a snapshot").value("holding/bond:A/acct:alice").expect("reads")
    }
}

#[tokio::test]
async fn the_next_batch_sees_what_the_view_has_not_got_and_readers_see_neither() {
    let mut bed = Bed::new().await;
    let held = bed.shard.view.hold_writes();
    let (rid, first) = mint();
    bed.push(first).await;
    bed.push(mint().1).await;
    // The control: with the view alone the engine refuses to go on.
    let plan = Engine::read(mint().1);
    let loaded = bed.shard.view.load(plan.needs()).expect("loads");
    let stamp = Stamp { epoch: 1, node: "validator-1".to_owned(), time_ms: 1 };
    assert!(matches!(bed.shard.engine().run(plan, loaded, stamp), Err(Fault::View { .. })));

    let state = bed.writer.state().expect("a state");
    assert_eq!((state.waiting_in(3).expect("reads"), state.waiting_in(2).expect("reads")), (1, 1));
    let receipt = Receipt {
        seq: 3,
        target: "base".parse().expect("a name"),
        status: Delivery::Final,
        parts: Vec::new(),
    };
    bed.push(message(Said::Receipt(receipt))).await;
    let state = bed.writer.state().expect("a state");
    assert_eq!(state.waiting_in(3).expect("reads"), 0, "its row is gone");
    let replayed = Needs { rids: [rid].into(), ..Needs::default() };
    let decision = state.load(&replayed).expect("loads").decisions.remove(&rid).expect("decided");
    assert_eq!((decision.seq, decision.delivered.as_deref()), (3, Some("completed")));

    assert_eq!((bed.shard.now().seq, bed.shard.engine().position().seq), (2, 5));
    assert!(bed.shard.recent.get(3).is_none() && bed.balance().is_none(), "nobody else sees any of it");
    drop((held, state));
    bed.writer.join().await.expect("writes");
    let now = bed.shard.now();
    assert_eq!((now.seq, now.root), (5, bed.shard.engine().position().root));
    assert!(bed.shard.recent.get(3).is_some() && bed.balance().is_some());
    let decision = bed.shard.view.load(&replayed).expect("loads").decisions.remove(&rid).expect("decided");
    assert_eq!(decision.delivered.as_deref(), Some("completed"), "the newest of a run is what stays");
    let state = bed.writer.state().expect("a state");
    assert!(state.newer.is_empty(), "nothing is kept of what the view has");
}

#[tokio::test]
async fn what_is_to_be_undone_is_looked_for_when_the_view_has_every_entry() {
    let mut bed = Bed::new().await;
    let held = bed.shard.view.hold_writes();
    let (rid, first) = mint();
    bed.push(first).await;
    let state = bed.writer.state().expect("a state");
    let needs = Needs { undone: Some(rid), ..Needs::default() };
    assert!(
        state.load(&needs).expect("loads").past.is_none(),
        "the control: the view alone does not know it"
    );
    let mut load = Box::pin(bed.writer.load(Some(state), &needs));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut load).await.is_err(),
        "it waits for the view"
    );
    drop(held);
    let loaded = load.await.expect("loads");
    assert_eq!(loaded.past.map(|past| past.first()), Some(3));
}

#[tokio::test]
async fn no_more_than_a_few_entries_wait_for_the_view() {
    let mut bed = Bed::new().await;
    let held = bed.shard.view.hold_writes();
    for _ in 0..ENTRIES_MAX {
        bed.push(mint().1).await;
    }
    let one_more = bed.decide(mint().1);
    {
        let mut push = Box::pin(bed.writer.push(one_more));
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut push).await.is_err(),
            "it waits for room"
        );
        drop(held);
        push.await.expect("takes it");
    }
    bed.writer.join().await.expect("writes");
    assert_eq!(bed.shard.now().seq, 3 + u64::from(ENTRIES_MAX));
}

#[tokio::test]
async fn a_view_that_cannot_be_written_is_told_and_takes_nothing_any_more() {
    let mut bed = Bed::new().await;
    let mut stray = bed.decide(mint().1);
    stray.entry.prev = Digest::ZERO;
    bed.writer.push(stray).await.expect("takes it");
    let refused = bed.writer.join().await;
    assert!(matches!(refused, Err(Failure::View(ViewError::NotNext { seq: 3, head: 2 }))), "{refused:?}");
    let next = bed.decide(mint().1);
    assert!(bed.writer.push(next).await.is_err());
    assert_eq!(bed.shard.now().seq, 2, "nobody was told of it");
}
