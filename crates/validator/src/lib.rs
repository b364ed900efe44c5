//! Stage 2: puts every transition into one agreed order, decides it, and commits it to log and state tree.
//!
//! In: messages in `:inx`, `:receipts` and `:in` of each shard. Out: log entries, statuses, signed work in
//! `:out:<target>`, and the read API. The files in the order of the data:
//!
//! `service` wires → `data_dir`, `view` (archive and state), `checkpoint` → `lease` → `sequencer` runs `replay` (with `peers`, `join`), then
//! `pipeline` per entry with the pure `engine` (`old_roots` brings its history back) → `writer` keeps the view up → `effects`,
//! `relay` (with `signer`), `trim` → `http` answers.

mod checkpoint;
mod data_dir;
mod targets_file;
mod view;

mod lease;
mod life;
mod read_size;
mod retry;
mod shard;

pub mod engine;
mod fold;
mod join;
mod old_roots;
mod peers;
mod pipeline;
mod record_ttl;
mod replay;
mod sequencer;
mod targets_entry;
mod threads;
mod unpark;
mod writer;

mod consumers;
mod effects;
mod relay;
mod signer;
mod trim;

mod config;
mod divergence;
mod error;
mod explain;
mod http;
mod look;
mod metrics;
mod service;

pub use checkpoint::CheckpointError;
pub use config::{
    Archive, CheckpointSettings, LeaseSettings, LogSettings, PeerSettings, RelaySettings, Settings,
    StandInSettings, ViewSettings,
};
pub use data_dir::{DataDir, DataDirError};
pub use fold::{Fold, FoldError};
pub use service::{Service, StartError, build, clear_views};
pub use signer::{Signature, Signer, SignerError};
pub use view::ViewError;
