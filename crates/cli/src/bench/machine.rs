//! Who was using the machine: what each part of the stack spent on a request, and what others took meanwhile (a pass
//! beside a compiler measures the compiler).
//!
//! From `/proc` (Linux): busy time of all cores, and the time of this process and the stack's children. Elsewhere
//! there is no figure. CPU time hardly depends on what else runs, so it is what to compare two builds by.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::stack::services::Role;

/// Clock ticks a second in `/proc`; 100 on every Linux that matters here (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A program that takes part in a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// This process: the load and who watches what is received, or the bare relay's three hops.
    Bench,
    #[serde(untagged)]
    Stack(Role),
}

/// The clocks at one moment.
#[derive(Debug, Clone)]
pub(super) struct Clocks {
    at: Instant,
    busy_ticks: u64,
    parts: BTreeMap<Part, u64>,
}

impl Clocks {
    /// `children` beside this process; `None` where there is no `/proc`.
    pub(super) fn read(children: &[(Role, u32)]) -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let children = children.iter().map(|(role, pid)| (Part::Stack(*role), *pid));
        let mut parts = BTreeMap::new();
        for (part, pid) in children.chain([(Part::Bench, std::process::id())]) {
            let ticks =
                std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|text| used(&text));
            *parts.entry(part).or_default() += ticks.unwrap_or(0);
        }
        Some(Self { at: Instant::now(), busy_ticks: busy(&stat)?, parts })
    }

    /// CPU time that each part used between two moments, microseconds per request. A part that was not there at the
    /// first moment began at nothing.
    pub(super) fn each_until(&self, later: &Self, requests: u32) -> BTreeMap<Part, f64> {
        let spent = |(part, ticks): (&Part, &u64)| {
            let ticks = ticks.saturating_sub(self.parts.get(part).copied().unwrap_or(0));
            (*part, super::float(ticks) / TICKS_PER_SECOND * 1e6 / f64::from(requests.max(1)))
        };
        later.parts.iter().map(spent).collect()
    }

    fn own_until(&self, later: &Self) -> u64 {
        let of = |clocks: &Self, part: &Part| clocks.parts.get(part).copied().unwrap_or(0);
        later.parts.keys().map(|part| of(later, part).saturating_sub(of(self, part))).sum()
    }

    /// The share of all cores that others used between two moments, 0 to 1.
    pub(super) fn others_until(&self, later: &Self) -> f64 {
        let others = (later.busy_ticks.saturating_sub(self.busy_ticks)).saturating_sub(self.own_until(later));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let available =
            later.at.duration_since(self.at).as_secs_f64() * TICKS_PER_SECOND * super::float(cores as u64);
        (super::float(others) / available.max(1.0)).min(1.0)
    }
}

/// Ticks in which the cores worked: user, nice, system, irq, softirq; not idle, iowait or steal.
fn busy(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = fields.as_slice() else { return None };
    Some(user + nice + system + irq + softirq)
}

/// User and system ticks of a process. The name before them is in parentheses and may hold anything.
fn used(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_time_leaves_out_idle_and_waiting() {
        assert_eq!(busy("cpu  10 1 5 1000 50 2 3 9 0 0\ncpu0 1 1 1 1 1 1 1\n"), Some(21));
        assert_eq!(busy("intr 5\n"), None);
    }

    fn clocks(busy_ticks: u64, parts: &[(Part, u64)]) -> Clocks {
        Clocks { at: Instant::now(), busy_ticks, parts: parts.iter().copied().collect() }
    }

    #[test]
    fn each_part_is_told_what_it_used_and_one_that_began_meanwhile_all_of_it() {
        let (redis, validator) = (Part::Stack(Role::Redis), Part::Stack(Role::Validator));
        let before = clocks(1_000, &[(redis, 100), (Part::Bench, 50)]);
        let after = clocks(1_700, &[(redis, 300), (Part::Bench, 50), (validator, 400)]);
        let each = before.each_until(&after, 1_000);
        // 200 ticks of 10 ms over 1,000 requests.
        assert!((each[&redis] - 2_000.0).abs() < 1e-6);
        assert!((each[&validator] - 4_000.0).abs() < 1e-6);
        assert!(each[&Part::Bench].abs() < 1e-6);
        assert_eq!(before.own_until(&after), 600);
    }

    #[test]
    fn a_process_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 300 20 0 0 20 0 1 0 100";
        assert_eq!(used(stat), Some(320));
    }
}
