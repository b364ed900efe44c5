//! The life of a lane in one process: stand by, take the lease, drive turn by turn, hand over, drain.

mod examine;

use std::sync::Arc;
use std::time::Duration;

use common::link::{Disposition, Fence, LinkError, SenderReply};
use common::supervise;
use tokio::time::Instant;

use super::LaneParts;
use super::keeper::{Keeper, Lost, Taken};
use super::wait::{self, Ended, Intake, Wait, Wakes};
use crate::alarm::{Alarms, Origin};
use crate::board::{LastError, Phase};
use crate::book::Book;
use crate::desk::{Clock, Desk, Interrupt};
use crate::pipeline::{self, Turn, TurnError};
use crate::rendezvous;
use crate::target::{AdvanceError, Target, Trouble};
use crate::watch::Standing;

struct Driver<T> {
    parts: LaneParts,
    target: T,
    /// When the target was last seen fit; `None` = has to be seen first.
    fit_since: Option<Instant>,
    failures: u32,
    /// The trouble logged last, so that a lasting one is logged once.
    trouble: Option<Trouble>,
    /// The same of what the last examination found beside.
    aside: Option<Trouble>,
    alarms: Alarms,
}

/// One step of a reign.
#[derive(Debug)]
enum Step {
    /// The target is not as configured.
    Unfit,
    /// The view changed or the process drains: that comes first.
    Woken,
    Turned(Turn),
}

/// Why a tenure ended.
#[derive(Debug)]
enum Left {
    /// Another replica should drive, the process drains, or the shard's standing changed. The lease is released.
    Willingly,
    Lost,
}

impl From<Lost> for Left {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// Runs the lane until the process drains.
pub(super) async fn run<T: Target>(parts: LaneParts, target: T) {
    let (trouble, aside, alarms) = (None, None, Alarms::default());
    let mut driver = Driver { parts, target, fit_since: None, failures: 0, trouble, aside, alarms };
    while !driver.is_draining() {
        driver.examine_if_due().await;
        if !driver.may_drive() {
            driver.phase(Phase::Standby);
            driver.rest(driver.parts.settings.watch_ms).await;
            continue;
        }
        match driver.take().await {
            Ok(Taken::Mine { keeper, now_ms }) => driver.tenure(*keeper, now_ms).await,
            Ok(Taken::Others) => {
                driver.phase(Phase::Standby);
                driver.rest(driver.parts.settings.watch_ms.min(200)).await;
            }
            Err(error) => {
                let delay = driver.failed_link(&error);
                driver.rest(delay).await;
            }
        }
    }
    drop(driver.parts.drained);
}

impl<T: Target> Driver<T> {
    fn is_draining(&self) -> bool {
        *self.parts.drain.borrow()
    }

    /// Whether this process is the one that should drive, as far as it knows.
    fn may_drive(&self) -> bool {
        let view = self.parts.views.borrow();
        let members = view.members.iter().map(String::as_str);
        let owner = rendezvous::owner(members, self.parts.link.shard(), &self.parts.target);
        // While Redis does not answer, a held lease runs out by itself; nobody else can take it either.
        matches!(view.standing, Standing::Sound | Standing::Unknown)
            && owner == Some(self.parts.node.as_str())
    }

    async fn take(&self) -> Result<Taken, LinkError> {
        let parts = &self.parts;
        Keeper::take(&parts.link, &parts.target, &parts.node, &parts.token, parts.settings.lease_ttl()).await
    }

    /// One lease, from taking it to leaving it.
    async fn tenure(&mut self, mut keeper: Keeper, now_ms: u64) {
        self.parts.labels.tenure(Some(keeper.fence().epoch));
        let clock = Clock::new(now_ms);
        let left = loop {
            match self.reign(&mut keeper, clock).await {
                Ok(delay) => {
                    let rest = keeper.during(self.rest(delay)).await;
                    if let Err(lost) = rest {
                        break Left::from(lost);
                    }
                    if self.is_draining() || !self.may_drive() {
                        break Left::Willingly;
                    }
                }
                Err(left) => break left,
            }
        };
        // Whoever drives it next tells them anew.
        self.observe(Origin::Delivery, Vec::new());
        self.parts.labels.tenure(None);
        self.parts.board.update(self.parts.link.shard(), &self.parts.target, |report| report.in_flight = 0);
        if matches!(left, Left::Willingly) {
            keeper.release().await;
        }
    }

