//! The pure core of stage 2: no redis, actix, tokio, clock, randomness, floats or hash maps with random
//! order in here. Values in, values out.
//!
//! In: messages in the order taken, the state they touch, a time. Out: a [`Batch`]: the log entry they make
//! and everything that follows from it. The steps, one file each, in order:
//!
//! `plan` decodes → `intake` judges each message → `order` orders the requests → `turns` and
//! `execute` run them (`ready`, `reads`, `evidence`, `kinds`) → `commit` makes versions, updates and the new root. A rollback is an entry of
//! its own: `past` finds in the log what it needs, `revert` decides it.
//!
//! Invariants: a batch is a function of the engine's position, its messages, the loaded state and the
//! stamp; [`Engine::run`] changes nothing; the same entry gives the same batch on every machine.

use std::collections::BTreeSet;

use common::entry::{Body, EntryKind};
use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::message;
use common::targets::Targets;
use serde::{Deserialize, Serialize};

pub mod boundary;
pub mod codes;
pub mod select;
pub mod tree;

mod aux_hash;
mod commands;
mod commit;
mod crew;
mod difference;
mod draft;
mod evidence;
mod execute;
mod footprint;
mod intake;
mod kinds;
mod order;
pub mod past;
mod plan;
mod reads;
mod ready;
mod receipts;
mod replay;
pub mod revert;
mod targets;
mod turns;
pub mod waiting;
mod withdrawals;
mod work;

pub use boundary::{
    Batch, Changes, DeadLetter, Decision, Deliveries, Effect, Execution, Fault, Loaded, Needs, RawInput,
    Stamp, StatusWrite, ValueChange, Withdrawal,
};
pub use crew::{Alone, Crew, Parallel};
pub use difference::Difference;
pub use past::{Past, Search};
pub use plan::Plan;
pub use replay::{Details, Divergence, inputs_of};

use draft::Draft;
use intake::Context;
use tree::{History, HistoryLimits, LeafWrite, Tree, Update};

/// Old roots kept in memory: 4,096 entries, and at most about 96 MB of nodes that only they hold.
pub const HISTORY: HistoryLimits = HistoryLimits { versions_max: 4096, nodes_max: 1_000_000 };

/// Where an engine stands: after which entry, with what state outside the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last entry; 0 before the first one.
    pub seq: u64,
    pub root: Digest,
    pub aux: Digest,
    /// Log time of the last entry, Unix ms.
    pub time_ms: u64,
    /// Epoch of the last entry.
    pub epoch: u64,
    /// Version of the rule set in force; 0 = none.
    pub ruleset: u64,
    /// What the last TARGETS entry said.
    pub targets: Targets,
}

/// The engine of one shard.
#[derive(Debug)]
pub struct Engine {
    shard: Shard,
    position: Position,
    history: History,
    /// Requests that wait.
    waiters: u64,
}

/// The engine after a batch: handed back to [`Engine::accept`] once the batch is committed.
#[derive(Debug, Clone)]
pub struct Next {
    position: Position,
    update: Update,
    waiters: u64,
}

impl Next {
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }
}

impl Engine {
    /// The engine before the first entry.
    #[must_use]
    pub fn genesis(shard: Shard) -> Self {
        let tree = Tree::new();
        let position = Position {
            seq: 0,
            root: tree.root(),
            aux: Digest::ZERO,
            time_ms: 0,
            epoch: 0,
            ruleset: 0,
            targets: Targets::default(),
        };
        Self { shard, position, history: History::new(0, tree, HISTORY), waiters: 0 }
    }

    /// The engine at a stored position. `leaves` are `(key hash, value hash)` of every stored value, `waiters` the number
    /// of requests that wait.
    ///
    /// # Errors
    /// The leaves do not give the position's root: the view is damaged.
    pub fn restore(
        shard: Shard,
        position: Position,
        leaves: impl IntoIterator<Item = (Digest, Digest)>,
        waiters: u64,
    ) -> Result<Self, Fault> {
        let tree = Tree::from_leaves(leaves);
        if tree.root() != position.root {
            return Err(Fault::Root { stated: position.root, computed: tree.root() });
        }
        let history = History::new(position.seq, tree, HISTORY);
        Ok(Self { shard, position, history, waiters })
    }

    /// After a restore: adds the version before the oldest one kept, from the undo record of the oldest one's entry.
    /// `root` is what the log states for it. Gives that version's entry, or `None` when there is no room for more.
    ///
    /// # Errors
    /// The undo record gives another root: the view is damaged. Nothing has changed.
    pub fn restore_older(&mut self, undo: &[LeafWrite], root: Digest) -> Result<Option<u64>, Fault> {
        Ok(self.history.extend_back(undo, root)?)
    }

    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiters(&self) -> u64 {
        self.waiters
    }

    #[cfg(test)]
    fn set_waiters(&mut self, waiters: u64) {
        self.waiters = waiters;
    }

    /// The state tree after each of the last entries.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Decodes messages, in the order in which they are to be taken.
    #[must_use]
    pub fn read(inputs: Vec<RawInput>) -> Plan {
        Plan::new(inputs)
    }

