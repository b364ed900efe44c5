//! The engine as a whole. `world` plays the shell with maps for a view and checks after every entry what must
//! always hold; the other modules put traffic through it.

mod codes;
mod corporate;
pub(super) mod crew;
mod evidence;
mod given_up;
mod golden;
mod intake;
mod model;
mod orders;
mod payments;
mod receipts;
mod regulatory;
mod rejoin;
mod replay;
mod rollback;
mod script;
mod tidy;
pub(super) mod traffic;
mod waiting;
mod withdrawals;
pub(super) mod world;
