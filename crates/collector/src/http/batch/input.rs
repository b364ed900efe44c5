//! The lines of a batch's body as a stream: one [`Next::Line`] each, at last one [`Next::End`].

use std::time::Duration;

use actix_web::web::Payload;
use futures_util::stream::{self, Stream};
use futures_util::{StreamExt as _, TryFutureExt as _};

use super::lines::{Line, Lines};
use crate::watcher::Waiters;

/// Most lines of one batch.
pub(super) const LINES_MAX: u64 = 10_000;
/// How often a silent body's reader looks whether the service ends.
const LOOK: Duration = Duration::from_millis(500);

/// What comes out of a body.
#[derive(Debug)]
pub(super) enum Next {
    Line(Line),
    End(End),
}

/// Why a batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All lines were read.
    Whole,
    /// There are more lines than a batch may have.
    TooMany,
    /// The body broke off.
    Broken,
    /// Nothing came for too long.
    Silent,
    /// The service ends.
    Closing,
}

impl End {
    /// The code of an end before the last line.
    pub(super) const fn code(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::TooMany => Some("too_many_lines"),
            Self::Broken => Some("broken_body"),
            Self::Silent => Some("too_slow"),
            Self::Closing => Some("unavailable"),
        }
    }
}

struct Input {
    payload: Payload,
    lines: Lines,
    patience: Duration,
    waiters: Waiters,
    has_ended: bool,
}

/// Reads a body that may be silent for at most `patience`.
pub(super) fn read(payload: Payload, patience: Duration, waiters: Waiters) -> impl Stream<Item = Next> {
    let input = Input { payload, lines: Lines::default(), patience, waiters, has_ended: false };
    stream::unfold(Some(input), async |input| {
        let mut input = input?;
        let next = input.next().await;
        let is_last = matches!(next, Next::End(_));
        Some((next, (!is_last).then_some(input)))
    })
}

impl Input {
    async fn next(&mut self) -> Next {
        loop {
            if self.waiters.is_closed() {
                return Next::End(End::Closing);
            }
            let line = self.lines.next();
            let line = if self.has_ended { line.or_else(|| self.lines.rest()) } else { line };
            match line {
                Some(line) if line.number > LINES_MAX => return Next::End(End::TooMany),
                Some(line) => return Next::Line(line),
                None if self.has_ended => return Next::End(End::Whole),
                None => {}
            }
            match self.chunk().await {
                Ok(Some(chunk)) => self.lines.push(&chunk),
                Ok(None) => self.has_ended = true,
                Err(end) => return Next::End(end),
            }
        }
    }

    /// The next bytes; `None` at the body's end.
    async fn chunk(&mut self) -> Result<Option<actix_web::web::Bytes>, End> {
        let mut silent = Duration::ZERO;
        while silent < self.patience {
            if self.waiters.is_closed() {
                return Err(End::Closing);
            }
            let look = LOOK.min(self.patience);
            match tokio::time::timeout(look, self.payload.next()).map_err(|_| ()).await {
                Ok(Some(Ok(chunk))) => return Ok(Some(chunk)),
                Ok(Some(Err(_))) => return Err(End::Broken),
                Ok(None) => return Ok(None),
                Err(()) => silent += look,
            }
        }
        Err(End::Silent)
    }
}
