//! The configuration files of a stack, and the settings that name them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use common::auth::{KeyFile, KeyRecord, Scope};
use common::hash::Digest;
use common::link::acl::{self, User};
use common::targets::{Target, Targets};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::programs::Programs;
use super::{NULL_SOURCE, Plan, Role, Service, Stack, StackError};
use crate::anvil::Anvil;
use crate::redis::Users;

/// Whom the development keys belong to.
const TENANT: &str = "demo";
/// Whom the regulate key acts for.
const AUTHORITY: &str = "regulator";
const TARGETS: &str = "targets.json";
const SOURCES: &str = "sources.json";
const KEYS: &str = "keys.json";
const DEV_KEYS: &str = "secrets/collector/dev-keys.json";
pub(super) const ENDPOINTS: &str = "endpoints.json";
const SENDER_KEYS: &str = "secrets/broadcaster/sender-keys.json";
const VALIDATOR_KEY: &str = "secrets/validator/validator.key";
const PEER_KEY: &str = "secrets/validator/peer.key";
const STACK: &str = "secrets/operator/stack.json";
/// Nothing listens there: no test of a stack asks for the reference rate.
const NO_RATE: &str = "http://127.0.0.1:9/rate.json";

/// One full token per scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tokens {
    pub submit: String,
    pub read: String,
    pub operate: String,
    pub regulate: String,
}

/// What the configuration was made to.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) tokens: Tokens,
    /// The `StateBridge` per chain.
    pub(super) contracts: BTreeMap<String, String>,
}

/// Makes a password for each user of Redis, where `oss init` finds them.
pub(super) fn redis_users(folder: &Path) -> Result<Users, StackError> {
    let make = |owner: &str| -> Result<SecretString, StackError> {
        let password = hex::encode(rand::random::<[u8; 32]>());
        let path = folder.join(redis_password(owner));
        path.parent().map(std::fs::create_dir_all).transpose()?;
        std::fs::write(path, &password)?;
        Ok(password.into())
    };
    let admin = make("operator")?;
    let mut passwords = BTreeMap::new();
    for user in User::ALL {
        passwords.insert(user, make(user.name())?);
    }
    let file = acl::file(&passwords, &admin);
    Ok(Users { file, admin: acl::ADMIN, password: admin.expose_secret().to_owned() })
}

fn redis_password(owner: &str) -> String {
    format!("secrets/{owner}/redis.password")
}

/// Writes every file into the stack's folder.
pub(super) fn make(
    folder: &Path,
    plan: &Plan,
    programs: &Programs,
    anvils: &[(String, Anvil)],
    source: Option<&Anvil>,
) -> Result<Made, StackError> {
    match source {
        Some(source) => init(folder, plan, programs, anvils, source)?,
        None => write_null(folder, plan)?,
    }
    add_null_source(folder, plan.source_delay_ms)?;
    let tokens = read(folder, DEV_KEYS)?;
    let targets: Targets = read(folder, TARGETS)?;
    let contracts =
        targets.iter().filter_map(|target| Some((target.name.to_string(), target.contract?.to_string())));
    Ok(Made { tokens, contracts: contracts.collect() })
}

fn init(
    folder: &Path,
    plan: &Plan,
    programs: &Programs,
    anvils: &[(String, Anvil)],
    source: &Anvil,
) -> Result<(), StackError> {
    let mut command = Command::new(programs.oss());
    command.arg("init").arg("--out").arg(folder);
    for (name, anvil) in anvils {
        command.arg("--chain").arg(format!("{name}={}", anvil.url()));
    }
    command.args([
        "--source-chain",
        &source.url(),
        "--rate-url",
        plan.rate_url.as_deref().unwrap_or(NO_RATE),
        "--tier",
        plan.tier,
    ]);
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    let text = [done.stdout, done.stderr].concat();
    Err(StackError::Init { output: String::from_utf8_lossy(&text).into_owned() })
}

