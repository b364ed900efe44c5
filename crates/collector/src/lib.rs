//! Stage 1: takes sync requests in over HTTP, collects what they need from outside, and puts them into the
//! validator's input. The path of a request is the order of the modules; `pipeline` lists the steps.

mod config;
mod error;
mod service;
mod pipeline;

mod http;
mod admit;
mod submitter;
mod intake;
mod collect;
mod source;
mod deliver;

mod status;
mod watcher;
mod decisions;

mod batch;
mod generation;
mod metrics;
mod wire;

pub use config::{CollectSettings, DEFAULTS, LimitSettings, Settings};
pub use error::StartError;
pub use service::{Service, build};
pub use source::CatalogError;
