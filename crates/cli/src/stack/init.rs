//! `oss init`: keys, contracts and configuration files, each only where it is missing.
//!
//! In: RPC URLs of running chains. Out, in one folder: `keys.json`, `targets.json`, `endpoints.json`, `sources.json` for
//! all services; `secrets/{validator,broadcaster,collector,operator}/` for one each. Run again it keeps keys and contracts
//! and writes the addresses of the moment, so a restart with other ports and a second `compose up` both work.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use alloy::primitives::Address;
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context as _, bail};
use common::ids::{Name, Shard};
use common::targets::{Target, TargetKind, Targets, Tier};
use futures_util::future::try_join_all;
use serde_json::json;

use super::files::{self, Access};
use super::secrets::{self, Secrets};
use super::{anvil, contracts, redis_server, sources};
use crate::access::{STACK_FILE, SourceChain, StackFile, Tokens};
use crate::args::{self, InitArgs, NamedUrl};
use crate::demo::facts;
use crate::exit::Exit;
use crate::ui::Ui;

pub(crate) const TARGETS_FILE: &str = "targets.json";
pub(crate) const ENDPOINTS_FILE: &str = "endpoints.json";
pub(crate) const SOURCES_FILE: &str = "sources.json";

/// What a stack's configuration is made from.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    pub(crate) chains: &'a [NamedUrl],
    pub(crate) source_chain: &'a str,
    pub(crate) rate_url: &'a str,
    pub(crate) tier: Tier,
    pub(crate) wait: Duration,
}

/// What it was made to.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) tokens: Tokens,
    pub(crate) source_chain: SourceChain,
    pub(crate) chains: BTreeMap<Name, String>,
}

pub(crate) async fn run(args: &InitArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let wait = Duration::from_secs(args.wait);
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    if let Some(redis) = &args.redis {
        redis_server::wait_ready(redis, wait, None).await?;
    }
    let plan = Plan {
        chains: &args.chains,
        source_chain: &args.source_chain,
        rate_url: &args.rate_url,
        tier: args.tier,
        wait,
    };
    let made = ensure(&args.out, &plan, ui).await?;
    let origin = args.origin.clone().unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let stack = StackFile {
        collector: origin.clone(),
        validator: origin.clone(),
        broadcaster: origin,
        keys: made.tokens,
        targets_file: args.out.join(TARGETS_FILE),
        chains: made.chains,
        redis_url: args.redis.clone(),
        source_chain: Some(made.source_chain),
    };
    files::write_json(&args.out.join(STACK_FILE), &stack, Access::Owner)?;
    ui.result(&json!({"out": args.out, "targets": stack.chains}), || {
        format!("configuration is in {}", args.out.display())
    })?;
    Ok(Exit::Done)
}

/// Makes what is missing and writes the files that name addresses.
pub(crate) async fn ensure(out: &Path, plan: &Plan<'_>, ui: &Ui) -> anyhow::Result<Made> {
    let secrets = secrets::ensure(out)?;
    let recorded = recorded_targets(out)?;
    let senders: Vec<Address> = Shard::ALL
        .iter()
        .map(|shard| secrets.senders.get(shard).map(PrivateKeySigner::address))
        .collect::<Option<_>>()
        .context("the sender keys lack a shard")?;
    let deployments = plan.chains.iter().map(|chain| {
        let known = recorded.get(&chain.name);
        deploy_target(chain, known.copied(), plan, &secrets, &senders, ui)
    });
    let (targets, token) =
        futures_util::future::try_join(try_join_all(deployments), source_token(out, plan, ui)).await?;
    let targets = Targets::new(targets)?;
    let chains: BTreeMap<Name, String> =
        plan.chains.iter().map(|chain| (chain.name.clone(), chain.url.clone())).collect();
    write_files(out, plan, &targets, &chains, token)?;
    let source_chain = SourceChain { rpc: plan.source_chain.to_owned(), token: args::address(token) };
    Ok(Made { tokens: secrets.tokens, source_chain, chains })
}

fn recorded_targets(out: &Path) -> anyhow::Result<BTreeMap<Name, Address>> {
    let targets = files::read_json::<Targets>(&out.join(TARGETS_FILE))?.unwrap_or_default();
    let addresses =
        targets.iter().filter_map(|target| Some((target.name.clone(), Address::from(target.contract?.0))));
    Ok(addresses.collect())
}

async fn deploy_target(
    chain: &NamedUrl,
    recorded: Option<Address>,
    plan: &Plan<'_>,
    secrets: &Secrets,
    senders: &[Address],
    ui: &Ui,
) -> anyhow::Result<Target> {
    let failed = || format!("chain {}", chain.name);
    let chain_id = anvil::wait_ready(&chain.url, plan.wait, None).await?;
    let provider = contracts::connect(&chain.url)?;
    let bridge = contracts::ensure_bridge(&provider, recorded, secrets.validator.address())
        .await
        .with_context(failed)?;
    if bridge.is_new && recorded.is_some() {
        // If it came back empty, its lanes stop with CHAIN_RESET: an operator has to decide.
        ui.warn(format!(
            "chain {}: the recorded StateBridge cannot be used, a new one was deployed",
            chain.name
        ));
    }
    if bridge.is_new {
        ui.progress(format!("chain {} ({chain_id}): StateBridge at {}", chain.name, bridge.address));
    }
    contracts::fund(&provider, senders).await.with_context(failed)?;
    Ok(Target {
        name: chain.name.clone(),
        kind: TargetKind::Evm,
        chain_id: Some(chain_id),
        contract: Some(args::address(bridge.address)),
        tier: Some(plan.tier),
        set_id: Some(bridge.set_id),
        retired: false,
    })
}

async fn source_token(out: &Path, plan: &Plan<'_>, ui: &Ui) -> anyhow::Result<Address> {
    let chain_id = anvil::wait_ready(plan.source_chain, plan.wait, None).await?;
    if chain_id != anvil::SOURCE.chain_id {
        bail!("the source chain has id {chain_id}; events are named by eip155:{}", anvil::SOURCE.chain_id);
    }
    let recorded = files::read_json::<StackFile>(&out.join(STACK_FILE))?
        .and_then(|stack| stack.source_chain)
        .map(|source| Address::from(source.token.0));
    let provider = contracts::connect(plan.source_chain)?;
    let description = (facts::TOKEN_NAME, facts::TOKEN_SYMBOL, facts::DECIMALS);
    let token = contracts::ensure_token(&provider, recorded, description).await.context("source chain")?;
    if recorded != Some(token) {
        ui.progress(format!("source chain ({chain_id}): token at {token}"));
    }
    Ok(token)
}

fn write_files(
    out: &Path,
    plan: &Plan<'_>,
    targets: &Targets,
    chains: &BTreeMap<Name, String>,
    token: Address,
) -> anyhow::Result<()> {
    files::write_json(&out.join(TARGETS_FILE), targets, Access::Everybody)?;
    let endpoints: BTreeMap<&Name, _> =
        chains.iter().map(|(name, url)| (name, json!({"rpc": [url]}))).collect();
    files::write_json(&out.join(ENDPOINTS_FILE), &endpoints, Access::Everybody)?;
    let sources = sources::document(plan.source_chain, args::address(token), plan.rate_url)?;
    files::write_json(&out.join(SOURCES_FILE), &sources, Access::Everybody)
}
