//! `GET /v1/targets`, `POST /v1/targets/{id}/pause|resume`.
//!
//! `state`, `in_flight`, `last_error`, `alarms` and the balance are what this process' lane saw; a lane driven by another replica
//! shows `standby` here and its `holder`. All else is the same from every replica.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, get, post};
use common::auth::Scope;
use common::bridge::Address;
use common::ids::{Name, Shard};
use common::link::{Head, Link, LinkError, Paused};
use common::problem::Problem;
use common::targets::{Target, TargetKind, Tier};
use serde::Serialize;

use super::{Api, unavailable};
use crate::alarm::Alarm;
use crate::board::{LastError, Phase};
use crate::target::Trouble;

#[derive(Debug, Serialize)]
pub(super) struct TargetList {
    targets: Vec<TargetState>,
}

#[derive(Debug, Serialize)]
struct TargetState {
    name: String,
    /// `null`: the target was removed from the file; what was relayed to it stays where it is.
    kind: Option<TargetKind>,
    chain_id: Option<u64>,
    contract: Option<Address>,
    tier: Option<Tier>,
    lanes: Vec<LaneState>,
}

#[derive(Debug, Serialize)]
struct LaneState {
    shard: Shard,
    state: Phase,
    /// The replica that holds the lane's lease or held it last.
    holder: Option<String>,
    paused_by: Option<String>,
    /// The last entry relayed to the target; null before the first.
    watermark: Option<u64>,
    /// The oldest entry that is not done.
    oldest_seq: Option<u64>,
    next_nonce: u64,
    /// Transactions that are not final.
    in_flight: usize,
    last_error: Option<LastError>,
    /// What stands in the way at present.
    alarms: Vec<Alarm>,
    sender: Option<String>,
    balance_wei: Option<String>,
}

async fn lane(api: &Api, link: &Link, head: &Head, target: &Target) -> Result<LaneState, LinkError> {
    let (info, oldest) =
        futures_util::try_join!(link.lane_info(&target.name), link.out_after(&target.name, 0, 1))?;
    let report = api.board.read(link.shard(), &target.name);
    Ok(LaneState {
        shard: link.shard(),
        state: report.phase,
        holder: info.node,
        paused_by: info.paused_by,
        watermark: head.watermarks.get(target.name.as_str()).copied(),
        oldest_seq: oldest.first().map(|message| message.id.ms()),
        next_nonce: info.next_nonce,
        in_flight: report.in_flight,
        last_error: report.last_error,
        alarms: report.alarms,
        sender: report.sender,
        balance_wei: report.balance_wei,
    })
}

/// A target that the log knows and the file does not.
fn removed(name: &str, heads: &[(&Link, Head)]) -> TargetState {
    let trouble = Trouble::new("TARGET_REMOVED", "the targets file of this process does not name it");
    let lanes = heads.iter().filter_map(|(link, head)| {
        let watermark = Some(*head.watermarks.get(name)?);
        Some(LaneState {
            shard: link.shard(),
            state: Phase::Stopped,
            holder: None,
            paused_by: None,
            watermark,
            oldest_seq: None,
            next_nonce: 0,
            in_flight: 0,
            last_error: Some(LastError::now(&trouble)),
            alarms: Vec::new(),
            sender: None,
            balance_wei: None,
        })
    });
    TargetState {
        name: name.to_owned(),
        kind: None,
        chain_id: None,
        contract: None,
        tier: None,
        lanes: lanes.collect(),
    }
}

/// Shows the targets and their lanes.
#[utoipa::path(
    get,
    path = "/v1/targets",
    operation_id = "targets",
    tag = "targets",
    responses(
        (status = 200, description = "Per target its lanes: state, holder, watermark, what is in flight, the last error", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
#[get("/targets")]
pub(super) async fn list(request: HttpRequest, api: Data<Api>) -> Result<Json<TargetList>, Problem> {
    api.keys.authorize(&request, Scope::Read)?;
    let mut heads = Vec::new();
    for link in api.links.values() {
        heads.push((link, link.head().await.map_err(|error| unavailable(&error))?));
    }
    let mut targets = Vec::new();
    for target in api.targets.iter() {
        let mut lanes = Vec::new();
        for (link, head) in &heads {
            lanes.push(lane(&api, link, head, target).await.map_err(|error| unavailable(&error))?);
        }
        targets.push(TargetState {
            name: target.name.to_string(),
            kind: Some(target.kind),
            chain_id: target.chain_id,
            contract: target.contract,
            tier: target.tier,
            lanes,
        });
    }
    let known: Vec<&str> = api.targets.iter().map(|target| target.name.as_str()).collect();
    let gone: std::collections::BTreeSet<&String> = heads
        .iter()
        .flat_map(|(_, head)| head.watermarks.keys())
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    targets.extend(gone.into_iter().map(|name| removed(name, &heads)));
    Ok(Json(TargetList { targets }))
}

#[derive(Debug, Serialize)]
pub(super) struct PauseAnswer {
    target: Name,
    paused: bool,
    /// Lanes whose state this call changed.
    changed: usize,
}

async fn set_paused(
    request: &HttpRequest,
    api: &Api,
    id: &str,
    paused: bool,
) -> Result<Json<PauseAnswer>, Problem> {
    let principal = api.keys.authorize(request, Scope::Operate)?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such target");
    let name: Name = id.parse().map_err(|_| unknown())?;
    api.targets.get(&name).ok_or_else(unknown)?;
    let by = paused.then_some(principal.key_id.as_str());
    let mut changed = 0;
    for link in api.links.values() {
        match link.pause(&name, by).await.map_err(|error| unavailable(&error))? {
            Paused::Ok => changed += 1,
            Paused::Same => {}
        }
    }
    tracing::info!(target = %name, paused, by = %principal.key_id, changed, "An operator paused or resumed a target");
    Ok(Json(PauseAnswer { target: name, paused, changed }))
}

/// Pauses a target: nothing further is sent to it. The key needs the scope operate.
#[utoipa::path(
    post,
    path = "/v1/targets/{id}/pause",
    operation_id = "pause",
    tag = "targets",
    params(
        ("id" = String, Path, description = "Target"),
    ),
    responses(
        (status = 200, description = "Paused; how many lanes this changed", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
#[post("/targets/{id}/pause")]
pub(super) async fn pause(
    request: HttpRequest,
    api: Data<Api>,
    id: Path<String>,
) -> Result<Json<PauseAnswer>, Problem> {
    set_paused(&request, &api, &id, true).await
}

/// Resumes a target. The key needs the scope operate.
#[utoipa::path(
    post,
    path = "/v1/targets/{id}/resume",
    operation_id = "resume",
    tag = "targets",
    params(
        ("id" = String, Path, description = "Target"),
    ),
    responses(
        (status = 200, description = "Not paused; how many lanes this changed", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
#[post("/targets/{id}/resume")]
pub(super) async fn resume(
    request: HttpRequest,
    api: Data<Api>,
    id: Path<String>,
) -> Result<Json<PauseAnswer>, Problem> {
    set_paused(&request, &api, &id, false).await
}
