//! Settings of the broadcaster: embedded defaults, a TOML file, then `OSS__…` variables (see [`common::config`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::config::{ConfigError, HttpSettings, RedisSettings, TelemetrySettings};
use serde::Deserialize;

use crate::backoff::Backoff;
use crate::fee::{FeeCaps, GWEI};
use crate::nonce::Patience;

/// The settings every process starts from.
pub const DEFAULTS: &str = include_str!("config.toml");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Name of this process among the running ones; empty = random.
    pub instance: String,
    pub keys_file: PathBuf,
    pub targets_file: PathBuf,
    /// JSON `{"<target>": {"rpc": ["http://…"]}}`; needed for targets of kind `evm`.
    pub endpoints_file: PathBuf,
    /// JSON `{"financial": "0x…", …}`: one gas wallet per shard; needed if there is a target of kind `evm`.
    pub sender_keys_file: PathBuf,
    pub http: HttpSettings,
    pub redis: RedisSettings,
    pub lane: LaneSettings,
    pub evm: EvmSettings,
    #[serde(default)]
    pub telemetry: TelemetrySettings,
    pub null: NullSettings,
}

/// What targets of kind `null` stand in for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NullSettings {
    /// How long each part takes; 0 = it is final at once.
    pub delay_ms: u64,
}

/// As many entries as an outbox holds.
const WINDOW_MAX: usize = 1_024;

/// How lanes are shared and driven.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneSettings {
    /// How long a lane's lease lives without renewal; renewed at a third of it.
    pub lease_ttl_ms: u64,
    /// Entries in hand and items in flight, per lane, up to 1,024. They stay in hand until they are final: a chain
    /// takes at most this many entries per time to finality.
    pub window: usize,
    /// How often members, the log's head and control entries are looked at.
    pub watch_ms: u64,
    /// How long a read of an empty outbox waits.
    pub idle_ms: u64,
    /// First and longest delay after a failure of the target or of Redis.
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
    /// How often the target is examined (chain id, contract, balance).
    pub examine_ms: u64,
}

/// How EVM targets are driven.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvmSettings {
    /// Gas a transaction is filled to.
    pub tx_gas_max: u64,
    /// Transactions of a lane that wait for a block; how many wait to be final is bounded by `lane.window`.
    pub transactions_max: usize,
    /// Most paid per gas in all, and most of it to the block's proposer. A first transaction offers at most half of the
    /// latter: a tip at its cap could not be replaced.
    pub fee_cap_gwei: u64,
    pub tip_cap_gwei: u64,
    /// How often receipts are looked for while something is in flight.
    pub poll_ms: u64,
    /// How long after a send without inclusion the same bytes are sent again.
    pub resend_ms: u64,
    /// How long a transaction waits for a block, while others are made, before it is replaced by one that pays more; 0 = never.
    pub replace_ms: u64,
    /// How long the chain stands still before a nonce nobody holds until it is filled.
    pub gap_ms: u64,
    /// How long the chain's next nonce stands still under bound work before that is an alarm.
    pub stuck_ms: u64,
    /// A wallet that cannot pay so many transactions of `tx_gas_max` at the present fees is an alarm; 0 = never.
    pub balance_min_transactions: u64,
    /// Bound of one JSON-RPC call.
    pub rpc_timeout_ms: u64,
    /// First and longest delay of a part that the contract deferred or rejected.
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
}

impl Settings {
    /// Loads and checks the settings.
    ///
    /// # Errors
    /// A value is missing, of a wrong type or out of its range; all faults are named.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let settings: Self = common::config::load(DEFAULTS, file)?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let lane = &self.lane;
        let evm = &self.evm;
        let rules = [
            (lane.lease_ttl_ms >= 300, "lane.lease_ttl_ms must be at least 300"),
            ((1..=WINDOW_MAX).contains(&lane.window), "lane.window must be 1 to 1024"),
            (
                lane.watch_ms >= 10 && lane.watch_ms < lane.lease_ttl_ms,
                "lane.watch_ms must be 10 to the lease's",
            ),
            ((1..=1_000).contains(&lane.idle_ms), "lane.idle_ms must be 1 to 1000"),
            (
                lane.retry_min_ms > 0 && lane.retry_min_ms <= lane.retry_max_ms,
                "lane.retry_*_ms must rise from 1",
            ),
            (lane.examine_ms >= 100, "lane.examine_ms must be at least 100"),
            (evm.tx_gas_max >= 1_000_000, "evm.tx_gas_max must be at least 1000000"),
            ((1..=64).contains(&evm.transactions_max), "evm.transactions_max must be 1 to 64"),
            (evm.fee_cap_gwei > 0, "evm.fee_cap_gwei must be at least 1"),
            (evm.poll_ms >= 10, "evm.poll_ms must be at least 10"),
            (evm.resend_ms >= 100, "evm.resend_ms must be at least 100"),
            (evm.stuck_ms >= 100, "evm.stuck_ms must be at least 100"),
            (evm.rpc_timeout_ms >= 50, "evm.rpc_timeout_ms must be at least 50"),
            (self.null.delay_ms <= 60_000, "null.delay_ms must be at most 60000"),
            (evm.retry_min_ms > 0 && evm.retry_min_ms <= evm.retry_max_ms, "evm.retry_*_ms must rise from 1"),
        ];
        let mut faults: Vec<String> =
            rules.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault.to_owned()).collect();
        faults.extend(self.telemetry.faults());
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Faults(faults)) }
    }
}

impl LaneSettings {
    pub(crate) const fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }

    pub(crate) const fn retry(&self) -> Backoff {
        Backoff { min_ms: self.retry_min_ms, max_ms: self.retry_max_ms }
    }
}

impl EvmSettings {
    pub(crate) fn caps(&self) -> FeeCaps {
        FeeCaps {
            max_fee: u128::from(self.fee_cap_gwei).saturating_mul(GWEI),
            max_tip: u128::from(self.tip_cap_gwei).saturating_mul(GWEI),
        }
    }

    pub(crate) const fn patience(&self) -> Patience {
        let replace_ms = if self.replace_ms == 0 { None } else { Some(self.replace_ms) };
        Patience { resend_ms: self.resend_ms, replace_ms }
    }

    pub(crate) const fn retry(&self) -> Backoff {
        Backoff { min_ms: self.retry_min_ms, max_ms: self.retry_max_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    #[test]
    fn the_defaults_are_valid() {
        let settings = Settings::load(None).expect("the embedded defaults are complete");
        assert_eq!(settings.evm.tx_gas_max, 10_000_000);
    }

    #[test]
    fn every_value_out_of_range_is_named() {
        let mut settings = Settings::load(None).expect("the embedded defaults are complete");
        settings.lane.window = 0;
        settings.evm.fee_cap_gwei = 0;
        let message = settings.check().expect_err("two faults").to_string();
        assert!(message.contains("lane.window") && message.contains("evm.fee_cap_gwei"), "{message}");
    }
}
