//! Whether the target is the one that is configured: asked before it is driven, every so often, and after failures.
//!
//! In: an [`Examination`]. Out: the lane may drive or stands stopped with a code; the process' readiness.

use std::time::Duration;

use common::link::LinkError;
use tokio::time::Instant;

use super::{Driver, chain_of};
use crate::alarm::Origin;
use crate::board::Phase;
use crate::target::{Examination, Fitness, Target, Trouble};

impl<T: Target> Driver<T> {
    /// Looks at the target when that is due.
    pub(super) async fn examine_if_due(&mut self) {
        let every = Duration::from_millis(self.parts.settings.examine_ms);
        if self.fit_since.is_some_and(|since| since.elapsed() < every) {
            return;
        }
        // Before the target is asked: how far one lags that does not answer is what an operator has to see.
        if let Err(error) = self.measure_lag().await {
            self.failed_link(&error);
            return;
        }
        match self.target.examine().await {
            Ok(examination) => match self.has_delivered(&examination).await {
                Ok(has_delivered) => self.examined(&examination, has_delivered),
                Err(error) => {
                    self.failed_link(&error);
                }
            },
            // A target that does not answer says nothing of its fitness; turns will report it.
            Err(error) => {
                self.note(Some(Trouble::new(error.code(), chain_of(&error))));
                if self.fit_since.is_none() {
                    self.phase(Phase::Retrying);
                }
            }
        }
    }

    /// The figure of how far the target lags behind the log, as Redis says it.
    async fn measure_lag(&self) -> Result<(), LinkError> {
        let (link, target) = (&self.parts.link, &self.parts.target);
        let (head, oldest) = futures_util::try_join!(link.head(), link.out_after(target, 0, 1))?;
        let oldest = oldest.first().map(|message| message.id.ms());
        if let Some(watermark) = head.watermarks.get(target.as_str()) {
            self.parts.labels.root_lag(lag(head.seq, *watermark, oldest));
        }
        Ok(())
    }

    /// Whether any shard's lane to a target without contract has handed out nonces: then the contract was there.
    /// All are asked, so that lanes without work of their own do not take a lost chain for a wrong address.
    async fn has_delivered(&self, examination: &Examination) -> Result<bool, LinkError> {
        if examination.fitness != Fitness::NoContract {
            return Ok(false);
        }
        for link in &self.parts.journals {
            if link.lane_info(&self.parts.target).await?.next_nonce > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn examined(&mut self, examination: &Examination, has_delivered: bool) {
        let part = format!("lane:{}/{}", self.parts.link.shard(), self.parts.target);
        self.parts.board.update(self.parts.link.shard(), &self.parts.target, |report| {
            report.balance_wei.clone_from(&examination.balance_wei);
        });
        if let Some(wei) = &examination.balance_wei {
            self.parts.labels.balance(wei);
        }
        self.observe(Origin::Examination, examination.alarms.clone());
        let trouble = match examination.fitness {
            Fitness::Fit => {
                self.fit_since = Some(Instant::now());
                self.parts.readiness.set(&part, Ok("target is as configured"));
                self.note_aside(examination.trouble.clone());
                return;
            }
            Fitness::NoContract if has_delivered => {
                Trouble::new("CHAIN_RESET", "the contract this lane has delivered to is gone")
            }
            Fitness::NoContract => {
                Trouble::new("NO_CONTRACT", "there is no contract at the configured address")
            }
            Fitness::WrongChain { expected, found } => {
                let detail = format!("the endpoint serves chain {found}, configured is {expected}");
                Trouble::new("WRONG_CHAIN", detail)
            }
        };
        self.fit_since = None;
        // A chain that came back empty is an alarm; a wrong address is this process' settings.
        let is_reset = trouble.code == "CHAIN_RESET";
        let detail = trouble.detail.clone();
        self.parts.readiness.set(&part, if is_reset { Ok(detail.as_str()) } else { Err(detail.as_str()) });
        self.note(Some(trouble));
        self.phase(Phase::Stopped);
    }
}

/// Entries of the log that are not final on a target: `head` is the last one, `watermark` the last relayed one, `oldest` the
/// first of those that are in the outbox.
fn lag(head: u64, watermark: u64, oldest: Option<u64>) -> u64 {
    let done = oldest.map_or(watermark, |oldest| oldest.saturating_sub(1));
    head.saturating_sub(done)
}

#[cfg(test)]
mod tests {
    use super::lag;

    #[test]
    fn a_target_lags_by_what_is_not_relayed_and_what_is_not_final() {
        for (what, head, watermark, oldest, expected) in [
            ("nothing was ever logged", 0, 0, None, 0),
            ("all is final", 9, 9, None, 0),
            ("two are not relayed", 9, 7, None, 2),
            ("the last relayed one is not final", 9, 9, Some(9), 1),
            ("one that is not final holds later ones back", 9, 8, Some(4), 6),
            ("relayed since the head was read", 7, 9, None, 0),
        ] {
            assert_eq!(lag(head, watermark, oldest), expected, "{what}");
        }
    }
}
