//! Settings: embedded defaults, then a TOML file, then `OSS__<SECTION>__<FIELD>` variables.
//!
//! A bad value never falls back to a default: the process names the key and exits with [`crate::exit::CONFIG`].
//! Secrets are files; a setting that ends in `_file` names one.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::link::{Address, Certificates, ClientCertificate, LinkError};

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("settings: {0}")]
    Load(#[from] config::ConfigError),
    #[error("settings: {}", .0.join("; "))]
    Faults(Vec<String>),
    #[error("settings: cannot read {path}")]
    Secret { path: PathBuf, source: std::io::Error },
    #[error("settings: redis cannot be addressed so")]
    Redis(#[source] LinkError),
}

/// Loads settings of type `T` (which should deny unknown fields).
///
/// # Errors
/// A file cannot be read, or a value has the wrong type or name; the message names the key.
pub fn load<T: DeserializeOwned>(defaults: &str, file: Option<&Path>) -> Result<T, ConfigError> {
    layered(defaults, file, environment())
}

/// Variables stay text until the type of their setting is known: a name such as `123e4567` is no number, and
/// a number in a text is read where one is wanted. A list is one text with commas.
fn environment() -> config::Environment {
    config::Environment::with_prefix("OSS").separator("__")
}

fn layered<T: DeserializeOwned>(
    defaults: &str,
    file: Option<&Path>,
    environment: config::Environment,
) -> Result<T, ConfigError> {
    let mut builder =
        config::Config::builder().add_source(config::File::from_str(defaults, config::FileFormat::Toml));
    if let Some(file) = file {
        builder = builder.add_source(config::File::from(file).format(config::FileFormat::Toml));
    }
    Ok(builder.add_source(environment).build()?.try_deserialize()?)
}

/// How to reach Redis, and as whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://host:port/0`, or `rediss://…` for TLS; no password in here.
    pub url: String,
    /// The user of the ACL; without one the server's `default`.
    #[serde(default)]
    pub username: Option<String>,
    /// File with the user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM: who may have signed the server's certificate, in place of those the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM: this process's own certificate and its key, where the server asks for one.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

impl RedisSettings {
    /// The password, if a file is named.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn password(&self) -> Result<Option<SecretString>, ConfigError> {
        self.password_file.as_deref().map(read_secret).transpose()
    }

    /// Where and as whom to connect.
    ///
    /// # Errors
    /// A file cannot be read, or values do not fit together: nothing is left out that was asked for.
    pub fn address(&self) -> Result<Address, ConfigError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(ConfigError::Faults(faults));
        }
        let (user, password) = (self.username.as_deref(), self.password()?);
        let client = match (&self.cert_file, &self.key_file) {
            (Some(certificate), Some(key)) => {
                Some(ClientCertificate { certificate: read(certificate)?, key: read_secret(key)? })
            }
            _ => None,
        };
        let certificates = Certificates { ca: self.ca_file.as_deref().map(read).transpose()?, client };
        let address = if self.is_tls() {
            Address::with_certificates(&self.url, user, password.as_ref(), &certificates)
        } else {
            Address::new(&self.url, user, password.as_ref())
        };
        address.map_err(ConfigError::Redis)
    }

    fn is_tls(&self) -> bool {
        self.url.starts_with("rediss://")
    }

    fn faults(&self) -> Vec<String> {
        let host = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let user = host.rsplit_once('@').map_or("", |(user, _)| user);
        let has_certificates = [&self.ca_file, &self.cert_file, &self.key_file].iter().any(|f| f.is_some());
        let rules = [
            (!user.contains(':'), "redis.url: a password belongs into the file redis.password_file names"),
            (user.is_empty() || self.username.is_none(), "redis.url and redis.username both name a user"),
            (
                self.is_tls() || !has_certificates,
                "redis.ca_file, cert_file and key_file need a rediss:// address in redis.url",
            ),
            (
                self.cert_file.is_some() == self.key_file.is_some(),
                "redis.cert_file and redis.key_file go together",
            ),
        ];
        rules.iter().filter(|(holds, _)| !holds).map(|(_, fault)| (*fault).to_owned()).collect()
    }
}

/// Where a service listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// `host:port` of the API; port 0 takes a free one.
    pub listen: String,
    /// `host:port` of `/livez /readyz /metrics /version`.
    pub admin_listen: String,
    /// Threads that serve HTTP.
    pub workers: usize,
}

/// Logs and traces.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// Base URL of an OTLP/HTTP receiver, such as `http://otel:4318`; empty = no spans.
    pub otlp_endpoint: String,
    /// Share of the requests without a trace context for which one is begun, 0 to 1.
    pub sample_ratio: f64,
    /// Form of the log on stdout.
    pub log: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON lines.
    #[default]
    Auto,
    Json,
    Text,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), sample_ratio: 1.0, log: LogFormat::Auto }
    }
}

impl TelemetrySettings {
    /// What cannot be used, by the name of the setting.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let is_url = self.otlp_endpoint.is_empty()
            || self.otlp_endpoint.starts_with("http://")
            || self.otlp_endpoint.starts_with("https://");
        let rules = [
            (is_url, "telemetry.otlp_endpoint: not an http or https URL"),
            ((0.0..=1.0).contains(&self.sample_ratio), "telemetry.sample_ratio: not between 0 and 1"),
        ];
        rules.iter().filter(|(holds, _)| !holds).map(|(_, fault)| (*fault).to_owned()).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Secret { path: path.to_owned(), source })
}

/// Reads a secret from a file, without the line end.
///
/// # Errors
/// The file cannot be read.
pub fn read_secret(path: &Path) -> Result<SecretString, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Secret { path: path.to_owned(), source })?;
    Ok(SecretString::from(text.trim_end().to_owned()))
}

#[cfg(test)]
mod tests;
