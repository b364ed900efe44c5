//! Seeded random traffic against a naive model: plain maps, one request after another, whole-state copies for
//! atomicity. Outcomes, versions and balances must be equal after every entry; [`World`] checks replay, root
//! and conservation besides.

use std::collections::{BTreeMap, BTreeSet};

use common::entry::InputStream;
use common::message::{Body, Receipt};
use common::state::RegulatoryState;
use common::status::Delivery;

mod locks;

use locks::{Awaited, Lock, Waiting, feed_in};

use super::orders::Regulated;
use super::payments::Payments;
use super::traffic::{ACCOUNTS, ASSETS, Ask, Change, Random, TTL_MS, name};
use super::world::{World, raw, verdict};
use crate::engine::RawInput;

#[derive(Debug, Clone, Default)]
struct Asset {
    issuer: &'static str,
    version: u64,
    on_arb: bool,
    balances: BTreeMap<&'static str, u64>,
    regulated: Regulated,
    payments: Payments,
}

#[derive(Debug, Clone, Default)]
struct State {
    assets: BTreeMap<&'static str, Asset>,
    used: BTreeSet<u64>,
    locks: BTreeMap<&'static str, Lock>,
}

#[derive(Debug, Default)]
struct Model {
    state: State,
    /// Key → content, and whether it was applied.
    decided: BTreeMap<u64, (String, bool)>,
    waiting: BTreeMap<u64, Waiting>,
}

/// Why a request was not applied.
enum Stop {
    Rejected(&'static str),
    Held(Awaited),
}

impl From<&'static str> for Stop {
    fn from(code: &'static str) -> Self {
        Self::Rejected(code)
    }
}

impl Model {
    fn version(&self, asset: &str) -> u64 {
        self.state.assets.get(asset).map_or(0, |asset| asset.version)
    }

    /// What the log should say of an entry of these asks: conflicts and expiries first, as they come.
    fn entry(&mut self, asks: &[Ask], time_ms: u64) -> Vec<(u64, String)> {
        let (mut told, mut going): (Vec<(u64, String)>, Vec<&Ask>) = (Vec::new(), Vec::new());
        for ask in asks {
            let asked = content(ask);
            let met = going.iter().find(|met| met.key == ask.key).map(|met| content(met));
            let decided = self.decided.get(&ask.key).map(|(content, _)| content.clone());
            let waiting = self.waiting.get(&ask.key).map(|waiting| content(&waiting.ask));
            match met.or(waiting).or(decided) {
                Some(known) if known == asked => {}
                Some(_) => {
                    let conflict = (ask.key, "REJECTED IDEMPOTENCY_CONFLICT".to_owned());
                    told.push(conflict);
                }
                None if ask.accepted_ms + TTL_MS < time_ms => {
                    self.decided.insert(ask.key, (asked, false));
                    told.push((ask.key, "EXPIRED TTL_EXPIRED".to_owned()));
                }
                None => going.push(ask),
            }
        }
        told.extend(self.turns(going, time_ms));
        told
    }

