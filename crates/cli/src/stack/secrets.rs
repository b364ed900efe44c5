//! The keys of a stack, made once: the validator's signing key, a sender per shard, API keys for development and for the
//! validators among themselves, a password per user of Redis. The file of Redis' users is made anew every time: it follows the table of rights.

use std::collections::BTreeMap;
use std::path::Path;

use alloy::signers::local::PrivateKeySigner;
use anyhow::Context as _;
use common::auth::{KeyFile, KeyRecord, Scope};
use common::hash::Digest;
use common::ids::{Shard, Tenant};
use common::link::acl::{self, User};
use secrecy::{ExposeSecret as _, SecretString};

use super::files::{self, Access};
use crate::access::Tokens;

const TENANT: &str = "demo";
/// Whom the regulate key acts for.
const AUTHORITY: &str = "regulator";
/// Id of the validators' key.
const PEER: &str = "peer";

/// Everything secret of a stack.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) validator: PrivateKeySigner,
    pub(crate) senders: BTreeMap<Shard, PrivateKeySigner>,
    pub(crate) tokens: Tokens,
    /// The password of Redis' administrator.
    pub(crate) redis_admin: SecretString,
}

/// Names of the files below the configuration folder. Each service's secrets have a folder of their own, so that
/// a deployment can show each service its own only.
pub(crate) mod names {
    pub(crate) const VALIDATOR_KEY: &str = "secrets/validator/validator.key";
    /// With which a validator reads another one's log.
    pub(crate) const PEER_KEY: &str = "secrets/validator/peer.key";
    pub(crate) const SENDER_KEYS: &str = "secrets/broadcaster/sender-keys.json";
    pub(crate) const KEYS: &str = "keys.json";
    pub(crate) const DEV_KEYS: &str = "secrets/collector/dev-keys.json";
    /// Redis' users with the hashes of their passwords.
    pub(crate) const REDIS_USERS: &str = "secrets/redis/users.acl";
    pub(crate) const REDIS_ADMIN: &str = "secrets/operator/redis.password";

    pub(crate) fn redis_password(user: common::link::acl::User) -> String {
        format!("secrets/{}/redis.password", user.name())
    }
}

/// Reads what is there and makes what is missing.
pub(crate) fn ensure(folder: &Path) -> anyhow::Result<Secrets> {
    let tokens = tokens(folder)?;
    peer(folder)?;
    Ok(Secrets {
        validator: validator(folder)?,
        senders: senders(folder)?,
        tokens,
        redis_admin: redis_users(folder)?,
    })
}

/// Answers the administrator's password.
fn redis_users(folder: &Path) -> anyhow::Result<SecretString> {
    let admin = password(&folder.join(names::REDIS_ADMIN))?;
    let mut passwords = BTreeMap::new();
    for user in User::ALL {
        passwords.insert(user, password(&folder.join(names::redis_password(user)))?);
    }
    let users = acl::file(&passwords, &admin);
    // Hashes only, and the server runs as another user of the system.
    files::write(&folder.join(names::REDIS_USERS), users.as_bytes(), Access::Everybody)?;
    Ok(admin)
}

fn password(path: &Path) -> anyhow::Result<SecretString> {
    if path.exists() {
        return Ok(common::config::read_secret(path)?);
    }
    let password = SecretString::from(hex::encode(rand::random::<[u8; 32]>()));
    files::write(path, format!("{}\n", password.expose_secret()).as_bytes(), Access::Owner)?;
    Ok(password)
}

fn validator(folder: &Path) -> anyhow::Result<PrivateKeySigner> {
    let path = folder.join(names::VALIDATOR_KEY);
    if path.exists() {
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        return text.trim().parse().with_context(|| format!("{} is not a key", path.display()));
    }
    let signer = PrivateKeySigner::random();
    files::write(&path, format!("{}\n", signer.to_bytes()).as_bytes(), Access::Owner)?;
    Ok(signer)
}

fn senders(folder: &Path) -> anyhow::Result<BTreeMap<Shard, PrivateKeySigner>> {
    let path = folder.join(names::SENDER_KEYS);
    if let Some(texts) = files::read_json::<BTreeMap<Shard, String>>(&path)? {
        let parsed = texts.into_iter().map(|(shard, text)| text.parse().map(|key| (shard, key)));
        return parsed
            .collect::<Result<_, _>>()
            .with_context(|| format!("{} holds a bad key", path.display()));
    }
    let senders: BTreeMap<Shard, PrivateKeySigner> =
        Shard::ALL.into_iter().map(|shard| (shard, PrivateKeySigner::random())).collect();
    let texts: BTreeMap<Shard, String> =
        senders.iter().map(|(shard, key)| (*shard, key.to_bytes().to_string())).collect();
    files::write_json(&path, &texts, Access::Owner)?;
    Ok(senders)
}

