//! API keys: `oss_<id>_<secret>` in `Authorization: Bearer`.
//!
//! One JSON file: `{"keys": [{"id", "sha256", "tenant", "scopes", "authorities"}]}`; `sha256` is 0x hex of the SHA-256 of the
//! secret's text; `authorities`, which may be left out, are those that a key with the scope `regulate` may act for. Secrets are long and random, so a fast hash is enough; it is compared in constant time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::hash::Digest;
use crate::ids::{Name, Tenant};
use crate::problem::Problem;
use crate::request::SyncRequest;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Submit,
    Read,
    Operate,
    Regulate,
    /// Read the log and the checkpoints, as another validator: nothing else.
    Peer,
}

impl Scope {
    /// Those of people and their programs; `peer` is for the validators among themselves.
    pub const CLIENT: [Self; 4] = [Self::Submit, Self::Read, Self::Operate, Self::Regulate];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Regulate => "regulate",
            Self::Peer => "peer",
        }
    }
}

/// One key as the file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// `[a-z0-9]{1,32}`.
    pub id: String,
    /// SHA-256 of the secret's text.
    pub sha256: Digest,
    pub tenant: Tenant,
    pub scopes: Vec<Scope>,
    /// Whom the key may act for with the scope `regulate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<Name>,
}

/// The content of the key file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    pub keys: Vec<KeyRecord>,
}

/// All keys, by id.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    keys: BTreeMap<String, KeyRecord>,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("cannot read the key file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the key file {path} is not valid")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("key id {id:?} is malformed or stands twice: expected [a-z0-9]{{1,32}}")]
    Id { id: String },
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub key_id: String,
    pub tenant: Tenant,
    scopes: Vec<Scope>,
    authorities: Vec<Name>,
}

impl KeyRing {
    /// # Errors
    /// The file cannot be read, is not of the form above, or an id is malformed or stands twice.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let bytes =
            std::fs::read(path).map_err(|source| KeyFileError::Read { path: path.to_owned(), source })?;
        let file: KeyFile = serde_json::from_slice(&bytes)
            .map_err(|source| KeyFileError::Json { path: path.to_owned(), source })?;
        Self::new(file)
    }

    /// # Errors
    /// An id is malformed or stands twice.
    pub fn new(file: KeyFile) -> Result<Self, KeyFileError> {
        let mut keys = BTreeMap::new();
        for key in file.keys {
            let id = key.id.clone();
            let form = !id.is_empty()
                && id.len() <= 32
                && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !form || keys.insert(id.clone(), key).is_some() {
                return Err(KeyFileError::Id { id });
            }
        }
        Ok(Self { keys })
    }

    /// The ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Who holds this token, if anybody does.
    #[must_use]
    pub fn lookup(&self, token: &str) -> Option<Principal> {
        let (id, secret) = token.strip_prefix("oss_")?.split_once('_')?;
        let key = self.keys.get(id)?;
        let given = Digest::of(&[secret.as_bytes()]);
        bool::from(given.0.ct_eq(&key.sha256.0)).then(|| Principal {
            key_id: key.id.clone(),
            tenant: key.tenant.clone(),
            scopes: key.scopes.clone(),
            authorities: key.authorities.clone(),
        })
    }

    /// The principal of a request that needs `scope`.
    ///
    /// # Errors
    /// 401 without a known key, 403 without the scope.
    pub fn authorize(&self, request: &HttpRequest, scope: Scope) -> Result<Principal, Problem> {
        self.authorize_any(request, &[scope])
    }

    /// The principal of a request that needs one of `scopes`.
    ///
    /// # Errors
    /// 401 without a known key, 403 without any of the scopes.
    pub fn authorize_any(&self, request: &HttpRequest, scopes: &[Scope]) -> Result<Principal, Problem> {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let principal = token.and_then(|token| self.lookup(token.trim())).ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid API key is needed").error(
                "#header/Authorization",
                "invalid",
                "expected Bearer oss_<id>_<secret>",
            )
        })?;
        principal.require_any(scopes)?;
        Ok(principal)
    }
}

impl Principal {
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may have this request taken in.
    ///
    /// # Errors
    /// 403 without the scope `submit`, of a regulatory one without `regulate`, or for an authority that is not the key's.
    pub fn require_for(&self, request: &SyncRequest) -> Result<(), Problem> {
        let Some(authority) = &request.authority else { return self.require_any(&[Scope::Submit]) };
        self.require_any(&[Scope::Regulate])?;
        if self.authorities.contains(&authority.id) {
            return Ok(());
        }
        let title = "The API key does not act for this authority";
        let detail = format!("the key does not act for {}", authority.id);
        Err(Problem::new(StatusCode::FORBIDDEN, "not_the_authority", title).error(
            "/authority/id",
            "invalid",
            detail,
        ))
    }

    fn require_any(&self, scopes: &[Scope]) -> Result<(), Problem> {
        if scopes.iter().any(|scope| self.has(*scope)) {
            return Ok(());
        }
        let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "The API key lacks a scope")
            .detail(format!("scope {} is needed", names.join(" or "))))
    }
}
