//! Corporate actions in random traffic, and what a naive model makes of them: a snapshot is a copy of all balances.

use std::collections::{BTreeMap, BTreeSet};

use common::state::{ClaimRecord, HoldingRecord, PaymentRecord, decode};
use serde_json::{Value, json};

use super::orders::Regulated;
use super::traffic::{ACCOUNTS, Random};
use super::world::World;

#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Action {
    Snapshot(u64),
    Pay { kind: &'static str, day: u64, record_day: u64, from: &'static str, due: Due },
    Claim(&'static str, u64, &'static str),
}

#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Due {
    /// Hundredths per unit.
    Rate(u64),
    Amount(u64),
}

const KINDS: [&str; 2] = ["INTEREST_PAYMENT", "PRINCIPAL_REPAYMENT"];
const DAYS: u64 = 6;

fn date(day: u64) -> String {
    format!("2026-03-{:02}", day + 1)
}

/// In the one spelling of a rate.
fn rate(hundredths: u64) -> String {
    let digits = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Action {
    pub(super) fn random(random: &mut Random) -> Self {
        let (kind, day, from) = (random.pick(&KINDS), random.below(DAYS), random.pick(&ACCOUNTS));
        match random.below(20) {
            0..=2 => Self::Snapshot(day),
            3..=7 => {
                let due = if random.chance(50) {
                    Due::Rate(1 + random.below(15))
                } else {
                    Due::Amount(1 + random.below(20))
                };
                Self::Pay { kind, day, record_day: random.below(DAYS), from, due }
            }
            _ => Self::Claim(kind, day, from),
        }
    }

    pub(super) fn json(self, asset: &str) -> Value {
        match self {
            Self::Snapshot(day) => json!({"kind": "RECORD_SNAPSHOT", "date": date(day)}),
            Self::Pay { kind, day, record_day, from, due } => {
                let mut json = json!({"kind": kind, "date": date(day), "record_date": date(record_day),
                    "cash_asset": asset, "from": from});
                match due {
                    Due::Rate(hundredths) => json["rate"] = json!(rate(hundredths)),
                    Due::Amount(amount) => json["amount"] = json!(amount.to_string()),
                }
                json
            }
            Self::Claim(kind, day, account) => {
                json!({"kind": "CLAIM", "event": kind, "date": date(day), "account": account})
            }
        }
    }
}

type Balances = BTreeMap<&'static str, u64>;

#[derive(Debug, Clone)]
struct Payment {
    record_day: u64,
    due: Due,
    funded: u64,
    claimed: Balances,
}

impl Payment {
    fn paid(&self) -> u64 {
        self.claimed.values().sum()
    }
}

/// Of one asset.
#[derive(Debug, Clone, Default)]
pub(super) struct Payments {
    /// By record day: what everybody held, and the supply.
    snapshots: BTreeMap<u64, (Balances, u64)>,
    made: BTreeMap<(&'static str, u64), Payment>,
}

impl Payments {
    fn funds(&self) -> u64 {
        self.made.values().map(|payment| payment.funded - payment.paid()).sum()
    }

    pub(super) fn apply(
        &mut self,
        action: Action,
        regulated: &Regulated,
        balances: &mut Balances,
    ) -> Result<(), &'static str> {
        match action {
            Action::Snapshot(day) => {
                let supply = balances.values().sum::<u64>() + self.funds();
                match self.snapshots.insert(day, (balances.clone(), supply)) {
                    Some(_) => Err("EVENT_EXISTS"),
                    None => Ok(()),
                }
            }
            Action::Pay { kind, day, record_day, from, due } => {
                regulated.move_is_open()?;
                if self.made.contains_key(&(kind, day)) {
                    return Err("EVENT_EXISTS");
                }
                let (_, supply) = self.snapshots.get(&record_day).ok_or("SNAPSHOT_UNKNOWN")?;
                let funded = match due {
                    Due::Rate(hundredths) => supply * hundredths / 100,
                    Due::Amount(_) if *supply == 0 => 0,
                    Due::Amount(amount) => amount,
                };
                if funded == 0 {
                    return Err("NOTHING_DUE");
                }
                regulated.is_open(from)?;
                let balance = balances.entry(from).or_default();
                if balance.saturating_sub(regulated.frozen(from)) < funded {
                    return Err("INSUFFICIENT_BALANCE");
                }
                *balance -= funded;
                let payment = Payment { record_day, due, funded, claimed: BTreeMap::new() };
                self.made.insert((kind, day), payment);
                Ok(())
            }
            Action::Claim(kind, day, account) => {
                regulated.move_is_open()?;
                let payment = self.made.get_mut(&(kind, day)).ok_or("PAYMENT_UNKNOWN")?;
                if payment.claimed.contains_key(account) {
                    return Err("ALREADY_CLAIMED");
                }
                regulated.is_open(account)?;
                let (held, supply) = &self.snapshots[&payment.record_day];
                let held = held.get(account).copied().unwrap_or(0);
                let due = match payment.due {
                    Due::Rate(hundredths) => held * hundredths / 100,
                    Due::Amount(amount) => held * amount / supply,
                };
                if due == 0 {
                    return Err("NOTHING_DUE");
                }
                payment.claimed.insert(account, due);
                *balances.entry(account).or_default() += due;
                Ok(())
            }
        }
    }

    pub(super) fn check(&self, asset: &str, world: &World) {
        let mut seen = BTreeSet::new();
        for ((kind, day), model) in &self.made {
            let event = format!("event/{asset}/{}/{kind}", date(*day));
            let record: PaymentRecord = decode(&world.values[&event]).expect("a payment");
            let (funded, paid) = (u128::from(model.funded), u128::from(model.paid()));
            assert_eq!((record.funded.units(), record.paid.units()), (funded, paid), "{event}");
            assert!(paid <= funded, "{event}");
            let fund = world.values.get(&format!("holding/{asset}/event/{}/{kind}", date(*day)));
            let fund =
                fund.map_or(0, |value| decode::<HoldingRecord>(value).expect("a holding").balance.units());
            assert_eq!(fund, funded - paid, "{event}");
            for (account, amount) in &model.claimed {
                let mark: ClaimRecord =
                    decode(&world.values[&format!("{event}/{account}")]).expect("a claim");
                assert_eq!(mark.amount.units(), u128::from(*amount), "{event} {account}");
            }
            seen.insert(event);
        }
        let claims: usize = self.made.values().map(|payment| payment.claimed.len()).sum();
        let prefix = format!("event/{asset}/");
        let stored = world.values.keys().filter(|key| key.starts_with(&prefix)).count();
        assert_eq!(stored, self.snapshots.len() + seen.len() + claims, "{asset}");
    }
}
