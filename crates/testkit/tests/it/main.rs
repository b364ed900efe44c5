//! The whole stack of real binaries, driven and checked from outside. Each test is one run with its own stack.
//!
//! What a collector refuses by itself is tested there, in its table of bad input (`crates/collector/tests/it/bad_input.rs`).

mod scene;

mod backlog;
mod events;
mod kills;
mod logs;
mod metrics;
mod one_key;
mod orders;
mod outage;
mod rejections;
mod restart;
mod restore;
mod rollback;
mod rotation;
mod smoke;
mod soak;
mod storm;
mod takeover;
mod traces;
