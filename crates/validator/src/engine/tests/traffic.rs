//! Random requests: few assets and accounts, so that they meet; versions near the real ones; events that back
//! several; dependencies; expired ones; other tenants.

use std::collections::BTreeSet;

use common::entry::InputStream;
use common::message::{About, Body};
use common::observation::{Observation, ObservationKind};
use serde_json::{Value, json};

use super::orders::Order;
use super::payments::Action;
use super::world::{START_MS, parse, raw, rid};
use crate::engine::RawInput;

pub(super) const ACCOUNTS: [&str; 4] = ["alice", "bob", "carol", "dave"];
pub(super) const ASSETS: [&str; 3] = ["bond:a", "bond:b", "stock:c"];
pub(super) const TTL_MS: u64 = 300_000;

pub(in crate::engine) struct Random(pub(in crate::engine) u64);

impl Random {
    pub(in crate::engine) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(in crate::engine) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }

    pub(in crate::engine) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug, Clone)]
pub(in crate::engine) enum Change {
    Register,
    AddChain,
    Mint(&'static str, u64, Option<u64>),
    Burn(&'static str, u64),
    Transfer(&'static str, &'static str, u64),
    Set(u64),
    /// Of an authority; orders make a request of their own.
    Order(Order),
    /// For so many seconds.
    Lock(u64),
    /// What the request of this key holds.
    Unlock(u64),
    Corporate(Action),
}

#[derive(Debug, Clone)]
pub(in crate::engine) struct Ask {
    pub(super) key: u64,
    pub(super) asset: &'static str,
    pub(super) tenant: &'static str,
    pub(super) changes: Vec<Change>,
    pub(super) expected: Option<u64>,
    pub(super) on_arb: bool,
    pub(super) after: Vec<u64>,
    pub(super) accepted_ms: u64,
}

fn tx(event: u64) -> String {
    format!("0x{event:064x}")
}

impl Ask {
    pub(in crate::engine) fn random(
        random: &mut Random,
        key: u64,
        time_ms: u64,
        versions: impl Fn(&str) -> u64,
    ) -> Self {
        let asset = random.pick(&ASSETS);
        let count = if random.chance(80) { 1 } else { 1 + random.below(3) };
        let mut changes: Vec<Change> = (0..count).map(|_| Change::random(random)).collect();
        let mut events = BTreeSet::new();
        for change in &mut changes {
            // A request that names one event twice cannot be written down.
            if let Change::Mint(_, _, event) = change
                && event.is_some_and(|event| !events.insert(event))
            {
                *event = None;
            }
        }
        let version = versions(asset);
        Self {
            key,
            asset,
            tenant: if random.chance(95) { "acme" } else { "other" },
            changes,
            expected: random.chance(15).then(|| version + random.below(4)),
            on_arb: random.chance(10),
            // An earlier key, or one that never comes.
            after: match random.below(20) {
                0 => vec![key + 1_000_000],
                1..=3 if key > 0 => vec![key - 1 - random.below(key.min(6))],
                _ => vec![],
            },
            accepted_ms: time_ms - if random.chance(3) { TTL_MS + 1 } else { random.below(TTL_MS) },
        }
    }

    /// One that only makes these changes.
    pub(super) fn plain(key: u64, asset: &'static str, changes: Vec<Change>) -> Self {
        let (tenant, accepted_ms) = ("acme", START_MS);
        Self { key, asset, tenant, changes, expected: None, on_arb: false, after: vec![], accepted_ms }
    }

    pub(in crate::engine) fn json(&self) -> Value {
        let mut json = json!({"asset": {"id": self.asset},
            "state_changes": self.changes.iter().map(|change| change.json(self.asset)).collect::<Vec<_>>(),
            "event_sources": ["chain"]});
        if self.is_order() {
            json["event_sources"] = json!([]);
            json["authority"] = json!({"id": "sec", "order": "1"});
        }
        if let Some(version) = self.expected {
            json["expected_version"] = json!(version);
        }
        if self.on_arb {
            json["target_chains"] = json!(["arb"]);
        }
        let after: Vec<String> = self.after.iter().map(|key| name(*key, "acme").to_string()).collect();
        json["depends_on"] = json!(after);
        json
    }

    /// The same of an authority, with as many changes.
    pub(super) fn into_order(mut self, random: &mut Random) -> Self {
        self.changes.iter_mut().for_each(|change| *change = Change::Order(Order::random(random)));
        self
    }

    /// The same with corporate actions.
    pub(in crate::engine) fn into_corporate(mut self, random: &mut Random) -> Self {
        self.changes.iter_mut().for_each(|change| *change = Change::Corporate(Action::random(random)));
        self
    }

    pub(super) fn is_order(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Order(_)))
    }

