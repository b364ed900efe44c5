//! A shell made of maps: loads, decides on several threads, commits, and after every entry checks replay, root,
//! conservation and that each request is decided once.

use std::collections::BTreeMap;
use std::convert::Infallible;

use common::amount::Amount;
use common::entry::{Body, InputStream, Outcome};
use common::ids::{IdempotencyKey, Rid, Shard, Tenant};
use common::message::{self, About, Message};
use common::observation::Observation;
use common::proof::{key_hash, value_hash};
use common::request::SyncRequest;
use common::state::{AssetRecord, HoldingRecord, decode};
use common::targets::{Target, Targets};
use serde_json::{Value, json};

use super::crew::Eager;
use crate::engine::revert::{Refusal, foresee};
use crate::engine::tree::Tree;
use crate::engine::waiting::{self, LockRow, Waiter};
use crate::engine::{
    Batch, Decision, Deliveries, Engine, Fault, Loaded, Past, Plan, RawInput, Search, Stamp, ValueChange,
    Withdrawal,
};

pub(in crate::engine) const START_MS: u64 = 1_700_000_000_000;

/// Code and dependents of a refusal.
type Foreseen = Option<(Option<String>, Vec<Rid>)>;

#[derive(Debug)]
pub(in crate::engine) struct World {
    pub(in crate::engine) engine: Engine,
    pub(in crate::engine) values: BTreeMap<String, Vec<u8>>,
    pub(in crate::engine) decisions: BTreeMap<Rid, Decision>,
    pub(in crate::engine) deliveries: BTreeMap<u64, Deliveries>,
    pub(in crate::engine) withdrawals: BTreeMap<Rid, Vec<Withdrawal>>,
    pub(in crate::engine) locks: BTreeMap<String, LockRow>,
    pub(in crate::engine) waiters: BTreeMap<Rid, Waiter>,
    pub(in crate::engine) log: Vec<Body>,
    pub(in crate::engine) time_ms: u64,
    /// What each entry changed, by its number less one.
    pub(in crate::engine) changes: Vec<BTreeMap<String, ValueChange>>,
    /// Deciding outcomes per request and fingerprint.
    decided: BTreeMap<Rid, u32>,
}

pub(in crate::engine) fn targets(names: &[&str]) -> Targets {
    targets_with_retired(names, &[])
}

fn targets_with_retired(names: &[&str], retired: &[&str]) -> Targets {
    let target = |name: &str, retired| Target { retired, ..Target::null(name.parse().expect("a name")) };
    let used = names.iter().map(|name| target(name, false));
    let all = used.chain(retired.iter().map(|name| target(name, true)));
    Targets::new(all.collect()).expect("targets")
}

pub(in crate::engine) fn rid(key: &str, tenant: &str) -> Rid {
    let (tenant, key): (Tenant, IdempotencyKey) =
        (tenant.parse().expect("tenant"), key.parse().expect("key"));
    Rid::from_key(&tenant, &key, Shard::Financial)
}

pub(in crate::engine) fn parse(request: &Value) -> SyncRequest {
    SyncRequest::parse(request).unwrap_or_else(|faults| panic!("{request}: {faults:?}"))
}

/// A request of a tenant, under a key that gives its id.
pub(in crate::engine) fn about(key: &str, tenant: &str, request: &SyncRequest) -> About {
    About {
        rid: rid(key, tenant),
        tenant: tenant.parse().expect("tenant"),
        fp: request.fingerprint(),
        accepted_ms: None,
    }
}

pub(in crate::engine) fn collected(
    key: &str,
    request: &Value,
    observations: Vec<Observation>,
) -> message::Body {
    let request = parse(request);
    message::Body::Collected { about: about(key, "acme", &request), request: Box::new(request), observations }
}

/// The command under a key of its own that undoes the request of another one.
pub(in crate::engine) fn rollback(command: &str, tenant: &str, undone: Rid) -> RawInput {
    let about = About {
        rid: rid(command, tenant),
        tenant: tenant.parse().expect("tenant"),
        fp: common::hash::Digest::of(&[b"rollback", undone.as_bytes()]),
        accepted_ms: None,
    };
    let command = message::Command::Rollback { rid: undone };
    raw(InputStream::Inx, message::Body::Command { about, command })
}

pub(in crate::engine) fn cancel(key: &str, request: &Value) -> message::Body {
    message::Body::Cancel { about: about(key, "acme", &parse(request)) }
}

/// A request of `bond:a` with these changes.
pub(in crate::engine) fn bond(changes: &Value) -> Value {
    json!({"asset": {"id": "bond:a"}, "state_changes": changes})
}

pub(in crate::engine) fn raw(stream: InputStream, body: message::Body) -> RawInput {
    let bytes = Message { id: "m".to_owned(), traceparent: None, body }.encode();
    let id = if stream == InputStream::Local { String::new() } else { format!("{START_MS}-0") };
    RawInput { stream, id, bytes }
}

impl World {
    /// A log whose first entry names the targets `base`, `op` and `arb`.
    pub(in crate::engine) fn new() -> Self {
        let mut world = Self::empty();
        world.set_targets(&["base", "op", "arb"]);
        world
    }

