//! Small runs decided by the engine: a bond on `base` and `op`, seven requests, six entries; and one with a rollback.

use std::collections::BTreeSet;

use common::entry::{Entry, InputStream};
use common::hash::Digest;
use common::ids::{IdempotencyKey, Name, Rid, Shard, Tenant};
use common::message::{About, Body as MessageBody, Command, Message};
use common::observation::{Observation, ObservationKind};
use common::request::SyncRequest;
use common::status::{OutcomeKind, Status};
use common::targets::{Target, Targets};
use serde_json::{Value, json};
use validator::Fold;
use validator::engine::{RawInput, Stamp};

use crate::checker::chain::on_chain;
use crate::checker::{AppliedBatch, ChainState, Evidence, FinalAnswer};

const START_MS: u64 = 1_700_000_000_000;
const SHARD: Shard = Shard::Financial;

pub(in crate::checker) fn chain(name: &str) -> Name {
    name.parse().expect("a name")
}

struct World {
    state: Fold,
    head: Digest,
    evidence: Evidence,
}

pub(in crate::checker) fn run() -> Evidence {
    let mut world = World { state: Fold::genesis(SHARD), head: Digest::ZERO, evidence: Evidence::default() };
    world.commit(1, vec![raw(InputStream::Local, MessageBody::Targets(targets()))]);
    let setup = json!([
        {"kind": "REGISTER", "decimals": 2, "chains": ["base", "op"]},
        {"kind": "MINT", "to": "alice", "amount": "100"},
    ]);
    world.request(1, &[("setup", &setup, vec![])]);
    let move_some = json!([{"kind": "TRANSFER", "from": "alice", "to": "bob", "amount": "10"}]);
    let move_all = json!([{"kind": "TRANSFER", "from": "bob", "to": "alice", "amount": "10000"}]);
    world.request(1, &[("a", &move_some, vec![]), ("b", &move_some, vec![]), ("c", &move_all, vec![])]);
    let event = format!("0x{}/0", "ab".repeat(32));
    let mint = |source: &str, event: &str| {
        json!({
            "kind": "MINT", "to": "carol", "amount": "5",
            "backed_by": {"source": source, "event": event},
        })
    };
    let backed = json!([mint("token", &event)]);
    // The first observation's identity ends like the event's, but is none of it: a slash is missing.
    let other = Observation { identity: Some(format!("eip155:1{event}")), ..observed("token", &event) };
    world.request(2, &[("d", &backed, vec![other, observed("token", &event)])]);
    world.request(2, &[("e", &backed, vec![observed("token", &event)])]);
    // One event through two sources, which no check of the request alone can see.
    let event = format!("0x{}/0", "cd".repeat(32));
    let twice = json!([mint("token", &event), mint("mirror", &event)]);
    world.request(2, &[("f", &twice, vec![observed("token", &event), observed("mirror", &event)])]);
    world.evidence
}

/// [`run`], and after it a transfer, one that has nothing to do with it, ADD_CHAIN, and a rollback of the first.
pub(in crate::checker) fn reverted_run() -> Evidence {
    let mut world = World { state: Fold::genesis(SHARD), head: Digest::ZERO, evidence: Evidence::default() };
    world.commit(1, vec![raw(InputStream::Local, MessageBody::Targets(targets()))]);
    let setup = json!([
        {"kind": "REGISTER", "decimals": 2, "chains": ["base"]},
        {"kind": "MINT", "to": "alice", "amount": "100"},
        {"kind": "MINT", "to": "carol", "amount": "100"},
    ]);
    world.request(1, &[("setup", &setup, vec![])]);
    world.request(
        1,
        &[("undone", &transfer("alice", "bob"), vec![]), ("b", &transfer("carol", "dave"), vec![])],
    );
    world.request(1, &[("c", &json!([{"kind": "ADD_CHAIN", "chain": "op"}]), vec![])]);
    world.undo("undone");
    world.request(1, &[("d", &transfer("carol", "dave"), vec![])]);
    world.evidence
}

/// The id of a request of these runs.
pub(in crate::checker) fn rid(key: &str) -> Rid {
    let (tenant, key): (Tenant, IdempotencyKey) =
        ("acme".parse().expect("a tenant"), key.parse().expect("a key"));
    Rid::from_key(&tenant, &key, SHARD)
}

fn transfer(from: &str, to: &str) -> Value {
    json!([{"kind": "TRANSFER", "from": from, "to": to, "amount": "10"}])
}