    pub(in crate::engine) fn about(&self) -> About {
        let fp = parse(&self.json()).fingerprint();
        let tenant = self.tenant.parse().expect("tenant");
        // Of one tenant's key space, so that another tenant's request is a request of its own.
        About { rid: name(self.key, "acme"), tenant, fp, accepted_ms: Some(self.accepted_ms) }
    }

    pub(in crate::engine) fn message(&self) -> RawInput {
        let events = self.changes.iter().filter_map(Change::event);
        let body = Body::Collected {
            about: self.about(),
            request: Box::new(parse(&self.json())),
            observations: events.map(|(event, value)| observation(event, self.asset, &value)).collect(),
        };
        raw(if self.is_order() { InputStream::Inx } else { InputStream::In }, body)
    }
}

pub(super) fn name(key: u64, tenant: &str) -> common::ids::Rid {
    rid(&format!("k{key}"), tenant)
}

fn observation(event: u64, asset: &str, (to, amount): &(&str, u64)) -> Observation {
    let value = json!({"asset": asset, "event": "mint", "to": to, "amount": amount.to_string()});
    Observation {
        source: "chain".parse().expect("name"),
        kind: ObservationKind::Event,
        value: serde_json::value::to_raw_value(&value).expect("json"),
        as_of_ms: START_MS,
        identity: Some(format!("eip155:1/{}/0", tx(event))),
        evidence: None,
    }
}

impl Change {
    pub(in crate::engine) fn random(random: &mut Random) -> Self {
        let (from, to, amount) = (random.pick(&ACCOUNTS), random.pick(&ACCOUNTS), 1 + random.below(50));
        match random.below(20) {
            0 => Self::Register,
            1 => Self::AddChain,
            2..=5 => Self::Mint(to, amount, random.chance(40).then(|| random.below(40))),
            6..=7 => Self::Burn(from, amount),
            8 => Self::Set(amount),
            _ if from == to => Self::Mint(to, amount, None),
            _ => Self::Transfer(from, to, amount),
        }
    }

    pub(in crate::engine) fn event(&self) -> Option<(u64, (&'static str, u64))> {
        match self {
            Self::Mint(to, amount, Some(event)) => Some((*event, (*to, *amount))),
            _ => None,
        }
    }

    pub(in crate::engine) fn json(&self, asset: &str) -> Value {
        match self {
            Self::Register => json!({"kind": "REGISTER", "decimals": 0, "chains": ["base", "op"]}),
            Self::AddChain => json!({"kind": "ADD_CHAIN", "chain": "arb"}),
            Self::Mint(to, amount, None) => json!({"kind": "MINT", "to": to, "amount": amount.to_string()}),
            Self::Mint(to, amount, Some(event)) => {
                json!({"kind": "MINT", "to": to, "amount": amount.to_string(),
                "backed_by": {"source": "chain", "event": format!("{}/0", tx(*event))}})
            }
            Self::Burn(from, amount) => json!({"kind": "BURN", "from": from, "amount": amount.to_string()}),
            Self::Transfer(from, to, amount) => {
                json!({"kind": "TRANSFER", "from": from, "to": to, "amount": amount.to_string()})
            }
            Self::Set(value) => json!({"kind": "SET_DATA", "terms": {"t": value.to_string()}}),
            Self::Order(order) => order.json(),
            Self::Lock(seconds) => json!({"kind": "LOCK", "reason": "r", "seconds": seconds}),
            Self::Unlock(key) => json!({"kind": "UNLOCK", "lock": name(*key, "acme")}),
            Self::Corporate(action) => action.json(asset),
        }
    }
}