    /// Decides a batch on the caller's thread. `loaded` holds what [`Plan::needs`] names.
    ///
    /// # Errors
    /// See [`Fault`]; nothing is decided then.
    pub fn run(&self, plan: Plan, loaded: Loaded, stamp: Stamp) -> Result<Batch, Fault> {
        self.run_with(&Alone, plan, loaded, stamp)
    }

    /// The same batch, made with whatever threads the crew has.
    ///
    /// # Errors
    /// See [`Fault`]; nothing is decided then.
    pub fn run_with(
        &self,
        crew: &dyn Crew,
        plan: Plan,
        loaded: Loaded,
        stamp: Stamp,
    ) -> Result<Batch, Fault> {
        self.decide(crew, plan, loaded, stamp, &BTreeSet::new())
    }

    /// `broken` are requests known to end as `INTERNAL`: the engine that wrote the entry failed on them.
    fn decide(
        &self,
        crew: &dyn Crew,
        plan: Plan,
        loaded: Loaded,
        stamp: Stamp,
        broken: &BTreeSet<Rid>,
    ) -> Result<Batch, Fault> {
        let Plan { messages, mut keyspace, .. } = plan;
        let mut kind = entry_kind(&messages)?;
        let Loaded { values, decisions, deliveries, withdrawals, locks, waiters, past } = loaded;
        let seq = self.position.seq + 1;
        let time_ms = stamp.time_ms.max(self.position.time_ms);
        let targets = &self.position.targets;
        let mut draft = Draft::new(seq, decisions, deliveries, withdrawals).with_waiters(waiters);
        let tree = self.history.newest();

        let context = Context { shard: self.shard, time_ms, targets };
        let candidates = intake::intake(&messages, context, &mut draft)?;
        let committed = if let Some(rollback) = draft.rollback.take() {
            if messages.len() > 1 {
                return Err(Fault::RollbackNotAlone { others: messages.len() - 1 });
            }
            let is_broken = broken.contains(&rollback.about.rid);
            let given = revert::Given { past, values, tree: Some(tree), targets, locks, is_broken };
            let reverted = revert::run(&rollback, given, &mut draft)?;
            kind = if reverted.is_some() { EntryKind::Revert } else { kind };
            reverted.unwrap_or_default()
        } else {
            let ended: Vec<_> =
                draft.ended_waiters().into_iter().map(|(rid, asset)| (rid, keyspace.lock(&asset))).collect();
            let overdue: Vec<_> = std::mem::take(&mut draft.overdue)
                .into_iter()
                .map(|(asset, lock)| (lock, keyspace.lock(asset.as_str())))
                .collect();
            let mut work = work::Work::load(keyspace, values, tree)?.with_locks(locks);
            work.waiters = self.waiters.saturating_sub(ended.len() as u64);
            waiting::settle(&mut work, &ended, &overdue, time_ms);
            let order = order::of_candidates(&candidates);
            let patience = waiting::Patience::of(self.shard);
            let conditions = execute::Conditions { seq, time_ms, targets, draft: &draft, patience, broken };
            let run = execute::Run::new(&candidates, &order, conditions);
            let (verdicts, execution) = turns::take(&run, &mut work, turns::Manner::of(crew));
            draft.execution = execution;
            commit::commit(&candidates, &order, verdicts, work, targets, &mut draft)
        };

        let update = tree.update(&committed.writes);
        let position = Position {
            seq,
            root: update.tree.root(),
            aux: aux_hash::next(self.position.aux, &draft),
            time_ms,
            epoch: stamp.epoch,
            ruleset: self.position.ruleset,
            targets: draft.targets.take().unwrap_or_else(|| targets.clone()),
        };
        let waiters = self.waiters.saturating_add_signed(draft.waiters_change());
        let inputs = messages.into_iter().map(|planned| planned.input).collect();
        let Stamp { epoch, node, .. } = stamp;
        let body = Body {
            shard: self.shard,
            seq,
            epoch,
            node,
            kind,
            time_ms,
            ruleset: position.ruleset,
            inputs,
            outcomes: std::mem::take(&mut draft.outcomes),
            updates: committed.updates,
            root: position.root,
            aux: position.aux,
        };
        Ok(draft.into_batch(body, committed.values, Next { position, update, waiters }))
    }

    /// Moves forward over a batch whose entry is committed. Gives the undo record of the state tree.
    ///
    /// # Errors
    /// The batch does not follow the engine's head.
    pub fn accept(&mut self, next: Next) -> Result<Vec<LeafWrite>, Fault> {
        let undo = self.history.push(next.position.seq, next.update)?;
        self.position = next.position;
        self.waiters = next.waiters;
        Ok(undo)
    }
}

/// A target list makes an entry of its own.
fn entry_kind(messages: &[plan::Planned]) -> Result<EntryKind, Fault> {
    let is_list = |planned: &plan::Planned| {
        planned.input.s == common::entry::InputStream::Local
            && matches!(&planned.message, Ok(message::Message { body: message::Body::Targets(_), .. }))
    };
    match messages {
        messages if !messages.iter().any(is_list) => Ok(EntryKind::Batch),
        [_] => Ok(EntryKind::Targets),
        messages => Err(Fault::TargetsNotAlone { others: messages.len() - 1 }),
    }
}

#[cfg(test)]
mod tests;
