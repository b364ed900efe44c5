//! The services' settings files, as TOML in the stack's folder. What they leave out has the services' defaults.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::link::acl::User;
use serde_json::json;

use super::files::{self, Access};
use super::init::{ENDPOINTS_FILE, SOURCES_FILE, TARGETS_FILE};
use super::secrets::names;

/// Where the parts of a stack listen.
#[derive(Debug, Clone)]
pub(crate) struct Listens {
    pub(crate) redis_url: String,
    pub(crate) collector: Listen,
    /// Of further collectors; a development stack has none.
    pub(crate) more_collectors: Vec<Listen>,
    pub(crate) validator: Listen,
    pub(crate) broadcaster: Listen,
}

/// The two ports of a service, on the loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) api: u16,
    pub(crate) admin: u16,
}

impl Listen {
    pub(crate) fn url(self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    pub(crate) fn readiness_url(self) -> String {
        format!("http://127.0.0.1:{}/readyz", self.admin)
    }
}

/// What differs between a development stack and a bench.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tuning {
    /// `limits.backlog_max` of the collector; `None` = its default.
    pub(crate) backlog_max: Option<u64>,
    /// `collect.in_flight_max` of the collector; `None` = its default.
    pub(crate) in_flight_max: Option<u16>,
    /// How long each request's validation takes in addition, and each part on a `null` target.
    pub(crate) validate_ms: u64,
    pub(crate) deliver_ms: u64,
}

/// The settings files that were written.
#[derive(Debug)]
pub(crate) struct SettingsFiles {
    pub(crate) collector: PathBuf,
    pub(crate) more_collectors: Vec<PathBuf>,
    pub(crate) validator: PathBuf,
    pub(crate) broadcaster: PathBuf,
}

pub(crate) fn write(folder: &Path, listens: &Listens, tuning: Tuning) -> anyhow::Result<SettingsFiles> {
    let path = |name: &str| text(&folder.join(name).display().to_string());
    let common = format!("keys_file = {}\ntargets_file = {}\n", path(names::KEYS), path(TARGETS_FILE));
    let tail = |user: User, listen: Listen| {
        format!(
            "\n[redis]\nurl = {}\nusername = {}\npassword_file = {}\n\n[http]\nlisten = {}\nadmin_listen = {}\n",
            text(&listens.redis_url),
            text(user.name()),
            path(&names::redis_password(user)),
            text(&format!("127.0.0.1:{}", listen.api)),
            text(&format!("127.0.0.1:{}", listen.admin)),
        )
    };
    let collector = |listen: Listen| -> anyhow::Result<String> {
        let mut collector = format!(
            "{common}sources_file = {}\ndev_keys_file = {}\nvalidators = [{}]\n{}",
            path(SOURCES_FILE),
            path(names::DEV_KEYS),
            text(&listens.validator.url()),
            tail(User::Collector, listen),
        );
        if let Some(backlog_max) = tuning.backlog_max {
            write!(collector, "\n[limits]\nbacklog_max = {backlog_max}\n")?;
        }
        if let Some(in_flight_max) = tuning.in_flight_max {
            write!(collector, "\n[collect]\nin_flight_max = {in_flight_max}\n")?;
        }
        Ok(collector)
    };
    let validator = format!(
        "{common}validator_key_file = {}\ndata_dir = {}\n{}\n[peer]\nkey_file = {}\n\n[stand_in]\nvalidate_ms = {}\n",
        path(names::VALIDATOR_KEY),
        path("validator"),
        tail(User::Validator, listens.validator),
        path(names::PEER_KEY),
        tuning.validate_ms,
    );
    let broadcaster = format!(
        "{common}sender_keys_file = {}\nendpoints_file = {}\n{}\n[null]\ndelay_ms = {}\n",
        path(names::SENDER_KEYS),
        path(ENDPOINTS_FILE),
        tail(User::Broadcaster, listens.broadcaster),
        tuning.deliver_ms,
    );
    let save = |name: &str, content: String| -> anyhow::Result<PathBuf> {
        let path = folder.join(name);
        files::write(&path, content.as_bytes(), Access::Everybody)?;
        Ok(path)
    };
    let more_collectors = (2..).zip(&listens.more_collectors);
    Ok(SettingsFiles {
        collector: save("collector.toml", collector(listens.collector)?)?,
        more_collectors: more_collectors
            .map(|(number, listen)| save(&format!("collector-{number}.toml"), collector(*listen)?))
            .collect::<anyhow::Result<_>>()?,
        validator: save("validator.toml", validator)?,
        broadcaster: save("broadcaster.toml", broadcaster)?,
    })
}

/// A TOML basic string; JSON's escapes are among TOML's.
fn text(value: &str) -> String {
    json!(value).to_string()
}
