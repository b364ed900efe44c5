//! A whole stack on one machine: a private Redis, chains, the reference rate, the three services.
//!
//! `init` creates what lasts (keys, contracts, configuration); `up` runs everything as child processes and
//! ends them in order. The demo and the bench use the same parts.

pub(crate) mod child;
pub(crate) mod files;
pub(crate) mod ports;
pub(crate) mod programs;

pub(crate) mod anvil;
pub(crate) mod redis_server;

pub(crate) mod contracts;
pub(crate) mod init;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod sources;

pub(crate) mod services;
pub(crate) mod up;
