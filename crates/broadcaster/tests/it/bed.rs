//! The world around a broadcaster: a private Redis with a hand-made leader, private chains, settings files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use common::auth::{KeyFile, KeyRecord, Scope};
use common::bridge::{Domain, Header, OutBody, Part, Update, updates_hash};
use common::hash::Digest;
use common::ids::{Name, Shard};
use common::link::{
    Address as RedisAddress, Commands, Fence, Initialised, Leased, Link, RelayLimits, Relayed, Started,
    Stream, Token,
};
use common::message::{Body, Message, Receipt};
use common::targets::{Target, TargetKind, Targets, Tier};
use tempfile::TempDir;
use testkit::anvil::{Anvil, AnvilOptions, Bridge, Mining};
use testkit::redis::{RedisOptions, RedisServer};

pub(crate) type Check<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The validator key every test signs with.
const VALIDATOR: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
pub(crate) const SHARD: Shard = Shard::Financial;
pub(crate) const SECRET: &str = "a-long-random-secret";
/// Long enough for a busy machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// One EVM target with its chain.
pub(crate) struct Chain {
    pub(crate) name: Name,
    pub(crate) anvil: Anvil,
    pub(crate) bridge: Bridge,
}

pub(crate) struct Bed {
    pub(crate) redis: RedisServer,
    pub(crate) link: Link,
    pub(crate) chains: Vec<Chain>,
    pub(crate) nulls: Vec<Name>,
    pub(crate) folder: TempDir,
    leader: Fence,
    validator: PrivateKeySigner,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a well-formed name")
}

pub(crate) fn asset(text: &str) -> Digest {
    Digest::of(&[b"asset/", text.as_bytes()])
}

/// An update whose state hash tells its version.
pub(crate) fn update(asset_name: &str, from: u64, version: u64) -> Update {
    let state_hash = Digest::of(&[asset_name.as_bytes(), &version.to_be_bytes()]);
    Update { asset: asset(asset_name), from, version, state_hash }
}

impl Bed {
    /// Redis, a chain per name (mined by hand), `null` targets; every target started.
    pub(crate) async fn set(chains: &[(&str, u64)], nulls: &[&str], tier: Tier) -> Check<Self> {
        Self::set_in_epochs(chains, nulls, tier, 1).await
    }

    /// As [`Self::set`], with so many blocks per epoch: `safe` is one epoch old, `finalized` two.
    pub(crate) async fn set_in_epochs(
        chains: &[(&str, u64)],
        nulls: &[&str],
        tier: Tier,
        epoch: u64,
    ) -> Check<Self> {
        let redis = RedisServer::start(RedisOptions::default())?;
        let validator: PrivateKeySigner = VALIDATOR.parse()?;
        let mut deployed = Vec::new();
        for (chain, chain_id) in chains {
            let options = AnvilOptions { chain_id: *chain_id, mining: Mining::Manual, keep_state: false };
            let anvil = Anvil::start_in_epochs(options, epoch)?;
            let bridge = Bridge::deploy(&anvil, &[validator.address()], 1).await?;
            deployed.push(Chain { name: name(chain), anvil, bridge });
        }
        let address = RedisAddress::new(&redis.url(), None, None)?;
        let commands = Commands::connect(&address, &name("validator-1")).await?;
        let link = commands.shard(SHARD);
        let leader = lead(&link).await?;
        let nulls = nulls.iter().copied().map(name).collect();
        let bed = Self { redis, link, chains: deployed, nulls, folder: TempDir::new()?, leader, validator };
        bed.write_files(tier)?;
        for shard in Shard::ALL {
            let link = commands.shard(shard);
            let fence = if shard == SHARD { bed.leader.clone() } else { lead(&link).await? };
            bed.log_targets(shard, bed.targets(tier)?.digest())?;
            for target in bed.target_names() {
                let started = link.start_target(&fence, &target, 0).await?;
                assert_eq!(started, Started::Ok);
            }
        }
        Ok(bed)
    }

    /// One chain named `base`.
    pub(crate) async fn one_chain() -> Check<Self> {
        Self::set(&[("base", 8453)], &[], Tier::Finalized).await
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chains[0]
    }

    pub(crate) fn target_names(&self) -> Vec<Name> {
        self.chains.iter().map(|chain| chain.name.clone()).chain(self.nulls.clone()).collect()
    }

    pub(crate) fn targets(&self, tier: Tier) -> Check<Targets> {
        let evm = self.chains.iter().map(|chain| Target {
            name: chain.name.clone(),
            kind: TargetKind::Evm,
            chain_id: Some(chain.anvil.chain_id()),
            contract: Some(common::bridge::Address(chain.bridge.address.into())),
            tier: Some(tier),
            set_id: Some(1),
            retired: false,
        });
        let null = self.nulls.iter().map(|name| Target::null(name.clone()));
        Ok(Targets::new(evm.chain(null).collect())?)
    }

