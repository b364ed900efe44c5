//! The boundary of the pure engine: what the shell hands in and gets back.
//!
//! One batch goes: [`Engine::needs`](super::Engine::needs) says which state the batch will touch, the shell loads it from the
//! view into [`Loaded`], [`Engine::run`](super::Engine::run) decides everything in memory and gives a [`Batch`], the shell
//! commits its entry, and only then [`Engine::accept`](super::Engine::accept) moves the engine forward. A batch that is not
//! committed is dropped and leaves no trace.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use common::entry::{EntryKind, InputStream};
use common::hash::Digest;
use common::ids::{Name, Rid, Tenant};
use common::status::{OutcomeKind, Status};

/// A message as it was read from its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawInput {
    pub stream: InputStream,
    /// Stream id `<ms>-<n>`; empty for `local`.
    pub id: String,
    pub bytes: Vec<u8>,
}

/// What a batch touches, computed from its messages alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// State-tree keys, as text.
    pub keys: BTreeSet<String>,
    /// Requests whose decision is asked for: those of the batch and those they depend on.
    pub rids: BTreeSet<Rid>,
    /// Entries whose deliveries a receipt changes.
    pub seqs: BTreeSet<u64>,
}

/// The state a batch needs, as of the engine's head. A key that is not in the map is absent from the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    pub values: BTreeMap<String, Vec<u8>>,
    pub decisions: BTreeMap<Rid, Decision>,
    pub deliveries: BTreeMap<u64, Deliveries>,
}

/// The permanent answer to a request: table `decisions`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decision {
    pub tenant: String,
    pub fp: Digest,
    /// The entry that decided it.
    pub seq: u64,
    /// Name of an [`OutcomeKind`] that is deciding.
    pub outcome: String,
    pub code: Option<String>,
    /// `completed` or `failed` once every waited target has answered; `None` while it waits.
    pub delivered: Option<String>,
}

/// Who waits for whom in one entry: table `deliveries`. The row goes when nobody waits any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Deliveries {
    /// Request id bytes → targets it still waits for.
    pub waiting: BTreeMap<[u8; 16], BTreeSet<String>>,
}

/// Everything one batch decides.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The entry to commit; its digest chain is the shell's.
    pub body: common::entry::Body,
    pub changes: Changes,
    /// Status records to write with COMMIT, each request once, the last state wins.
    pub statuses: Vec<StatusWrite>,
    /// Positions in the inputs of messages of an unknown schema version.
    pub parked: Vec<usize>,
    /// Messages that can never be read.
    pub dead: Vec<DeadLetter>,
    pub effects: Vec<Effect>,
    /// The engine after this batch.
    pub next: super::Next,
}

impl Batch {
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.body.kind
    }
}

/// What changes in the view. Old values are the undo record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// State-tree key text → (value before, value after); `None` = absent.
    pub values: BTreeMap<String, (Option<Vec<u8>>, Option<Vec<u8>>)>,
    pub decisions: BTreeMap<Rid, Decision>,
    /// `None` deletes the row.
    pub deliveries: BTreeMap<u64, Option<Deliveries>>,
    /// (target, entry) pairs that became final.
    pub finals: BTreeSet<(Name, u64)>,
}

/// One write to `:req:<rid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWrite {
    pub rid: Rid,
    pub tenant: Option<Tenant>,
    pub fp: Digest,
    pub status: Status,
    /// The deciding entry.
    pub seq: u64,
    pub outcome: OutcomeKind,
    pub code: Option<String>,
    /// JSON array of outcome errors, or empty.
    pub errors: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position in the inputs.
    pub input: usize,
    pub code: &'static str,
    pub error: String,
}

/// What the shell does after COMMIT, idempotent by the entry's seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set a new target's watermark so that its first relayed entry is the next one.
    StartTarget { target: Name },
    /// Relay what the target has not finished again.
    Rewind { target: Name },
}
