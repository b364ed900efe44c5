//! Exit codes of the services, and the signals that end them.

/// Stopped as asked.
pub const OK: i32 = 0;
/// Settings, keys or targets cannot be used.
pub const CONFIG: i32 = 2;
/// Redis was wiped, restored or lost data: an operator has to look before anything runs on.
pub const DATA_LOSS: i32 = 4;
/// An essential part of the process ended; a restart is the remedy.
pub const ESSENTIAL: i32 = 70;

/// Resolves on SIGTERM or SIGINT.
///
/// # Errors
/// The signal handlers cannot be installed.
pub async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    }
}
