//! Load for a stack: requests made from one seed, and a client that sends each until it is acknowledged.
//!
//! Out of [`Generator`]: requests over a few assets of every shard, most of which should be applied, some doomed,
//! some with `depends_on`, some that a source must be asked for. Every request has its own idempotency key, so
//! its id is known before it is sent and a repetition is the same request.

mod client;
mod generate;
mod offer;

pub use client::{Acknowledged, Client, LoadError};
pub use generate::{ASSETS, Generator, Planned, Shape};
pub use offer::{Sent, offer};
