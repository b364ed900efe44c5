//! The table of causes: of each its code, where a request is that it holds, what happens next by itself, and what may be done.
//!
//! The order is the order in which they block: of several targets the one whose cause stands first is shown. The code of
//! a request that ended otherwise than asked is the outcome's own ([`crate::engine::codes`], or the collector's); each
//! code has a page in `docs/causes/`.

use common::ids::Rid;
use serde::Serialize;

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Collect,
    Queue,
    Validate,
    Broadcast,
    Confirm,
    Ended,
}

/// What the client or an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    Cancel,
    Rollback,
    Resume,
    Pause,
    Rewind,
    SubmitAgain,
    DeadLetters,
    Locks,
}

impl Verb {
    /// Method and path; `None` = it needs a target and there is none.
    pub(super) fn call(self, rid: Rid, target: Option<&str>) -> Option<String> {
        let of_target = |verb: &str| target.map(|target| format!("POST /v1/targets/{target}/{verb}"));
        match self {
            Self::Cancel => Some(format!("DELETE /v1/sync-requests/{rid}")),
            Self::Rollback => Some("POST /v1/rollbacks".to_owned()),
            Self::Resume => of_target("resume"),
            Self::Pause => of_target("pause"),
            Self::Rewind => of_target("rewind"),
            Self::SubmitAgain => Some("POST /v1/sync-requests".to_owned()),
            Self::DeadLetters => Some("GET /v1/dlq".to_owned()),
            Self::Locks => Some("GET /v1/locks".to_owned()),
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident $code:literal $stage:ident [$($verb:ident),*] $summary:literal, $action:literal;)*) => {
        /// Why a request is where it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Cause { $($(#[$doc])* $variant,)* }

        impl Cause {
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its code; where the outcome has a code of its own, that one is shown.
            pub(crate) const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            pub(crate) const fn stage(self) -> Stage {
                match self { $(Self::$variant => Stage::$stage,)* }
            }

            /// What it is, in a few words.
            pub(crate) const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            /// What happens without anybody doing anything.
            pub(crate) const fn action(self) -> &'static str {
                match self { $(Self::$variant => $action,)* }
            }

            pub(crate) const fn verbs(self) -> &'static [Verb] {
                match self { $(Self::$variant => &[$(Verb::$verb),*],)* }
            }
        }
    };
}

causes! {
    CollectorAwaited "COLLECTOR_AWAITED" Collect [Cancel]
        "no collector has taken it up", "a collector takes it up; it expires in its turn if none does";
    SourcePending "SOURCE_PENDING" Collect [Cancel]
        "its sources have not answered", "it goes on with the answers, or fails if a required source gives none";
    MessageParked "MESSAGE_PARKED" Queue [Cancel]
        "its message is of a schema version that no leader so far has known",
        "the first leader that knows the version takes it up";
    NoLeader "NO_LEADER" Queue [Cancel]
        "no validator leads the shard", "a validator takes the lease once it is free";
    IntakeBlocked "INTAKE_BLOCKED" Queue [DeadLetters, Cancel]
        "the shard takes nothing in", "it is decided once the stream has room again";
    DependencyUndecided "DEPENDENCY_UNDECIDED" Queue [Cancel]
        "a request it depends on is not decided",
        "it is decided in its turn, or waits for the dependency";
    AssetLocked "ASSET_LOCKED" Queue [Locks, Cancel]
        "another request holds its asset, or others are before it in the queue",
        "it takes its turn when it is first and the lock has ended, and is refused when its wait is over";
    DependencyPending "DEPENDENCY_PENDING" Queue [Locks, Cancel]
        "a request it depends on is not decided",
        "it takes its turn when that one is decided, and expires if it is not in time";
    NotEffectiveYet "NOT_EFFECTIVE_YET" Queue [Locks, Cancel]
        "it waits for its effective_at", "it takes its turn then";
    QueueBacklog "QUEUE_BACKLOG" Queue [Cancel]
        "other messages are before it", "it is decided in its turn";
    BeingDecided "BEING_DECIDED" Validate []
        "it is between two stages or in the entry that is being made", "the entry is committed within moments";
    LanePaused "LANE_PAUSED" Broadcast [Resume, Rollback]
        "an operator has paused the target", "none until the target is resumed";
    LaneUnowned "LANE_UNOWNED" Broadcast [Rollback]
        "no broadcaster drives the target's lane", "a broadcaster takes the lane";
    TargetNotStarted "TARGET_NOT_STARTED" Broadcast [Rollback]
        "nothing was ever relayed to the target", "the leader starts the target";
    UpdateDeferred "UPDATE_DEFERRED" Broadcast [Rewind, Rollback]
        "the chain lacks an earlier version of the asset", "it is sent again when the earlier version is there";
    TargetStalled "TARGET_STALLED" Broadcast [Pause, Rollback]
        "the target has taken nothing of it for a while", "the lane tries again, for ever";
    RelayPending "RELAY_PENDING" Broadcast [Rollback]
        "it is not in the target's outbox", "the leader relays it once the outbox has room";
    LaneWorking "LANE_WORKING" Broadcast [Rollback]
        "the lane has it and has not sent it", "the lane sends it";
    TierAwaited "TIER_AWAITED" Confirm [Rollback]
        "it is sent and not final", "it is final when its block reaches the target's tier";
    ReceiptPending "RECEIPT_PENDING" Confirm [Rollback]
        "it is final on the target, and the log does not say so yet", "the leader takes the receipt in its next entry";
    /// All waited targets have it.
    Completed "COMPLETED" Ended [Rollback]
        "every waited target has it", "none: it has ended";
    /// An operator gave up a delivery.
    GivenUp "DELIVERY_FAILED" Ended [Rollback, DeadLetters]
        "an operator gave up a delivery it waited for", "none: it has ended; its state stays applied";
    Undone "ROLLED_BACK" Ended [SubmitAgain]
        "a rollback undid it", "none: it has ended; the undoing entry goes to its targets";
    /// Not applied; shown under the outcome's code.
    Refused "NOT_APPLIED" Ended [SubmitAgain]
        "it was not applied", "none: it has ended";
}
