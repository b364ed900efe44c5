//! `oss verify`: checks by recomputation, with nothing taken on trust from the service.

pub(crate) mod log;
pub(crate) mod proof;
