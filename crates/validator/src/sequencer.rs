//! The sequencer: the one that orders a shard.
//!
//! One actor per shard on a thread of its own, because deciding is computing. Its life: replay, then follow the log
//! while it waits for the lease, then lead until the lease is lost, and so on. While it leads, it makes one entry after the other from
//! whatever waits (natural batching, never a linger): the targets file first if the log says otherwise, then
//! what is left open by retired targets ([`facts`]), then the fronts of `:inx`, `:receipts`, `:in`; after an unclean
//! end message by message at first ([`suspect`]).

mod due;
mod facts;
mod feed;
mod fill;
mod rate;
mod suspect;
mod turn;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::life::Life;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use common::admin::Readiness;
use common::ids::Name;
use common::link::{Feed, Fence, LinkError, ReadFrom, Reader, Stream, StreamId};
use common::supervise::halt;
use common::targets::{Targets, Unfollowed};
use tokio::sync::watch;

use crate::config::{LeaseSettings, StandInSettings};
use crate::effects::{self, CarriedOut};
use crate::error::{DataLoss, Failure, chain};
use crate::lease::Tenure;
use crate::peers::Peers;
use crate::pipeline::{self, Intake, Maker, Step};
use crate::read_size::{Came, ReadSize};
use crate::shard::ShardState;
use crate::writer::Writer;

use due::Book;
use rate::Rate;
use suspect::{Next, Suspect};
use turn::Turn;

/// Messages read from each front: at first, at least after a surplus, at most (what one batch takes). One has
/// up to 128 KiB.
const FRONTS: ReadSize = ReadSize::new(32, 16, 256);
/// How long an idle sequencer sleeps at most before it looks at its other duties.
const BLOCK: Duration = Duration::from_millis(250);
/// How often a process that waits for the lease reads what was added to the log.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// When to look again whether the log can be joined.
const HOLE_RETRY: Duration = Duration::from_secs(5);
/// How long a clean stop waits for the entry in flight.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What a sequencer needs beside its shard.
#[derive(Debug)]
pub(crate) struct Duties {
    pub(crate) node: Name,
    /// What the operator wants the targets to be.
    pub(crate) targets: watch::Receiver<Arc<Targets>>,
    pub(crate) lease: LeaseSettings,
    /// Who may have what Redis has trimmed.
    pub(crate) peers: Peers,
    pub(crate) readiness: Readiness,
    pub(crate) stand_in: StandInSettings,
    pub(crate) crew: crate::threads::Threads,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Orders one shard; essential.
#[derive(Debug)]
pub(crate) struct Sequencer {
    runner: Option<Runner>,
    _life: Life,
}

#[derive(Debug)]
struct Runner {
    shard: Arc<ShardState>,
    duties: Duties,
    tenure: watch::Receiver<Tenure>,
    reader: Reader,
    writer: Writer,
    round: u64,
    rate: Rate,
    /// Why the targets file is not taken over.
    refused: Option<Unfollowed>,
    /// The logged targets beside which nothing is open for a retired one.
    settled: Option<Targets>,
    /// The last process that led here did not end in order.
    suspect: Option<Suspect>,
    turn: Turn,
    /// Who waits, while this process leads.
    book: Book,
    /// Redis TIME when the fronts were last read, Unix ms.
    now_ms: u64,
    /// The last entry was of those that waited.
    has_fed: bool,
}

/// Why leading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Stop,
    Deposed,
}

impl Sequencer {
    #[must_use]
    pub(crate) fn new(shard: Arc<ShardState>, duties: Duties, life: Life) -> Self {
        let (tenure, reader) = (shard.watch_tenure(), shard.link.reader(BLOCK));
        let (rate, book, now_ms, has_fed) = (Rate::new(), Book::default(), 0, false);
        let (refused, settled, suspect, turn) = (None, None, None, Turn::default());
        let writer = Writer::new(Arc::clone(&shard));
        let runner = Runner {
            shard,
            duties,
            tenure,
            reader,
            writer,
            round: 0,
            rate,
            refused,
            settled,
            suspect,
            turn,
            book,
            now_ms,
            has_fed,
        };
        Self { runner: Some(runner), _life: life }
    }
}

impl Actor for Sequencer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(runner) = self.runner.take() {
            ctx.spawn(runner.run().into_actor(self).map(|(), _, ctx| ctx.stop()));
        }
    }
}

