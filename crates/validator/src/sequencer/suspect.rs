//! Suspect mode: what an unclean end leaves to be found out.
//!
//! The process may have died over a message, which then lies at one of the fronts still, among the first 256 of its
//! stream. So those are taken one by one, each counted in `:att` before anything of it is read (ATTEMPT). The one
//! that comes to [`ATTEMPTS_MAX`] is given up: the entry holds the leader's own fact GIVEN_UP and behind it the
//! message, which nobody reads, neither now nor in a replay.
//!
//! In: what waits at the fronts. Out: which message comes next, until of every stream the messages that can be to
//! blame are through.

use common::entry::InputStream;
use common::link::{Attempted, Consumed, Fence, Fronts, Message as Waiting};
use common::message::{Body, GivenUp};

use super::Runner;
use crate::engine::RawInput;
use crate::error::Failure;
use crate::pipeline::Intake;
use crate::read_size::ReadSize;
use crate::shard::ShardState;
use crate::view::ViewError;

/// A message that is taken up for this time is given up.
pub(super) const ATTEMPTS_MAX: u64 = 3;
/// No batch takes more messages of a stream, so those behind were not in the one that killed the process.
const BLAMED_MAX: usize = crate::engine::select::BATCH.messages;

/// The streams in the order in which they are looked at: that of a batch.
const ORDER: [InputStream; 3] = [InputStream::Inx, InputStream::Receipts, InputStream::In];

/// How many messages of each stream may still be to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    left: [usize; ORDER.len()],
}

/// What goes into the next entry.
#[derive(Debug)]
pub(super) enum Next {
    Take(Box<Intake>),
    /// Look again: nothing waits, or suspect mode has just ended.
    Nothing,
    /// The lease is another's.
    Fenced,
}

impl Suspect {
    /// Suspicion, if the last process that led with this database did not end in order.
    pub(super) fn after_the_last_end(shard: &ShardState) -> Result<Option<Self>, ViewError> {
        let is_clean = shard.view.is_clean()?;
        if !is_clean {
            tracing::warn!(shard = %shard.shard, "The last leader here did not end in order; messages are taken one by one at first");
        }
        Ok((!is_clean).then(Self::new))
    }

    fn new() -> Self {
        Self { left: [BLAMED_MAX; ORDER.len()] }
    }

    /// The stream whose first message comes next; `None` = nothing can be to blame any more. A stream that is found
    /// empty is through: what comes later was not there.
    fn next(&mut self, waiting: impl Fn(InputStream) -> usize) -> Option<InputStream> {
        for (stream, left) in ORDER.into_iter().zip(&mut self.left) {
            if waiting(stream) == 0 {
                *left = 0;
            }
        }
        ORDER.into_iter().zip(self.left).find(|(_, left)| *left > 0).map(|(stream, _)| stream)
    }

    /// An entry has consumed a message.
    pub(super) fn through(&mut self, consumed: Consumed) {
        let consumed = [consumed.express, consumed.receipts, consumed.input];
        for (left, _) in self.left.iter_mut().zip(consumed).filter(|(_, consumed)| consumed.is_some()) {
            *left = left.saturating_sub(1);
        }
    }
}

impl Runner {
    /// The leader's own facts, then who waits and is due, then what is new.
    pub(super) async fn next(&mut self, fence: &Fence, size: &mut ReadSize) -> Result<Next, Failure> {
        if let Some(intake) = self.own_facts().await? {
            return Ok(Next::Take(Box::new(intake)));
        }
        // What is new has its turn after every entry of those that were fed in.
        let is_turn_of_new = std::mem::take(&mut self.has_fed);
        if !is_turn_of_new && let Some(next) = self.feed(fence).await? {
            self.has_fed = self.suspect.is_none();
            return Ok(next);
        }
        let Some(mut suspect) = self.suspect else {
            let intake = self.fronts(size).await?;
            return Ok(intake.map_or(Next::Nothing, |intake| Next::Take(Box::new(intake))));
        };
        let next = self.next_suspect(&mut suspect, fence).await?;
        self.suspect = Some(suspect);
        if matches!(next, Next::Nothing) {
            self.suspect = None;
            tracing::info!(shard = %self.shard.shard, "No message is under suspicion any more");
        }
        Ok(next)
    }

