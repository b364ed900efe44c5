//! What was handed out to one shard and may still be reorganised, as far as this process knows.
//!
//! In: entries of `:handed:<source>` and verdicts on their blocks. Out: which messages are to be sent, and from where on the
//! stream is needed. The messages are kept here: what has been read is sent even if the stream has lost it meanwhile, be it
//! that another collector trimmed it or that it was full. Pure.
//!
//! An entry that this build cannot read is of a newer one: it is left in the stream for a collector that can, at most
//! [`UNREADABLE_KEPT_MS`] longer than the newest entry is young.

use std::collections::{BTreeMap, BTreeSet};

use common::link::StreamId;
use common::message::{Body, Message};
use common::observation::BlockRef;

use crate::source::Verdict;

const UNREADABLE_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;
/// What an entry needs beside its message, about.
const ENTRY_BYTES: usize = 160;

/// One observation that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noted {
    /// Where it was seen.
    pub(super) block: BlockRef,
    /// Its WITHDRAWN message, with the id inside.
    pub(super) payload: Vec<u8>,
    pub(super) message_id: String,
}

/// What became of an entry that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Read {
    Noted,
    Unreadable,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    noted: BTreeMap<StreamId, Noted>,
    unreadable: BTreeSet<StreamId>,
    bytes: usize,
    /// The newest entry that was read.
    cursor: StreamId,
    /// From where on the stream is known to be needed still.
    trimmed: StreamId,
}

impl Notes {
    pub(super) const fn cursor(&self) -> StreamId {
        self.cursor
    }

    pub(super) fn len(&self) -> usize {
        self.noted.len()
    }

    /// How much memory the messages need, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockRef> {
        self.noted.values().map(|noted| noted.block)
    }

    /// Takes the next entry of the stream.
    pub(super) fn take(&mut self, id: StreamId, payload: Vec<u8>) -> Read {
        self.cursor = id;
        let Some((message_id, block)) = withdrawal(&payload) else {
            self.unreadable.insert(id);
            return Read::Unreadable;
        };
        let noted = Noted { block, payload, message_id };
        self.bytes += noted.bytes();
        self.noted.insert(id, noted);
        Read::Noted
    }

    /// Forgets what is final; gives what is gone, oldest first.
    pub(super) fn judge(&mut self, verdicts: &BTreeMap<BlockRef, Verdict>) -> Vec<(StreamId, Noted)> {
        let of =
            |verdict| move |(_, noted): &(&StreamId, &Noted)| verdicts.get(&noted.block) == Some(&verdict);
        let finals: Vec<StreamId> = self.noted.iter().filter(of(Verdict::Final)).map(|(id, _)| *id).collect();
        for id in finals {
            self.forget(id);
        }
        self.noted.iter().filter(of(Verdict::Gone)).map(|(id, noted)| (*id, noted.clone())).collect()
    }

    pub(super) fn forget(&mut self, id: StreamId) {
        if let Some(noted) = self.noted.remove(&id) {
            self.bytes -= noted.bytes();
        }
    }

    /// Forgets the oldest one; false = there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let oldest = self.noted.first_key_value().map(|(id, _)| *id);
        oldest.is_some_and(|id| {
            self.forget(id);
            true
        })
    }

    /// Gives up the entries that nobody has read in time; gives how many.
    pub(super) fn give_up(&mut self) -> usize {
        let before = self.unreadable.len();
        let cursor = self.cursor.ms();
        self.unreadable.retain(|id| cursor.saturating_sub(id.ms()) <= UNREADABLE_KEPT_MS);
        before - self.unreadable.len()
    }

    /// Below which id the stream is not needed any more; `None` = no more than was known before.
    pub(super) fn trim(&self) -> Option<StreamId> {
        let noted = self.noted.first_key_value().map(|(id, _)| *id);
        let needed = noted.into_iter().chain(self.unreadable.first().copied()).min();
        let below = needed.unwrap_or_else(|| self.cursor.next());
        (below > self.trimmed && self.cursor > StreamId::ZERO).then_some(below)
    }

    /// The stream was trimmed below `below`.
    pub(super) const fn trimmed(&mut self, below: StreamId) {
        self.trimmed = below;
    }
}

impl Noted {
    const fn bytes(&self) -> usize {
        self.payload.len() + self.message_id.len() + ENTRY_BYTES
    }
}

/// The id of a WITHDRAWN message, and the block it speaks of.
fn withdrawal(payload: &[u8]) -> Option<(String, BlockRef)> {
    let message = Message::decode(payload).ok()?;
    let Body::Withdrawn { withdrawn, .. } = &message.body else { return None };
    let block = BlockRef { block: withdrawn.block, block_hash: withdrawn.block_hash };
    Some((message.id, block))
}

#[cfg(test)]
mod tests;
