//! A leader whose view is behind: what it asks of the view, it asks once the view has every entry.

use std::time::{Duration, Instant};

use common::admin::{Health, Readiness};
use common::ids::Shard;
use common::keys::Keys;
use common::link::{Leased, SendTo, Sent, Token};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::{BLOCK, Book, Duties, Rate};
use super::*;
use crate::config::{LeaseSettings, StandInSettings};
use crate::lease::Lead;
use crate::peers::Peers;
use crate::pipeline::{self, Maker, Step};
use crate::sequencer::turn::Turn;
use crate::shard::bed::{Ground, collected, input, targets};
use crate::threads::Threads;
use crate::writer::Writer;

const LEASE: LeaseSettings = LeaseSettings { ttl_ms: 600_000, renew_ms: 1_000 };

/// A leader that is not under way: the tests take its turns.
struct Bed {
    runner: Runner,
    fence: Fence,
    file: watch::Sender<Arc<Targets>>,
    ground: Ground,
    _stop: watch::Sender<bool>,
}

fn base_and_op() -> Targets {
    targets(&json!([{"name": "base", "kind": "null"}, {"name": "op", "kind": "null"}]))
}

fn base_without_op() -> Targets {
    targets(&json!([{"name": "base", "kind": "null"}, {"name": "op", "kind": "null", "retired": true}]))
}

fn request(change: &Value) -> RawInput {
    // It came just now, so that its time to live is not over.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    input(InputStream::In, &format!("{}-0", now.as_millis()), collected(change).1)
}

fn mint() -> RawInput {
    request(&json!({"kind": "MINT", "to": "acct:alice", "amount": "1"}))
}

impl Bed {
    /// The log has two entries, and so has the view: targets and REGISTER on both.
    async fn new() -> Self {
        let node = "validator-1".parse::<common::ids::Name>().expect("a name");
        let ground = Ground::new(&node).await;
        let shard = ground.shard("v.redb");
        crate::replay::check_generation(&shard).await.expect("a first generation");
        let token = Token::random();
        let leased = shard.link.lease(&node, &token, LEASE.ttl_ms, 0).await.expect("answers");
        let Leased::New { epoch, .. } = leased else { panic!("{leased:?}") };
        let fence = Fence { epoch, token };
        let ttl = Duration::from_millis(LEASE.ttl_ms);
        shard.lead(Lead { fence: fence.clone(), renewed: Instant::now(), ttl });
        let (file, targets) = watch::channel(Arc::new(base_and_op()));
        let (stopper, stop) = watch::channel(false);
        let duties = Duties {
            node: node.clone(),
            targets,
            lease: LEASE,
            peers: Peers::new(node, None).expect("a client"),
            readiness: Readiness::new(),
            stand_in: StandInSettings::default(),
            crew: Threads::of_this_machine(),
            stop,
        };
        let runner = Runner {
            tenure: shard.watch_tenure(),
            reader: shard.link.reader(BLOCK),
            writer: Writer::new(Arc::clone(&shard)),
            shard,
            duties,
            round: 0,
            rate: Rate::new(),
            refused: None,
            settled: None,
            suspect: None,
            turn: Turn::default(),
            book: Book::default(),
            now_ms: 0,
            has_fed: false,
        };
        let mut bed = Self { runner, fence, file, ground, _stop: stopper };
        let first = bed.runner.own_facts().await.expect("facts").expect("the file differs from the log");
        assert_eq!(bed.make(first).await, Step::Committed);
        let register = request(&json!({"kind": "REGISTER", "decimals": 2, "chains": ["base", "op"]}));
        assert_eq!(bed.make(Intake { inputs: vec![register], ..Intake::default() }).await, Step::Committed);
        bed.runner.writer.join().await.expect("writes");
        let open = bed.runner.shard.view.snapshot().expect("a snapshot").open_entries("op", 9);
        assert_eq!((bed.runner.shard.now().seq, open.expect("reads")), (2, vec![2]));
        bed
    }

    async fn make(&mut self, intake: Intake) -> Step {
        let Self { runner, fence, .. } = self;
        let (shard, stand_in, crew) = (&runner.shard, StandInSettings::default(), &runner.duties.crew);
        let maker = Maker { shard, fence, node: "validator-1", stand_in, crew };
        pipeline::run(&maker, &mut runner.writer, intake).await.expect("makes an entry")
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let all = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), all).await.is_ok(), "{what}");
}

#[tokio::test]
async fn what_a_retired_target_leaves_open_is_logged_once_though_the_view_is_behind() {
    let mut bed = Bed::new().await;
    bed.file.send_replace(Arc::new(base_without_op()));
    let retired = bed.runner.own_facts().await.expect("facts").expect("another list");
    assert_eq!(bed.make(retired).await, Step::Committed);
    let receipts = bed.runner.own_facts().await.expect("facts").expect("one is open");
    assert_eq!(receipts.inputs.len(), 1);
    let held = bed.runner.shard.view.hold_writes();
    assert_eq!(bed.make(receipts).await, Step::Committed);
    assert_eq!(bed.runner.shard.now().seq, 3, "the view has not got the receipt");
    let open = bed.runner.shard.view.snapshot().expect("a snapshot").open_entries("op", 9).expect("reads");
    assert_eq!(open, [2], "the control: by the view it is still to come");
    let (again, ()) = tokio::join!(bed.runner.own_facts(), async { drop(held) });
    assert!(again.expect("facts").is_none(), "it is not logged a second time");
    assert_eq!(bed.runner.shard.now().seq, 4);
}