    pub(in crate::engine) fn empty() -> Self {
        Self {
            engine: Engine::genesis(Shard::Financial),
            values: BTreeMap::new(),
            decisions: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            withdrawals: BTreeMap::new(),
            locks: BTreeMap::new(),
            waiters: BTreeMap::new(),
            log: Vec::new(),
            changes: Vec::new(),
            time_ms: START_MS,
            decided: BTreeMap::new(),
        }
    }

    pub(in crate::engine) fn set_targets(&mut self, names: &[&str]) -> Batch {
        self.commit(vec![raw(InputStream::Local, message::Body::Targets(targets(names)))])
    }

    pub(in crate::engine) fn retire(&mut self, used: &[&str], retired: &[&str]) -> Batch {
        let list = message::Body::Targets(targets_with_retired(used, retired));
        self.commit(vec![raw(InputStream::Local, list)])
    }

    pub(in crate::engine) fn load(&self, plan: &Plan) -> Loaded {
        let needs = plan.needs();
        let pick = |key: &String| Some((key.clone(), self.values.get(key)?.clone()));
        let deliveries: BTreeMap<_, _> =
            needs.seqs.iter().filter_map(|seq| Some((*seq, self.deliveries.get(seq)?.clone()))).collect();
        let waiting = deliveries.values().flat_map(|row| row.waiting.keys());
        let waiting = waiting.map(|bytes| Rid::from_bytes(*bytes).expect("rid"));
        let rids: Vec<Rid> = needs.rids.iter().copied().chain(waiting).collect();
        let decisions =
            rids.iter().filter_map(|rid| Some((*rid, self.decisions.get(rid)?.clone()))).collect();
        let told = rids.iter().filter_map(|rid| Some((*rid, self.withdrawals.get(rid)?.clone())));
        let withdrawals = told.collect();
        let values = needs.keys.iter().filter_map(pick).collect();
        let mut loaded = Loaded { values, decisions, deliveries, withdrawals, ..Loaded::default() };
        loaded.past = needs.undone.and_then(|rid| self.past_of(rid, &mut loaded));
        let waiter = |rid| Ok(self.waiters.get(&rid).cloned());
        let lock = |asset: &str| Ok(self.locks.get(asset).cloned());
        let Ok(()) = waiting::load::<Infallible>(&mut loaded, needs, rids, waiter, lock);
        loaded
    }

    fn past_of(&self, rid: Rid, loaded: &mut Loaded) -> Option<Past> {
        let mut search = Search::begin(rid, self.decisions.get(&rid), self.log.len() as u64 + 1)?;
        let first = usize::try_from(search.first()).expect("small") - 1;
        for body in &self.log[first..] {
            // What follows a break must change nothing.
            let _: std::ops::ControlFlow<()> = search.take(body);
        }
        let mut past = search.end();
        for key in past.keys() {
            let present = self.values.get(&key);
            let change = self.changes[first..].iter().find_map(|changes| changes.get(&key));
            if let Some(value) = change.map_or(present, |change| change.before.as_ref()) {
                past.set_before(key.clone(), value.clone());
            }
            loaded.values.extend(present.map(|value| (key, value.clone())));
        }
        let row = |seq: u64| Some((seq, self.deliveries.get(&seq)?.clone()));
        loaded.deliveries.extend(past.seqs().into_iter().filter_map(row));
        Some(past)
    }

    pub(in crate::engine) fn stamp(&self) -> Stamp {
        Stamp { epoch: 1, node: "validator-1".to_owned(), time_ms: self.time_ms }
    }

    pub(in crate::engine) fn decide(&self, inputs: Vec<RawInput>) -> Result<Batch, Fault> {
        let plan = Engine::read(inputs);
        let loaded = self.load(&plan);
        // Replays run on one thread.
        let crew = Eager { threads: 2 + self.log.len() % 3, seed: self.log.len() as u64 };
        self.engine.run_with(&crew, plan, loaded, self.stamp())
    }

    /// Commits one entry of these inputs and checks what must always hold.
    pub(in crate::engine) fn commit(&mut self, inputs: Vec<RawInput>) -> Batch {
        let foreseen = self.foresee(&inputs);
        let batch = self.decide(inputs).expect("runs");
        if let Some((command, foreseen)) = foreseen {
            let said = batch.body.outcomes.iter().find(|outcome| outcome.rid == command);
            let said = said.filter(|outcome| outcome.code.is_some());
            let said = said.map(|outcome| (outcome.code.clone(), outcome.dependents.clone()));
            assert_eq!(foreseen, said, "a rollback ends as it was foreseen");
        }
        self.check_replay(&batch.body);
        for (key, change) in &batch.changes.values {
            assert_eq!(self.values.get(key), change.before.as_ref(), "{key}");
            assert_ne!(change.before, change.after, "{key}");
            match &change.after {
                Some(after) => self.values.insert(key.clone(), after.clone()),
                None => self.values.remove(key),
            };
        }
        self.decisions.extend(batch.changes.decisions.clone());
        self.withdrawals.extend(batch.changes.withdrawals.clone());
        for (seq, row) in &batch.changes.deliveries {
            match row {
                Some(row) => self.deliveries.insert(*seq, row.clone()),
                None => self.deliveries.remove(seq),
            };
        }
        apply(&mut self.locks, &batch.changes.locks);
        apply(&mut self.waiters, &batch.changes.waiters);
        self.engine.accept(batch.next.clone()).expect("follows");
        self.log.push(batch.body.clone());
        self.changes.push(batch.changes.values.clone());
        self.check_state(&batch);
        batch
    }

