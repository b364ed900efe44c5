//! Settings of the validator: embedded defaults < `--config FILE` < `OSS__<SECTION>__<FIELD>`.
//!
//! Everything is parsed before anything starts; all faults are reported together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::config::{ConfigError, HttpSettings, RedisSettings, TelemetrySettings};
use serde::Deserialize;

/// The embedded defaults, as TOML.
pub(crate) const DEFAULTS: &str = include_str!("defaults.toml");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub http: HttpSettings,
    pub redis: RedisSettings,
    /// API keys, see [`common::auth`].
    pub keys_file: PathBuf,
    /// The configured targets, see [`common::targets`].
    pub targets_file: PathBuf,
    /// The secret that signs part headers: 0x and 64 hex digits.
    pub validator_key_file: PathBuf,
    /// Holds the `validator-<n>` folders; this process takes the first free one.
    pub data_dir: PathBuf,
    pub lease: LeaseSettings,
    pub view: ViewSettings,
    pub relay: RelaySettings,
    pub log: LogSettings,
    pub checkpoint: CheckpointSettings,
    #[serde(default)]
    pub peer: PeerSettings,
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    #[serde(default)]
    pub stand_in: StandInSettings,
}

/// Stands in, for benches, for validation that takes longer than ours.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandInSettings {
    /// Before an entry is committed, so long per request that it decides.
    pub validate_ms: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseSettings {
    /// After this long without renewal another process may lead.
    pub ttl_ms: u64,
    pub renew_ms: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSettings {
    /// Page cache of each shard's database.
    pub cache_bytes: usize,
    /// Longest time that what was written stays only in memory.
    pub sync_ms: u64,
    /// Entries whose undo records are kept: how far back values and roots are known.
    pub undo_entries: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySettings {
    /// Most entries in one target's outbox.
    pub out_max: u64,
    /// Most log entries in one call.
    pub run_max: usize,
    /// When to look again at a target whose outbox was full; doubled up to 2 s while it stays full.
    pub full_retry_ms: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Archived entries that stay in `:log` all the same, for a process that takes over.
    pub keep_entries: u64,
    /// How often to trim.
    pub trim_ms: u64,
    /// What is kept of the archive on disk.
    pub archive: Archive,
}

/// What a process keeps of the log in its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Archive {
    /// All of it, so that anybody can compute the log again from its first entry.
    Whole,
    /// What two checkpoints, targets, other validators and rollbacks need.
    Trimmed,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointSettings {
    /// After so many entries of a shard a checkpoint of it is written.
    pub every_entries: u64,
}

/// How validators read each other's log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerSettings {
    /// Under which URL the other validators reach this one's API. Left out: the address it listens on, or, if that is
    /// every address of the machine, `HOSTNAME` with its port.
    pub url: Option<String>,
    /// An API key with scope operate, `oss_<id>_<secret>`; without it nothing is asked of others.
    pub key_file: Option<PathBuf>,
}

impl PeerSettings {
    /// The URL to tell, with the address that is listened on; empty = there is none that others could use.
    #[must_use]
    pub(crate) fn url(&self, listens: SocketAddr, hostname: Option<String>) -> String {
        match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if !listens.ip().is_unspecified() => format!("http://{listens}"),
            None => hostname.map_or_else(String::new, |host| format!("http://{host}:{}", listens.port())),
        }
    }
}

impl Settings {
    /// # Errors
    /// A file cannot be read, a value has the wrong type or name, or values do not fit together.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let settings: Self = common::config::load(DEFAULTS, file)?;
        settings.check()?;
        Ok(settings)
    }

    /// # Errors
    /// Every value that is out of its bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.http.workers >= 1, "http.workers must be at least 1"),
            (self.lease.renew_ms >= 10, "lease.renew_ms must be at least 10"),
            (
                self.lease.ttl_ms >= 2 * self.lease.renew_ms,
                "lease.ttl_ms must be at least twice lease.renew_ms",
            ),
            (self.view.cache_bytes >= 1 << 20, "view.cache_bytes must be at least 1048576"),
            (self.view.sync_ms >= 1, "view.sync_ms must be at least 1"),
            (
                self.view.undo_entries >= crate::engine::past::WINDOW_ENTRIES,
                "view.undo_entries must be at least 4096, as far as a rollback looks back",
            ),
            ((1..=256).contains(&self.relay.run_max), "relay.run_max must be between 1 and 256"),
            (self.relay.out_max >= 1, "relay.out_max must be at least 1"),
            (self.log.trim_ms >= 1, "log.trim_ms must be at least 1"),
            (self.checkpoint.every_entries >= 1, "checkpoint.every_entries must be at least 1"),
            (self.stand_in.validate_ms <= 1_000, "stand_in.validate_ms must be at most 1000"),
            (self.relay.full_retry_ms >= 1, "relay.full_retry_ms must be at least 1"),
        ];
        let mut faults: Vec<String> =
            rules.iter().filter(|(holds, _)| !holds).map(|(_, fault)| (*fault).to_owned()).collect();
        faults.extend(self.telemetry.faults());
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Faults(faults)) }
    }
}

impl LeaseSettings {
    #[must_use]
    pub fn renew(&self) -> Duration {
        Duration::from_millis(self.renew_ms)
    }
}

impl StandInSettings {
    #[must_use]
    pub(crate) fn validate(&self) -> Duration {
        Duration::from_millis(self.validate_ms)
    }
}

impl LogSettings {
    #[must_use]
    pub fn trim(&self) -> Duration {
        Duration::from_millis(self.trim_ms)
    }
}

impl ViewSettings {
    #[must_use]
    pub fn sync(&self) -> Duration {
        Duration::from_millis(self.sync_ms)
    }
}

impl RelaySettings {
    #[must_use]
    pub fn full_retry(&self) -> Duration {
        Duration::from_millis(self.full_retry_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_defaults_are_settings_that_pass_their_own_check() {
        let settings: Settings = common::config::load(DEFAULTS, None).expect("defaults parse");
        settings.check().expect("defaults are in bounds");
    }

    #[test]
    fn others_are_told_the_configured_url_or_an_address_they_can_use() {
        let told = |url: Option<&str>, listens: &str, host: Option<&str>| {
            let settings = PeerSettings { url: url.map(str::to_owned), key_file: None };
            settings.url(listens.parse().expect("an address"), host.map(str::to_owned))
        };
        assert_eq!(told(Some("http://v/"), "0.0.0.0:1", Some("h")), "http://v");
        assert_eq!(told(None, "127.0.0.1:1", Some("h")), "http://127.0.0.1:1");
        assert_eq!(told(None, "0.0.0.0:1", Some("h")), "http://h:1");
        assert_eq!(told(None, "0.0.0.0:1", None), "");
    }

    #[test]
    fn every_value_out_of_bounds_is_named_at_once() {
        let mut settings: Settings = common::config::load(DEFAULTS, None).expect("defaults parse");
        settings.lease.ttl_ms = settings.lease.renew_ms;
        settings.relay.run_max = 257;
        let Err(ConfigError::Faults(faults)) = settings.check() else { panic!("must be refused") };
        assert_eq!(faults.len(), 2);
        assert!(faults[0].starts_with("lease.ttl_ms") && faults[1].starts_with("relay.run_max"));
    }
}
