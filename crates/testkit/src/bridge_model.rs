//! The on-chain version rule and the reach of rollbacks, explored exhaustively for small logs.
//!
//! In: a [`Rule`], each of whose conditions is a switch, and the longest log to try. Out: [`Verdict`], either what was
//! explored or the first counter-example, with the log and the landings that lead to it.
//!
//! The model is one asset on two chains. A log entry adds changes to the asset (each takes its version up by one), lets the
//! second chain join (again, if a REVERT has taken it away), or is a REVERT that undoes any set of the live changes. Every entry emits one [`Update`] per chain of
//! the asset; a REVERT also to the chains it takes the asset away from. Any logged update may land on its chain at any time,
//! before or after later entries are logged, in any order and repeatedly, covered or not: anybody may send a signed batch.
//! Only the uncovered ones are sure to be sent at last.
//!
//! What must hold on each chain:
//! 1. the version only rises;
//! 2. no undone version lands after a REVERT that covers it has landed;
//! 3. a landing jumps only over versions that it covers: each logged version is applied or covered by what is applied;
//! 4. a REVERT covers every update that carries a change it undoes, so that none of them is sent newly;
//! 5. once no uncovered update can land any more, the chain holds the log's last version and its content.

#[cfg(test)]
mod tests;

mod log;

use std::collections::BTreeSet;

pub use log::{Content, Entry, Log, Update};

/// Which of the logged updates gives a REVERT its `from` on a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevertFrom {
    /// The one that reaches furthest back among those that carry an undone change. A REVERT carries the changes it kept.
    LowestCarrier,
    /// The first in the log among those that carry an undone change.
    FirstCarrier,
    /// None: the REVERT follows the version before it, like any other update.
    PreviousVersion,
}

/// What a chain that joins is taken to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinFrom {
    /// The last version that it was told: 0, or that of the REVERT that took the asset from it.
    LastTold,
    /// Nothing.
    Zero,
}

/// The conditions under test; [`Rule::FULL`] is the rule with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one condition, to be switched off on its own")]
pub struct Rule {
    /// On chain: `from <= current`, else the update is deferred.
    pub from_not_above_current: bool,
    /// On chain: `current < version`, else the update is stale.
    pub version_above_current: bool,
    /// A REVERT covers only updates with `update.from >= revert.from`.
    pub covers_by_from: bool,
    /// A REVERT covers only updates with `update.version < revert.version`.
    pub covers_by_version: bool,
    pub revert_from: RevertFrom,
    pub join_from: JoinFrom,
}

impl Rule {
    pub const FULL: Rule = Rule {
        from_not_above_current: true,
        version_above_current: true,
        covers_by_from: true,
        covers_by_version: true,
        revert_from: RevertFrom::LowestCarrier,
        join_from: JoinFrom::LastTold,
    };

    /// Whether the REVERT `by` tells the lanes to leave `update` out.
    fn covers(&self, by: &Update, update: &Update) -> bool {
        by.undoes.is_some()
            && by.entry != update.entry
            && (!self.covers_by_from || update.from >= by.from)
            && (!self.covers_by_version || update.version < by.version)
    }

    /// What the contract does with `update` when the chain is at `current`.
    fn land(&self, current: u8, update: &Update) -> Landing {
        if self.version_above_current && current >= update.version {
            Landing::Stale
        } else if self.from_not_above_current && current < update.from {
            Landing::Deferred
        } else {
            Landing::Applied
        }
    }
}

#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landing {
    Applied,
    Stale,
    Deferred,
}

/// The chains of the model: the asset is on the first from its first entry on, the second joins by an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    First,
    Second,
}

/// Which property failed; `update`, `jumped` and `revert` are entry numbers, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Property 1.
    VersionFell { update: usize, current: u8 },
    /// Property 2.
    UndoneAfterItsRevert { update: usize, revert: usize },
    /// Property 3.
    JumpedOver { update: usize, jumped: usize },
    /// Property 4.
    UndoneStillSent { update: usize, revert: usize },
    /// Property 5: `current` of the chain, the log's `last` version.
    Stranded { current: u8, last: u8 },
}

/// How a property fails: the log, and the entries whose updates landed on `chain`, in that order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterExample {
    pub violation: Violation,
    pub chain: Chain,
    pub entries: Vec<Entry>,
    pub landed: Vec<usize>,
}

/// What an exploration went through; a test that finds nothing can tell by these that it looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    pub logs: u64,
    /// States of a chain under a log: its version and what has landed.
    pub states: u64,
    pub deferred: u64,
    pub stale: u64,
    /// Landings of a REVERT on a chain that had a version it undoes.
    pub superseded: u64,
    /// REVERTs that cover an earlier REVERT.
    pub overlapping: u64,
    /// Logs in which the second chain joins again.
    pub rejoining: u64,
    /// States in which nothing uncovered is left to land.
    pub settled: u64,
}

#[must_use]
#[derive(Clone, Debug)]
pub enum Verdict {
    Holds(Explored),
    Fails(Box<CounterExample>),
}

