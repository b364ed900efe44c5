//! The tables of a shard's database, with their layouts.
//!
//! | table | key | value |
//! |---|---|---|
//! | `entries` | seq | prev (32), digest (32), body | the archive: whole, never rewritten |
//! | `effects` | seq | JSON list | effects of that entry which are not carried out yet |
//! | `identity` | name | text | `generation`, `schema`, `undo_entries`, `leading` |
//! | `values` | state key | value | borsh, `docs/formats.md` |
//! | `undo` | seq | [`super::undo`]: per key of that entry the value before it | the last `undo_entries` entries |
//! | `decisions` | rid (16) | seq of the entry that decided it | permanent |
//! | `decided` | seq | borsh map rid (16) → `Decision` | permanent |
//! | `withdrawals` | rid (16) | borsh `Vec<Withdrawal>` | permanent; only of requests that were told |
//! | `deliveries` | seq | borsh `Deliveries` | while somebody waits |
//! | `locks` | asset | borsh `LockRow` | while it is held or somebody waits for it |
//! | `waiters` | rid (16) | borsh `Waiter` | while it waits |
//! | `finals` | (target, seq) | | the entry is final on the target; the newest always stays |
//! | `open` | (target, seq) | | index of `deliveries`: the target's receipt has not come |
//! | `meta` | `head` | borsh [`HeadRow`] | where the view stands |
//!
//! `entries`, `effects` and `identity` are the archive; the others are the view, which can be deleted and is
//! rebuilt from `entries` and `:log`.

use borsh::{BorshDeserialize, BorshSerialize};
use common::hash::Digest;
use common::targets::Targets;
use redb::TableDefinition;

use super::ViewError;

/// `prev`, `digest`, `body` of one log entry.
pub(super) type EntryRow = (&'static [u8; 32], &'static [u8; 32], &'static [u8]);

pub(super) const ENTRIES: TableDefinition<'_, u64, EntryRow> = TableDefinition::new("entries");
pub(super) const EFFECTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("effects");
pub(super) const IDENTITY: TableDefinition<'_, &str, &str> = TableDefinition::new("identity");

pub(super) const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");
pub(super) const UNDO: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("undo");
pub(super) const DECISIONS: TableDefinition<'_, &[u8; 16], u64> = TableDefinition::new("decisions");
pub(super) const DECIDED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("decided");
pub(super) const WITHDRAWALS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("withdrawals");
pub(super) const DELIVERIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("deliveries");
pub(super) const LOCKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("locks");
pub(super) const WAITERS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("waiters");
pub(super) const FINALS: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("finals");
pub(super) const OPEN: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("open");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The row of `meta`.
pub(super) const HEAD: &str = "head";
/// The rows of `identity`.
pub(super) const GENERATION: &str = "generation";
pub(super) const SCHEMA: &str = "schema";
/// How many entries' undo records the view keeps. Fewer than the settings say: the view is rebuilt.
pub(super) const UNDO_ENTRIES: &str = "undo_entries";
/// There while a process leads, and after it until one has ended cleanly.
pub(super) const LEADING: &str = "leading";
/// Version of the view tables' layouts. Another one in the file: the view is rebuilt.
pub(super) const SCHEMA_VERSION: &str = "4";

/// Where the view stands.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct HeadRow {
    /// The last entry in the view; 0 = none.
    pub(crate) seq: u64,
    /// Its digest; zero if there is none.
    pub(crate) digest: Digest,
    /// The state root after it.
    pub(crate) root: Digest,
    /// Running hash over state outside the tree.
    pub(crate) aux: Digest,
    /// Log time, Unix ms.
    pub(crate) time_ms: u64,
    pub(crate) ruleset: u64,
    /// The highest epoch in the log.
    pub(crate) epoch: u64,
    /// Canonical JSON of the logged targets; empty = none were logged.
    pub(crate) targets: Vec<u8>,
}

impl HeadRow {
    /// Before the first entry.
    #[must_use]
    pub(crate) fn empty() -> Self {
        Self {
            seq: 0,
            digest: Digest::ZERO,
            root: common::proof::PLACEHOLDER,
            aux: Digest::ZERO,
            time_ms: 0,
            ruleset: 0,
            epoch: 0,
            targets: Vec::new(),
        }
    }

    /// The logged targets.
    ///
    /// # Errors
    /// The row is damaged.
    pub(crate) fn targets(&self) -> Result<Targets, ViewError> {
        if self.targets.is_empty() {
            return Ok(Targets::default());
        }
        let unreadable = |_| ViewError::Row { table: "meta", row: HEAD.to_owned() };
        serde_json::from_slice(&self.targets).map_err(unreadable)
    }
}
