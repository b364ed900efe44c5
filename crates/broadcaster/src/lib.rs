//! Stage 3 of the Oracle State Synchronizer: delivers committed entries to their targets.
//!
//! In: `:out:<target>` of every shard, rollbacks and pauses. Out: transactions on chains, receipts to the validator,
//! progress for clients, HTTP about both. The path of the data, file by file:
//!
//! `watch` (who is there, what holds) → `lane` (who drives, under which lease) → `pipeline` (the steps of a turn) →
//! `book` (what is in hand) → `target` (the seam; `null`, `evm`) with the decisions `pack`, `nonce`, `fee`, `covers`,
//! `receipt`, `backoff`, `rendezvous` → `desk` (every write).

mod config;
mod endpoints;
mod error;
mod service;

mod covers;
mod rendezvous;
mod renewal;
mod watch;

mod backoff;
mod book;
mod desk;
mod fee;
mod lane;
mod nonce;
mod pack;
mod pipeline;
mod receipt;
mod target;

mod alarm;
mod board;
mod http;
mod metrics;

pub use config::{DEFAULTS, EvmSettings, LaneSettings, Settings};
pub use error::StartError;
pub use service::{Addresses, Service, build, build_with_scripts};
pub use target::evm::WalletError;
