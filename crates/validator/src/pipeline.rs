//! The steps that make one log entry, in order, once:
//!
//! [`intake`] (what waits at the fronts) → decode → load → decide → seal → COMMIT → accept → [`Writer`]: view →
//! publish (which wakes relay).
//!
//! Until COMMIT has answered nothing outside this call has changed; after it everything that follows can be
//! repeated from the log. From the view on, it happens beside the making of the next entry. A crash point stands
//! between any two steps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::entry::{Body, Entry, EntryKind, InputStream};
use common::link::{
    Commit, Committed, Consumed, DeadLetter, Fence, Fronts, Message, Parked, StatusWrite, StreamId,
};
use common::message;
use common::revert::Reverted;

use crate::config::StandInSettings;
use crate::engine::select::{Fronts as Waits, Waiting, select};
use crate::engine::{self, Batch, Engine, RawInput, Stamp};
use crate::error::Failure;
use crate::shard::ShardState;
use crate::threads::Threads;
use crate::view::ViewError;
use crate::writer::{self, State, Writer};

/// Longest `code` and `error` that leave the entry for a record or dead letter, bytes.
const CODE_BYTES_MAX: usize = 64;
const ERROR_BYTES_MAX: usize = 512;
/// The schema version of entries, as the link carries it.
const ENTRY_VERSION: u32 = 1;
// Both are the same number in two widths.
const _: () = assert!(ENTRY_VERSION as u64 == common::entry::VERSION);
/// How long to wait before asking again whether an operator has emptied a full stream.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// What goes into one entry.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) inputs: Vec<RawInput>,
    pub(crate) consumed: Consumed,
    /// Redis TIME, Unix ms.
    pub(crate) now_ms: u64,
    /// The state as the intake saw it, if it did: nobody but the sequencer, whose it is, changes it before the entry.
    pub(crate) state: Option<State>,
    /// Notes in `:att` that the entry settles.
    pub(crate) attempted: Vec<String>,
    /// Nothing of its messages is read: the process died over them.
    pub(crate) is_untouched: bool,
    /// A rollback alone.
    pub(crate) is_rollback: bool,
}

/// Who makes entries, and under what.
#[derive(Debug)]
pub(crate) struct Maker<'a> {
    pub(crate) shard: &'a ShardState,
    pub(crate) fence: &'a Fence,
    pub(crate) node: &'a str,
    pub(crate) stand_in: StandInSettings,
    pub(crate) crew: &'a Threads,
}

/// What became of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Step {
    Committed,
    /// The lease is another's: nothing was written.
    Fenced,
    /// The log has moved without us: read it first.
    Behind,
}

/// Takes a prefix of each front, within the bounds of one batch; `None` = nothing is there to be taken, and no
/// entry is made of it.
pub(crate) fn intake(fronts: Fronts, state: State) -> Result<Option<Intake>, ViewError> {
    let mut rows = BTreeMap::new();
    let receipts = fronts.receipts.iter().map(|receipt| waiting_receipt(receipt, &state, &mut rows));
    let receipts: Vec<Waiting> = receipts.collect::<Result<_, _>>()?;
    let (express, input) = (waiting(&fronts.express), waiting(&fronts.input));
    let take = select(&Waits { express: &express, receipts: &receipts, input: &input });
    if take.is_nothing() {
        return Ok(None);
    }
    let mut intake = Intake { now_ms: fronts.now_ms, state: Some(state), ..Intake::default() };
    intake.consumed = Consumed {
        express: intake.take(InputStream::Inx, fronts.express, take.express),
        receipts: intake.take(InputStream::Receipts, fronts.receipts, take.receipts),
        input: intake.take(InputStream::In, fronts.input, take.input),
    };
    Ok(Some(intake))
}

impl Intake {
    /// Adds the first `count` messages and gives the id of the last of them.
    fn take(&mut self, stream: InputStream, messages: Vec<Message>, count: usize) -> Option<StreamId> {
        let mut last = None;
        for message in messages.into_iter().take(count) {
            last = Some(message.id);
            self.inputs.push(RawInput { stream, id: message.first.to_string(), bytes: message.payload });
        }
        last
    }
}

fn waiting(messages: &[Message]) -> Vec<Waiting> {
    messages.iter().map(|message| Waiting { bytes: message.payload.len(), statuses: 1 }).collect()
}

