//! The crew of a sequencer: its own thread, and others for as long as they have something to do.
//!
//! It measures what a request costs on one thread and goes by the engine's rule ([`Parallel`]). Threads are started for
//! one run and end with it: by the rule each has 200 µs to do at least, and a start takes a tenth of that or two; with
//! the requests of today none is started. A thread that cannot be started leaves its part to the others.

use std::cell::Cell;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::{Crew, Parallel};

/// The measured cost is a mean over about so many requests: a few full batches.
const MEAN_OVER: u64 = 1_024;

#[derive(Debug)]
pub(crate) struct Threads {
    /// At most so many, the sequencer's own among them.
    most: usize,
    /// Mean time of one request on one thread, ns; it begins at 0.
    cost_ns: Cell<u64>,
}

impl Threads {
    /// As many as this process may use at a time.
    #[must_use]
    pub(crate) fn of_this_machine() -> Self {
        // Where the machine does not tell, one is always there.
        Self { most: thread::available_parallelism().map_or(1, NonZero::get), cost_ns: Cell::new(0) }
    }

    fn measured(&self, requests: usize, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.cost_ns.set(mean(self.cost_ns.get(), requests as u64, took_ns));
    }
}

/// The mean after so many requests more, which took so long together. What is not known yet counts as nothing: a slow first
/// request is no slow batch.
fn mean(before_ns: u64, requests: u64, took_ns: u64) -> u64 {
    let weight = MEAN_OVER.max(requests);
    // The older ones keep what the new ones leave them.
    let kept = u128::from(before_ns) * u128::from(weight - requests);
    u64::try_from((kept + u128::from(took_ns)) / u128::from(weight)).unwrap_or(u64::MAX)
}

impl Crew for Threads {
    fn threads_for(&self, ready: usize) -> usize {
        Parallel { threads: self.most, cost_ns: self.cost_ns.get() }.threads_for(ready)
    }

    fn run(&self, threads: usize, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        let (next, busy_ns) = (AtomicUsize::new(0), AtomicU64::new(0));
        let work = || {
            let began = Instant::now();
            let mut mine = 0;
            let mut number = next.fetch_add(1, Ordering::Relaxed);
            while number < pieces {
                piece(number);
                mine += 1;
                number = next.fetch_add(1, Ordering::Relaxed);
            }
            if mine > 0 {
                let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                busy_ns.fetch_add(took, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                let started = thread::Builder::new().name("execute".to_owned()).spawn_scoped(scope, work);
                if let Err(error) = started {
                    tracing::warn!(%error, "A thread could not be started; the others run its requests");
                }
            }
            work();
        });
        self.measured(pieces, Duration::from_nanos(busy_ns.into_inner()));
    }

    fn alone(&self, requests: usize, work: &mut dyn FnMut()) {
        let began = Instant::now();
        work();
        if requests > 0 {
            self.measured(requests, began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(most: usize) -> Threads {
        Threads { most, cost_ns: Cell::new(0) }
    }

    #[test]
    fn every_piece_runs_once_on_however_many_threads() {
        for count in 1..=4 {
            let runs: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            let crew = threads(count);
            crew.run(count, runs.len(), &|number| {
                runs[number].fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                while began.elapsed() < Duration::from_micros(50) {}
            });
            assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "{count} threads");
            assert_ne!(crew.cost_ns.get(), 0, "{count} threads");
        }
    }

    #[test]
    fn the_cost_is_a_mean_over_some_batches_and_full_ones_count_for_more() {
        assert_eq!(mean(0, 256, 256 * 4_000), 1_000, "little is known at first");
        assert_eq!(mean(3_000, 256, 256 * 7_000), 4_000);
        assert_eq!(mean(3_000, 1, 1_027_000), 4_000, "one slow request is no slow batch");
        assert_eq!(mean(3_000, 2_048, 2_048 * 5_000), 5_000);
        assert_eq!(mean(3_000, 0, 0), 3_000);
    }

    #[test]
    fn nothing_is_shared_before_enough_was_measured() {
        let crew = threads(4);
        assert_eq!(crew.threads_for(256), 1);
        crew.measured(1, Duration::from_micros(500));
        assert_eq!(crew.threads_for(256), 1, "one slow request");
        crew.measured(256, Duration::from_millis(256));
        assert_eq!(crew.threads_for(256), 4);
    }
}
