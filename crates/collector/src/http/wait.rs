//! `Prefer: wait`: holding an answer back until the request has got somewhere.

use std::time::Duration;

use common::ids::Rid;
use common::link::{Link, LinkError};
use common::status::Status;
use tokio::time::Instant;

use super::headers::Until;
use crate::status::View;
use crate::watcher::Waiters;

/// Whether a status is what the client waits for.
pub(super) fn is_reached(status: Status, until: Until) -> bool {
    match until {
        Until::Committed => status.rank() >= Status::Committed.rank(),
        Until::Completed => status.is_end(),
    }
}

/// The request once `is_done` holds, or as it is when the time is over or the service ends. `None`: it has no record.
///
/// # Errors
/// See [`LinkError`].
pub(super) async fn until(
    link: &Link,
    waiters: &Waiters,
    rid: Rid,
    wait: Duration,
    is_done: impl Fn(&View) -> bool,
) -> Result<Option<View>, LinkError> {
    let deadline = Instant::now() + wait;
    // Registered before the first read: what comes between is not missed.
    let mut waiter = waiters.register(rid);
    loop {
        let Some(view) = View::load(link, rid).await? else { return Ok(None) };
        if is_done(&view) || Instant::now() >= deadline || waiters.is_closed() {
            return Ok(Some(view));
        }
        if let Some(seq) = view.record.seq
            && waiter.follow(seq)
        {
            continue;
        }
        // At the deadline the record is read once more, so the answer is never older than the wait.
        drop(tokio::time::timeout_at(deadline, waiter.woken()).await);
    }
}
