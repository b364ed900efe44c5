//! Orders of authorities in random traffic, and what a naive model makes of them: states are words, the machine is the
//! printed table.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::traffic::{ACCOUNTS, Random};

#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Order {
    /// A step of the asset, or of an account's holding.
    Step(&'static str, Option<&'static str>),
    /// CONFISCATE of a holding, and who gets its units.
    Forfeit(&'static str, &'static str),
    /// FREEZE or UNFREEZE with a figure.
    Figure(&'static str, &'static str, u64),
    /// LIQUIDATE or RECOVER.
    Move(&'static str, &'static str, &'static str, u64),
}

/// From, action, to.
const TABLE: [(&str, &str, &str); 12] = [
    ("ACTIVE", "FREEZE", "FROZEN"),
    ("ACTIVE", "SEIZE", "SEIZED"),
    ("ACTIVE", "CONFISCATE", "CONFISCATED"),
    ("ACTIVE", "RESTRICT", "RESTRICTED"),
    ("FROZEN", "UNFREEZE", "ACTIVE"),
    ("FROZEN", "SEIZE", "SEIZED"),
    ("FROZEN", "CONFISCATE", "CONFISCATED"),
    ("SEIZED", "RELEASE", "ACTIVE"),
    ("SEIZED", "CONFISCATE", "CONFISCATED"),
    ("RESTRICTED", "FREEZE", "FROZEN"),
    ("RESTRICTED", "CONFISCATE", "CONFISCATED"),
    ("RESTRICTED", "UNRESTRICT", "ACTIVE"),
];

impl Order {
    pub(super) fn random(random: &mut Random) -> Self {
        let (one, other, figure) = (random.pick(&ACCOUNTS), random.pick(&ACCOUNTS), random.below(60));
        let step = random.pick(&["FREEZE", "SEIZE", "RESTRICT", "UNFREEZE", "RELEASE", "UNRESTRICT"]);
        match random.below(40) {
            0 => Self::Step("CONFISCATE", None),
            // A stop is short, or nothing else would happen.
            1..=3 => Self::Step(step, None),
            4..=10 => Self::Step(random.pick(&["UNFREEZE", "RELEASE", "UNRESTRICT"]), None),
            11..=20 => Self::Step(step, Some(one)),
            21..=22 if one != other => Self::Forfeit(one, other),
            23..=30 => Self::Figure("FREEZE", one, figure + 1),
            31..=33 => Self::Figure("UNFREEZE", one, figure),
            _ if one != other => Self::Move(random.pick(&["LIQUIDATE", "RECOVER"]), one, other, figure + 1),
            _ => Self::Step("RELEASE", Some(one)),
        }
    }

    pub(super) fn json(self) -> Value {
        match self {
            Self::Step(kind, None) => json!({ "kind": kind }),
            Self::Step(kind, Some(account)) => json!({"kind": kind, "account": account}),
            Self::Forfeit(account, to) => json!({"kind": "CONFISCATE", "account": account, "to": to}),
            Self::Figure(kind, account, amount) => {
                json!({"kind": kind, "account": account, "amount": amount.to_string()})
            }
            Self::Move(kind, from, to, amount) => {
                json!({"kind": kind, "from": from, "to": to, "amount": amount.to_string()})
            }
        }
    }
}

/// What authorities have done to an asset. Nothing is said of what is ACTIVE.
#[derive(Debug, Clone, Default)]
pub(super) struct Regulated {
    asset: Option<&'static str>,
    holdings: BTreeMap<&'static str, &'static str>,
    frozen: BTreeMap<&'static str, u64>,
}

type Balances = BTreeMap<&'static str, u64>;

fn stops(state: &str) -> bool {
    ["FROZEN", "SEIZED", "CONFISCATED"].contains(&state)
}

fn next(state: &str, action: &str) -> Result<&'static str, &'static str> {
    let row = TABLE.iter().find(|(from, by, _)| (*from, *by) == (state, action));
    row.map(|(.., to)| *to).ok_or("TRANSITION_NOT_ALLOWED")
}

impl Regulated {
    pub(super) fn state(&self) -> &'static str {
        self.asset.unwrap_or("ACTIVE")
    }

    pub(super) fn state_of(&self, account: &str) -> &'static str {
        self.holdings.get(account).copied().unwrap_or("ACTIVE")
    }

    pub(super) fn frozen(&self, account: &str) -> u64 {
        self.frozen.get(account).copied().unwrap_or(0)
    }

    pub(super) fn move_is_open(&self) -> Result<(), &'static str> {
        if stops(self.state()) { Err("ASSET_BLOCKED") } else { Ok(()) }
    }

    pub(super) fn is_open(&self, account: &str) -> Result<(), &'static str> {
        if stops(self.state_of(account)) { Err("HOLDING_BLOCKED") } else { Ok(()) }
    }

    pub(super) fn apply(&mut self, order: Order, balances: &mut Balances) -> Result<(), &'static str> {
        match order {
            Order::Step(action, None) => self.asset = Some(next(self.state(), action)?),
            Order::Step(action, Some(account)) => {
                let next = next(self.state_of(account), action)?;
                self.holdings.insert(account, next);
            }
            Order::Forfeit(account, to) => {
                let all = balances.get(account).copied().unwrap_or(0);
                if all > 0 {
                    self.force(account, to, all, balances)?;
                }
                self.frozen.insert(account, 0);
                let next = next(self.state_of(account), "CONFISCATE")?;
                self.holdings.insert(account, next);
            }
            Order::Figure(kind, account, figure) => {
                if self.state_of(account) == "CONFISCATED" {
                    return Err("HOLDING_BLOCKED");
                }
                match (kind, figure.cmp(&self.frozen(account))) {
                    ("FREEZE", std::cmp::Ordering::Greater) | ("UNFREEZE", std::cmp::Ordering::Less) => {}
                    ("FREEZE", _) => return Err("FROZEN_NOT_RAISED"),
                    _ => return Err("FROZEN_NOT_LOWERED"),
                }
                self.frozen.insert(account, figure);
            }
            Order::Move(_, from, to, amount) => {
                if balances.get(from).copied().unwrap_or(0) < amount {
                    return Err("INSUFFICIENT_BALANCE");
                }
                self.force(from, to, amount, balances)?;
            }
        }
        Ok(())
    }

    /// Unit by unit: a free one if there is any, else one that is frozen is freed first.
    fn force(
        &mut self,
        from: &'static str,
        to: &'static str,
        amount: u64,
        balances: &mut Balances,
    ) -> Result<(), &'static str> {
        self.is_open(to)?;
        for _ in 0..amount {
            let balance = balances.entry(from).or_default();
            let frozen = self.frozen.entry(from).or_default();
            if *frozen >= *balance {
                *frozen -= 1;
            }
            *balance -= 1;
            *balances.entry(to).or_default() += 1;
        }
        Ok(())
    }
}
