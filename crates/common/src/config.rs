//! Settings: embedded defaults, then a TOML file, then `OSS__<SECTION>__<FIELD>` variables.
//!
//! A bad value never falls back to a default: the process names the key and exits with [`crate::exit::CONFIG`].
//! Secrets are files; a setting that ends in `_file` names one.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("settings: {0}")]
    Load(#[from] config::ConfigError),
    #[error("settings: {}", .0.join("; "))]
    Faults(Vec<String>),
    #[error("settings: cannot read {path}")]
    Secret { path: PathBuf, source: std::io::Error },
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

/// How to reach Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://[user@]host:port/0`; no password in here.
    pub url: String,
    /// File with the password of the URL's user.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl RedisSettings {
    /// The password, if a file is named.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn password(&self) -> Result<Option<SecretString>, ConfigError> {
        self.password_file.as_deref().map(read_secret).transpose()
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
