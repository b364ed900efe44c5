//! The leader feeds in again who waits and is due ([`Book`](super::due::Book) says who), as `local` inputs of an entry.

use common::entry::InputStream;
use common::ids::Rid;
use common::link::{Attempted, Fence};
use common::message::{Body, GivenUp, TimedOut};

use super::Runner;
use super::due::{Due, Share};
use super::suspect::{ATTEMPTS_MAX, Next};
use crate::engine::RawInput;
use crate::engine::waiting::Waiter;
use crate::error::Failure;
use crate::pipeline::Intake;

impl Runner {
    /// The next entry of those that waited; `None` = nobody is due.
    pub(super) async fn feed(&mut self, fence: &Fence) -> Result<Option<Next>, Failure> {
        let share = if self.suspect.is_some() { Share::One } else { Share::Batch };
        let Some(due) = self.book.due(self.now_ms, share) else { return Ok(None) };
        let mut intake = Intake { now_ms: self.now_ms, ..Intake::default() };
        match due {
            Due::Locks(over) => {
                for (asset, lock) in over {
                    // What the view holds as an asset's id is one.
                    if let Ok(asset) = asset.parse() {
                        intake.inputs.push(self.fact(Body::TimedOut(TimedOut { asset, lock })));
                    }
                }
            }
            Due::Waiters(rids) => {
                self.writer.join().await?;
                let snapshot = self.shard.view.snapshot()?;
                for rid in rids {
                    let Some(Waiter { id, message, .. }) = snapshot.waiter(rid)? else { continue };
                    if share == Share::One && !self.count_attempt(fence, rid, &id, &mut intake).await? {
                        return Ok(Some(Next::Fenced));
                    }
                    intake.inputs.push(RawInput { stream: InputStream::Local, id, bytes: message });
                }
            }
        }
        Ok((!intake.inputs.is_empty()).then(|| Next::Take(Box::new(intake))))
    }

    /// Counts the attempt before the message is touched, as of every message under suspicion, and gives it up at the last.
    /// `false` = the lease is another's.
    async fn count_attempt(
        &self,
        fence: &Fence,
        rid: Rid,
        id: &str,
        intake: &mut Intake,
    ) -> Result<bool, Failure> {
        let key = format!("waiters/{rid}");
        let call = async || self.shard.link.attempt(fence, &key).await;
        let Attempted::Ok { count } = crate::retry::until_known("count an attempt", call).await? else {
            return Ok(false);
        };
        if count >= ATTEMPTS_MAX {
            let fact = GivenUp { s: InputStream::Local, id: id.to_owned(), attempts: count };
            intake.inputs.push(self.fact(Body::GivenUp(fact)));
            intake.is_untouched = true;
        }
        intake.attempted.push(key);
        Ok(true)
    }
}
