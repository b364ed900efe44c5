//! Whose turn it is: rollbacks, each an entry of its own, or all the others.
//!
//! In: the fronts of the streams and how long the last rollback took. Out: the fronts that the next entry is made of. A rollback
//! may look through thousands of entries, and any number of them may wait in `:inx`; so while `:receipts` or `:in` have
//! something, the others get as much time as the rollback before took ([`REST_MAX`] at most), and at least one entry. In
//! the order of the log all of it stays what it is: whole prefixes of each stream.

use std::time::{Duration, Instant};

use common::link::{Fronts, Message};
use common::message;

/// Most time that the others get for one rollback.
const REST_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Until when it is the others', after a rollback.
    others_until: Option<Instant>,
    /// They have had no entry since.
    are_owed: bool,
}

/// What the next entry is made of.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) fronts: Fronts,
    pub(super) is_rollback: bool,
}

impl Turn {
    /// A rollback makes an entry of its own: what is before it comes first, and nothing comes with it.
    pub(super) fn share(&self, mut fronts: Fronts, now: Instant) -> Share {
        let is_rollback = |message: &Message| is_rollback(&message.payload);
        let are_others = !fronts.receipts.is_empty() || !fronts.input.is_empty();
        let is_due = !are_others || !self.are_owed && self.others_until.is_none_or(|until| now >= until);
        match fronts.express.iter().position(is_rollback) {
            None => Share { fronts, is_rollback: false },
            Some(0) if is_due => {
                fronts.express.truncate(1);
                let fronts = Fronts { receipts: Vec::new(), input: Vec::new(), ..fronts };
                Share { fronts, is_rollback: true }
            }
            Some(place) => {
                fronts.express.truncate(place);
                Share { fronts, is_rollback: false }
            }
        }
    }

    /// An entry was made.
    pub(super) fn made(&mut self, is_rollback: bool, took: Duration, now: Instant) {
        self.are_owed = is_rollback;
        if is_rollback {
            self.others_until = Some(now + took.min(REST_MAX));
        }
    }
}

fn is_rollback(payload: &[u8]) -> bool {
    // Few messages name the word, or hide it behind escapes; only those are read.
    let may_be =
        std::str::from_utf8(payload).is_ok_and(|text| text.contains("rollback") || text.contains('\\'));
    let is_one = |message: &message::Message| {
        matches!(message.body, message::Body::Command { command: message::Command::Rollback { .. }, .. })
    };
    may_be && message::Message::decode(payload).is_ok_and(|message| is_one(&message))
}

#[cfg(test)]
mod tests;
