//! Stage 1: takes sync requests in over HTTP, collects what they need from outside, and puts them into the
//! validator's input. The path of a request is the order of the modules; `pipeline` lists the steps.

mod config;
mod error;
mod pipeline;
mod service;

mod admit;
mod collect;
mod deliver;
mod http;
mod intake;
mod source;
mod submitter;

mod decisions;
mod feed;
mod follow;
mod status;
mod watcher;

mod batch;
mod generation;
mod metrics;
mod rates;
mod wire;

pub use config::{CollectSettings, DEFAULTS, LimitSettings, Settings};
pub use error::StartError;
pub use service::{Service, build};
pub use source::CatalogError;