#[tokio::test]
async fn effects_are_in_the_view_before_the_next_turn_looks_for_them() {
    let mut bed = Bed::new().await;
    let started = bed.runner.shard.view.snapshot().expect("a snapshot").effects().expect("reads");
    for (seq, _) in &started {
        bed.runner.shard.view.effects_done(*seq).expect("done");
    }
    bed.runner.shard.view.no_effects_left();
    let list = ["base", "op", "more"].map(|name| json!({ "name": name, "kind": "null" }));
    bed.file.send_replace(Arc::new(targets(&json!(list))));
    let facts = bed.runner.own_facts().await.expect("facts").expect("another list");
    let shard = Arc::clone(&bed.runner.shard);
    let link = bed.ground.commands.shard(Shard::Financial);
    let held = shard.view.hold_writes();
    let made = async {
        assert_eq!(bed.make(facts).await, Step::Committed);
        assert_eq!(shard.now().seq, 3);
        assert!(shard.view.may_have_effects());
        let effects = shard.view.snapshot().expect("a snapshot").effects().expect("reads");
        assert_eq!(effects.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [3]);
    };
    let released = async {
        until("committed", async || link.head().await.expect("reads").seq == 3).await;
        // Time for a call that does not wait to come back.
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(held);
    };
    tokio::join!(made, released);
}

#[tokio::test]
async fn a_refused_file_is_told_once_and_no_turn_waits_for_the_view_because_of_it() {
    let mut bed = Bed::new().await;
    assert!(bed.runner.own_facts().await.expect("facts").is_none());
    let readiness = bed.runner.duties.readiness.clone();
    bed.file.send_replace(Arc::new(targets(&json!([{"name": "base", "kind": "null"}]))));
    assert!(bed.runner.own_facts().await.expect("facts").is_none());
    assert_eq!(readiness.health(), Health::NotReady);

    let state = Some(bed.runner.writer.state().expect("a state"));
    let held = bed.runner.shard.view.hold_writes();
    assert_eq!(bed.make(Intake { inputs: vec![mint()], state, ..Intake::default() }).await, Step::Committed);
    let at_once = tokio::select! {
        biased;
        facts = bed.runner.own_facts() => Some(facts.expect("facts").is_none()),
        () = std::future::ready(()) => None,
    };
    assert_eq!(at_once, Some(true), "nothing is asked of the view");
    assert_eq!((bed.runner.shard.now().seq, readiness.health()), (2, Health::NotReady));

    // Another refused list is told too, and one that follows is taken over.
    bed.file.send_replace(Arc::new(targets(&json!([{"name": "op", "kind": "null"}]))));
    readiness.set("targets.financial", Ok("as before"));
    let at_once = tokio::select! {
        biased;
        facts = bed.runner.own_facts() => Some(facts.expect("facts").is_none()),
        () = std::future::ready(()) => None,
    };
    assert_eq!((at_once, readiness.health()), (Some(true), Health::NotReady));
    drop(held);
    bed.file.send_replace(Arc::new(base_without_op()));
    let facts = bed.runner.own_facts().await.expect("facts").expect("it follows the log's");
    assert_eq!((facts.inputs.len(), readiness.health()), (1, Health::Ready));
}

/// An entry with a dead letter waits in COMMIT while `:dlq` is full, which is where the other leader comes in between.
#[tokio::test]
async fn a_leader_that_another_has_overtaken_reads_the_log_once_its_view_has_its_own_entries() {
    let Bed { mut runner, fence, ground, file: _file, _stop, .. } = Bed::new().await;
    let link = ground.commands.shard(Shard::Financial);
    let other = ground.shard("other.redb");
    let key = Keys::new(Shard::Financial).dead_letters();
    let full = common::link::DEAD_LETTERS_MAX.to_string();
    let fill = "for n = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], n .. '-0', 'm', '') end";
    ground.redis.command(&["EVAL", fill, "1", &key, &full]).expect("fills");
    let unreadable = async |id: &str| {
        let sent = link.send(SendTo::Input, id, b"unreadable", 500).await.expect("sends");
        assert!(matches!(sent, Sent::Ok { .. }), "{sent:?}");
    };
    unreadable("first").await;
    let leader = Arc::clone(&runner.shard);
    let is_stuck = |seq| {
        let stats = leader.stats();
        stats.in_flight == Some(seq) && stats.blocked_by.is_some()
    };
    let script = async {
        until("it waits with entry 3", async || is_stuck(3)).await;
        let held = leader.view.hold_writes();
        unreadable("second").await;
        ground.redis.command(&["XDEL", &key, "1-0"]).expect("makes room for one");
        until("it waits with entry 4", async || is_stuck(4)).await;
        assert_eq!((leader.now().seq, leader.engine().position().seq), (2, 3), "its view is behind");
        crate::replay::catch_up(&other).await.expect("follows the log");
        let (stand_in, crew) = (StandInSettings::default(), &Threads::of_this_machine());
        let maker = Maker { shard: &other, fence: &fence, node: "validator-2", stand_in, crew };
        let mut writer = Writer::new(Arc::clone(&other));
        let intake = Intake { inputs: vec![mint()], ..Intake::default() };
        let made = pipeline::run(&maker, &mut writer, intake).await.expect("makes entry 4");
        assert_eq!(made, Step::Committed);
        until("it knows that it was overtaken", async || leader.stats().in_flight != Some(4)).await;
        // Time for one that does not wait for its view to read the log.
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(held);
        until("it has both entries", async || leader.now().seq == 4).await;
        writer.join().await.expect("writes");
        assert_eq!(leader.now().root, other.now().root);
    };
    tokio::select! {
        ended = runner.lead(&fence) => panic!("it does not lead any more: {ended:?}"),
        () = script => {}
    }
}
