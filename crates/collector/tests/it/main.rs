//! The collector from outside: the service in process or the real binary, over a private Redis.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

mod bed;
mod chain;

mod auth;
mod backlog;
mod bad_input;
mod batch;
mod binary;
mod cancel;
mod collecting;
mod evm;
mod expired;
mod idempotency;
mod listing;
mod rates;
mod recovery;
mod streams;
mod waiting;
mod withdrawn;
