//! Step 4: the requests of a batch take their turns.
//!
//! In: requests in their order, the batch's state, and a [`Crew`]. Out: a [`Verdict`] per place of the order, and the
//! state after those that stand. Both are those of running one request after another, whatever the crew is.
//!
//! Where several threads pay, requests run ahead of their turn: when the next one has not run yet, it and all
//! later ones that are ready there ([`ready_from`]) run on the state as it is, if they are enough. Each keeps its writes
//! apart and notes its reads. In its turn, on one thread, what was run ahead stands if its reads [`hold`]; else the
//! request runs again at once on the state of its turn. So each runs at most twice, and what is taken over was
//! computed from what the plain order shows, by induction over the turns.
//!
//! [`hold`]: super::reads::Reads::hold

use std::sync::OnceLock;

use super::boundary::Execution;
use super::codes::{Code, Errors};
use super::crew::Crew;
use super::execute::{Ran, Run, Stopped, Verdict};
use super::intake::Candidate;
use super::reads::Reads;
use super::ready::ready_from;
use super::waiting::{Cause, WAITERS_MAX};
use super::work::Work;

/// How requests take their turns.
#[derive(Clone, Copy)]
pub(super) struct Manner<'c> {
    pub(super) crew: &'c dyn Crew,
    /// Nobody runs before it is ready. Always, except in tests that want reads to change.
    pub(super) waits: bool,
    /// What ran ahead stands only if its reads hold. Always, except in the test that shows what this is for.
    pub(super) checks: bool,
}

impl<'c> Manner<'c> {
    pub(super) fn of(crew: &'c dyn Crew) -> Self {
        Self { crew, waits: true, checks: true }
    }
}

/// How many may wait before a request may not. Orders of authorities have as much room again: whoever fills the one does not
/// keep them out.
fn room(candidate: &Candidate<'_>) -> u64 {
    if candidate.request.is_regulatory() { WAITERS_MAX * 2 } else { WAITERS_MAX }
}

/// The result of a run ahead.
type Ahead<'a> = (Ran<'a>, Reads);

struct Turns<'t, 'r, 'a> {
    run: &'t Run<'r, 'a>,
    work: &'t mut Work,
    /// Of all places that have had their turn.
    verdicts: Vec<Verdict<'a>>,
    execution: Execution,
}

/// Runs all requests and gives their verdicts by place in the order.
pub(super) fn take<'a>(
    run: &Run<'_, 'a>,
    work: &mut Work,
    manner: Manner<'_>,
) -> (Vec<Verdict<'a>>, Execution) {
    let places = run.count();
    let execution = Execution { requests: places, ..Execution::default() };
    let mut turns = Turns { run, work, verdicts: Vec::with_capacity(places), execution };
    if manner.crew.threads_for(places) > 1 {
        turns.with_crew(manner);
    } else {
        manner.crew.alone(places, &mut || (0..places).for_each(|place| turns.now(place)));
    }
    (turns.verdicts, turns.execution)
}

impl<'a> Turns<'_, '_, 'a> {
    /// Runs the request whose turn it is.
    fn now(&mut self, place: usize) {
        let ran = self.run.now(place, self.work, &self.verdicts);
        self.settle(place, ran);
    }

    fn settle(&mut self, place: usize, ran: Ran<'a>) {
        let candidate = self.run.at(place);
        let verdict = match ran {
            Ok((changes, writes)) => {
                self.work.take_over(candidate.footprint.asset, writes);
                Verdict::Applied(changes)
            }
            Err(Stopped::Rejected(errors)) => Verdict::Rejected(errors),
            Err(Stopped::Held(_)) if !candidate.waits && self.work.waiters >= room(candidate) => {
                let detail = format!("{} requests of the shard wait", self.work.waiters);
                Verdict::Rejected(Errors::one(Code::WaitersFull, "", detail))
            }
            Err(Stopped::Held(cause)) => Verdict::Held(cause),
        };
        self.queue(candidate, &verdict);
        self.verdicts.push(verdict);
    }

    /// Where the request stands in the queue for its asset after its turn.
    fn queue(&mut self, candidate: &Candidate<'_>, verdict: &Verdict<'_>) {
        let Candidate { about, request, footprint, .. } = candidate;
        let is_queued = self.work.lock(footprint.lock).is_some_and(|row| row.has(about.rid));
        let is_to_be = matches!(verdict, Verdict::Held(Cause::Lock { .. }));
        if is_to_be && !is_queued {
            let is_order = request.is_regulatory();
            self.work.change_lock(footprint.lock, |row| row.enqueue(about.rid, is_order));
        } else if is_queued && !is_to_be {
            self.work.change_lock(footprint.lock, |row| row.leave(about.rid));
        }
        match (candidate.waits, matches!(verdict, Verdict::Held(_))) {
            (false, true) => self.work.waiters += 1,
            (true, false) => self.work.waiters = self.work.waiters.saturating_sub(1),
            _ => {}
        }
    }

    fn with_crew(&mut self, manner: Manner<'_>) {
        let places = self.run.count();
        let slots = self.work.slots.len();
        let ready =
            if manner.waits { ready_from(&self.run.accesses(slots), slots * 2) } else { vec![0; places] };
        let mut ahead: Vec<OnceLock<Ahead<'a>>> = (0..places).map(|_| OnceLock::new()).collect();
        for place in 0..places {
            if ahead[place].get().is_none() {
                self.run_ahead(place, &ready, &ahead, manner.crew);
            }
            match ahead[place].take() {
                Some((ran, reads)) if !manner.checks || reads.hold(self.work, &self.verdicts) => {
                    self.settle(place, ran);
                }
                changed => {
                    self.execution.repeated += usize::from(changed.is_some());
                    manner.crew.alone(1, &mut || self.now(place));
                }
            }
        }
    }

    /// Runs what is ready now, if it is enough for several threads.
    fn run_ahead(&mut self, now: usize, ready: &[usize], ahead: &[OnceLock<Ahead<'a>>], crew: &dyn Crew) {
        let is_due = |place: &usize| ready[*place] <= now && ahead[*place].get().is_none();
        let due: Vec<usize> = (now..ready.len()).filter(is_due).collect();
        let threads = crew.threads_for(due.len());
        if threads < 2 {
            return;
        }
        self.execution.ahead += due.len();
        let (run, work, verdicts) = (self.run, &*self.work, self.verdicts.as_slice());
        crew.run(threads, due.len(), &|piece| {
            let place = due[piece];
            // One that a crew runs twice gives the same twice.
            ahead[place].get_or_init(|| run.ahead(place, work, verdicts));
        });
    }
}

#[cfg(test)]
pub(super) mod tests;
