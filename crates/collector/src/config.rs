//! The collector's settings: [`DEFAULTS`], a TOML file, `OSS__…` variables, in rising precedence.
//!
//! All faults are reported together and end the process with exit code 2; nothing falls back to a default.

use std::path::PathBuf;

use common::config::{ConfigError, HttpSettings, RedisSettings, TelemetrySettings};
use common::ids::Name;
use serde::Deserialize;

/// The embedded defaults, which document every field.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Longest time one request's sources may take (DESIGN §5).
const DEADLINE_MS_MAX: u64 = 30_000;

/// All settings; see `defaults.toml` for what each field means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[serde(default)]
    pub instance: String,
    pub keys_file: PathBuf,
    pub targets_file: PathBuf,
    #[serde(default)]
    pub sources_file: String,
    #[serde(default)]
    pub dev_keys_file: String,
    #[serde(default, deserialize_with = "list")]
    pub validators: Vec<String>,
    pub http: HttpSettings,
    pub redis: RedisSettings,
    pub limits: LimitSettings,
    pub collect: CollectSettings,
    #[serde(default)]
    pub telemetry: TelemetrySettings,
}

/// What the HTTP side bounds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    pub backlog_max: u64,
    pub submit_queue_max: usize,
    pub connections_max: usize,
    pub request_timeout_ms: u64,
    pub waiters_max: usize,
    pub batches_max: usize,
    pub streams_per_key_max: usize,
    pub streams_max: usize,
    pub heartbeat_ms: u64,
    pub submits_per_minute: u32,
    pub submits_burst: u32,
    pub reads_per_minute: u32,
    pub reads_burst: u32,
}

/// What the collecting side bounds.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectSettings {
    pub in_flight_max: usize,
    pub waiting_max: usize,
    pub deadline_ms: u64,
    pub claim_idle_ms: u64,
    pub claims_max: u64,
}

/// A list, or one text with commas: what an environment variable can hold.
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::List(list) => list,
        Form::Text(text) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        }
    })
}

impl Settings {
    /// Checks what the types do not say and settles the instance's name.
    ///
    /// # Errors
    /// Every fault found, together.
    pub fn checked(mut self) -> Result<Self, ConfigError> {
        if self.instance.is_empty() {
            self.instance = format!("collector-{:08x}", rand::random::<u32>());
        }
        let mut faults = self.telemetry.faults();
        if self.instance.parse::<Name>().is_err() {
            faults.push(format!("instance {:?}: expected {}", self.instance, Name::FORM));
        }
        for url in &self.validators {
            if !reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
                faults.push(format!("validators: {url:?} is not an http or https URL"));
            }
        }
        let (limits, collect) = (&self.limits, &self.collect);
        for (name, value, max) in [
            ("http.workers", self.http.workers as u64, 64),
            ("limits.backlog_max", limits.backlog_max, 10_000_000),
            ("limits.submit_queue_max", limits.submit_queue_max as u64, 1_000_000),
            ("limits.connections_max", limits.connections_max as u64, 1_000_000),
            ("limits.request_timeout_ms", limits.request_timeout_ms, 600_000),
            ("limits.waiters_max", limits.waiters_max as u64, 1_000_000),
            ("limits.batches_max", limits.batches_max as u64, 1_000),
            ("limits.streams_per_key_max", limits.streams_per_key_max as u64, 100_000),
            ("limits.streams_max", limits.streams_max as u64, 100_000),
            ("limits.heartbeat_ms", limits.heartbeat_ms, 60_000),
            ("limits.submits_burst", limits.submits_burst.into(), 1_000_000),
            ("limits.reads_burst", limits.reads_burst.into(), 1_000_000),
            ("collect.in_flight_max", collect.in_flight_max as u64, common::link::BATCH_MAX as u64),
            ("collect.waiting_max", collect.waiting_max as u64, 100_000),
            ("collect.deadline_ms", collect.deadline_ms, DEADLINE_MS_MAX),
            ("collect.claim_idle_ms", collect.claim_idle_ms, 3_600_000),
            ("collect.claims_max", collect.claims_max, 100),
        ] {
            if !(1..=max).contains(&value) {
                faults.push(format!("{name} = {value}: expected 1 to {max}"));
            }
        }
        // With fewer places a healthy source that is asked a lot would count as saturated.
        if collect.waiting_max < collect.in_flight_max.saturating_mul(2) {
            let (waiting_max, least) = (collect.waiting_max, collect.in_flight_max.saturating_mul(2));
            faults.push(format!(
                "collect.waiting_max = {waiting_max}: expected at least {least}, twice in_flight_max"
            ));
        }
        if faults.is_empty() { Ok(self) } else { Err(ConfigError::Faults(faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::{DEFAULTS, Settings};

    fn defaults() -> Settings {
        common::config::load(DEFAULTS, None).expect("the embedded defaults are well formed")
    }

    #[test]
    fn the_defaults_are_usable_and_give_the_process_a_name() {
        let settings = defaults().checked().expect("usable");
        assert!(settings.instance.starts_with("collector-"));
        assert_eq!(settings.limits.backlog_max, 20_000);
    }

    #[test]
    fn every_bad_value_is_named_at_once() {
        let mut settings = defaults();
        settings.instance = "Not A Name".to_owned();
        settings.validators = vec!["ftp://x".to_owned()];
        settings.collect.deadline_ms = 30_001;
        settings.collect.in_flight_max = 0;
        let text = settings.checked().expect_err("four faults").to_string();
        for part in ["instance", "validators", "collect.deadline_ms", "collect.in_flight_max"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let mut settings = defaults();
        (settings.collect.in_flight_max, settings.collect.waiting_max) = (4, 7);
        assert!(settings.checked().expect_err("too few").to_string().contains("collect.waiting_max"));
    }
}
