//! Proofs: `GET /v1/assets/{id}/proof` and `GET /v1/holdings/{asset}/{account}/proof`.
//!
//! Against which root: `?seq=` that entry's; `?chain=` the newest one final there; neither: the newest one final
//! on all of the asset's chains, within the last 1,024 entries, which is what a chain keeps. An unknown key gets
//! a proof of its absence. Values and roots are known for the last `view.undo_entries` entries; older is 410. A tree
//! that is not in memory is rebuilt, one at a time for the whole process, and the last one is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::ids::{Account, AssetId, Name, Shard};
use common::keys::{asset_key, holding_key};
use common::problem::Problem;
use common::proof::{StateProof, key_hash, value_hash};
use common::state::AssetRecord;
use serde::Deserialize;
use tokio::sync::OwnedMutexGuard;

use super::{Api, answered, behind, broken, internal, path_part, query, read_snapshot};
use crate::engine::tree::Tree;
use crate::old_roots::{self, NoTree};
use crate::shard::ShardState;
use crate::view::{Snapshot, ViewError};

/// Roots that a chain keeps.
const ROOTS: u64 = 1_024;
/// How long a request waits for its turn to have a tree rebuilt.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// The last tree that was rebuilt.
#[derive(Debug)]
pub(super) struct Rebuilt {
    shard: Shard,
    seq: u64,
    tree: Tree,
}

/// Which root is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    seq: Option<u64>,
    chain: Option<Name>,
    min_seq: Option<u64>,
}

