//! The broadcaster from outside: the real binary, a private Redis with a hand-made leader, private chains.

mod bed;
mod process;

mod alarms;
mod controls;
mod crash;
mod delivery;
mod endpoints;
mod gas;
mod nonces;
mod operate;
mod reorganised;
mod replacing;
mod sharing;
mod throughput;
mod troubles;
mod waiting;
mod wallets;
