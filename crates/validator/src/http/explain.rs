//! `GET /v1/sync-requests/{rid}/explain`: where a request is, what blocks it, what happens next, and how long each stage took.
//!
//! It joins what is true anywhere: the decision and its archived entry, the status record, the progress of its deliveries, the
//! lanes of the targets it waits for, and for an undecided one the front of the shard's inputs. Nothing is written for
//! it: it costs a few reads when somebody asks. A tenant sees its own requests only; anybody else's are 404, like
//! unknown ones, and so is one that a process which follows the log cannot rule out before it has reached the log's head.

mod deciding;
mod targets;
mod waiting;

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::ids::{Rid, Tenant};
use common::link::{Fronts, StatusRecord};
use common::problem::Problem;
use common::status::{OutcomeKind, Status};
use serde::Serialize;

use super::{Api, answered, broken, not_found, path_part, read_snapshot, unreachable};
use crate::engine::Decision;
use crate::engine::codes::Code;
use crate::explain::{Budget, Decided, Explained, Facts, Marks, explain};
use crate::lease::Tenure;
use crate::shard::ShardState;

use deciding::Deciding;

/// How many messages of each input are looked through.
const FRONT_MAX: usize = 256;

#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    explained: Explained,
    budget: Budget,
}

/// Explains where a request is, what blocks it, what happens next, and how long each stage took.
#[utoipa::path(
    get,
    path = "/v1/sync-requests/{rid}/explain",
    operation_id = "explain",
    tag = "sync requests",
    params(
        ("rid" = String, Path, description = "Request id"),
    ),
    responses(
        (status = 200, description = "Stage, cause with its page, evidence, next automatic action, what may be done, and ms per stage", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn one(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let rid = path_part::<Rid>(&request, "rid");
    let shard = rid.as_ref().ok().map(Rid::shard);
    let result = async {
        let tenant = api.authorize(&request, Scope::Read)?.tenant;
        let rid = rid?;
        let state = Arc::clone(api.readable(rid.shard())?);
        let record = state.link.record(rid).await.map_err(|error| unreachable(&error))?;
        let record = record.filter(|record| record.tenant == tenant);
        // What the record says was decided must be here too.
        let state =
            Arc::clone(api.reached(rid.shard(), record.as_ref().and_then(|record| record.seq)).await?);
        let (seq, found) = match &record {
            Some(_) => decision(&state, rid, &tenant).await?,
            None => api.found(&state, async |state| decision(state, rid, &tenant).await).await?,
        };
        let unknown = || not_found("No such request is known");
        let (facts, marks) = gather(&state, rid, record, found).await?.ok_or_else(unknown)?;
        let answer = Answer { explained: explain(&facts), budget: Budget::of(marks) };
        Ok(answered(seq, Ok(answer)))
    };
    let result = result.await;
    api.answer(shard, result)
}

/// The tenant's decision with its entry, in one snapshot, with the snapshot's head.
async fn decision(
    state: &Arc<ShardState>,
    rid: Rid,
    tenant: &Tenant,
) -> Result<(u64, Option<(Decision, Deciding)>), Problem> {
    let tenant = tenant.clone();
    let (seq, found) = read_snapshot(Arc::clone(state), move |state, snapshot, _| {
        let decision = snapshot.decision(rid).map_err(|error| broken(&error))?;
        let Some(decision) = decision.filter(|decision| decision.tenant == tenant.as_str()) else {
            return Ok(None);
        };
        let deciding = Deciding::read(&state.view, snapshot, rid, &decision)?;
        Ok(Some((decision, deciding)))
    })
    .await?;
    Ok((seq, found?))
}

/// `None`: nothing is known of the request.
async fn gather(
    state: &Arc<ShardState>,
    rid: Rid,
    record: Option<StatusRecord>,
    found: Option<(Decision, Deciding)>,
) -> Result<Option<(Facts, Marks)>, Problem> {
    let fronts = state.link.fronts(FRONT_MAX).await.map_err(|error| unreachable(&error))?;
    match (found, record) {
        (Some((decision, deciding)), record) => {
            decided(state, rid, record, decision, deciding, &fronts).await.map(Some)
        }
        (None, Some(record)) => waiting::gather(state, &record, &fronts).await.map(Some),
        (None, None) => Ok(None),
    }
}

async fn decided(
    state: &Arc<ShardState>,
    rid: Rid,
    record: Option<StatusRecord>,
    decision: Decision,
    mut deciding: Deciding,
    fronts: &Fronts,
) -> Result<(Facts, Marks), Problem> {
    let accepted_ms = deciding.accepted_ms.or_else(|| record.as_ref().map(|record| record.at_ms));
    let progress = state.link.progress(deciding.carrier).await.map_err(|error| unreachable(&error))?;
    let progress = progress.unwrap_or_default();
    let targets = targets::facts(state, &deciding, &progress).await?;
    let status = status(&decision, targets::is_leaving(&targets));
    let ended_ms = record.as_ref().and_then(|record| record.ended_ms);
    let mut marks = targets::marks(&deciding, &progress, status == Status::Completed);
    marks.accepted_ms = accepted_ms;
    marks.collected_ms = deciding.collected_ms;
    marks.begun_ms = deciding.begun_ms;
    if status == Status::Completed {
        marks.done_ms = marks.done_ms.or(ended_ms);
    }
    let code = match status {
        Status::Failed if decision.delivered.is_some() => Some(Code::DeliveryFailed.name().to_owned()),
        _ => decision.code,
    };
    let details = std::mem::take(&mut deciding.details);
    let decided =
        Decided { seq: decision.seq, carrier: deciding.carrier, code, details, reverted: decision.reverted };
    let facts =
        Facts { status, decided: Some(decided), accepted_ms, targets, ..undecided(state, rid, fronts) };
    Ok((facts, marks))
}

/// What is so whatever becomes of the request.
fn undecided(state: &ShardState, rid: Rid, fronts: &Fronts) -> Facts {
    let is_led = state.is_leading() || matches!(state.tenure(), Tenure::Waiting { holder: Some(_) });
    Facts {
        rid,
        now_ms: fronts.now_ms,
        status: Status::Accepted,
        decided: None,
        place: crate::explain::Place::Nowhere,
        sources: Vec::new(),
        collector: None,
        expires_ms: None,
        accepted_ms: None,
        undecided: Vec::new(),
        waits: None,
        is_led,
        blocked_by: state.stats().blocked_by.map(waiting::stream_name),
        targets: Vec::new(),
    }
}

/// The status that follows from a decision, as clients see it.
fn status(decision: &Decision, is_leaving: bool) -> Status {
    match (OutcomeKind::from_name(&decision.outcome), decision.delivered.as_deref()) {
        (Some(OutcomeKind::Applied), None) if is_leaving => Status::Broadcasting,
        (Some(OutcomeKind::Applied), None) => Status::Committed,
        (Some(OutcomeKind::Applied), Some(delivered)) => {
            Status::from_name(delivered).unwrap_or(Status::Completed)
        }
        (Some(OutcomeKind::Reverted), _) => Status::RolledBack,
        (Some(OutcomeKind::Failed), _) => Status::Failed,
        (Some(OutcomeKind::Cancelled), _) => Status::Cancelled,
        (Some(OutcomeKind::Expired), _) => Status::Expired,
        _ => Status::Rejected,
    }
}
