//! What tests share: private servers, a whole stack of real binaries, load for it and the checks of a finished run.

pub mod generated;
pub mod ports;
pub mod proxy;
pub mod redis;

pub mod anvil;
pub mod bridge_model;

pub mod load;
pub mod stack;

#[cfg(feature = "checker")]
pub mod checker;
#[cfg(feature = "checker")]
pub mod drive;
#[cfg(feature = "checker")]
pub mod outage;
#[cfg(feature = "checker")]
mod run;
#[cfg(feature = "checker")]
pub mod soak;
#[cfg(feature = "checker")]
pub mod storm;
#[cfg(feature = "checker")]
pub mod takeover;

#[cfg(feature = "checker")]
pub use run::RunError;