    /// What is foreseen of a rollback that was not decided before: its id, why it will be refused and because of whom.
    fn foresee(&self, inputs: &[RawInput]) -> Option<(Rid, Foreseen)> {
        let [input] = inputs else { return None };
        let Message { body: message::Body::Command { about, command }, .. } =
            Message::decode(&input.bytes).ok()?
        else {
            return None;
        };
        let message::Command::Rollback { rid: undone } = command else { return None };
        let (command, plan) = (about.rid, Engine::read(vec![input.clone()]));
        if self.decisions.contains_key(&command) || input.stream != InputStream::Inx {
            return None;
        }
        let (loaded, targets) = (self.load(&plan), &self.engine.position().targets);
        let refusal = foresee(about, undone, loaded, targets).expect("a sound view");
        let told = |refusal: Refusal| {
            let dependents = refusal.dependents.clone();
            (Some(refusal.reason().0), dependents)
        };
        Some((command, refusal.map(told)))
    }

    /// Commits messages of `:in`.
    pub(in crate::engine) fn commit_in(&mut self, bodies: Vec<message::Body>) -> Batch {
        self.commit(bodies.into_iter().map(|body| raw(InputStream::In, body)).collect())
    }

    fn check_replay(&self, body: &Body) {
        // Through JSON, as the log holds it.
        let bytes = serde_json::to_vec(body).expect("json");
        let body: Body = serde_json::from_slice(&bytes).expect("a body");
        let plan = Engine::read(crate::engine::inputs_of(&body));
        let loaded = self.load(&plan);
        self.engine.replay(&body, plan, loaded).expect("replays");
    }

    fn check_state(&mut self, batch: &Batch) {
        let leaves = self.values.iter().map(|(key, value)| (key_hash(key), value_hash(value)));
        assert_eq!(Tree::from_leaves(leaves).root(), batch.body.root, "the root of a full rebuild");
        assert_eq!(self.engine.position().root, batch.body.root);
        for (key, value) in &self.values {
            if let Some(asset) = key.strip_prefix("asset/") {
                let record: AssetRecord = decode(value).expect("asset");
                assert_eq!(self.held(asset), record.supply.units(), "holdings of {asset} and its supply");
            }
        }
        for outcome in &batch.body.outcomes {
            let conflict = outcome.code.as_deref() == Some("IDEMPOTENCY_CONFLICT");
            if outcome.outcome.is_deciding() && !conflict {
                *self.decided.entry(outcome.rid).or_default() += 1;
            }
        }
        assert!(self.decided.values().all(|count| *count == 1), "each request is decided once");
    }

    fn held(&self, asset: &str) -> u128 {
        let prefix = format!("holding/{asset}/");
        let holdings = self.values.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        holdings.map(|(_, value)| decode::<HoldingRecord>(value).expect("holding").balance.units()).sum()
    }

    pub(in crate::engine) fn asset(&self, asset: &str) -> Option<AssetRecord> {
        self.values.get(&format!("asset/{asset}")).map(|value| decode(value).expect("asset"))
    }

    pub(in crate::engine) fn holding(&self, asset: &str, account: &str) -> HoldingRecord {
        let value = self.values.get(&format!("holding/{asset}/{account}"));
        value.map(|value| decode(value).expect("holding")).unwrap_or_default()
    }

    pub(in crate::engine) fn balance(&self, asset: &str, account: &str) -> Amount {
        self.holding(asset, account).balance
    }

    /// Registers `bond:a` on base and op, with 100 units of alice.
    pub(in crate::engine) fn with_bond() -> Self {
        let mut world = Self::new();
        let changes = json!([
            {"kind": "REGISTER", "decimals": 2, "chains": ["base", "op"]},
            {"kind": "MINT", "to": "alice", "amount": "100"},
        ]);
        world.commit_in(vec![collected("setup", &bond(&changes), vec![])]);
        world
    }
}

/// `None` deletes the row.
fn apply<K: Ord + Clone, V: Clone>(table: &mut BTreeMap<K, V>, changes: &BTreeMap<K, Option<V>>) {
    for (key, row) in changes {
        match row {
            Some(row) => table.insert(key.clone(), row.clone()),
            None => table.remove(key),
        };
    }
}

/// Code of the outcome, or its name if it has none.
pub(in crate::engine) fn verdict(outcome: &Outcome) -> String {
    match &outcome.code {
        Some(code) => format!("{} {code}", outcome.outcome.name()),
        None => format!("{} {}", outcome.outcome.name(), outcome.version.unwrap_or_default()),
    }
}