/// One key per scope of clients; all of them can also read, and the regulate key acts for one authority. The services get the hashes only.
fn tokens(folder: &Path) -> anyhow::Result<Tokens> {
    let (tokens_path, hashes_path) = (folder.join(names::DEV_KEYS), folder.join(names::KEYS));
    let known = files::read_json::<Tokens>(&tokens_path)?;
    if let Some(tokens) = known.as_ref()
        && hashes_path.exists()
    {
        return Ok(tokens.clone());
    }
    let tenant = tenant()?;
    let authority: common::ids::Name = AUTHORITY.parse().context("the authority's name")?;
    let tokens = known.unwrap_or_else(|| {
        let token = |scope: Scope| format!("oss_{}_{}", id(scope), hex::encode(rand::random::<[u8; 32]>()));
        Tokens {
            submit: token(Scope::Submit),
            read: token(Scope::Read),
            operate: token(Scope::Operate),
            regulate: token(Scope::Regulate),
        }
    });
    let keys = Scope::CLIENT
        .into_iter()
        .map(|scope| {
            let secret = tokens.of(scope).rsplit_once('_').map_or("", |(_, secret)| secret);
            let scopes = match scope {
                Scope::Submit | Scope::Operate | Scope::Regulate => vec![scope, Scope::Read],
                Scope::Read | Scope::Peer => vec![scope],
            };
            let authorities = if scope == Scope::Regulate { vec![authority.clone()] } else { Vec::new() };
            KeyRecord {
                id: id(scope),
                sha256: Digest::of(&[secret.as_bytes()]),
                tenant: tenant.clone(),
                scopes,
                authorities,
            }
        })
        .collect();
    files::write_json(&tokens_path, &tokens, Access::Owner)?;
    files::write_json(&hashes_path, &KeyFile { keys }, Access::Everybody)?;
    Ok(tokens)
}

/// The key of the validators among themselves, which opens their logs alone. A stack of an older release has none yet, or
/// one that its record lets operate: it stays as it is, and its record gets the scope.
fn peer(folder: &Path) -> anyhow::Result<()> {
    let (path, hashes_path) = (folder.join(names::PEER_KEY), folder.join(names::KEYS));
    let token = if path.exists() {
        common::config::read_secret(&path)?
    } else {
        let token = SecretString::from(format!("oss_{PEER}_{}", hex::encode(rand::random::<[u8; 32]>())));
        files::write(&path, format!("{}\n", token.expose_secret()).as_bytes(), Access::Owner)?;
        token
    };
    let secret = token.expose_secret().rsplit_once('_').map_or("", |(_, secret)| secret);
    let record = KeyRecord {
        id: PEER.to_owned(),
        sha256: Digest::of(&[secret.as_bytes()]),
        tenant: tenant()?,
        scopes: vec![Scope::Peer],
        authorities: Vec::new(),
    };
    let mut known: KeyFile = files::read_json(&hashes_path)?.unwrap_or_default();
    if known.keys.contains(&record) {
        return Ok(());
    }
    known.keys.retain(|key| key.id != PEER);
    known.keys.push(record);
    files::write_json(&hashes_path, &known, Access::Everybody)
}

/// Whom the development keys belong to.
pub(crate) fn tenant() -> anyhow::Result<Tenant> {
    TENANT.parse().context("the tenant's name")
}

fn id(scope: Scope) -> String {
    format!("dev{}", scope.name())
}

#[cfg(test)]
mod tests {
    use common::auth::KeyRing;

    use super::*;

    #[test]
    fn a_second_run_keeps_every_key_and_the_services_know_the_tokens() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = ensure(folder.path()).expect("made");
        let second = ensure(folder.path()).expect("read");
        assert_eq!(first.validator.address(), second.validator.address());
        assert_eq!(first.senders, second.senders);
        assert_eq!(first.tokens, second.tokens);
        let ring = KeyRing::load(&folder.path().join(names::KEYS)).expect("a key file");
        for scope in Scope::CLIENT {
            let principal = ring.lookup(first.tokens.of(scope)).expect("known");
            assert!(principal.has(scope));
        }
        assert!(!ring.lookup(&first.tokens.read).expect("known").has(Scope::Submit));
    }

    #[test]
    fn the_validators_have_a_key_for_each_other_that_a_stack_without_one_gets() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = ensure(folder.path()).expect("made");
        let path = folder.path().join(names::PEER_KEY);
        let token = |text: std::io::Result<String>| text.expect("a file").trim().to_owned();
        let (before, ring) = (token(std::fs::read_to_string(&path)), || {
            KeyRing::load(&folder.path().join(names::KEYS)).expect("a key file")
        });
        let opens = || {
            let principal = ring().lookup(&before).expect("known");
            (principal.has(Scope::Peer), Scope::CLIENT.iter().any(|scope| principal.has(*scope)))
        };
        assert_eq!(opens(), (true, false));
        // As an older release left it: the key stays, what it opens shrinks.
        let hashes = folder.path().join(names::KEYS);
        let wide = std::fs::read_to_string(&hashes).expect("a file").replace("\"peer\"\n", "\"operate\"\n");
        std::fs::write(&hashes, wide).expect("written");
        assert_eq!(opens(), (false, true));
        ensure(folder.path()).expect("read");
        assert_eq!(opens(), (true, false));
        assert_eq!(before, token(std::fs::read_to_string(&path)));
        // As a release without it left it.
        std::fs::remove_file(&path).expect("removes");
        ensure(folder.path()).expect("made");
        let after = token(std::fs::read_to_string(&path));
        assert!(ring().lookup(&before).is_none() && ring().lookup(&after).is_some());
        assert!(ring().lookup(first.tokens.of(Scope::Submit)).is_some());
    }

    #[test]
    fn every_user_of_redis_has_a_password_of_its_own_that_a_second_run_keeps() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
        ensure(folder.path()).expect("made");
        let files = User::ALL.map(names::redis_password).into_iter().chain([names::REDIS_ADMIN.to_owned()]);
        let first: Vec<String> = files.clone().map(|name| read(&name)).collect();
        let users = read(names::REDIS_USERS);
        std::fs::write(folder.path().join(names::REDIS_USERS), "of an older release").expect("written");
        ensure(folder.path()).expect("read");
        assert_eq!(first, files.map(|name| read(&name)).collect::<Vec<_>>());
        assert_eq!(users, read(names::REDIS_USERS));
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert!(first.iter().all(|password| password.len() == 65 && !users.contains(password.trim())));
    }
}
