//! Why a request was not applied: the code of an outcome and of each of its errors.
//!
//! A code is part of the log's format: it is never renamed, and a new cause gets a new one.

use common::entry::OutcomeError;

/// Most errors listed with one outcome; the first ones stay.
pub const ERRORS_MAX: usize = 8;
/// Most bytes of a detail that came from outside the engine.
pub(super) const DETAIL_BYTES_MAX: usize = 256;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One cause. The collector's causes in a FAILED message are its own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it stands in the log.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

codes! {
    /// The message cannot be read, or does not belong where it was found.
    Malformed = "MALFORMED",
    /// The message is of a schema version this build does not know.
    UnknownVersion = "UNKNOWN_VERSION",
    /// The request id was decided for, or is used by, another request.
    IdempotencyConflict = "IDEMPOTENCY_CONFLICT",
    /// Not decided within `ttl_seconds`.
    TtlExpired = "TTL_EXPIRED",
    /// The client cancelled it.
    Cancelled = "CANCELLED",
    /// It depends on itself, directly or through others.
    OrderingCycle = "ORDERING_CYCLE",
    /// A request it depends on was not decided within the time of this one.
    DependencyNotApplied = "DEPENDENCY_NOT_APPLIED",
    /// A request it depends on was decided, and not applied.
    DependencyRejected = "DEPENDENCY_REJECTED",
    /// Its asset was held by another request for longer than requests of the shard wait.
    LockTimeout = "LOCK_TIMEOUT",
    /// Too many requests wait for the asset.
    LockQueueFull = "LOCK_QUEUE_FULL",
    /// Too many requests of the shard wait.
    WaitersFull = "WAITERS_FULL",
    /// It waits: another request holds its asset, or waits for it before this one.
    AssetLocked = "ASSET_LOCKED",
    /// It waits: a request it depends on is not decided.
    DependencyPending = "DEPENDENCY_PENDING",
    /// It waits for its `effective_at`.
    NotEffectiveYet = "NOT_EFFECTIVE_YET",
    /// It takes effect after its own time is over.
    EffectiveTooLate = "EFFECTIVE_TOO_LATE",
    /// A change before it in the same request has locked the asset, or unlocked it.
    AlreadyLocked = "ALREADY_LOCKED",
    /// UNLOCK names a request that does not hold the asset.
    LockNotHeld = "LOCK_NOT_HELD",
    /// The asset has another version than `expected_version`.
    VersionMismatch = "VERSION_MISMATCH",
    NotRegistered = "NOT_REGISTERED",
    AlreadyRegistered = "ALREADY_REGISTERED",
    /// Another tenant registered the asset.
    NotIssuer = "NOT_ISSUER",
    /// The asset's registration was undone.
    AssetWithdrawn = "ASSET_WITHDRAWN",
    /// A regulatory change that did not come from an authority.
    NotAuthority = "NOT_AUTHORITY",
    /// The regulatory machine has no such step from the state of the asset or holding.
    TransitionNotAllowed = "TRANSITION_NOT_ALLOWED",
    /// An authority has stopped the asset.
    AssetBlocked = "ASSET_BLOCKED",
    /// An authority has stopped the holding.
    HoldingBlocked = "HOLDING_BLOCKED",
    /// FREEZE with a figure that is not above the present one.
    FrozenNotRaised = "FROZEN_NOT_RAISED",
    /// UNFREEZE with a figure that is not below the present one.
    FrozenNotLowered = "FROZEN_NOT_LOWERED",
    /// The chain is not among the log's targets.
    UnknownTarget = "UNKNOWN_TARGET",
    ChainAlreadyPresent = "CHAIN_ALREADY_PRESENT",
    TooManyChains = "TOO_MANY_CHAINS",
    /// A name of `target_chains` is not a chain of the asset.
    TargetNotOnAsset = "TARGET_NOT_ON_ASSET",
    InsufficientBalance = "INSUFFICIENT_BALANCE",
    /// The supply would reach 2^128.
    SupplyOverflow = "SUPPLY_OVERFLOW",
    TooManyTerms = "TOO_MANY_TERMS",
    TooManyDocuments = "TOO_MANY_DOCUMENTS",
    /// The asset has an event of this kind and date already.
    EventExists = "EVENT_EXISTS",
    /// The asset has no snapshot of this record date.
    SnapshotUnknown = "SNAPSHOT_UNKNOWN",
    /// The snapshot is so old that holdings no longer keep what was held then.
    SnapshotClosed = "SNAPSHOT_CLOSED",
    /// The asset has no payment of this kind and date.
    PaymentUnknown = "PAYMENT_UNKNOWN",
    /// Rounded down to whole units, it comes to nothing.
    NothingDue = "NOTHING_DUE",
    /// The account got its part of the payment already.
    AlreadyClaimed = "ALREADY_CLAIMED",
    /// No observation of the source is the event.
    EventNotCollected = "EVENT_NOT_COLLECTED",
    /// The event says something else than the change.
    EventMismatch = "EVENT_MISMATCH",
    /// The event backs another change already.
    EventAlreadyUsed = "EVENT_ALREADY_USED",
    /// An observation of the request is no longer so at its source: the block it was seen in was reorganised.
    ObservationWithdrawn = "OBSERVATION_WITHDRAWN",
    /// The source gave no document to take a value from.
    ObservationMissing = "OBSERVATION_MISSING",
    ObservationTooOld = "OBSERVATION_TOO_OLD",
    /// The observation claims a time more than a minute beyond log time, so its age means nothing.
    ObservationFromFuture = "OBSERVATION_FROM_FUTURE",
    PointerNotFound = "POINTER_NOT_FOUND",
    /// Not a whole number above zero and below 2^128 after scaling.
    ValueNotAnAmount = "VALUE_NOT_AN_AMOUNT",
    /// Neither a JSON string nor a number.
    ValueNotText = "VALUE_NOT_TEXT",
    ValueTooLong = "VALUE_TOO_LONG",
    /// A request that was to be undone is not decided, or is none of the tenant's.
    NotDecided = "NOT_DECIDED",
    /// It was decided, and not applied: there is nothing to undo.
    NotApplied = "NOT_APPLIED",
    AlreadyRolledBack = "ALREADY_ROLLED_BACK",
    /// It did what is never undone automatically.
    NotReversible = "NOT_REVERSIBLE",
    /// Later requests rest on it.
    HasDependents = "HAS_DEPENDENTS",
    /// More has happened since than a rollback looks back on.
    RollbackTooOld = "ROLLBACK_TOO_OLD",
    /// More requests wait for deliveries that the rollback would supersede than one entry may hold.
    RollbackTooLarge = "ROLLBACK_TOO_LARGE",
    /// A rollback undid it.
    RolledBack = "ROLLED_BACK",
    /// The process died over the message each time it took it up; it was given up.
    Crash = "CRASH",
    /// The engine failed on this request; it had no effect.
    Internal = "INTERNAL",
    /// An operator gave up a delivery the request waited for.
    DeliveryFailed = "DELIVERY_FAILED",
}

/// The failing checks of one request, in the order found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Errors(Vec<OutcomeError>);

impl Errors {
    pub(super) fn one(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(code, pointer, detail);
        errors
    }

    /// A cause that another stage found, in its own words.
    pub(super) fn reported(code: &str, pointer: &str, detail: &str) -> Self {
        let error =
            OutcomeError { pointer: pointer.to_owned(), code: code.to_owned(), detail: detail.to_owned() };
        Self(vec![error])
    }

    pub(super) fn add(&mut self, code: Code, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(OutcomeError {
                pointer: pointer.into(),
                code: code.name().to_owned(),
                detail: detail.into(),
            });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The outcome's code: that of the first error.
    pub(super) fn into_parts(self) -> (String, Vec<OutcomeError>) {
        let code =
            self.0.first().map_or_else(|| Code::Internal.name().to_owned(), |error| error.code.clone());
        (code, self.0)
    }
}

/// At most `bytes_max` bytes of `text`, cut between characters.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
