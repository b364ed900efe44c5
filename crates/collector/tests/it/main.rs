//! The collector from outside: the service in process or the real binary, over a private Redis.

mod bed;

mod auth;
mod backlog;
mod bad_input;
mod binary;
mod cancel;
mod collecting;
mod evm;
mod expired;
mod idempotency;
mod recovery;
mod waiting;
