//! The words all three services share: ids, hashes, domain types, messages between services, the link
//! scripts behind typed calls, configuration, telemetry and problem documents. No service logic.

pub mod amount;
pub mod corporate;
pub mod hash;
pub mod ids;
pub mod keys;
pub mod status;

pub mod observation;
pub mod request;

pub mod entry;
pub mod message;
pub mod targets;

pub mod bridge;
pub mod proof;
pub mod revert;
pub mod sse;
pub mod state;

pub mod admin;
pub mod auth;
pub mod config;
pub mod envelope;
pub mod exit;
pub mod exposition;
pub mod headers;
pub mod openapi;
pub mod problem;
pub mod supervise;
pub mod telemetry;
pub mod trace;

pub mod crash;
pub mod link;