    /// The turns of what goes on, each after what it depends on.
    fn turns(&mut self, mut going: Vec<&Ask>, time_ms: u64) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        while !going.is_empty() {
            // A request depends on smaller keys only, so one is always free.
            let waits =
                |ask: &Ask| going.iter().any(|other| other.key != ask.key && ask.after.contains(&other.key));
            let place = going.iter().position(|ask| !waits(ask)).expect("one is free");
            let ask = going.remove(place);
            let before = self.state.clone();
            let (verdict, applied) = match self.apply(ask, time_ms) {
                Ok(version) => (format!("APPLIED {version}"), true),
                Err(Stop::Held(awaited)) => {
                    self.state = before;
                    told.extend(self.hold(ask, awaited, time_ms).map(|verdict| (ask.key, verdict)));
                    continue;
                }
                Err(Stop::Rejected(code)) => {
                    self.state = before;
                    (format!("REJECTED {code}"), false)
                }
            };
            self.waits_no_more(ask);
            self.decided.insert(ask.key, (content(ask), applied));
            told.push((ask.key, verdict));
        }
        told
    }

    fn apply(&mut self, ask: &Ask, time_ms: u64) -> Result<u64, Stop> {
        let mut awaited = None;
        for key in &ask.after {
            // What another tenant has asked for is nothing that anybody else knows of.
            let own = |(content, _): &&(String, bool)| content.starts_with(&format!("{} ", ask.tenant));
            match self.decided.get(key).filter(own) {
                Some((_, true)) => {}
                Some((_, false)) => return Err("DEPENDENCY_REJECTED".into()),
                None => awaited = awaited.or(Some(*key)),
            }
        }
        if let Some(key) = awaited {
            let is_issuer = |asset: &Asset| asset.issuer == ask.tenant || ask.is_order();
            if !self.state.assets.get(ask.asset).is_none_or(is_issuer) {
                return Err("NOT_ISSUER".into());
            }
            return Err(Stop::Held(Awaited::Request(key)));
        }
        self.may_pass(ask)?;
        let registers = matches!(ask.changes[0], Change::Register);
        let adds = ask.changes.iter().any(|change| matches!(change, Change::AddChain));
        let known = self.state.assets.get(ask.asset);
        if ask.expected.is_some_and(|expected| expected != known.map_or(0, |asset| asset.version)) {
            return Err("VERSION_MISMATCH".into());
        }
        match known {
            None if !registers => return Err("NOT_REGISTERED".into()),
            Some(asset) if asset.issuer != ask.tenant && !ask.is_order() => return Err("NOT_ISSUER".into()),
            _ => {}
        }
        if ask.on_arb && !adds && !known.is_some_and(|asset| asset.on_arb) {
            return Err("TARGET_NOT_ON_ASSET".into());
        }
        for (event, _) in ask.changes.iter().filter_map(Change::event) {
            if !self.state.used.insert(event) {
                return Err("EVENT_ALREADY_USED".into());
            }
        }
        for change in &ask.changes {
            self.change(ask, change, time_ms)?;
        }
        let asset = self.state.assets.get_mut(ask.asset).ok_or(Stop::Rejected("NOT_REGISTERED"))?;
        asset.version += 1;
        Ok(asset.version)
    }

    fn change(&mut self, ask: &Ask, change: &Change, time_ms: u64) -> Result<(), &'static str> {
        if self.state.assets.get(ask.asset).is_some_and(|asset| asset.regulated.state() == "CONFISCATED") {
            return Err("ASSET_BLOCKED");
        }
        if let Change::Register = change {
            let asset = Asset { issuer: ask.tenant, ..Asset::default() };
            return match self.state.assets.insert(ask.asset, asset) {
                Some(_) => Err("ALREADY_REGISTERED"),
                None => Ok(()),
            };
        }
        if let Change::Lock(_) | Change::Unlock(_) = change {
            return self.state.locks.entry(ask.asset).or_default().change(ask.key, change, time_ms);
        }
        let asset = self.state.assets.get_mut(ask.asset).ok_or("NOT_REGISTERED")?;
        let Asset { balances, regulated, on_arb, payments, .. } = asset;
        let take = |from: &'static str, amount: u64, balances: &mut BTreeMap<&'static str, u64>| {
            regulated.is_open(from)?;
            let balance = balances.entry(from).or_default();
            if balance.saturating_sub(regulated.frozen(from)) < amount {
                return Err("INSUFFICIENT_BALANCE");
            }
            *balance -= amount;
            Ok::<(), &'static str>(())
        };
        match change {
            Change::Register | Change::Set(_) | Change::Lock(_) | Change::Unlock(_) => {}
            Change::AddChain if *on_arb => return Err("CHAIN_ALREADY_PRESENT"),
            Change::AddChain => *on_arb = true,
            Change::Mint(to, amount, _) => {
                regulated.move_is_open()?;
                regulated.is_open(to)?;
                *balances.entry(to).or_default() += amount;
            }
            Change::Burn(from, amount) => {
                regulated.move_is_open()?;
                take(from, *amount, balances)?;
            }
            Change::Transfer(from, to, amount) => {
                regulated.move_is_open()?;
                take(from, *amount, balances)?;
                regulated.is_open(to)?;
                *balances.entry(to).or_default() += amount;
            }
            Change::Order(order) => regulated.apply(*order, balances)?,
            Change::Corporate(action) => payments.apply(*action, regulated, balances)?,
        }
        Ok(())
    }

    fn check(&self, world: &World) {
        for (name, model) in &self.state.assets {
            let asset = world.asset(name).expect("registered");
            assert_eq!((asset.version, asset.issuer.as_str()), (model.version, model.issuer), "{name}");
            assert_eq!(
                asset.status.regulatory().map(RegulatoryState::name),
                Some(model.regulated.state()),
                "{name}"
            );
            assert_eq!(asset.chains.contains(&"arb".to_owned()), model.on_arb, "{name}");
            for account in ACCOUNTS {
                let held = model.balances.get(account).copied().unwrap_or(0);
                let holding = world.holding(name, account);
                assert_eq!(holding.balance.units(), u128::from(held), "{name} {account}");
                let frozen = u128::from(model.regulated.frozen(account));
                assert_eq!(holding.frozen.units(), frozen, "{name} {account}");
                assert_eq!(holding.state.name(), model.regulated.state_of(account), "{name} {account}");
            }
        }
        self.check_waiting(world);
        for (name, model) in &self.state.assets {
            model.payments.check(name, world);
        }
        assert_eq!(
            world.values.keys().filter(|key| key.starts_with("asset/")).count(),
            self.state.assets.len()
        );
        assert_eq!(world.values.keys().filter(|key| key.starts_with("used/")).count(), self.state.used.len());
    }
}