impl Runner {
    async fn run(mut self) {
        let shard = Arc::clone(&self.shard);
        let mut stop = self.duties.stop.clone();
        let give_up = async move {
            // An error means that the service is gone, which is a stop too.
            drop(stop.wait_for(|stop| *stop).await);
            tokio::time::sleep(STOP_GRACE).await;
        };
        let ended = tokio::select! {
            ended = self.work() => ended,
            () = give_up => Ok(()),
        };
        let written = self.writer.join().await;
        let ended = ended.and(written);
        shard.set_leading(None);
        shard.order(None);
        if let Err(failure) = ended {
            halt(failure.exit_code(), &chain(&failure));
        }
        let synced = shard.view.sync_now().and_then(|()| self.note_clean_end());
        if let Err(error) = synced {
            tracing::error!(shard = %shard.shard, error = %chain(&error), "The view could not be synced at the end");
        }
        if let Some(lead) = shard.tenure().lead() {
            shard.depose(None);
            if let Err(error) = shard.link.release(&lead.fence).await {
                tracing::warn!(shard = %shard.shard, error = %chain(&error), "The lease runs out by itself");
            }
        }
    }

    async fn work(&mut self) -> Result<(), Failure> {
        self.not_ready("replaying");
        crate::replay::start(&self.shard).await?;
        self.suspect = Suspect::after_the_last_end(&self.shard)?;
        let mut are_old_roots_back = false;
        while !self.is_stopping() {
            if !self.join_the_log().await? {
                continue;
            }
            if !std::mem::replace(&mut are_old_roots_back, true) {
                self.bring_old_roots_back();
            }
            let fence = match self.wait_for_lease().await {
                Ok(Some(fence)) => fence,
                Ok(None) => return Ok(()),
                // Joining the log again says so and keeps this process from leading.
                Err(Failure::DataLoss(DataLoss::Hole { .. })) => continue,
                Err(failure) => return Err(failure),
            };
            crate::metrics::leading(self.shard.shard, fence.epoch, true);
            let ended = self.lead(&fence).await;
            self.writer.join().await?;
            self.shard.set_leading(None);
            self.shard.order(None);
            match ended {
                Ok(Ended::Stop) => return Ok(()),
                Ok(Ended::Deposed) => crate::metrics::leading(self.shard.shard, fence.epoch, false),
                // Another process has what the log lost: leave the lease to it, and all others with it.
                Err(Failure::DataLoss(DataLoss::Hole { .. })) => {
                    self.shard.set_ready_to_lead(false);
                    let call = async || self.shard.link.release(&fence).await;
                    let _released = crate::retry::until_known("release the lease", call).await?;
                }
                Err(failure) => return Err(failure),
            }
            if self.shard.tenure().is_of(fence.epoch) {
                self.shard.depose(None);
            }
        }
        Ok(())
    }

    /// In steps, beside everything else: a start does not wait for it.
    fn bring_old_roots_back(&self) {
        let part = format!("old_roots.{}", self.shard.shard);
        let task = crate::old_roots::bring_back(Arc::clone(&self.shard), self.duties.stop.clone());
        actix::spawn(async move { common::supervise::essential(&part, task).await });
    }

    /// Reads the log up to its head. `false` = it cannot be joined now.
    async fn join_the_log(&mut self) -> Result<bool, Failure> {
        crate::replay::check_generation(&self.shard).await?;
        match crate::replay::catch_up(&self.shard).await {
            Ok(()) => {
                let text = format!("at entry {}", self.shard.now().seq);
                self.duties.readiness.set(&self.part(), Ok(&text));
                self.shard.set_ready_to_lead(true);
                Ok(true)
            }
            Err(Failure::DataLoss(hole @ DataLoss::Hole { first, .. })) => self.fill(&hole, first).await,
            Err(failure) => Err(failure),
        }
    }

