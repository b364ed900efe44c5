//! How busy a stage is: the share of time in which its workers have something in hand.
//!
//! In: how many of the workers are at work, whenever that changes, or how long a piece of work took. Out: every few
//! seconds `oss_stage_busy_ratio` of the time since the last look. A piece that is reported at its end counts then, so a ratio
//! never passes 1.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use metrics::{Gauge, Label, gauge};

/// Stages that are looked at; one that is dropped leaves.
static STAGES: Mutex<Vec<Weak<Stage>>> = Mutex::new(Vec::new());

/// The workers of one stage. Clones count for the same stage.
#[derive(Debug, Clone)]
pub struct Busy(Arc<Stage>);

struct Stage {
    gauge: Gauge,
    workers: f64,
    account: Mutex<Account>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("workers", &self.workers).finish_non_exhaustive()
    }
}

/// Time worked since the last look.
#[derive(Debug)]
struct Account {
    worked: Duration,
    active: u32,
    /// Up to when `worked` counts those that are active.
    counted: Instant,
    looked: Instant,
}

impl Account {
    const fn new(now: Instant) -> Self {
        Self { worked: Duration::ZERO, active: 0, counted: now, looked: now }
    }

    fn count(&mut self, now: Instant) {
        self.worked += now.saturating_duration_since(self.counted) * self.active;
        self.counted = now;
    }

    /// The share since the last look.
    fn look(&mut self, workers: f64, now: Instant) -> f64 {
        self.count(now);
        let time = now.saturating_duration_since(self.looked).as_secs_f64() * workers;
        let worked = std::mem::take(&mut self.worked).as_secs_f64();
        self.looked = now;
        if time > 0.0 { (worked / time).clamp(0.0, 1.0) } else { 0.0 }
    }
}

impl Busy {
    /// A stage with so many workers. Its labels have few values: shard, target.
    #[must_use]
    pub fn new(stage: &'static str, workers: usize, labels: &[(&'static str, String)]) -> Self {
        let mut all = vec![Label::new("stage", stage)];
        all.extend(labels.iter().map(|(name, value)| Label::new(*name, value.clone())));
        let gauge = gauge!("oss_stage_busy_ratio", all);
        gauge.set(0.0);
        let workers = f64::from(u32::try_from(workers.max(1)).unwrap_or(u32::MAX));
        let stage = Arc::new(Stage { gauge, workers, account: Mutex::new(Account::new(Instant::now())) });
        let mut stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
        stages.retain(|stage| stage.strong_count() > 0);
        stages.push(Arc::downgrade(&stage));
        Self(stage)
    }

    /// So many workers have something in hand from now on.
    pub fn active(&self, workers: usize) {
        let mut account = self.account();
        account.count(Instant::now());
        account.active = u32::try_from(workers).unwrap_or(u32::MAX);
    }

    /// One worker had something in hand for so long, until now.
    pub fn worked(&self, took: Duration) {
        self.account().worked += took;
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.0.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works all ratios out.
pub(super) fn publish() {
    let now = Instant::now();
    let stages = STAGES.lock().unwrap_or_else(PoisonError::into_inner);
    for stage in stages.iter().filter_map(Weak::upgrade) {
        let ratio = stage.account.lock().unwrap_or_else(PoisonError::into_inner).look(stage.workers, now);
        stage.gauge.set(ratio);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_time_in_hand_over_the_time_of_all_workers_since_the_last_look() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        };
        let mut account = Account::new(start);
        account.count(at(1_000));
        account.active = 2;
        account.count(at(2_000));
        account.active = 1;
        // 1 s of nothing, 1 s of two, 2 s of one: 4 of 16 worker seconds.
        near(account.look(4.0, at(4_000)), 0.25);
        // What goes on is counted up to each look.
        near(account.look(4.0, at(5_000)), 0.25);
        account.count(at(5_000));
        account.active = 0;
        account.worked += Duration::from_millis(500);
        near(account.look(1.0, at(6_000)), 0.5);
        near(account.look(1.0, at(7_000)), 0.0);
        account.worked += Duration::from_secs(9);
        near(account.look(1.0, at(8_000)), 1.0);
    }
}