    /// Reads everything anew and drives turn by turn. `Ok` = start over after so many ms, with the lease.
    async fn reign(&mut self, keeper: &mut Keeper, clock: Clock) -> Result<u64, Left> {
        let fence = keeper.fence().clone();
        let loaded = keeper.during(self.load(fence, clock)).await?;
        let (mut book, mut desk) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.failed(error),
        };
        let idle = Duration::from_millis(self.parts.settings.idle_ms);
        let window = self.parts.settings.window;
        let wakes = Wakes { views: self.parts.views.clone(), drain: self.parts.drain.clone() };
        let mut intake = Intake { reader: self.parts.link.reader(idle), window, wakes };
        let (mut turn, mut is_blocked, mut is_woken) = (Turn::default(), false, false);
        loop {
            // What changes from here on ends the next wait.
            intake.wakes.views.mark_unchanged();
            if self.is_draining() || !self.may_drive() {
                return Err(Left::Willingly);
            }
            if !self.refresh(&mut desk) {
                return Ok(0);
            }
            let work = async {
                self.examine_if_due().await;
                if self.fit_since.is_none() {
                    return Ok(Step::Unfit);
                }
                // Behind an entry that cannot be read there is nothing to wait for.
                let room = if is_blocked { 0 } else { window.saturating_sub(book.len()) };
                let next = if is_woken {
                    Wait::Pace(Duration::ZERO)
                } else {
                    wait::next(turn.again_after, self.target.in_flight(), room, idle)
                };
                let Ended::Read { blocked } = intake.take(next, &self.target, &mut book, &desk).await? else {
                    return Ok(Step::Woken);
                };
                is_blocked = blocked.is_some();
                let mut done = pipeline::turn(&mut self.target, &mut book, &desk, &self.parts.labels).await?;
                done.trouble = done.trouble.or(blocked);
                Ok(Step::Turned(done))
            };
            match keeper.during(work).await? {
                Ok(Step::Turned(mut done)) => {
                    if let Some(alarms) = done.alarms.take() {
                        self.observe(Origin::Delivery, alarms);
                    }
                    self.succeeded(&book, &desk, done.trouble.clone());
                    (turn, is_woken) = (done, false);
                }
                Ok(Step::Woken) => is_woken = true,
                // Nothing is read or sent until it is fit.
                Ok(Step::Unfit) => return Ok(self.next_delay_ms()),
                Err(error) => return self.failed(error),
            }
        }
    }

    async fn load(&mut self, fence: Fence, clock: Clock) -> Result<(Book, Desk), TurnError> {
        let link = &self.parts.link;
        if let Some(configured) = self.target.sender() {
            let claimed = link.lane_sender(&fence, &self.parts.target, &configured).await;
            match claimed.map_err(Interrupt::from)? {
                SenderReply::Ok => {}
                SenderReply::Bound { sender } => {
                    return Err(TurnError::SenderChanged { bound: sender, configured });
                }
                SenderReply::Fenced => return Err(Interrupt::Fenced.into()),
            }
        }
        let state = link.lane_state(&self.parts.target).await.map_err(Interrupt::from)?;
        let mut book = Book::new(state.waits.clone());
        self.target.adopt(&state, &mut book);
        let desk = Desk {
            link: self.parts.link.clone(),
            target: self.parts.target.clone(),
            fence,
            rewind: state.rewind,
            covers: Arc::clone(&self.parts.views.borrow().covers),
            clock,
            is_paused: false,
        };
        Ok((book, desk))
    }

    /// Takes over what the shard's view says; `false` = the outbox was rewound, read it again.
    fn refresh(&self, desk: &mut Desk) -> bool {
        let view = self.parts.views.borrow();
        desk.covers = Arc::clone(&view.covers);
        desk.is_paused = view.paused.contains(&desk.target);
        view.rewinds.get(desk.target.as_str()).is_none_or(|rewind| *rewind <= desk.rewind)
    }

    fn succeeded(&mut self, book: &Book, desk: &Desk, trouble: Option<Trouble>) {
        self.failures = 0;
        self.note(trouble);
        self.phase(if desk.is_paused { Phase::Paused } else { Phase::Driving });
        let in_flight = self.target.in_flight();
        self.parts.labels.load(book.len(), in_flight);
        if let Some(block) = self.target.tier_block() {
            self.parts.labels.confirming(block, book.confirming(block));
        }
        self.parts
            .board
            .update(self.parts.link.shard(), &self.parts.target, |report| report.in_flight = in_flight);
    }

