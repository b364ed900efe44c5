//! `oss` as a user meets it: the real binary, its output and its exit codes.

mod doctor;
mod examples;
mod log;
mod oss;
mod proof;
mod service;
mod usage;
