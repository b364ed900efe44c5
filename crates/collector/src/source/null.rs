//! Source `null`: waits and says nothing. The stand-in for a slow source in benches and tests.
//!
//! Settings: `{"name", "kind": "null", "delay_ms"}`. Observation: kind `null`, value `null`.

use std::time::Duration;

use common::ids::Name;
use common::observation::{Observation, ObservationKind};
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;

use super::{Ask, Source, SourceFault};

/// The fields of its entry in the sources file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// How long an answer takes.
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Debug)]
pub(super) struct NullSource {
    name: Name,
    delay: Duration,
}

impl NullSource {
    pub(super) fn new(name: Name, settings: &Settings) -> Self {
        Self { name, delay: Duration::from_millis(settings.delay_ms) }
    }
}

impl Source for NullSource {
    fn observe<'a>(&'a self, _: &'a Ask) -> LocalBoxFuture<'a, Result<Vec<Observation>, SourceFault>> {
        Box::pin(async move {
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            Ok(vec![Observation {
                source: self.name.clone(),
                kind: ObservationKind::Null,
                value: serde_json::value::RawValue::NULL.to_owned(),
                as_of_ms: super::now_ms(),
                identity: None,
                evidence: None,
            }])
        })
    }
}