fn targets() -> Targets {
    let target = |name: &str| Target::null(chain(name));
    Targets::new(vec![target("base"), target("op")]).expect("targets")
}

fn observed(source: &str, event: &str) -> Observation {
    let value = json!({"asset": "bond:a", "event": "mint", "to": "carol", "amount": "5"});
    Observation {
        source: chain(source),
        kind: ObservationKind::Event,
        value: serde_json::value::to_raw_value(&value).expect("json"),
        as_of_ms: START_MS,
        identity: Some(format!("eip155:1/{event}")),
        evidence: None,
    }
}

fn raw(stream: InputStream, body: MessageBody) -> RawInput {
    let id = if stream == InputStream::Local { String::new() } else { format!("{START_MS}-0") };
    RawInput { stream, id, bytes: Message { id: "m".to_owned(), traceparent: None, body }.encode() }
}

impl World {
    /// One entry of these requests, all sent and acknowledged.
    fn request(&mut self, epoch: u64, requests: &[(&str, &Value, Vec<Observation>)]) {
        let tenant: Tenant = "acme".parse().expect("a tenant");
        let mut inputs = Vec::new();
        for (key, changes, observations) in requests {
            let mut body = json!({"asset": {"id": "bond:a"}, "state_changes": changes});
            if !observations.is_empty() {
                let sources: BTreeSet<&str> =
                    observations.iter().map(|observation| observation.source.as_str()).collect();
                body["event_sources"] = json!(sources);
            }
            let request = SyncRequest::parse(&body).expect("well formed");
            let key: IdempotencyKey = key.parse().expect("a key");
            let (rid, fp) = (Rid::from_key(&tenant, &key, SHARD), request.fingerprint());
            self.evidence.submitted.insert((rid, fp));
            self.evidence.acknowledged.insert((rid, fp));
            let about = About { rid, tenant: tenant.clone(), fp, accepted_ms: None };
            let (request, observations) = (Box::new(request), observations.clone());
            inputs.push(raw(InputStream::In, MessageBody::Collected { about, request, observations }));
        }
        self.commit(epoch, inputs);
    }

    fn undo(&mut self, key: &str) {
        let (command, fp) = (rid(&format!("undo-{key}")), Digest([5; 32]));
        self.evidence.submitted.insert((command, fp));
        let about = About { rid: command, tenant: "acme".parse().expect("a tenant"), fp, accepted_ms: None };
        let body = MessageBody::Command { about, command: Command::Rollback { rid: rid(key) } };
        self.commit(1, vec![raw(InputStream::Inx, body)]);
    }

    fn commit(&mut self, epoch: u64, inputs: Vec<RawInput>) {
        let stamp = Stamp { epoch, node: "validator-1".to_owned(), time_ms: START_MS };
        let body = self.state.write(inputs, stamp).expect("runs");
        let entry = Entry::seal(self.head, &body);
        self.head = entry.digest;
        self.evidence.logs.entry(SHARD).or_default().push(entry);
        for outcome in &body.outcomes {
            let (status, seq) = match outcome.outcome {
                OutcomeKind::Applied => (Status::Completed, Some(body.seq)),
                OutcomeKind::Reverted => (Status::RolledBack, self.evidence.answers[&outcome.rid].seq),
                _ => (Status::Rejected, Some(body.seq)),
            };
            let answer = FinalAnswer { status, outcome: Some(outcome.outcome), seq };
            self.evidence.answers.insert(outcome.rid, answer);
        }
        self.land(&body);
    }

    /// What a lane would bring to `base`.
    fn land(&mut self, body: &common::entry::Body) {
        let state: &mut ChainState = self.evidence.chains.entry(chain("base")).or_default();
        let updates = body.updates.iter().filter(|update| update.from.contains_key(&chain("base")));
        let mut applied = 0;
        for (bit, update) in updates.enumerate() {
            let asset = on_chain(&update.asset);
            state.assets.insert(asset, (update.version, update.state_hash));
            state.updates.push((asset, update.version, update.state_hash));
            applied |= 1 << bit;
        }
        if applied != 0 {
            let (shard, seq) = (u32::from(SHARD.number()), body.seq);
            let masks = AppliedBatch { shard, seq, part: 0, applied, stale: 0, deferred: 0, skipped: 0 };
            state.batches.push(masks);
        }
    }
}
