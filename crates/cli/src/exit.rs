//! Exit codes of `oss`: what a script learns without reading the output.

use std::process::ExitCode;

use crate::client::ClientError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Exit {
    /// It is as asked: committed or completed, proof valid, log equal.
    Done,
    /// A check did not hold, or something failed that no other code names.
    Failed,
    /// The request was refused, rejected, or ended as failed, cancelled or expired.
    Rejected,
    RolledBack,
    /// The time given was over before the end was reached.
    Timeout,
    /// A service or a chain did not answer, or answered that it cannot serve now.
    Unreachable,
    /// The command line cannot be used. 64 as in sysexits.h, because 2 is taken.
    Usage,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Rejected => 2,
            Self::RolledBack => 3,
            Self::Timeout => 4,
            Self::Unreachable => 5,
            Self::Usage => 64,
        }
    }

    /// What an error that ended a command means.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<ClientError>() {
            Some(ClientError::Timeout { .. }) => Self::Timeout,
            Some(ClientError::Problem(problem)) if problem.status < 500 => Self::Rejected,
            Some(
                ClientError::Unreachable { .. } | ClientError::Elsewhere { .. } | ClientError::Problem(_),
            ) => Self::Unreachable,
            Some(ClientError::Answer { .. }) | None => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