/// What `oss init` makes, for targets that need no chain. The keys are as good as any: nobody signs with them.
fn write_null(folder: &Path, plan: &Plan) -> Result<(), StackError> {
    let secret = |scope: Scope| format!("{:?}", Digest::of(&[scope.name().as_bytes()])).replace("0x", "");
    let token = |scope: Scope| format!("oss_dev{}_{}", scope.name(), secret(scope));
    let tokens = Tokens {
        submit: token(Scope::Submit),
        read: token(Scope::Read),
        operate: token(Scope::Operate),
        regulate: token(Scope::Regulate),
    };
    let tenant: common::ids::Tenant = TENANT.parse().map_err(|_| StackError::Configuration { file: KEYS })?;
    let authority: common::ids::Name =
        AUTHORITY.parse().map_err(|_| StackError::Configuration { file: KEYS })?;
    let key = |scope: Scope| KeyRecord {
        id: format!("dev{}", scope.name()),
        sha256: Digest::of(&[secret(scope).as_bytes()]),
        tenant: tenant.clone(),
        scopes: match scope {
            Scope::Submit | Scope::Operate | Scope::Regulate => vec![scope, Scope::Read],
            Scope::Read | Scope::Peer => vec![scope],
        },
        authorities: if scope == Scope::Regulate { vec![authority.clone()] } else { Vec::new() },
    };
    let targets = plan.null_targets.iter().map(|name| {
        let name = name.parse().map_err(|_| StackError::Configuration { file: TARGETS })?;
        Ok(Target::null(name))
    });
    let targets = Targets::new(targets.collect::<Result<_, StackError>>()?)
        .map_err(|_| StackError::Configuration { file: TARGETS })?;
    write(folder, DEV_KEYS, &tokens)?;
    let scopes = Scope::CLIENT.into_iter().chain([Scope::Peer]);
    write(folder, KEYS, &KeyFile { keys: scopes.map(key).collect() })?;
    let peer = folder.join(PEER_KEY);
    peer.parent().map(std::fs::create_dir_all).transpose()?;
    std::fs::write(peer, token(Scope::Peer))?;
    write(folder, TARGETS, &targets)?;
    write(folder, SOURCES, &json!({"sources": []}))?;
    write(folder, ENDPOINTS, &json!({}))?;
    let wallet = |number: u8| Digest::of(&[&[number]]).to_string();
    let wallets: BTreeMap<&str, String> =
        common::ids::Shard::ALL.into_iter().map(|shard| (shard.name(), wallet(shard.number()))).collect();
    write(folder, SENDER_KEYS, &wallets)?;
    let key = folder.join(VALIDATOR_KEY);
    key.parent().map(std::fs::create_dir_all).transpose()?;
    Ok(std::fs::write(key, wallet(u8::MAX))?)
}

fn add_null_source(folder: &Path, delay_ms: u64) -> Result<(), StackError> {
    let mut document: Value = read(folder, SOURCES)?;
    let sources = document.get_mut("sources").and_then(Value::as_array_mut);
    sources
        .ok_or(StackError::Configuration { file: SOURCES })?
        .push(json!({"name": NULL_SOURCE, "kind": "null", "delay_ms": delay_ms}));
    write(folder, SOURCES, &document)
}

/// What the `oss` commands find the stack by.
pub(super) fn write_stack_file(stack: &Stack) -> Result<(), StackError> {
    let first = |role| stack.urls(role).into_iter().next().unwrap_or_default();
    let mut document: Value = read(stack.folder(), STACK).unwrap_or_else(|_| json!({"chains": {}}));
    let fields = [
        ("collector", json!(first(Role::Collector))),
        ("validator", json!(first(Role::Validator))),
        ("broadcaster", json!(first(Role::Broadcaster))),
        ("keys", json!(stack.tokens)),
        ("targets_file", json!(stack.folder().join(TARGETS))),
        ("redis_url", json!(stack.redis.url())),
    ];
    let object = document.as_object_mut().ok_or(StackError::Configuration { file: STACK })?;
    object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    write(stack.folder(), STACK, &document)
}

/// The settings of one process, without its addresses.
pub(super) fn settings(
    service: Service,
    folder: &Path,
    redis_url: &str,
    validators: &[String],
) -> Vec<(String, String)> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut settings = vec![
        ("OSS__REDIS__URL", redis_url.to_owned()),
        ("OSS__REDIS__USERNAME", service.role.name().to_owned()),
        ("OSS__REDIS__PASSWORD_FILE", file(&redis_password(service.role.name()))),
        ("OSS__KEYS_FILE", file(KEYS)),
        ("OSS__TARGETS_FILE", file(TARGETS)),
    ];
    let instance = format!("{}-{}", service.role.name(), service.index);
    match service.role {
        Role::Collector => settings.extend([
            ("OSS__INSTANCE", instance),
            ("OSS__SOURCES_FILE", file(SOURCES)),
            ("OSS__VALIDATORS", validators.join(",")),
        ]),
        Role::Validator => settings.extend([
            ("OSS__DATA_DIR", file("validator")),
            ("OSS__VALIDATOR_KEY_FILE", file(VALIDATOR_KEY)),
            ("OSS__PEER__KEY_FILE", file(PEER_KEY)),
        ]),
        Role::Broadcaster => settings.extend([
            ("OSS__INSTANCE", instance),
            ("OSS__SENDER_KEYS_FILE", file(SENDER_KEYS)),
            ("OSS__ENDPOINTS_FILE", file(ENDPOINTS)),
        ]),
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn read<T: serde::de::DeserializeOwned>(folder: &Path, name: &'static str) -> Result<T, StackError> {
    let bytes = std::fs::read(folder.join(name))?;
    serde_json::from_slice(&bytes).map_err(|_| StackError::Configuration { file: name })
}

fn write<T: Serialize>(folder: &Path, name: &'static str, content: &T) -> Result<(), StackError> {
    let bytes = serde_json::to_vec_pretty(content).map_err(|_| StackError::Configuration { file: name })?;
    let path = folder.join(name);
    path.parent().map(std::fs::create_dir_all).transpose()?;
    Ok(std::fs::write(path, bytes)?)
}
