//! Stage 3, the steps in order, once: what one lane does in one turn.
//!
//! read `:out` → advance the target (bind, sign, store, send, track) → DONE (receipts) → PROGRESS.

use std::time::{Duration, Instant};

use common::bridge::{OutBody, Part};
use common::ids::Shard;
use common::link::{BATCH_MAX, Entry, Feed, Item, Message, ReadFrom, Reader, StreamId};

use crate::book::Book;
use crate::desk::{Desk, FinishedEntry, Interrupt};
use crate::metrics::LaneLabels;
use crate::target::{AdvanceError, Round, Target, Trouble};

/// The schema version of outbox bodies this build reads.
const OUT_VERSION: u8 = 1;

/// Most traced requests that one DONE tells of.
const TRACES_MAX: usize = 64;

/// One turn's result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) again_after: Option<Duration>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) alarms: Option<Vec<Trouble>>,
}

/// Why a turn could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    #[error(transparent)]
    Advance(#[from] AdvanceError),
    /// An outbox entry is not one this build can read; nothing behind it may overtake it.
    #[error("outbox entry {id} cannot be read: {detail}")]
    Unreadable { id: String, detail: String },
    /// Work is bound to nonces of another wallet, which only that one can sign for.
    #[error("work is bound to nonces of the wallet {bound}, configured is {configured}")]
    SenderChanged { bound: String, configured: String },
}

impl TurnError {
    /// The stable word for logs and metrics.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Advance(AdvanceError::ChainReset { .. }) => "CHAIN_RESET",
            Self::Advance(AdvanceError::Chain(chain)) => chain.code(),
            Self::Advance(AdvanceError::Interrupt(_)) => "REDIS_UNREACHABLE",
            Self::Advance(AdvanceError::Sign(_)) => "SIGNING_FAILED",
            Self::Unreadable { .. } => "OUT_UNREADABLE",
            Self::SenderChanged { .. } => "SENDER_CHANGED",
        }
    }
}

impl From<Interrupt> for TurnError {
    fn from(interrupt: Interrupt) -> Self {
        Self::Advance(interrupt.into())
    }
}

/// Reads what is new in the outbox, up to the window. Waits for it so long if `wait` says so, at most as long as the
/// reader does. An entry that cannot be read lets nothing overtake it: it is a trouble as long as there is work before it, then
/// an error.
pub(crate) async fn read<T: Target>(
    target: &T,
    book: &mut Book,
    desk: &Desk,
    reader: &mut Reader,
    window: usize,
    wait: Option<Duration>,
) -> Result<Option<Trouble>, TurnError> {
    let room = window.saturating_sub(book.len()).min(BATCH_MAX);
    if room == 0 {
        return Ok(None);
    }
    let messages: Vec<Message> = if let Some(wait) = wait {
        let from = ReadFrom::After(StreamId::of_seq(book.cursor()));
        let feed = [(Feed::Out(desk.target.clone()), from)];
        let read = reader.read_within(&feed, room, wait).await.map_err(Interrupt::from)?;
        read.into_iter().flat_map(|(_, entries)| entries).map(Entry::into_message).collect()
    } else {
        desk.link.out_after(&desk.target, book.cursor(), room).await.map_err(Interrupt::from)?
    };
    for message in messages {
        match decode(&message, desk.link.shard(), |part| target.check(part)) {
            Ok(body) => book.take(body),
            Err(error) if book.len() == 0 => return Err(error),
            Err(error) => return Ok(Some(Trouble::new(error.code(), error.to_string()))),
        }
    }
    Ok(None)
}

fn decode(
    message: &Message,
    shard: Shard,
    check: impl Fn(&Part) -> Result<(), String>,
) -> Result<OutBody, TurnError> {
    let unreadable = |detail: String| TurnError::Unreadable { id: message.id.to_string(), detail };
    let body: OutBody =
        serde_json::from_slice(&message.payload).map_err(|error| unreadable(error.to_string()))?;
    if body.v != OUT_VERSION {
        return Err(unreadable(format!("version {} is not known to this build", body.v)));
    }
    if StreamId::of_seq(body.seq) != message.id || body.shard != shard {
        return Err(unreadable(format!("it says it is entry {} of shard {}", body.seq, body.shard)));
    }
    body.parts.iter().try_for_each(check).map_err(unreadable)?;
    Ok(body)
}

/// One round of delivery with what is in hand.
pub(crate) async fn turn<T: Target>(
    target: &mut T,
    book: &mut Book,
    desk: &Desk,
    labels: &LaneLabels,
) -> Result<Turn, TurnError> {
    let (began, is_work) = (Instant::now(), book.len() > 0);
    let advanced = target.advance(book, desk).await;
    // What is finished is reported even when the target fails half way.
    finish(target, book, desk, labels).await?;
    desk.progress(book).await?;
    if is_work {
        labels.turned(began.elapsed());
    }
    let Round { again_after, trouble, alarms } = advanced?;
    Ok(Turn { again_after, trouble, alarms })
}

async fn finish<T: Target>(
    target: &mut T,
    book: &mut Book,
    desk: &Desk,
    labels: &LaneLabels,
) -> Result<(), Interrupt> {
    loop {
        let mut seqs = book.finished(BATCH_MAX);
        let mut nonces = target.nonces_of(&seqs);
        // One DONE names at most so many nonces; entries hold few, so halving ends soon.
        while nonces.len() > BATCH_MAX && seqs.len() > 1 {
            seqs.truncate(seqs.len() / 2);
            nonces = target.nonces_of(&seqs);
        }
        let batch: Vec<FinishedEntry> = seqs
            .iter()
            .filter_map(|seq| {
                let finished = book.receipt(*seq, &desk.target)?;
                let items = if target.binds() { book.items(*seq) } else { Vec::new() };
                Some(FinishedEntry { seq: *seq, finished, items })
            })
            .collect();
        if batch.is_empty() {
            return Ok(());
        }
        desk.done(&batch, &nonces).await?;
        if common::trace::is_on() {
            let items: Vec<_> = seqs.iter().map(|seq| Item { seq: *seq, part: 0 }).collect();
            labels.finished(&book.traces(&items, TRACES_MAX));
        }
        target.forget(&seqs);
        for seq in &seqs {
            book.remove(*seq);
        }
        labels.done(batch.len());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use common::hash::Digest;

    use super::*;

    fn body() -> OutBody {
        let (shard, root) = (Shard::Gaming, Digest::ZERO);
        OutBody { v: OUT_VERSION, shard, seq: 7, root, parts: Vec::new(), traces: BTreeMap::new() }
    }

    fn read(id: u64, payload: Vec<u8>) -> Result<OutBody, TurnError> {
        let id = StreamId::of_seq(id);
        let message = Message { id, first: id, payload };
        decode(&message, Shard::Gaming, |_| Ok(()))
    }

    #[test]
    fn an_entry_of_an_outbox_is_what_its_id_and_its_stream_say() {
        let bytes = |body: &OutBody| serde_json::to_vec(body).expect("plain data");
        assert_eq!(read(7, bytes(&body())).expect("it reads"), body());
        for (what, id, payload) in [
            ("another number", 8, bytes(&body())),
            ("another shard", 7, bytes(&OutBody { shard: Shard::General, ..body() })),
            ("another version", 7, bytes(&OutBody { v: 2, ..body() })),
            ("no body", 7, b"{}".to_vec()),
        ] {
            assert!(matches!(read(id, payload), Err(TurnError::Unreadable { .. })), "{what}");
        }
    }
}
