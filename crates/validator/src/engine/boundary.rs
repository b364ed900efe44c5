//! The boundary of the pure engine: what the shell hands in and gets back.
//!
//! One batch goes: [`Engine::read`](super::Engine::read) decodes the messages into a [`Plan`](super::Plan), which
//! says which state it will touch ([`Needs`]); the shell loads that from the view into [`Loaded`];
//! [`Engine::run`](super::Engine::run) decides everything in memory and gives a [`Batch`]; the shell commits its entry,
//! and only then [`Engine::accept`](super::Engine::accept) moves the engine forward with [`Batch::next`]. A batch that is
//! not committed is dropped and leaves no trace.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use common::entry::{EntryKind, InputStream};
use common::hash::Digest;
use common::ids::{Name, Rid, Tenant};
use common::status::{OutcomeKind, Status};

use super::past::Past;
use super::waiting::{LockRow, Waiter};

/// A message as it was read from its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawInput {
    pub stream: InputStream,
    /// Stream id `<ms>-<n>`; empty for `local`.
    pub id: String,
    pub bytes: Vec<u8>,
}

/// The leader's facts about one entry; they go into its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The lease's epoch.
    pub epoch: u64,
    pub node: String,
    /// Redis TIME, Unix ms. Log time is the larger of this and the previous entry's.
    pub time_ms: u64,
}

/// What a batch touches, computed from its messages alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// State-tree keys, as text.
    pub keys: BTreeSet<String>,
    /// Assets whose lock is looked at.
    pub locks: BTreeSet<String>,
    /// Requests whose decision is asked for: those of the batch and those they depend on.
    pub rids: BTreeSet<Rid>,
    /// Entries whose deliveries a receipt changes. Load these first: the decisions of every request that
    /// waits in one of them are needed too.
    pub seqs: BTreeSet<u64>,
    /// A request that is to be undone: its past is looked for in the log, see [`Search`](super::Search).
    pub undone: Option<Rid>,
}

/// The state a batch needs, as of the engine's head. What is not in a map is absent from the state; a
/// value that the tree does not confirm stops the engine with [`Fault::View`].
#[derive(Debug, Default)]
pub struct Loaded {
    pub values: BTreeMap<String, Vec<u8>>,
    /// Of [`Needs::rids`] and of every request in `deliveries`.
    pub decisions: BTreeMap<Rid, Decision>,
    /// Of [`Needs::seqs`] and of `past`.
    pub deliveries: BTreeMap<u64, Deliveries>,
    /// Of the requests in `decisions` that have any.
    pub withdrawals: BTreeMap<Rid, Vec<Withdrawal>>,
    /// Of [`Needs::locks`], of the assets that `waiters` are queued for, and of the asset in `past`; without a row free.
    pub locks: BTreeMap<String, LockRow>,
    /// Of [`Needs::rids`], and of those that one of them waits for, and so on, up to
    /// [`CHAIN_MAX`](super::waiting::CHAIN_MAX).
    pub waiters: BTreeMap<Rid, Waiter>,
    /// Of [`Needs::undone`], if its decision lets there be something to undo; its keys' present values are in `values`.
    pub past: Option<Past>,
}

/// The permanent answer to a request: table `decisions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Empty where the message that was set aside did not tell.
    pub tenant: String,
    pub fp: Digest,
    /// The entry that decided it.
    pub seq: u64,
    /// Name of an [`OutcomeKind`] that is deciding, or REVERTED for what was APPLIED and undone.
    pub outcome: String,
    pub code: Option<String>,
    /// `completed` or `failed` once every waited target has answered; `None` while it waits, and for
    /// requests that were not applied.
    pub delivered: Option<String>,
    /// The entry that undid it, for REVERTED.
    pub reverted: Option<u64>,
}

impl Decision {
    /// REVERTED: what was applied, and undone by an entry of this number.
    fn is_reverted(&self) -> bool {
        self.outcome == OutcomeKind::Reverted.name()
    }
}

/// The number of the REVERT follows where the outcome says that there is one, and nowhere else.
impl BorshSerialize for Decision {
    fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        let Self { tenant, fp, seq, outcome, code, delivered, reverted } = self;
        (tenant, fp, seq, outcome, code, delivered).serialize(writer)?;
        if self.is_reverted() { reverted.unwrap_or_default().serialize(writer) } else { Ok(()) }
    }
}

impl BorshDeserialize for Decision {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let (tenant, fp, seq, outcome, code, delivered) = BorshDeserialize::deserialize_reader(reader)?;
        let mut decision = Self { tenant, fp, seq, outcome, code, delivered, reverted: None };
        if decision.is_reverted() {
            decision.reverted = Some(u64::deserialize_reader(reader)?);
        }
        Ok(decision)
    }
}

