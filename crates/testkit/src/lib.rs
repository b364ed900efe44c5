
pub mod bridge_model;
