pub mod anvil;
pub mod bridge_model;
pub mod redis;