fn content(ask: &Ask) -> String {
    format!("{} {}", ask.tenant, ask.json())
}

/// Receipts of every open target of every entry so far.
fn receipts(world: &World) -> Vec<RawInput> {
    let open =
        world.deliveries.iter().flat_map(|(seq, row)| row.open.iter().map(move |target| (*seq, target)));
    let receipt = |(seq, target): (u64, &String)| {
        let target = target.parse().expect("name");
        raw(
            InputStream::Receipts,
            Body::Receipt(Receipt { seq, target, status: Delivery::Final, parts: vec![] }),
        )
    };
    open.map(receipt).collect()
}

/// Assets of which everybody holds something, so that there is somebody to be paid.
fn held() -> Vec<Ask> {
    let mints = ACCOUNTS.map(|account| Change::Mint(account, 200, None));
    let changes: Vec<Change> = [Change::Register].into_iter().chain(mints).collect();
    let ask = |(key, asset)| Ask::plain(key, asset, changes.clone());
    (0..).zip(ASSETS).map(ask).collect()
}

/// `orders` and `corporate` are percent of the requests.
fn traffic(seed: u64, entries: usize, orders: u64, corporate: u64) -> BTreeSet<String> {
    let mut random = Random(seed);
    let (mut world, mut model) = (World::new(), Model::default());
    let mut known: Vec<Ask> = Vec::new();
    let mut met = BTreeSet::new();
    for n in 0..entries {
        world.time_ms += if random.chance(5) { 20_000 } else { random.below(2000) };
        let mut asks: Vec<Ask> = if n == 0 && corporate > 0 { held() } else { Vec::new() };
        known.extend(asks.clone());
        for _ in 0..=random.below(19) {
            let key = known.len() as u64;
            let ask = if !known.is_empty() && random.chance(10) {
                let again = random.pick(&(0..known.len()).collect::<Vec<_>>());
                let mut ask = known[again].clone();
                if random.chance(40) {
                    ask.changes = vec![Change::Set(random.below(1000))];
                }
                ask
            } else {
                let ask = Ask::random(&mut random, key, world.time_ms, |asset| model.version(asset));
                let share = random.below(100);
                let ask = if share < orders {
                    ask.into_order(&mut random)
                } else if share < orders + corporate {
                    ask.into_corporate(&mut random)
                } else {
                    ask
                };
                let may_lock = corporate == 0 || random.chance(3);
                let ask = if may_lock { model.with_lock(ask, &mut random) } else { ask };
                known.push(ask.clone());
                ask
            };
            let place = usize::try_from(random.below(asks.len() as u64 + 1)).expect("small");
            asks.insert(place, ask);
        }
        let batch = world.commit(asks.iter().map(Ask::message).collect());
        let expected = model.entry(&asks, world.time_ms);
        let expected: Vec<_> =
            expected.into_iter().map(|(key, verdict)| (name(key, "acme"), verdict)).collect();
        let said: Vec<_> = batch.body.outcomes.iter().map(|o| (o.rid, verdict(o))).collect();
        assert_eq!(distinct(said), distinct(expected), "seed {seed}, entry {}", batch.body.seq);
        model.check(&world);
        met.extend(batch.body.outcomes.iter().filter_map(|outcome| outcome.code.clone()));
        met.extend(feed_in(&mut world, &mut model, &mut random));
        if random.chance(20) {
            let some = receipts(&world).into_iter().filter(|_| random.chance(50)).collect();
            world.commit(some);
        }
    }
    world.commit(receipts(&world));
    assert!(world.deliveries.is_empty(), "seed {seed}: every delivery ends");
    let open = world.decisions.values().filter(|d| d.outcome == "APPLIED" && d.delivered.is_none()).count();
    assert_eq!(open, 0, "seed {seed}: every applied request completes");
    met
}

