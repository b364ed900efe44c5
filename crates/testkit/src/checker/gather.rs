//! Collects the evidence of a run from a stack that stands still.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, Bytes};
use alloy::providers::{Provider as _, RootProvider};
use alloy::rpc::types::{Filter, TransactionRequest};
use alloy::sol_types::{SolCall as _, SolEvent};
use alloy::transports::TransportError;
use common::hash::Digest;
use common::ids::{Rid, Shard};
use common::status::{OutcomeKind, Status};
use serde_json::Value;

use super::chain::on_chain;
use super::{AppliedBatch, ChainState, Evidence, FinalAnswer, Violation};
use crate::load::{Acknowledged, Planned};
use crate::stack::{Api, ApiError, Chain, Stack};

const POLL: Duration = Duration::from_millis(200);

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
    #[error("the contract on {chain} gave an unreadable answer")]
    Contract { chain: String },
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("not drained within {seconds} s: {what}")]
    NotDrained { seconds: u64, what: String },
}

/// Waits until every acknowledged request has ended and nothing waits anywhere (I15).
///
/// # Errors
/// [`GatherError::NotDrained`] with what is still open.
pub async fn drained(api: &Api, acknowledged: &[Acknowledged], within: Duration) -> Result<(), GatherError> {
    let deadline = Instant::now() + within;
    let mut open: Vec<Rid> = acknowledged.iter().map(|request| request.rid).collect();
    loop {
        let mut still = Vec::new();
        for rid in std::mem::take(&mut open) {
            // Once one is open the rest need no asking in this round.
            let is_ended = still.is_empty() && matches!(ended(api, rid).await, Ok(true));
            if !is_ended {
                still.push(rid);
            }
        }
        open = still;
        let waiting = waiting(api).await;
        if open.is_empty() && waiting.as_ref().is_ok_and(Option::is_none) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let first = match open.first() {
                Some(rid) => api.status(*rid).await.map(|answer| answer.body.to_string()).unwrap_or_default(),
                None => String::new(),
            };
            let what = format!("{} requests, first {first}; pipeline: {waiting:?}", open.len());
            return Err(GatherError::NotDrained { seconds: within.as_secs(), what });
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn ended(api: &Api, rid: Rid) -> Result<bool, ApiError> {
    let answer = api.status(rid).await?;
    Ok(answer.status == 200 && Status::from_name(answer.text("/status")).is_some_and(Status::is_end))
}

/// What the pipeline still holds, as text; `None` = nothing.
async fn waiting(api: &Api) -> Result<Option<String>, ApiError> {
    let pipeline = api.read("/v1/pipeline").await?;
    let shards = pipeline.get("shards").and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    for shard in &shards {
        let backlog = ["requests", "in", "inx", "receipts"];
        let queued: u64 = backlog.iter().map(|name| number(shard.pointer(&format!("/backlog/{name}")))).sum();
        let lags = shard.get("targets").and_then(Value::as_object).into_iter().flatten();
        let lag: u64 = lags.map(|(_, target)| number(target.get("lag"))).sum();
        if queued + lag > 0 {
            return Ok(Some(shard.to_string()));
        }
    }
    Ok(if shards.is_empty() { Some("no shard is reported".to_owned()) } else { None })
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
    let api = stack.api();
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
    for chain in stack.chains() {
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

async fn read_chain(chain: &Chain, assets: impl Iterator<Item = Digest>) -> Result<ChainState, GatherError> {
    let unreadable = || GatherError::Contract { chain: chain.name.to_string() };
    let address: Address = chain.contract.parse().map_err(|_| unreadable())?;
    let provider = chain.anvil.provider();
    let mut state = ChainState::default();
    for asset in assets {
        let call = abi::assetStateCall { asset: asset.0.into() }.abi_encode();
        let request = TransactionRequest::default().to(address).input(Bytes::from(call).into());
        let answer = provider.call(request).await?;
        let read = abi::assetStateCall::abi_decode_returns(&answer).map_err(|_| unreadable())?;
        state.assets.insert(asset, (read.version, Digest(read.stateHash.0)));
    }
    for event in events::<abi::StateUpdated>(&provider, address).await?.ok_or_else(unreadable)? {
        state.updates.push((Digest(event.asset.0), event.version, Digest(event.stateHash.0)));
    }
    for event in events::<abi::BatchApplied>(&provider, address).await?.ok_or_else(unreadable)? {
        let abi::BatchApplied { shard, seq, part, applied, stale, deferred, skipped, .. } = event;
        state.batches.push(AppliedBatch { shard, seq, part, applied, stale, deferred, skipped });
    }
    Ok(state)
}

/// Every event of one kind, in the order of the chain; `None` = one cannot be read.
async fn events<E: SolEvent>(
    provider: &RootProvider,
    address: Address,
) -> Result<Option<Vec<E>>, TransportError> {
    let filter = Filter::new().address(address).from_block(0_u64).event_signature(E::SIGNATURE_HASH);
    let logs = provider.get_logs(&filter).await?;
    Ok(logs.iter().map(|log| E::decode_log(&log.inner).ok().map(|event| event.data)).collect())
}
