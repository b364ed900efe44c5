//! Between two turns: how long a lane waits, for what, and what ends the wait.
//!
//! In: what the last turn asked for and what is in hand. Out: new entries in the book, or time passed. Invariant: a
//! lane with room always looks at its outbox within the idle time, whatever its parts wait for; a changed view of the shard
//! (rollback, rewind, pause, members) and the drain end any wait.

use std::time::Duration;

use common::link::Reader;
use tokio::sync::watch;

use crate::book::Book;
use crate::desk::Desk;
use crate::pipeline::{self, TurnError};
use crate::target::{Target, Trouble};
use crate::watch::ShardView;

/// What a lane does until its next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Wait {
    /// Something is on its way: receipts are looked for so often and no more, and work that comes meanwhile shares a
    /// transaction.
    Pace(Duration),
    /// Nothing is on its way: new entries end the wait.
    Outbox(Duration),
    /// Nothing is on its way and there is no room: parts wait for their time, or an operator holds them back.
    Held(Duration),
}

/// Decides. `again_after`: what the target asked for; `in_flight`: nonces; `room`: entries that may still be read.
pub(super) fn next(again_after: Option<Duration>, in_flight: usize, room: usize, idle: Duration) -> Wait {
    let at_most = again_after.map_or(idle, |after| after.min(idle));
    match again_after {
        Some(after) if in_flight > 0 => Wait::Pace(after),
        _ if room > 0 => Wait::Outbox(at_most),
        _ => Wait::Held(at_most),
    }
}

/// What ends a wait early.
#[derive(Debug)]
pub(super) struct Wakes {
    pub(super) views: watch::Receiver<ShardView>,
    pub(super) drain: watch::Receiver<bool>,
}

impl Wakes {
    async fn any(&mut self) {
        tokio::select! {
            // The watch ends only with the process.
            Ok(()) = self.views.changed() => {}
            Ok(_) = self.drain.wait_for(|drain| *drain) => {}
            else => std::future::pending().await,
        }
    }
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(super) enum Ended {
    /// By a changed view or the drain: what they say comes first.
    Woken,
    /// The outbox was looked at; what keeps its next entry from being read.
    Read { blocked: Option<Trouble> },
}

/// A lane's way to its outbox.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) reader: Reader,
    /// Most entries in hand.
    pub(super) window: usize,
    pub(super) wakes: Wakes,
}

impl Intake {
    /// Waits and reads.
    pub(super) async fn take<T: Target>(
        &mut self,
        wait: Wait,
        target: &T,
        book: &mut Book,
        desk: &Desk,
    ) -> Result<Ended, TurnError> {
        let Self { reader, window, wakes } = self;
        let blocked = match wait {
            Wait::Pace(time) | Wait::Held(time) => {
                tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    () = wakes.any() => return Ok(Ended::Woken),
                }
                pipeline::read(target, book, desk, reader, *window, None).await?
            }
            Wait::Outbox(time) => {
                tokio::select! {
                    read = pipeline::read(target, book, desk, reader, *window, Some(time)) => read?,
                    // A read that is dropped has taken nothing in.
                    () = wakes.any() => return Ok(Ended::Woken),
                }
            }
        };
        Ok(Ended::Read { blocked })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::{Wait, Wakes, next};
    use crate::watch::ShardView;

    const IDLE: Duration = Duration::from_millis(500);

    #[test]
    fn a_lane_sleeps_only_while_something_is_on_its_way_or_nothing_fits() {
        let ms = Duration::from_millis;
        for (what, again_after, in_flight, room, expected) in [
            ("receipts are awaited", Some(ms(30)), 2, 9, Wait::Pace(ms(30))),
            ("receipts are awaited on a slow chain", Some(ms(4_000)), 2, 9, Wait::Pace(ms(4_000))),
            ("nothing to do", None, 0, 9, Wait::Outbox(IDLE)),
            ("one part waits for a minute", Some(ms(60_000)), 0, 9, Wait::Outbox(IDLE)),
            ("one part is due soon", Some(ms(40)), 0, 9, Wait::Outbox(ms(40))),
            ("full of parts that wait", Some(ms(60_000)), 0, 0, Wait::Held(IDLE)),
            ("full and paused", None, 0, 0, Wait::Held(IDLE)),
        ] {
            assert_eq!(next(again_after, in_flight, room, IDLE), expected, "{what}");
        }
    }

    #[actix_rt::test]
    async fn a_changed_view_and_the_drain_end_a_wait() {
        let (views, seen) = watch::channel(ShardView::default());
        let (drain, drain_seen) = watch::channel(false);
        let mut wakes = Wakes { views: seen, drain: drain_seen };
        views.send_modify(|view| {
            view.paused.insert("base".parse().expect("well formed"));
        });
        wakes.any().await;
        drain.send_replace(true);
        wakes.any().await;
    }
}