/// A refused copy is told once per entry.
fn distinct(told: Vec<(common::ids::Rid, String)>) -> Vec<(common::ids::Rid, String)> {
    let mut seen = BTreeSet::new();
    told.into_iter().filter(|one| !one.1.contains("CONFLICT") || seen.insert(one.clone())).collect()
}

#[test]
fn random_traffic_gives_what_a_naive_model_gives() {
    let mut met = BTreeSet::new();
    for seed in 1..=12 {
        met.extend(traffic(seed, 40, 15, 0));
    }
    let wanted = [
        "ALREADY_LOCKED",
        "ALREADY_REGISTERED",
        "ASSET_LOCKED",
        "ASSET_BLOCKED",
        "CHAIN_ALREADY_PRESENT",
        "DEPENDENCY_PENDING",
        "DEPENDENCY_REJECTED",
        "EVENT_ALREADY_USED",
        "FROZEN_NOT_LOWERED",
        "FROZEN_NOT_RAISED",
        "HOLDING_BLOCKED",
        "IDEMPOTENCY_CONFLICT",
        "INSUFFICIENT_BALANCE",
        "LOCK_NOT_HELD",
        "LOCK_TIMEOUT",
        "NOT_ISSUER",
        "NOT_REGISTERED",
        "TARGET_NOT_ON_ASSET",
        "TRANSITION_NOT_ALLOWED",
        "TTL_EXPIRED",
        "VERSION_MISMATCH",
    ];
    let missing: Vec<_> = wanted.into_iter().filter(|code| !met.contains(*code)).collect();
    assert!(missing.is_empty(), "the traffic never met {missing:?}");
}

#[test]
fn random_payments_give_what_a_naive_model_gives() {
    let mut met = BTreeSet::new();
    for seed in 1..=8 {
        met.extend(traffic(seed, 30, 1, 50));
    }
    let wanted = [
        "ALREADY_CLAIMED",
        "EVENT_EXISTS",
        "INSUFFICIENT_BALANCE",
        "NOTHING_DUE",
        "PAYMENT_UNKNOWN",
        "SNAPSHOT_UNKNOWN",
    ];
    let missing: Vec<_> = wanted.into_iter().filter(|code| !met.contains(*code)).collect();
    assert!(missing.is_empty(), "the traffic never met {missing:?}");
}
