//! Running a link call again until its outcome is known.
//!
//! Every script is idempotent by its arguments, so the answer to an I/O error is the same call again. The
//! delay grows from 20 ms to 1 s; a call that can never succeed is handed up at once.

use std::time::Duration;

use common::link::{Disposition, LinkError};

const DELAY_MIN: Duration = Duration::from_millis(20);
const DELAY_MAX: Duration = Duration::from_secs(1);

/// Repeats `call` while its error asks for that. Cancel it by dropping the future.
///
/// # Errors
/// What no repetition cures.
pub(crate) async fn until_known<T>(
    what: &'static str,
    mut call: impl AsyncFnMut() -> Result<T, LinkError>,
) -> Result<T, LinkError> {
    let mut delay = DELAY_MIN;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match error.disposition() {
            Disposition::Retry | Disposition::Backpressure => {
                tracing::warn!(what, error = %crate::error::chain(&error), delay_ms = delay.as_millis(), "Redis did not answer; asking again");
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(DELAY_MAX);
            }
            Disposition::Reject | Disposition::Halt => return Err(error),
        }
    }
}