/// Tries every log of at most `entries_max` entries with every delivery. The cost grows about tenfold with each entry.
pub fn explore(rule: Rule, entries_max: usize) -> Verdict {
    let mut explorer = Explorer { rule, entries_max, explored: Explored::default() };
    let start = BTreeSet::from([ChainState::default()]);
    match explorer.extend(&Log::default(), &[start.clone(), start]) {
        Ok(()) => Verdict::Holds(explorer.explored),
        Err(found) => Verdict::Fails(found),
    }
}

/// A chain as far as the properties depend on it. `landed` is in order of landing, applied updates only.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct ChainState {
    version: u8,
    content: Content,
    landed: Vec<usize>,
}

struct Explorer {
    rule: Rule,
    entries_max: usize,
    explored: Explored,
}

impl Explorer {
    /// Explores every continuation of `log`, whose chains may be in any of the `reached` states.
    fn extend(&mut self, log: &Log, reached: &[BTreeSet<ChainState>; 2]) -> Result<(), Box<CounterExample>> {
        self.explored.logs += 1;
        if log.entries.len() == self.entries_max {
            return Ok(());
        }
        for entry in log.choices() {
            let longer = log.with(entry, &self.rule);
            self.explored.rejoining +=
                u64::from(entry == Entry::Join && !log.updates(Chain::Second).is_empty());
            let mut next = reached.clone();
            for (chain, states) in [Chain::First, Chain::Second].into_iter().zip(&mut next) {
                let updates = longer.updates(chain);
                self.check(updates, states).map_err(|(violation, landed)| {
                    Box::new(CounterExample { violation, chain, entries: longer.entries.clone(), landed })
                })?;
            }
            self.extend(&longer, &next)?;
        }
        Ok(())
    }

    /// Adds to `states` all that are reached by landings of `updates`, and checks every property on the way.
    fn check(
        &mut self,
        updates: &[Update],
        states: &mut BTreeSet<ChainState>,
    ) -> Result<(), (Violation, Vec<usize>)> {
        self.check_last_revert(updates).map_err(|violation| (violation, Vec::new()))?;
        let mut open: Vec<ChainState> = states.iter().cloned().collect();
        while let Some(state) = open.pop() {
            self.explored.states += 1;
            let mut quiet = true;
            for update in updates {
                match self.rule.land(state.version, update) {
                    Landing::Applied => {}
                    Landing::Stale => {
                        self.explored.stale += 1;
                        continue;
                    }
                    Landing::Deferred => {
                        self.explored.deferred += 1;
                        continue;
                    }
                }
                quiet &= updates.iter().any(|by| self.rule.covers(by, update));
                let mut landed = state.landed.clone();
                landed.push(update.entry);
                self.check_landing(updates, &state, update)
                    .map_err(|violation| (violation, landed.clone()))?;
                let after = ChainState { version: update.version, content: update.content, landed };
                if states.insert(after.clone()) {
                    open.push(after);
                }
            }
            if quiet {
                self.check_settled(updates, &state).map_err(|violation| (violation, state.landed.clone()))?;
            }
        }
        Ok(())
    }

    /// Property 4, when the newest update is a REVERT's.
    fn check_last_revert(&mut self, updates: &[Update]) -> Result<(), Violation> {
        let Some((revert, earlier)) = updates.split_last() else { return Ok(()) };
        let Some(undone) = revert.undoes else { return Ok(()) };
        for update in earlier {
            let covered = self.rule.covers(revert, update);
            if update.carries.meets(undone) && !covered {
                return Err(Violation::UndoneStillSent { update: update.entry, revert: revert.entry });
            }
            self.explored.overlapping += u64::from(covered && update.undoes.is_some());
        }
        Ok(())
    }

    /// Properties 1 to 3. "Covers" is here what it should mean, whatever the rule under test makes of it.
    fn check_landing(
        &mut self,
        updates: &[Update],
        before: &ChainState,
        update: &Update,
    ) -> Result<(), Violation> {
        if update.version <= before.version {
            let undone_by =
                updates.iter().find(|by| before.landed.contains(&by.entry) && Rule::FULL.covers(by, update));
            return Err(match undone_by {
                Some(by) => Violation::UndoneAfterItsRevert { update: update.entry, revert: by.entry },
                None => Violation::VersionFell { update: update.entry, current: before.version },
            });
        }
        for other in updates.iter().filter(|other| other.version < update.version) {
            let covered = Rule::FULL.covers(update, other);
            if other.version > before.version && !covered {
                return Err(Violation::JumpedOver { update: update.entry, jumped: other.entry });
            }
            self.explored.superseded += u64::from(other.version == before.version && covered);
        }
        Ok(())
    }

    /// Property 5, in a state in which nothing uncovered can land any more.
    fn check_settled(&mut self, updates: &[Update], state: &ChainState) -> Result<(), Violation> {
        let Some(last) = updates.last() else { return Ok(()) };
        self.explored.settled += 1;
        if (state.version, state.content) != (last.version, last.content) {
            return Err(Violation::Stranded { current: state.version, last: last.version });
        }
        Ok(())
    }
}