/// An observation that was withdrawn after its request had been applied: table `withdrawals`, a list per request.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Withdrawal {
    pub source: String,
    /// The event; `None` = a window of logs.
    pub identity: Option<String>,
    /// The block it was seen in, which has left its chain.
    pub block: u64,
    pub block_hash: Digest,
    /// JSON pointer into the request.
    pub pointer: String,
    /// The entry that says so.
    pub seq: u64,
    /// Its log time, Unix ms.
    pub time_ms: u64,
}

impl Withdrawal {
    /// Whether both speak of one observation.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        (&self.source, &self.identity, &self.block_hash, &self.pointer)
            == (&other.source, &other.identity, &other.block_hash, &other.pointer)
    }
}

/// What is still to come from the targets of one entry: table `deliveries`. The row goes when no target is
/// open and nobody waits any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Deliveries {
    /// Targets whose receipt has not been consumed.
    pub open: BTreeSet<String>,
    /// Request id bytes → targets it still waits for.
    pub waiting: BTreeMap<[u8; 16], BTreeSet<String>>,
}

/// Everything one batch decides.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The entry to commit; its digest chain is the shell's.
    pub body: common::entry::Body,
    pub changes: Changes,
    /// Status records to write with COMMIT, each pair of request and fingerprint once, ordered by them, then
    /// one per refused conflict. A record that holds another fingerprint is not meant.
    pub statuses: Vec<StatusWrite>,
    /// Positions in the inputs of messages of an unknown schema version.
    pub parked: Vec<usize>,
    /// Messages that can never be read.
    pub dead: Vec<DeadLetter>,
    pub effects: Vec<Effect>,
    /// How its requests were run; says nothing of what they did.
    pub execution: Execution,
    /// The engine after this batch.
    pub next: super::Next,
}

/// How the requests of a batch were run, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Execution {
    /// Those that took a turn.
    pub requests: usize,
    /// Those of them that ran ahead of it, on several threads; 0 = the batch ran on one thread.
    pub ahead: usize,
    /// Those that ran again, because what they had read ahead changed before their turn.
    pub repeated: usize,
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
    /// By state-tree key text.
    pub values: BTreeMap<String, ValueChange>,
    pub decisions: BTreeMap<Rid, Decision>,
    /// `None` deletes the row.
    pub deliveries: BTreeMap<u64, Option<Deliveries>>,
    /// The whole list of each request that was told of another withdrawal.
    pub withdrawals: BTreeMap<Rid, Vec<Withdrawal>>,
    /// By asset; `None` deletes the row.
    pub locks: BTreeMap<String, Option<LockRow>>,
    /// `None` deletes the row.
    pub waiters: BTreeMap<Rid, Option<Waiter>>,
    /// (target, entry) pairs that became final.
    pub finals: BTreeSet<(Name, u64)>,
}

/// A value of the state tree before and after an entry; `None` = absent. They differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
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
    /// The fingerprint of a refused request with this id, whose record this write may take the place of.
    pub replaces: Option<Digest>,
    /// The entry that last withdrew an observation of the request.
    pub withdrawn: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position in the inputs.
    pub input: usize,
    pub code: &'static str,
    pub error: String,
    /// How often it was taken up.
    pub attempts: u64,
}

/// What the shell does after COMMIT, idempotent by the entry's seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Set a new target's watermark so that its first relayed entry is the next one.
    StartTarget { target: Name },
    /// The target is retired. For every row of `deliveries` in which it is open, feed in a `local` RECEIPT of it
    /// with status `failed` and no parts, some per batch: that ends the waiting.
    StopTarget { target: Name },
    /// Relay what the target has not finished again.
    Rewind { target: Name },
}

/// The engine cannot go on. Always halt: neither a retry nor another message helps, and nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The view's value of this key is not the one the tree holds.
    #[error("the view's value of {key} is not the one the state tree holds")]
    View { key: String },
    /// A stored record cannot be read.
    #[error("the stored record of {key} cannot be read")]
    Record { key: String, source: std::io::Error },
    /// A delivery names a request whose decision was not loaded.
    #[error("the decision of {rid} was not loaded")]
    DecisionMissing { rid: Rid },
    /// A target list shares its batch with other messages.
    #[error("a target list makes an entry of its own, here it came with {others} other messages")]
    TargetsNotAlone { others: usize },
    #[error("a rollback makes an entry of its own, here it came with {others} other messages")]
    RollbackNotAlone { others: usize },
    /// The past of a request to be undone was not loaded.
    #[error("the past of request {rid} was not loaded")]
    PastMissing { rid: Rid },
    /// What an entry says was applied cannot be applied to the values before it: the view is damaged.
    #[error("request {rid} of an earlier entry cannot be applied again")]
    Past { rid: Rid },
    /// A target list that may not come after the one in force.
    #[error("the target list does not follow the one in force")]
    Targets(#[from] common::targets::Unfollowed),
    /// The leaves handed to a restore are not those of the stored position.
    #[error("the leaves give root {computed}, the position says {stated}")]
    Root { stated: Digest, computed: Digest },
    /// A batch that does not follow the engine's head.
    #[error(transparent)]
    History(#[from] super::tree::HistoryError),
}