/// A receipt may end every request that waits in its entry. `rows` keeps how many those are: an entry's receipts,
/// one per target, mostly come together.
fn waiting_receipt(
    receipt: &Message,
    state: &State,
    rows: &mut BTreeMap<u64, usize>,
) -> Result<Waiting, ViewError> {
    let bytes = receipt.payload.len();
    let Ok(message::Message { body: message::Body::Receipt(receipt), .. }) =
        message::Message::decode(&receipt.payload)
    else {
        return Ok(Waiting { bytes, statuses: 1 });
    };
    let statuses = match rows.get(&receipt.seq) {
        Some(known) => *known,
        None => state.waiting_in(receipt.seq)?.max(1),
    };
    rows.insert(receipt.seq, statuses);
    Ok(Waiting { bytes, statuses })
}

/// Decides, commits and applies one entry.
pub(crate) async fn run(maker: &Maker<'_>, writer: &mut Writer, intake: Intake) -> Result<Step, Failure> {
    let Maker { shard, fence, node, stand_in, crew } = *maker;
    let Intake { inputs, consumed, now_ms, state, attempted, is_untouched, .. } = intake;
    common::crash_point!("validator.after_read");
    if !is_untouched {
        common::crash::over(inputs.iter().map(|input| input.bytes.as_slice()));
    }
    let began = Instant::now();
    let plan = Engine::read(inputs);
    let loaded = writer.load(state, plan.needs()).await?;
    crate::metrics::step(shard.shard, "load", began.elapsed());
    let began = Instant::now();
    let stamp = Stamp { epoch: fence.epoch, node: node.to_owned(), time_ms: now_ms };
    let batch = shard.engine().run_with(crew, plan, loaded, stamp)?;
    let entry = Entry::seal(writer.tip(), &batch.body);
    crate::metrics::step(shard.shard, "decide", began.elapsed());
    if stand_in.validate_ms > 0 {
        let decided = u32::try_from(batch.body.outcomes.len()).unwrap_or(u32::MAX);
        tokio::time::sleep(stand_in.validate().saturating_mul(decided)).await;
    }
    common::crash_point!("validator.before_commit");
    let began = Instant::now();
    shard.stat(|stats| stats.in_flight = Some(entry.seq));
    let step = commit(shard, fence, &entry, &batch, (consumed, &attempted)).await;
    shard.stat(|stats| stats.in_flight = None);
    let step = step?;
    if step != Step::Committed {
        return Ok(step);
    }
    common::crash_point!("validator.after_commit");
    crate::metrics::committed(shard.shard, entry.seq, &batch.body, began.elapsed());
    crate::metrics::executed(shard.shard, batch.execution);
    crate::metrics::withdrawn(shard.shard, &batch.body, &batch.changes.withdrawals);
    // Its effects, and its targets, are looked for in the view right after it.
    let is_awaited = batch.kind() != EntryKind::Batch || !batch.effects.is_empty();
    writer.push(accept(shard, entry, batch)?).await?;
    if is_awaited {
        writer.join().await?;
    }
    Ok(Step::Committed)
}

