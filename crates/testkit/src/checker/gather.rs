//! Collects the evidence of a run from a stack that stands still.

use alloy::primitives::{Address, Bytes};
use alloy::providers::{Provider as _, RootProvider};
use alloy::rpc::types::{Filter, Log, TransactionRequest};
use alloy::sol_types::{SolCall as _, SolEvent};
use alloy::transports::TransportError;
use common::hash::Digest;
use common::ids::{Name, Rid, Shard};
use common::status::{OutcomeKind, Status};
use serde_json::Value;

use super::chain::on_chain;
use super::{AppliedBatch, ChainState, Evidence, FinalAnswer, Violation};
use crate::anvil::first_loose;
use crate::load::{Acknowledged, Planned};
use crate::stack::{Api, ApiError, Stack};

mod abi {
    alloy::sol! {
        function assetState(bytes32 asset) external view returns (uint64 version, bytes32 stateHash);
        event StateUpdated(bytes32 indexed asset, uint64 version, bytes32 stateHash);
        event BatchApplied(uint32 indexed shard, uint64 indexed seq, uint16 part, uint16 parts, uint64 applied, uint64 stale, uint64 deferred, uint64 skipped);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("a chain refused a call")]
    Rpc(#[from] TransportError),
    #[error("the answer for request {rid} cannot be read: {body}")]
    Answer { rid: Rid, body: String },
    #[error("the answer of /v1/pipeline lacks what a drained stack is known by: {body}")]
    Pipeline { body: String, source: serde_json::Error },
    #[error("the contract on {chain} gave an unreadable answer")]
    Contract { chain: String },
    /// A stand-in that is no chain proves nothing about what was sent to it.
    #[error("the chain {chain} is none: its block {block} does not stand on the one before it")]
    NoChain { chain: Name, block: u64 },
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("not drained within {seconds} s: {what}")]
    NotDrained { seconds: u64, what: String },
}

/// Reads logs, answers and chains. `sent` is every request that was ever sent.
///
/// # Errors
/// A part of the stack does not answer.
pub async fn gather(
    stack: &Stack,
    sent: &[Planned],
    acknowledged: &[Acknowledged],
) -> Result<Evidence, GatherError> {
    let chains = stack.chains().iter().map(|chain| Ledger {
        name: chain.name.clone(),
        contract: chain.contract.clone(),
        provider: chain.anvil.provider(),
    });
    gather_from(&stack.api(), &chains.collect::<Vec<_>>(), sent, acknowledged).await
}

/// A chain that is a target, wherever it is.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub name: Name,
    /// The `StateBridge`, 0x hex.
    pub contract: String,
    pub provider: RootProvider,
}

/// The same from wherever services and chains are.
///
/// # Errors
/// One of them does not answer.
pub async fn gather_from(
    api: &Api,
    chains: &[Ledger],
    sent: &[Planned],
    acknowledged: &[Acknowledged],
) -> Result<Evidence, GatherError> {
    let mut evidence = Evidence {
        submitted: sent.iter().map(|planned| (planned.rid, planned.fp)).collect(),
        acknowledged: acknowledged.iter().map(|request| (request.rid, request.fp)).collect(),
        ..Evidence::default()
    };
    for shard in Shard::ALL {
        evidence.logs.insert(shard, api.log(shard).await?);
    }
    for (rid, _) in &evidence.acknowledged {
        let body = api.status(*rid).await?.body;
        let answer =
            answer(&body).ok_or_else(|| GatherError::Answer { rid: *rid, body: body.to_string() })?;
        evidence.answers.insert(*rid, answer);
    }
    let bodies = evidence.bodies()?;
    let assets =
        bodies.iter().flat_map(|(_, body)| body.updates.iter().map(|update| on_chain(&update.asset)));
    let assets: std::collections::BTreeSet<Digest> = assets.collect();
    for chain in chains {
        let state = read_chain(chain, assets.iter().copied()).await?;
        evidence.chains.insert(chain.name.clone(), state);
    }
    Ok(evidence)
}

fn answer(body: &Value) -> Option<FinalAnswer> {
    let status = Status::from_name(body.get("status")?.as_str()?)?;
    let outcome = body.get("outcome").and_then(Value::as_str).and_then(OutcomeKind::from_name);
    Some(FinalAnswer { status, outcome, seq: body.get("seq").and_then(Value::as_u64) })
}

async fn read_chain(chain: &Ledger, assets: impl Iterator<Item = Digest>) -> Result<ChainState, GatherError> {
    let unreadable = || GatherError::Contract { chain: chain.name.to_string() };
    let address: Address = chain.contract.parse().map_err(|_| unreadable())?;
    let provider = &chain.provider;
    let newest = provider.get_block_number().await?;
    if let Some(block) = first_loose(provider, 0, newest).await? {
        return Err(GatherError::NoChain { chain: chain.name.clone(), block });
    }
    let mut state = ChainState::default();
    for asset in assets {
        let call = abi::assetStateCall { asset: asset.0.into() }.abi_encode();
        let request = TransactionRequest::default().to(address).input(Bytes::from(call).into());
        let answer = provider.call(request).await?;
        let read = abi::assetStateCall::abi_decode_returns(&answer).map_err(|_| unreadable())?;
        state.assets.insert(asset, (read.version, Digest(read.stateHash.0)));
    }
    for (event, place) in events::<abi::StateUpdated>(provider, address).await?.ok_or_else(unreadable)? {
        state.updates.push((Digest(event.asset.0), event.version, Digest(event.stateHash.0)));
        state.places.entry((Digest(event.asset.0), event.version)).or_default().push(place);
    }
    for (event, _) in events::<abi::BatchApplied>(provider, address).await?.ok_or_else(unreadable)? {
        let abi::BatchApplied { shard, seq, part, applied, stale, deferred, skipped, .. } = event;
        state.batches.push(AppliedBatch { shard, seq, part, applied, stale, deferred, skipped });
    }
    Ok(state)
}

/// Every event of one kind and where it is, in the order of the chain; `None` = one cannot be read.
async fn events<E: SolEvent>(
    provider: &RootProvider,
    address: Address,
) -> Result<Option<Vec<(E, String)>>, TransportError> {
    let filter = Filter::new().address(address).from_block(0_u64).event_signature(E::SIGNATURE_HASH);
    let logs = provider.get_logs(&filter).await?;
    let read = |log: &Log| {
        let place = format!("block {:?} {:?} {:?}", log.block_number, log.block_hash, log.transaction_hash);
        E::decode_log(&log.inner).ok().map(|event| (event.data, place))
    };
    Ok(logs.iter().map(read).collect())
}
