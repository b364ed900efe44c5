//! The engine as a whole. `world` plays the shell with maps for a view and checks after every entry what must
//! always hold; the other modules put traffic through it.

mod codes;
mod intake;
mod receipts;
mod replay;
mod script;
mod tidy;
pub(super) mod world;
