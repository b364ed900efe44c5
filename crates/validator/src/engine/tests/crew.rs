//! A crew for tests: real threads for as little as two requests, which get in each other's way.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::traffic::Random;
use crate::engine::Crew;

#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Eager {
    pub(in crate::engine) threads: usize,
    /// Of the order in which requests run, and of who gives way when.
    pub(in crate::engine) seed: u64,
}

impl Crew for Eager {
    fn threads_for(&self, ready: usize) -> usize {
        self.threads.min(ready)
    }

    fn run(&self, threads: usize, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = |thread: usize| {
            let mut random = Random(self.seed.wrapping_add(thread as u64));
            loop {
                let taken = next.fetch_add(1, Ordering::Relaxed);
                if taken >= pieces {
                    return;
                }
                for _ in 0..random.below(3) {
                    std::thread::yield_now();
                }
                piece(if self.seed.is_multiple_of(2) { taken } else { pieces - 1 - taken });
            }
        };
        std::thread::scope(|scope| {
            for thread in 1..threads {
                let work = &work;
                scope.spawn(move || work(thread));
            }
            work(0);
        });
    }

    fn alone(&self, _: usize, work: &mut dyn FnMut()) {
        work();
    }
}