    /// What follows from a failed turn: how long to wait before everything is read again, or that it is over.
    fn failed(&mut self, error: TurnError) -> Result<u64, Left> {
        let error = match error {
            TurnError::Advance(AdvanceError::Interrupt(Interrupt::Fenced)) => return Err(Left::Lost),
            TurnError::Advance(AdvanceError::Interrupt(Interrupt::Reload)) => return Ok(0),
            // The shard's view brings it with its next look.
            TurnError::Advance(AdvanceError::Interrupt(Interrupt::Stale)) => {
                tracing::debug!(target = %self.parts.target, "A rollback has to be read before anything is bound");
                return Ok(self.parts.settings.watch_ms);
            }
            TurnError::Advance(AdvanceError::Interrupt(Interrupt::Link(error))) => {
                return Ok(self.failed_link(&error));
            }
            other => other,
        };
        let detail = chain_of(&error);
        let is_stopped = !matches!(error, TurnError::Advance(AdvanceError::Chain(_)));
        // It may have come back as another chain, or empty.
        self.fit_since = None;
        self.note(Some(Trouble::new(error.code(), detail)));
        self.phase(if is_stopped { Phase::Stopped } else { Phase::Retrying });
        Ok(self.next_delay_ms())
    }

    fn failed_link(&mut self, error: &LinkError) -> u64 {
        match error.disposition() {
            Disposition::Retry | Disposition::Backpressure => {}
            Disposition::Reject | Disposition::Halt => supervise::halt(common::exit::ESSENTIAL, error),
        }
        self.note(Some(Trouble::new("REDIS_UNREACHABLE", chain_of(error))));
        self.phase(Phase::Retrying);
        self.next_delay_ms()
    }

    /// The delay after one more failure; lanes that fail together come again apart.
    fn next_delay_ms(&mut self) -> u64 {
        self.failures = self.failures.saturating_add(1);
        let seed = u64::from(self.parts.link.shard().number()) ^ u64::from(std::process::id());
        self.parts.settings.retry().delay_ms(self.failures, seed)
    }

    fn phase(&self, phase: Phase) {
        self.parts.board.update(self.parts.link.shard(), &self.parts.target, |report| report.phase = phase);
    }

    fn note(&mut self, trouble: Option<Trouble>) {
        if let Some(found) = &trouble {
            self.tell(found, self.trouble.as_ref());
        }
        self.trouble = trouble;
    }

    /// As [`Self::note`], of what examinations find while delivery goes on: a good turn does not end it.
    fn note_aside(&mut self, trouble: Option<Trouble>) {
        if let Some(found) = &trouble {
            self.tell(found, self.aside.as_ref());
        }
        self.aside = trouble;
    }

    fn tell(&self, found: &Trouble, known: Option<&Trouble>) {
        let is_new = known.is_none_or(|known| known.code != found.code);
        self.parts.labels.trouble(found, is_new);
        let error = LastError::now(found);
        self.parts.board.update(self.parts.link.shard(), &self.parts.target, |report| {
            report.last_error = Some(error);
        });
    }

    /// Takes all that `origin` finds alarming now.
    fn observe(&mut self, origin: Origin, found: Vec<Trouble>) {
        for change in self.alarms.observe(origin, found, jiff::Timestamp::now()) {
            self.parts.labels.alarm(&change);
        }
        let alarms = self.alarms.list();
        self.parts.board.update(self.parts.link.shard(), &self.parts.target, |report| report.alarms = alarms);
    }

    /// Waits, unless the process drains.
    async fn rest(&self, ms: u64) {
        let mut drain = self.parts.drain.clone();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
            _ = drain.wait_for(|drain| *drain) => {}
        }
    }
}

/// An error and its sources, in one line.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::chain_of;

    #[test]
    fn an_error_is_told_with_its_sources() {
        let inner = std::io::Error::other("refused");
        let outer = crate::target::evm::WalletError::Read { path: "keys.json".into(), source: inner };
        assert_eq!(chain_of(&outer), "cannot read the sender keys file keys.json: refused");
    }
}
