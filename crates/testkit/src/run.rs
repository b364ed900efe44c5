//! What the long runs share: their errors, their percentiles, a checked end.

use std::time::Duration;

use tokio::task::JoinError;

use crate::checker::{self, Evidence, GatherError, Summary, Violation};
use crate::load::{Acknowledged, LoadError, Planned};
use crate::proxy::Proxy;
use crate::redis::RedisServerError;
use crate::stack::{ApiError, Stack, StackError};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Gather(#[from] GatherError),
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    Redis(#[from] RedisServerError),
    #[error("a file or process could not be used")]
    Io(#[from] std::io::Error),
    #[error("a task of the run ended")]
    Task(#[from] JoinError),
    #[error("the run itself is broken: {0}")]
    Broken(&'static str),
    #[error("a service panicked: {0:?}")]
    Panics(Vec<String>),
    /// What was measured is not as it must be.
    #[error("{0}")]
    Failed(String),
}

/// Drains, gathers and checks every invariant.
///
/// # Errors
/// The first thing that is not as it must be.
pub(crate) async fn settle(
    stack: &Stack,
    sent: &[Planned],
    acknowledged: &[Acknowledged],
    within: Duration,
) -> Result<(Evidence, Summary), RunError> {
    checker::drained(&stack.api(), acknowledged, within).await?;
    let evidence = checker::gather(stack, sent, acknowledged).await?;
    let summary = checker::check_all(&evidence)?;
    let panics = stack.panics();
    if panics.is_empty() { Ok((evidence, summary)) } else { Err(RunError::Panics(panics)) }
}

/// The value below which so many of 100 lie; `None` = there is no value.
pub(crate) fn percentile<T: Copy + Ord>(values: &[T], of_100: usize) -> Option<T> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * of_100).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied()
}

/// A server behind a path that can fail.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) proxy: Proxy,
    pub(crate) child: std::process::Child,
}

impl Drop for Behind {
    fn drop(&mut self) {
        // Nobody is left to tell: a process that cannot be signalled is gone.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_one_of_the_values_and_the_hundredth_is_the_largest() {
        let values: Vec<u32> = (1..=20).rev().collect();
        assert_eq!([50, 95, 100].map(|of| percentile(&values, of)), [Some(10), Some(19), Some(20)]);
        assert_eq!(percentile(&[7], 1), Some(7));
        assert_eq!(percentile::<u32>(&[], 50), None);
    }
}