/// Proves an asset, or its absence.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}/proof",
    operation_id = "asset_proof",
    tag = "state",
    params(
        ("asset" = String, Path, description = "Asset id, class:name"),
        ("seq" = Option<u64>, Query, description = "Against the root of this entry"),
        ("chain" = Option<String>, Query, description = "Against the newest root final on this chain"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "A Merkle proof against a state root", body = serde_json::Value),
        (status = 409, description = "no_common_root or no_final_root; the problem names chains that can be asked for", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 410, description = "That entry is older than what is kept", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn asset(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let asset = path_part::<AssetId>(&request, "asset");
    let shard = asset.as_ref().ok().map(AssetId::shard);
    let result = async {
        let asset = asset?;
        let key = asset_key(&asset);
        prove(&request, &api, asset, key).await
    };
    let result = result.await;
    api.answer(shard, result)
}

/// Proves a holding, or its absence.
#[utoipa::path(
    get,
    path = "/v1/holdings/{asset}/{account}/proof",
    operation_id = "holding_proof",
    tag = "state",
    params(
        ("asset" = String, Path, description = "Asset id, class:name"),
        ("account" = String, Path, description = "Account"),
        ("seq" = Option<u64>, Query, description = "Against the root of this entry"),
        ("chain" = Option<String>, Query, description = "Against the newest root final on this chain"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "A Merkle proof against a state root", body = serde_json::Value),
        (status = 409, description = "no_common_root or no_final_root; the problem names chains that can be asked for", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 410, description = "That entry is older than what is kept", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn holding(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let asset = path_part::<AssetId>(&request, "asset");
    let shard = asset.as_ref().ok().map(AssetId::shard);
    let result = async {
        let (asset, account) = (asset?, path_part::<Account>(&request, "account")?);
        let key = holding_key(&asset, &account);
        prove(&request, &api, asset, key).await
    };
    let result = result.await;
    api.answer(shard, result)
}

async fn prove(
    request: &HttpRequest,
    api: &Api,
    asset: AssetId,
    key: String,
) -> Result<HttpResponse, Problem> {
    api.authorize(request, Scope::Read)?;
    let root = query::<Root>(request)?;
    let state = Arc::clone(api.reached(asset.shard(), root.min_seq.max(root.seq)).await?);
    let wanted = Arc::new((asset, key, root));
    let read = async |mut rebuilt: Option<OwnedMutexGuard<Option<Rebuilt>>>| {
        let (state, wanted) = (Arc::clone(&state), Arc::clone(&wanted));
        read_snapshot(state, move |state, snapshot, head| {
            let (asset, key, root) = &*wanted;
            let seq = choose_seq(state, snapshot, asset, root, head)?;
            let Some(tree) = tree_at(state, snapshot, seq, rebuilt.as_deref_mut())? else { return Ok(None) };
            proof_at(state, snapshot, key.clone(), seq, &tree).map(Some)
        })
        .await
    };
    // Nearly always the tree is in memory. One that is not costs time and memory: one at a time is built.
    let (head, found) = match read(None).await? {
        (_, Ok(None)) => {
            let turn = tokio::time::timeout(TURN_WAIT, Arc::clone(&api.rebuilt).lock_owned()).await;
            read(Some(turn.map_err(|_| busy())?)).await?
        }
        found => found,
    };
    Ok(answered(head, found.and_then(|proof| proof.ok_or_else(|| internal("a tree was not rebuilt")))))
}

/// The entry, if its values are still known: 410 if not, 503 if it is still to come.
pub(super) fn known_seq(state: &ShardState, seq: u64, head: u64) -> Result<u64, Problem> {
    if seq > head {
        return Err(behind(head, seq));
    }
    let oldest = head.saturating_sub(state.view.undo_entries() - 1);
    if seq < oldest {
        return Err(gone(format!("the oldest one is entry {oldest}")));
    }
    Ok(seq)
}

fn choose_seq(
    state: &ShardState,
    snapshot: &Snapshot,
    asset: &AssetId,
    root: &Root,
    head: u64,
) -> Result<u64, Problem> {
    if let Some(seq) = root.seq {
        return known_seq(state, seq, head);
    }
    if let Some(chain) = &root.chain {
        let newest = snapshot.finals(chain.as_str(), 1).map_err(|error| broken(&error))?;
        let newest = newest.first().copied().ok_or_else(|| no_final_root(chain))?;
        return known_seq(state, newest, head);
    }
    let chains = chains_of(state, snapshot, asset)?;
    match newest_common(snapshot, &chains, head).map_err(|error| broken(&error))? {
        Some(seq) => known_seq(state, seq, head),
        None => Err(no_common_root(snapshot, &chains)),
    }
}

/// The asset's chains in use; none if it does not exist, whose absence is proved against the newest root.
fn chains_of(state: &ShardState, snapshot: &Snapshot, asset: &AssetId) -> Result<BTreeSet<String>, Problem> {
    let record = snapshot.value(&asset_key(asset)).map_err(|error| broken(&error))?;
    let Some(record) = record else { return Ok(BTreeSet::new()) };
    let record: AssetRecord = common::state::decode(&record).map_err(|error| broken(&error))?;
    let engine = state.engine();
    let targets = &engine.position().targets;
    let is_used = |chain: &String| chain.parse().is_ok_and(|name| targets.get(&name).is_some());
    Ok(record.chains.into_iter().filter(is_used).collect())
}

/// The newest entry of the last 1,024 that is final on all of `chains`.
fn newest_common(
    snapshot: &Snapshot,
    chains: &BTreeSet<String>,
    head: u64,
) -> Result<Option<u64>, ViewError> {
    let Some(first) = chains.first() else { return Ok(Some(head)) };
    let oldest = head.saturating_sub(ROOTS - 1);
    let limit = usize::try_from(ROOTS).unwrap_or(usize::MAX);
    for seq in snapshot.finals(first, limit)?.into_iter().take_while(|seq| *seq >= oldest) {
        let mut everywhere = true;
        for chain in chains.iter().skip(1) {
            everywhere = everywhere && snapshot.is_final(chain, seq)?;
        }
        if everywhere {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// The proof for a key after entry `seq`, whose tree this is.
fn proof_at(
    state: &ShardState,
    snapshot: &Snapshot,
    key: String,
    seq: u64,
    tree: &Tree,
) -> Result<StateProof, Problem> {
    let value = snapshot.value_at(&key, seq).map_err(|error| broken(&error))?;
    let hash = key_hash(&key);
    let path = tree.prove(&hash);
    if tree.get(&hash) != value.as_deref().map(value_hash) {
        return Err(internal("the view's value is not the one in the state tree"));
    }
    Ok(StateProof::new(state.shard, seq, tree.root(), key, value, path))
}

/// The tree after entry `seq`: from memory, or for whose turn it is the rebuilt one; `None` = wait for the turn.
fn tree_at(
    state: &ShardState,
    snapshot: &Snapshot,
    seq: u64,
    rebuilt: Option<&mut Option<Rebuilt>>,
) -> Result<Option<Tree>, Problem> {
    if let Some(tree) = state.engine().history().at(seq) {
        return Ok(Some(tree.clone()));
    }
    let Some(kept) = rebuilt else { return Ok(None) };
    if let Some(rebuilt) = kept.as_ref().filter(|rebuilt| (rebuilt.shard, rebuilt.seq) == (state.shard, seq))
    {
        return Ok(Some(rebuilt.tree.clone()));
    }
    // Its memory is free before the next one is built.
    *kept = None;
    let tree = old_roots::rebuild(state, snapshot, seq).map_err(|no_tree| match no_tree {
        NoTree::TooFar { .. } => gone("more has changed since than a proof can be rebuilt over"),
        other => broken(&other),
    })?;
    *kept = Some(Rebuilt { shard: state.shard, seq, tree: tree.clone() });
    Ok(Some(tree))
}

fn gone(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::GONE, "gone", "That entry's state is no longer kept").detail(detail)
}

fn busy() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Another old root is being rebuilt").retry_after(1)
}

fn no_final_root(chain: &Name) -> Problem {
    Problem::new(StatusCode::CONFLICT, "no_final_root", "No root is final on that chain").error(
        "#query/chain",
        "no_final_root",
        format!("{chain} has finished no entry of this shard"),
    )
}

fn no_common_root(snapshot: &Snapshot, chains: &BTreeSet<String>) -> Problem {
    let usable: Vec<&str> = chains
        .iter()
        .filter(|chain| snapshot.finals(chain, 1).is_ok_and(|finals| !finals.is_empty()))
        .map(String::as_str)
        .collect();
    let title = "No root of the last 1,024 is final on all of the asset's chains";
    let problem = Problem::new(StatusCode::CONFLICT, "no_common_root", title);
    if usable.is_empty() {
        return problem
            .detail("no chain has a final root yet; ?seq= proves against a root that is not anchored");
    }
    usable
        .iter()
        .fold(problem, |problem, chain| problem.error("#query/chain", "usable", format!("?chain={chain}")))
}

#[cfg(test)]
mod tests;
