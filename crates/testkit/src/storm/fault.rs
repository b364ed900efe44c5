//! The kinds of faults, and how one is drawn.
//!
//! In: random numbers and the parts that a stack has. Out: a [`Fault`] and how long it lasts. Pure: the same numbers
//! give the same faults.

use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom as _;

use crate::proxy::Path;
use crate::stack::{Link, Service};

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and the process stays away.
    Kill(Service),
    /// SIGSTOP: it wakes up later and believes that no time has passed.
    Freeze(Service),
    KillRedis,
    /// `kill -9`, and what was not fsynced is gone.
    CutPower,
    FreezeRedis,
    /// Redis refuses what needs memory.
    FillMemory,
    /// Redis' clock jumps by so many milliseconds.
    MoveClock(i64),
    Network(Link, Path),
    /// The newest block is replaced by an empty one.
    Reorganise(String),
    DropTransactions(String),
    PauseMining(String),
    FreezeChain(String),
}

/// What a fault holds; two faults never hold the same part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Service(Service),
    Redis,
    Link(Link),
    Chain(String),
}

impl Fault {
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill a process",
            Self::Freeze(_) => "freeze a process",
            Self::KillRedis => "kill redis",
            Self::CutPower => "cut redis' power",
            Self::FreezeRedis => "freeze redis",
            Self::FillMemory => "fill redis' memory",
            Self::MoveClock(_) => "move redis' clock",
            Self::Network(_, Path::AnswersLost) => "lose answers",
            Self::Network(_, Path::Cut) => "cut connections",
            Self::Network(_, Path::Slow(_)) => "slow a path",
            Self::Network(_, Path::RequestsHeld) => "hold one direction",
            Self::Network(_, _) => "hold a path",
            Self::Reorganise(_) => "reorganise a chain",
            Self::DropTransactions(_) => "drop transactions",
            Self::PauseMining(_) => "pause mining",
            Self::FreezeChain(_) => "freeze a chain",
        }
    }

    pub(super) fn part(&self) -> Part {
        match self {
            Self::Kill(service) | Self::Freeze(service) => Part::Service(*service),
            Self::KillRedis | Self::CutPower | Self::FreezeRedis | Self::FillMemory | Self::MoveClock(_) => {
                Part::Redis
            }
            Self::Network(link, _) => Part::Link(link.clone()),
            Self::Reorganise(chain)
            | Self::DropTransactions(chain)
            | Self::PauseMining(chain)
            | Self::FreezeChain(chain) => Part::Chain(chain.clone()),
        }
    }
}

/// How many kinds there are to draw from; [`draw`] takes a number below it.
pub(super) const KINDS: usize = 16;

/// What a stack has that can fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    pub(super) services: Vec<Service>,
    pub(super) links: Vec<Link>,
    pub(super) chains: Vec<String>,
}

/// A fault of the kind, and how long it lasts; `None` if the stack has no such part.
pub(super) fn draw(kind: usize, parts: &Parts, random: &mut impl Rng) -> Option<(Fault, Duration)> {
    let chain = |random: &mut _| parts.chains.choose(random).cloned();
    let link = |random: &mut _| parts.links.choose(random).cloned();
    let service = |random: &mut _| parts.services.choose(random).copied();
    let mut lasts = |from: u64, to: u64| Duration::from_millis(random.random_range(from..to));
    let (short, long) = (lasts(100, 1_500), lasts(500, 4_000));
    // Beyond every lease, so that what wakes up is not the owner any more.
    let beyond = lasts(3_500, 6_000);
    let network = |path: Path, random: &mut _, lasts| Some((Fault::Network(link(random)?, path), lasts));
    match kind {
        0 => Some((Fault::Kill(service(random)?), short)),
        1 => Some((Fault::Freeze(service(random)?), beyond)),
        2 => Some((Fault::KillRedis, short)),
        3 => Some((Fault::CutPower, short)),
        4 => Some((Fault::FreezeRedis, long)),
        5 => Some((Fault::FillMemory, long)),
        6 => Some((Fault::MoveClock(random.random_range(-8_000..20_000)), Duration::ZERO)),
        7 => network(Path::AnswersLost, random, long),
        8 => network(Path::Cut, random, short),
        9 => {
            let delay = Duration::from_millis(random.random_range(1..80));
            network(Path::Slow(delay), random, long)
        }
        10 => network(Path::RequestsHeld, random, long),
        11 => network(Path::Held, random, beyond),
        12 => Some((Fault::Reorganise(chain(random)?), Duration::ZERO)),
        13 => Some((Fault::DropTransactions(chain(random)?), Duration::ZERO)),
        14 => Some((Fault::PauseMining(chain(random)?), beyond)),
        _ => Some((Fault::FreezeChain(chain(random)?), beyond)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::stack::Role;

    #[test]
    fn every_kind_is_drawn_under_its_own_name_and_the_same_seed_draws_the_same() {
        let service = Service { role: Role::Validator, index: 0 };
        let parts = Parts {
            services: vec![service],
            links: vec![Link::Redis(service), Link::Chain("base".to_owned())],
            chains: vec!["base".to_owned()],
        };
        let all = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            (0..KINDS).map(|kind| draw(kind, &parts, &mut random).expect("drawn")).collect::<Vec<_>>()
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
        let names: BTreeSet<&str> = all(3).iter().map(|(fault, _)| fault.kind()).collect();
        assert_eq!(names.len(), KINDS);
        let mut random = StdRng::seed_from_u64(1);
        assert_eq!(draw(12, &Parts::default(), &mut random), None);
    }
}
