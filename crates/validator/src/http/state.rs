//! `GET /v1/assets/{id}` and `GET /v1/holdings/{asset}/{account}`: records as they are, or were after entry `?seq=`.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use borsh::BorshDeserialize;
use common::auth::Scope;
use common::hash::Digest;
use common::ids::{Account, AssetId, Shard};
use common::keys::{asset_key, holding_key};
use common::problem::Problem;
use common::proof::{key_hash, value_hash};
use common::state::{AssetRecord, HoldingRecord};
use serde::{Deserialize, Serialize};

use super::proofs::known_seq;
use super::{Api, broken, from_snapshot, not_found, path_part, query};
use crate::shard::ShardState;
use crate::view::Snapshot;

/// Which moment is asked for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Moment {
    /// After this entry; left out = now.
    seq: Option<u64>,
    /// Wait until the shard has reached this entry.
    min_seq: Option<u64>,
}

/// A record with its place in the state tree.
#[derive(Debug, Serialize)]
struct Stored<R> {
    shard: Shard,
    /// The entry after which this is the record.
    seq: u64,
    asset: AssetId,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
    key_hash: Digest,
    /// SHA-256 of the record's bytes; of an asset this is what chains hold as `stateHash`.
    value_hash: Digest,
    #[serde(flatten)]
    record: R,
}

/// Shows an asset.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}",
    operation_id = "asset",
    tag = "state",
    params(
        ("asset" = String, Path, description = "Asset id, class:name"),
        ("seq" = Option<u64>, Query, description = "After this log entry; left out: now"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "The record with its hashes; the header OSS-Seq names the last entry known", body = serde_json::Value),
        (status = 410, description = "That entry is older than what is kept", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn asset(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let asset = path_part::<AssetId>(&request, "asset");
    let shard = asset.as_ref().ok().map(AssetId::shard);
    let result = async {
        api.authorize(&request, Scope::Read)?;
        let asset = asset?;
        let key = asset_key(&asset);
        let moment = query::<Moment>(&request)?;
        let state = Arc::clone(api.reached(asset.shard(), moment.min_seq.max(moment.seq)).await?);
        let place = (key, (asset, None));
        from_snapshot(state, move |state, snapshot, head| {
            stored::<AssetRecord>(state, snapshot, moment.seq.unwrap_or(head), head, place)
        })
        .await
    };
    let result = result.await;
    api.answer(shard, result)
}

/// Shows a holding.
#[utoipa::path(
    get,
    path = "/v1/holdings/{asset}/{account}",
    operation_id = "holding",
    tag = "state",
    params(
        ("asset" = String, Path, description = "Asset id, class:name"),
        ("account" = String, Path, description = "Account"),
        ("seq" = Option<u64>, Query, description = "After this log entry; left out: now"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "The record with its hashes", body = serde_json::Value),
        (status = 410, description = "That entry is older than what is kept", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn holding(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let asset = path_part::<AssetId>(&request, "asset");
    let shard = asset.as_ref().ok().map(AssetId::shard);
    let result = async {
        api.authorize(&request, Scope::Read)?;
        let (asset, account) = (asset?, path_part::<Account>(&request, "account")?);
        let key = holding_key(&asset, &account);
        let moment = query::<Moment>(&request)?;
        let state = Arc::clone(api.reached(asset.shard(), moment.min_seq.max(moment.seq)).await?);
        let place = (key, (asset, Some(account)));
        from_snapshot(state, move |state, snapshot, head| {
            stored::<HoldingRecord>(state, snapshot, moment.seq.unwrap_or(head), head, place)
        })
        .await
    };
    let result = result.await;
    api.answer(shard, result)
}

fn stored<R: BorshDeserialize>(
    state: &ShardState,
    snapshot: &Snapshot,
    seq: u64,
    head: u64,
    (key, (asset, account)): (String, (AssetId, Option<Account>)),
) -> Result<Stored<R>, Problem> {
    let seq = known_seq(state, seq, head)?;
    let value = snapshot.value_at(&key, seq).map_err(|error| broken(&error))?;
    let value = value.ok_or_else(|| not_found("The state holds no such record"))?;
    let record: R = common::state::decode(&value).map_err(|error| broken(&error))?;
    let (key_hash, value_hash) = (key_hash(&key), value_hash(&value));
    Ok(Stored { shard: state.shard, seq, asset, account, key_hash, value_hash, record })
}