    /// What a leader's TARGETS entry would leave in the head, with everything stable.
    pub(crate) fn log_targets(&self, shard: Shard, digest: Digest) -> Check {
        let key = format!("{{oss:{shard}}}:head");
        self.redis.command(&[
            "HSET",
            &key,
            "seq",
            "100000",
            "stable",
            "100000",
            "targets",
            &digest.to_string(),
        ])?;
        Ok(())
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write_files(&self, tier: Tier) -> Check {
        std::fs::write(self.path("targets.json"), self.targets(tier)?.canonical())?;
        let key = |id: &str, secret: &str, tenant: &str, scopes: &[Scope]| -> Check<KeyRecord> {
            Ok(KeyRecord {
                id: id.to_owned(),
                sha256: Digest::of(&[secret.as_bytes()]),
                tenant: tenant.parse()?,
                scopes: scopes.to_vec(),
                authorities: Vec::new(),
            })
        };
        let keys = KeyFile {
            keys: vec![
                key("operate", SECRET, "demo", &[Scope::Read, Scope::Operate])?,
                key("read", SECRET, "demo", &[Scope::Read])?,
                key("peer", SECRET, "demo", &[Scope::Peer])?,
                key("other", SECRET, "other", &[Scope::Read])?,
            ],
        };
        std::fs::write(self.path("keys.json"), serde_json::to_vec(&keys)?)?;
        let endpoints: BTreeMap<&Name, serde_json::Value> = self
            .chains
            .iter()
            .map(|chain| (&chain.name, serde_json::json!({"rpc": [chain.anvil.url()]})))
            .collect();
        std::fs::write(self.path("endpoints.json"), serde_json::to_vec(&endpoints)?)?;
        let senders: BTreeMap<&str, &str> = match self.chains.first() {
            None => BTreeMap::new(),
            Some(chain) => Shard::ALL
                .iter()
                .map(|shard| (shard.name(), chain.anvil.key(1 + usize::from(shard.number()))))
                .collect(),
        };
        std::fs::write(self.path("senders.json"), serde_json::to_vec(&senders)?)?;
        Ok(())
    }

    /// The wallet of the tests' shard.
    pub(crate) fn sender(&self) -> Address {
        self.chain().anvil.account(1 + usize::from(SHARD.number()))
    }

    /// Signs an entry's updates for a target, one part per inner list.
    pub(crate) fn entry(&self, target: &Name, seq: u64, parts: &[Vec<Update>]) -> Check<Vec<u8>> {
        self.entry_signed_by(&self.validator, target, seq, parts)
    }

    pub(crate) fn entry_signed_by(
        &self,
        signer: &PrivateKeySigner,
        target: &Name,
        seq: u64,
        parts: &[Vec<Update>],
    ) -> Check<Vec<u8>> {
        let root = Digest::of(&[b"root", &seq.to_be_bytes()]);
        let domain = self.chains.iter().find(|chain| chain.name == *target).map(|chain| {
            Domain::new(chain.anvil.chain_id(), common::bridge::Address(chain.bridge.address.into()))
        });
        let mut signed = Vec::new();
        for (part, updates) in (0..).zip(parts) {
            let header = Header {
                shard: u32::from(SHARD.number()),
                seq,
                part,
                parts: u16::try_from(parts.len())?,
                set_id: 1,
                updates_hash: updates_hash(updates),
                state_root: root,
            };
            let sig = match domain {
                None => None,
                Some(domain) => {
                    let digest = B256::from(domain.digest(&header).0);
                    let signature = signer.sign_hash_sync(&digest)?;
                    Some(hex::encode_prefixed(signature.as_bytes()))
                }
            };
            signed.push(Part { header, updates: updates.clone(), sig });
        }
        let body = OutBody { v: 1, shard: SHARD, seq, root, parts: signed, traces: BTreeMap::new() };
        Ok(serde_json::to_vec(&body)?)
    }

    /// Relays entries `first…` to a target; each is a list of parts.
    pub(crate) async fn relay(&self, target: &Name, first: u64, entries: &[Vec<Vec<Update>>]) -> Check {
        let mut payloads = Vec::new();
        for (seq, parts) in (first..).zip(entries) {
            payloads.push(self.entry(target, seq, parts)?);
        }
        self.relay_payloads(target, first, &payloads).await
    }

    pub(crate) async fn relay_payloads(&self, target: &Name, first: u64, payloads: &[Vec<u8>]) -> Check {
        let limits = RelayLimits { out_max: 1_000_000, progress_ttl_ms: 600_000 };
        for (index, payloads) in payloads.chunks(256).enumerate() {
            let first = first + u64::try_from(index)? * 256;
            let run: Vec<Option<&[u8]>> = payloads.iter().map(|payload| Some(payload.as_slice())).collect();
            let relayed = self.link.relay(&self.leader, target, first, &run, limits).await?;
            assert!(matches!(relayed, Relayed::Ok { .. }), "{relayed:?}");
        }
        Ok(())
    }

    pub(crate) async fn rewind(&self, target: &Name, ordered_by: u64, from_seq: u64) -> Check {
        let rewound = self.link.rewind(&self.leader, target, ordered_by, from_seq).await?;
        assert!(matches!(rewound, common::link::Rewound::Ok { .. }), "{rewound:?}");
        Ok(())
    }

    /// All receipts so far, in order.
    pub(crate) async fn receipts(&self) -> Check<Vec<Receipt>> {
        let messages = self.link.front(Stream::Receipts, 1_000_000).await?;
        let read = |payload: &[u8]| match Message::decode(payload)?.body {
            Body::Receipt(receipt) => Ok(receipt),
            other => Err(format!("not a receipt: {other:?}").into()),
        };
        messages.iter().map(|message| read(&message.payload)).collect()
    }

    /// Makes blocks on all chains until `holds` answers true.
    pub(crate) async fn mine_until<F>(&self, what: &str, mut holds: F) -> Check
    where
        F: AsyncFnMut(&Self) -> Check<bool>,
    {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if holds(self).await? {
                return Ok(());
            }
            for chain in &self.chains {
                // A chain that a test has stopped or frozen makes no blocks.
                let mined = tokio::time::timeout(Duration::from_millis(500), chain.anvil.mine(1)).await;
                drop(mined);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Err(format!("not within {PATIENCE:?}: {what}").into())
    }

    /// Waits without making blocks.
    pub(crate) async fn until<F>(&self, what: &str, mut holds: F) -> Check
    where
        F: AsyncFnMut(&Self) -> Check<bool>,
    {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if holds(self).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("not within {PATIENCE:?}: {what}").into())
    }

    /// Makes blocks until `count` receipts are there.
    pub(crate) async fn mine_until_receipts(&self, count: usize) -> Check<Vec<Receipt>> {
        self.mine_until(&format!("{count} receipts"), async |bed| Ok(bed.receipts().await?.len() >= count))
            .await?;
        self.receipts().await
    }

    /// The journal of a lane is empty and its counter is the chain's: nothing bound, stored, waited for, no gap.
    pub(crate) async fn assert_at_rest(&self, chain: &Chain) -> Check {
        let state = self.link.lane_state(&chain.name).await?;
        assert!(state.binds.is_empty(), "still bound: {:?}", state.binds);
        assert!(state.fillers.is_empty(), "still filling: {:?}", state.fillers);
        assert!(state.waits.is_empty(), "still waiting: {:?}", state.waits);
        let raws = self.redis.command(&["KEYS", &format!("*:raw:{}:*", chain.name)])?;
        assert_eq!(raws, redis::Value::Array(Vec::new()), "stored transactions are left");
        assert_eq!(
            chain.anvil.nonce(self.sender()).await?,
            state.next_nonce,
            "the counter is not the chain's"
        );
        Ok(())
    }

    /// Each of these updates took effect exactly once, and nothing else did.
    pub(crate) async fn assert_applied_once(&self, chain: &Chain, updates: &[Update]) -> Check {
        let mut expected: Vec<(B256, u64, B256)> = updates
            .iter()
            .map(|update| (B256::from(update.asset.0), update.version, B256::from(update.state_hash.0)))
            .collect();
        let mut found = chain.bridge.updates().await?;
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        Ok(())
    }
}

async fn lead(link: &Link) -> Check<Fence> {
    let initialised = link.init("generation-1", true).await?;
    assert!(matches!(initialised, Initialised::Ok { .. }));
    let token = Token::random();
    match link.lease(&name("validator-1"), &token, 3_600_000, 0).await? {
        Leased::New { epoch, .. } => Ok(Fence { epoch, token }),
        other => Err(format!("no lease: {other:?}").into()),
    }
}

/// `count` entries, entry i moves `asset-i` from version 0 to 1, in one part each.
pub(crate) fn entries(count: usize) -> Vec<Vec<Vec<Update>>> {
    (0..count).map(|index| vec![vec![update(&format!("asset-{index}"), 0, 1)]]).collect()
}

pub(crate) fn flat(entries: &[Vec<Vec<Update>>]) -> Vec<Update> {
    entries.iter().flatten().flatten().cloned().collect()
}