    /// The process ends in order. While messages are under suspicion, whoever leads next has still to find out.
    pub(super) fn note_clean_end(&self) -> Result<(), ViewError> {
        if self.suspect.is_none() { self.shard.view.set_clean(true) } else { Ok(()) }
    }

    /// The next message by itself, counted before it is touched.
    async fn next_suspect(&mut self, suspect: &mut Suspect, fence: &Fence) -> Result<Next, Failure> {
        let shard = std::sync::Arc::clone(&self.shard);
        let link = &shard.link;
        let fronts = crate::retry::until_known("read the fronts", async || link.fronts(1).await).await?;
        let Fronts { now_ms, express, receipts, input } = fronts;
        self.now_ms = now_ms;
        let front = |stream| match stream {
            InputStream::Inx => express.first(),
            InputStream::Receipts => receipts.first(),
            InputStream::In | InputStream::Local => input.first(),
        };
        let next = suspect.next(|stream| usize::from(front(stream).is_some()));
        let Some((stream, message)) = next.and_then(|stream| Some((stream, front(stream)?))) else {
            return Ok(Next::Nothing);
        };
        let key = note(stream, message);
        let attempts =
            match crate::retry::until_known("count an attempt", async || link.attempt(fence, &key).await)
                .await?
            {
                Attempted::Ok { count } => count,
                Attempted::Fenced => return Ok(Next::Fenced),
            };
        let mut intake = Intake { now_ms, attempted: vec![key], ..Intake::default() };
        if attempts >= ATTEMPTS_MAX {
            crate::metrics::given_up(self.shard.shard, stream, message.id, attempts);
            let fact = GivenUp { s: stream, id: message.first.to_string(), attempts };
            intake.inputs.push(self.fact(Body::GivenUp(fact)));
            intake.is_untouched = true;
        }
        let id = message.first.to_string();
        intake.inputs.push(RawInput { stream, id, bytes: message.payload.clone() });
        let taken = |of| (stream == of).then_some(message.id);
        intake.consumed = Consumed {
            express: taken(InputStream::Inx),
            receipts: taken(InputStream::Receipts),
            input: taken(InputStream::In),
        };
        Ok(Next::Take(Box::new(intake)))
    }
}

/// Under what a message is counted: its place, because nothing of it is read before.
fn note(stream: InputStream, message: &Waiting) -> String {
    let stream = match stream {
        InputStream::Inx => "inx",
        InputStream::Receipts => "receipts",
        InputStream::In | InputStream::Local => "in",
    };
    format!("{stream}/{}", message.id)
}

#[cfg(test)]
mod tests {
    use common::link::StreamId;

    use super::*;

    fn consumed(stream: InputStream) -> Consumed {
        let id = |of| (stream == of).then_some(StreamId::new(1, 0));
        Consumed {
            express: id(InputStream::Inx),
            receipts: id(InputStream::Receipts),
            input: id(InputStream::In),
        }
    }

    #[test]
    fn suspect_mode_ends_when_all_that_one_batch_can_take_is_through_however_much_waits() {
        let mut suspect = Suspect::new();
        let mut taken = Vec::new();
        while let Some(stream) = suspect.next(|_| 1) {
            taken.push(stream);
            suspect.through(consumed(stream));
        }
        let of = |stream| taken.iter().filter(|taken| **taken == stream).count();
        assert_eq!(ORDER.map(of), [256; 3]);
        assert!(taken.is_sorted_by_key(|stream| ORDER.iter().position(|of| of == stream)));
    }

    #[test]
    fn a_stream_that_is_found_empty_is_through_and_what_comes_later_is_not_suspected() {
        let mut suspect = Suspect::new();
        let only = |stream| move |of| usize::from(of == stream);
        assert_eq!(suspect.next(only(InputStream::In)), Some(InputStream::In));
        assert_eq!(suspect.next(|_| 1), Some(InputStream::In), "the others were empty");
        assert_eq!(suspect.next(|_| 0), None);
        assert_eq!(suspect.next(|_| 1), None, "it has ended");
    }

    #[test]
    fn a_message_that_was_not_committed_is_suspected_still() {
        let mut suspect = Suspect::new();
        assert_eq!(suspect.next(|_| 1), Some(InputStream::Inx));
        suspect.through(Consumed::default());
        assert_eq!(suspect, Suspect::new());
    }
}
