//! Who runs the requests of a batch, and when several threads pay.
//!
//! The engine has no threads and no clock of its own: the shell hands in a [`Crew`] that has both. Whatever it says and
//! however many threads it has, the batch is the same; only the time differs.
//!
//! Several threads pay only if each gets enough to do ([`Parallel::threads_for`]). On two cores requests of up to 20 µs
//! gain little or nothing, since the other core has work already; from 50 µs on a whole batch gains 1.4 times and more. So
//! requests below [`COST_NS_MIN`] take their turns on one thread, and each thread gets at least [`REQUESTS_MIN`]. Both
//! together give it 200 µs to do, several times what it takes to start it.

/// Requests that are cheaper run on one thread, ns.
const COST_NS_MIN: u64 = 50_000;
/// Requests that are ready, per thread.
const REQUESTS_MIN: usize = 4;

/// Runs requests for the engine.
pub trait Crew {
    /// On how many threads to run so many requests that wait for nothing; below 2 = in turn.
    fn threads_for(&self, ready: usize) -> usize;

    /// Calls `piece` for each number below `pieces`, on so many threads, and returns when all calls have. A number that
    /// is left out costs time and nothing else.
    fn run(&self, threads: usize, pieces: usize, piece: &(dyn Fn(usize) + Sync));

    /// Calls `work`, which runs so many requests, on the caller's thread.
    fn alone(&self, requests: usize, work: &mut dyn FnMut());
}

/// What there is, and what requests cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parallel {
    pub threads: usize,
    /// Measured time of one request on one thread, ns; 0 = not known yet.
    pub cost_ns: u64,
}

impl Parallel {
    /// The rule for [`Crew::threads_for`].
    #[must_use]
    pub fn threads_for(self, ready: usize) -> usize {
        if self.cost_ns < COST_NS_MIN { 1 } else { self.threads.min(ready / REQUESTS_MIN) }
    }
}

/// The caller's thread, and nothing measured.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

impl Crew for Alone {
    fn threads_for(&self, _: usize) -> usize {
        1
    }

    fn run(&self, _: usize, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        (0..pieces).for_each(piece);
    }

    fn alone(&self, _: usize, work: &mut dyn FnMut()) {
        work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(threads: usize, cost_us: u64, ready: usize) -> usize {
        Parallel { threads, cost_ns: cost_us * 1_000 }.threads_for(ready)
    }

    #[test]
    fn cheap_requests_take_their_turns_however_many_there_are() {
        for cost_us in [0, 1, 5, 20, 49] {
            assert_eq!(threads(64, cost_us, 256), 1, "{cost_us} µs");
        }
        assert_eq!(threads(2, 50, 256), 2);
    }

    #[test]
    fn each_thread_has_four_requests_and_fifty_microseconds() {
        assert_eq!([7, 8, 11, 12, 256].map(|ready| threads(4, 200, ready)), [1, 2, 2, 3, 4]);
        for (most, cost_us, ready) in [(2, 50, 8), (3, 50, 13), (64, 60, 256), (8, 1_400, 40)] {
            let used = threads(most, cost_us, ready);
            assert!(ready as u64 * cost_us >= 50 * used as u64 && ready >= 4 * used, "{used}");
        }
        assert_eq!(threads(1, 1_400, 256), 1, "one core has nobody to share with");
    }
}