    /// Follows the log until the lease is held; `None` = stop.
    async fn wait_for_lease(&mut self) -> Result<Option<Fence>, Failure> {
        loop {
            tokio::select! {
                tenure = self.tenure.wait_for(|tenure| tenure.lead().is_some()) => {
                    return Ok(tenure.ok().and_then(|tenure| tenure.lead().map(|lead| lead.fence.clone())));
                }
                _ = self.duties.stop.wait_for(|stop| *stop) => return Ok(None),
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            crate::replay::check_generation(&self.shard).await?;
            crate::replay::catch_up(&self.shard).await?;
            self.shard.view.sync_if_due()?;
        }
    }

    async fn lead(&mut self, fence: &Fence) -> Result<Ended, Failure> {
        crate::replay::check_generation(&self.shard).await?;
        crate::replay::catch_up(&self.shard).await?;
        if crate::unpark::unpark(&self.shard, fence).await? == crate::unpark::Moved::Fenced {
            return Ok(Ended::Deposed);
        }
        self.shard.view.set_clean(false)?;
        self.settled = None;
        self.writer.join().await?;
        self.book = Book::of(&self.shard.view.snapshot()?)?;
        // Who is due is to be known before anything else is taken up: it may be what killed the last leader.
        self.now_ms = self.redis_ms().await?;
        let mut ordered = None;
        let mut size = FRONTS;
        loop {
            if self.is_stopping() {
                return Ok(Ended::Stop);
            }
            if !self.may_begin(fence).await {
                return Ok(Ended::Deposed);
            }
            if self.shard.view.may_have_effects() {
                match effects::carry_out(&self.shard, fence).await? {
                    CarriedOut::Nothing => {}
                    CarriedOut::Done => self.round += 1,
                    CarriedOut::Fenced => return Ok(Ended::Deposed),
                }
                self.shard.view.no_effects_left();
            }
            self.order_relay(fence, &mut ordered);
            self.shard.set_leading(Some(fence.epoch));
            let intake = match self.next(fence, &mut size).await? {
                Next::Take(intake) => *intake,
                Next::Nothing => continue,
                Next::Fenced => return Ok(Ended::Deposed),
            };
            let (requests, consumed) = (intake.inputs.len(), intake.consumed);
            let (is_rollback, began) = (intake.is_rollback, Instant::now());
            let Duties { node, stand_in, crew, .. } = &self.duties;
            let maker = Maker { shard: &self.shard, fence, node: node.as_str(), stand_in: *stand_in, crew };
            match pipeline::run(&maker, &mut self.writer, intake).await? {
                Step::Committed => {
                    self.turn.made(is_rollback, began.elapsed(), Instant::now());
                    self.rate.count(requests, &self.shard);
                    match self.writer.last_changes() {
                        Some(changes) => self.book.follow(changes),
                        None => self.book = Book::of(&self.shard.view.snapshot()?)?,
                    }
                    if let Some(suspect) = &mut self.suspect {
                        suspect.through(consumed);
                    }
                }
                Step::Fenced => return Ok(Ended::Deposed),
                Step::Behind => {
                    self.writer.join().await?;
                    crate::replay::catch_up(&self.shard).await?;
                    self.settled = None;
                    self.book = Book::of(&self.shard.view.snapshot()?)?;
                }
            }
        }
    }

    /// Waits until enough of the lease is left; `false` = it is lost.
    async fn may_begin(&mut self, fence: &Fence) -> bool {
        let settings = self.duties.lease;
        loop {
            let tenure = self.tenure.borrow_and_update().clone();
            match tenure.lead() {
                Some(lead) if lead.fence != *fence => return false,
                None => return false,
                Some(lead) if lead.is_fresh(settings) => return true,
                Some(_) => {}
            }
            tokio::select! {
                changed = self.tenure.changed() => if changed.is_err() { return false },
                _ = self.duties.stop.wait_for(|stop| *stop) => return true,
            }
        }
    }

    /// What waits, or nothing after a moment's sleep.
    async fn fronts(&mut self, size: &mut ReadSize) -> Result<Option<Intake>, Failure> {
        let shard = Arc::clone(&self.shard);
        let call = async || {
            let fronts = shard.link.fronts(size.count()).await;
            if fronts.as_ref().is_err_and(LinkError::is_timeout) {
                *size = size.after(Came::TooLate);
            }
            fronts
        };
        let began = Instant::now();
        let fronts = crate::retry::until_known("read the fronts", call).await?;
        self.now_ms = fronts.now_ms;
        let turn::Share { fronts, is_rollback } = self.turn.share(fronts, Instant::now());
        let waiting = fronts.express.len() + fronts.receipts.len() + fronts.input.len();
        let Some(intake) = pipeline::intake(fronts, self.writer.state()?)? else {
            self.rate.count(0, &self.shard);
            self.writer.join().await?;
            shard.view.sync_if_due()?;
            if !self.book.is_any_due(self.now_ms) {
                self.sleep().await?;
            }
            return Ok(None);
        };
        // Large messages: reading what the batch has no room for again and again would be waste.
        let used = intake.inputs.len();
        crate::metrics::step(shard.shard, "read", began.elapsed());
        *size = size.after(if used < waiting { Came::TooMuch { used } } else { Came::Right });
        Ok(Some(Intake { is_rollback, ..intake }))
    }

    /// Sleeps until a message arrives, the targets change, or a moment has passed.
    async fn sleep(&mut self) -> Result<(), Failure> {
        let feeds = [Stream::Express, Stream::Receipts, Stream::Input]
            .map(|stream| (Feed::Messages(stream), ReadFrom::After(StreamId::ZERO)));
        let read = tokio::select! {
            read = self.reader.read(&feeds, 1) => read,
            _ = self.duties.targets.changed() => return Ok(()),
            _ = self.duties.stop.wait_for(|stop| *stop) => return Ok(()),
        };
        match read {
            Ok(_) => Ok(()),
            Err(error) => match error.disposition() {
                // The next read of the fronts waits for Redis.
                common::link::Disposition::Retry | common::link::Disposition::Backpressure => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    fn is_stopping(&self) -> bool {
        *self.duties.stop.borrow()
    }

    fn part(&self) -> String {
        format!("replay.{}", self.shard.shard)
    }

    fn not_ready(&self, why: &str) {
        self.duties.readiness.set(&self.part(), Err(why));
    }
}
