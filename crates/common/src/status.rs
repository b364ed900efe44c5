//! The life of a request as a client sees it, and the outcomes the log decides.
//!
//! `accepted → collecting → collected → queued → committed → broadcasting → completed`, or one of the ends
//! `rejected | rolled_back | failed | cancelled | expired`. A record moves only to a higher rank.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a request is. `broadcasting` is shown, never stored: it is a `committed` record of which a
/// waited target is past `relayed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Accepted,
    Collecting,
    Collected,
    Queued,
    Committed,
    Broadcasting,
    Completed,
    Rejected,
    Failed,
    Cancelled,
    Expired,
    RolledBack,
}

impl Status {
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Collecting,
        Self::Collected,
        Self::Queued,
        Self::Committed,
        Self::Broadcasting,
        Self::Completed,
        Self::Rejected,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
        Self::RolledBack,
    ];

    /// The order of statuses; a script writes only upwards.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Accepted => 1,
            Self::Collecting => 2,
            Self::Collected => 3,
            Self::Queued => 4,
            Self::Committed => 5,
            Self::Broadcasting => 6,
            Self::Completed | Self::Rejected | Self::Failed | Self::Cancelled | Self::Expired => 7,
            Self::RolledBack => 8,
        }
    }

    /// Nothing but a rollback follows.
    #[must_use]
    pub const fn is_end(self) -> bool {
        self.rank() >= 7
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Collecting => "collecting",
            Self::Collected => "collected",
            Self::Queued => "queued",
            Self::Committed => "committed",
            Self::Broadcasting => "broadcasting",
            Self::Completed => "completed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::RolledBack => "rolled_back",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What the log says of one message about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OutcomeKind {
    Applied,
    Rejected,
    Failed,
    Cancelled,
    Expired,
    Held,
    Parked,
    Reverted,
}

impl OutcomeKind {
    pub const ALL: [Self; 8] = [
        Self::Applied,
        Self::Rejected,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
        Self::Held,
        Self::Parked,
        Self::Reverted,
    ];

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }

    /// A deciding outcome is the request's one answer for ever; the others are stations.
    #[must_use]
    pub const fn is_deciding(self) -> bool {
        !matches!(self, Self::Held | Self::Parked | Self::Reverted)
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "APPLIED",
            Self::Rejected => "REJECTED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
            Self::Held => "HELD",
            Self::Parked => "PARKED",
            Self::Reverted => "REVERTED",
        }
    }
}

/// How far the work of one entry is on one target (`:prog:<seq>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    Relayed,
    Sent,
    Included,
    Deferred,
    Final,
    Failed,
    Revoked,
}

impl Delivery {
    pub const ALL: [Self; 7] =
        [Self::Relayed, Self::Sent, Self::Included, Self::Deferred, Self::Final, Self::Failed, Self::Revoked];

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Final, failed and revoked are receipts: they enter the log, once per entry and target.
    #[must_use]
    pub const fn is_receipt(self) -> bool {
        matches!(self, Self::Final | Self::Failed | Self::Revoked)
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Sent => "sent",
            Self::Included => "included",
            Self::Deferred => "deferred",
            Self::Final => "final",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
        }
    }
}
