//! The validator as a black box: the real binary, a private Redis, targets of kind `null`.

mod audit;
mod bed;
mod checkpoints;
mod crash;
mod explain;
mod faults;
mod fenced;
mod join;
mod lead;
mod locks;
mod loss;
mod path;
mod peers;
mod poison;
mod proofs;
mod reading;
mod rejects;
mod rollback;
mod standby;
mod targets;
mod withdrawn;