/// COMMIT, until its outcome is known.
async fn commit(
    shard: &ShardState,
    fence: &Fence,
    entry: &Entry,
    batch: &Batch,
    (consumed, attempted): (Consumed, &[String]),
) -> Result<Step, Failure> {
    let time_ms = batch.body.time_ms;
    let statuses: Vec<StatusWrite<'_>> =
        batch.statuses.iter().map(|write| status_write(write, time_ms)).collect();
    let parked = originals(&batch.body, batch.parked.iter().copied());
    let parked: Vec<Parked<'_>> = batch
        .parked
        .iter()
        .zip(&parked)
        .map(|(at, payload)| Parked {
            payload,
            // What an entry says of its inputs was read from streams.
            first: batch.body.inputs.get(*at).and_then(|input| input.id.parse().ok()).unwrap_or_default(),
        })
        .collect();
    let dead = originals(&batch.body, batch.dead.iter().map(|dead| dead.input));
    let dead_letters: Vec<DeadLetter<'_>> =
        batch.dead.iter().zip(&dead).map(|(dead, original)| dead_letter(dead, original)).collect();
    let attempted: Vec<&str> = attempted.iter().map(String::as_str).collect();
    let reverted = Reverted::of(&batch.body).map(|reverted| reverted.encode());
    let targets = (batch.kind() == EntryKind::Targets).then(|| batch.next.position().targets.digest());
    let commit = Commit {
        seq: entry.seq,
        prev: entry.prev,
        digest: entry.digest,
        root: batch.body.root,
        v: ENTRY_VERSION,
        body: &entry.body,
        consumed,
        statuses: &statuses,
        record_ttl_ms: shard.record_ttl_ms(),
        parked: &parked,
        dead_letters: &dead_letters,
        attempted: &attempted,
        barrier: reverted.as_deref(),
        targets,
    };
    loop {
        let call = async || shard.link.commit(fence, &commit).await;
        match crate::retry::until_known("commit an entry", call).await? {
            Committed::Ok | Committed::Dup => {
                shard.stat(|stats| stats.blocked_by = None);
                return Ok(Step::Committed);
            }
            Committed::Fenced => {
                crate::metrics::fenced(shard.shard, "commit", fence.epoch);
                return Ok(Step::Fenced);
            }
            Committed::Gap { .. } => return Ok(Step::Behind),
            Committed::Full(stream) => {
                tracing::error!(shard = %shard.shard, ?stream, "Intake stands still until this stream is emptied");
                shard.stat(|stats| stats.blocked_by = Some(stream));
                tokio::time::sleep(FULL_RETRY).await;
            }
        }
    }
}

/// Moves the engine over a committed entry; the view has still to follow.
pub(crate) fn accept(shard: &ShardState, entry: Entry, batch: Batch) -> Result<writer::Unwritten, Failure> {
    let Batch { body, changes, effects, next, .. } = batch;
    let targets = next.position().targets.canonical();
    let effects = crate::effects::encode(&effects);
    shard.engine_mut().accept(next)?;
    let standing = shard.stands(entry.digest);
    Ok(writer::Unwritten { entry, body, changes, effects, targets, standing })
}

fn status_write(write: &engine::StatusWrite, time_ms: u64) -> StatusWrite<'_> {
    StatusWrite {
        rid: write.rid,
        fp: write.fp,
        status: write.status,
        seq: Some(write.seq),
        outcome: Some(write.outcome),
        code: write.code.as_deref().map(|code| cut(code, CODE_BYTES_MAX)),
        errors: Some(write.errors.as_str()).filter(|errors| !errors.is_empty()),
        ended_ms: write.status.is_end().then_some(time_ms),
        replaces: write.replaces,
        withdrawn: write.withdrawn,
    }
}

fn dead_letter<'a>(dead: &'a engine::DeadLetter, original: &'a [u8]) -> DeadLetter<'a> {
    DeadLetter {
        stage: "validator",
        code: dead.code,
        error: cut(&dead.error, ERROR_BYTES_MAX),
        attempts: dead.attempts,
        original,
    }
}

/// The exact bytes of inputs, by position.
fn originals(body: &Body, positions: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    positions
        .map(|position| body.inputs.get(position).map(common::entry::Input::bytes).unwrap_or_default())
        .collect()
}

/// The longest prefix of at most `max` bytes that ends between characters.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use common::ids::Shard;

    use super::*;
    use crate::config::ViewSettings;
    use crate::view::View;

    #[test]
    fn of_nothing_no_entry_is_made_and_of_one_message_of_any_size_one_is() {
        let folder = tempfile::tempdir().expect("folder");
        let settings = ViewSettings { cache_bytes: 1 << 20, sync_ms: 1_000, undo_entries: 1_024 };
        let view = View::open(&folder.path().join("v.redb"), Shard::Financial, settings).expect("opens");
        let intake = |fronts| intake(fronts, State::of(view.snapshot().expect("snapshot"))).expect("reads");
        assert!(intake(Fronts::default()).is_none());
        for bytes in [1, 400 * 1024, 600 * 1024] {
            let id = StreamId::new(1, 0);
            let waiting = || vec![Message { id, first: id, payload: vec![b'x'; bytes] }];
            for fronts in [
                Fronts { express: waiting(), ..Fronts::default() },
                Fronts { receipts: waiting(), ..Fronts::default() },
                Fronts { input: waiting(), ..Fronts::default() },
            ] {
                assert_eq!(intake(fronts).map(|intake| intake.inputs.len()), Some(1), "{bytes}");
            }
        }
    }
}
