//! What can go wrong in a link call, and what the caller does about it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What an error asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Outcome unknown or not yet possible: run the same call again with the same arguments.
    Retry,
    /// Redis is at `maxmemory`: refuse new work with 503 `backpressure`. Nothing was written.
    Backpressure,
    /// The arguments can never be accepted. Nothing was sent.
    Reject,
    /// Configuration, rights, key types or a script are wrong: end the process, an operator must look.
    Halt,
}

/// The failure of a link call. Refusals by a guard are not errors: they are reply words.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address or credentials are not usable.
    #[error("redis address is not usable")]
    Address(#[source] RedisError),
    /// Redis or the connection to it failed. After an I/O error the outcome is unknown.
    #[error("{call} failed")]
    Redis {
        call: &'static str,
        #[source]
        source: RedisError,
    },
    /// The reply is not one this version knows.
    #[error("{call} answered something unknown: {detail}")]
    Reply { call: &'static str, detail: String },
    /// A batch or value is above its bound.
    #[error("{call}: {what} is {len}, at most {max} allowed")]
    Bound { call: &'static str, what: &'static str, len: usize, max: usize },
    /// DONE with a state that ends nothing.
    #[error("{call}: {state} is not the state of a receipt")]
    NotAReceipt { call: &'static str, state: &'static str },
}

impl LinkError {
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Address(_) | Self::Reply { .. } => Disposition::Halt,
            Self::Bound { .. } | Self::NotAReceipt { .. } => Disposition::Reject,
            Self::Redis { source, .. } => of_redis(source),
        }
    }

    /// No reply came in time: asking for less may help where asking again does not.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Redis { source, .. } if source.is_timeout())
    }

    /// The connection may have been replaced or may have missed a reply: what was read before is not
    /// known to be on disk until the next barrier write.
    pub(super) fn is_unsettling(&self) -> bool {
        matches!(self, Self::Redis { source, .. } if is_connection_fault(source))
    }
}

/// Nothing here looks at message texts: kinds and error codes only.
fn of_redis(error: &RedisError) -> Disposition {
    if is_connection_fault(error) {
        return Disposition::Retry;
    }
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::NoScript
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly,
        ) => Disposition::Retry,
        _ => match error.code() {
            Some("OOM") => Disposition::Backpressure,
            // MISCONF: the disk is full or failing, writes are refused until it is well again.
            Some("BUSY" | "MISCONF") => Disposition::Retry,
            _ => Disposition::Halt,
        },
    }
}

fn is_connection_fault(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || error.kind() == ErrorKind::Parse
}
