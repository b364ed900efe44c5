//! Who else was using the machine: a pass beside a compiler measures the compiler.
//!
//! From `/proc` (Linux): busy time of all cores against the time of this process and the stack's children.
//! Elsewhere there is no figure.

use std::time::Instant;

/// Clock ticks a second in `/proc`; 100 on every Linux that matters here (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    at: Instant,
    busy_ticks: u64,
    own_ticks: u64,
}

impl Clocks {
    /// `children` beside this process; `None` where there is no `/proc`.
    pub(super) fn read(children: &[u32]) -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let own = children.iter().copied().chain([std::process::id()]);
        let ticks =
            |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|text| used(&text));
        Some(Self { at: Instant::now(), busy_ticks: busy(&stat)?, own_ticks: own.filter_map(ticks).sum() })
    }

    /// The share of all cores that others used between two moments, 0 to 1.
    pub(super) fn others_until(&self, later: &Self) -> f64 {
        let others = (later.busy_ticks.saturating_sub(self.busy_ticks))
            .saturating_sub(later.own_ticks.saturating_sub(self.own_ticks));
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

    #[test]
    fn a_process_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 300 20 0 0 20 0 1 0 100";
        assert_eq!(used(stat), Some(320));
    }
}
