//! `GET /v1/decisions/{rid}`: the permanent answer to a request, also when its status record has expired.
//!
//! "Unknown" is a claim about the whole log. The leader may make it; a process that follows asks where the log's head is
//! when it has found nothing, and looks again once it is there: 404 only then, else 503 `behind`.
//!
//! A tenant sees its own requests only; anybody else's are 404, like unknown ones. Every error with its pointer and the
//! targets that were asked for come from the archived entry that decided the request: a status record is cut to a
//! few hundred bytes and holds neither of a longer list.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::entry::{Body, OutcomeError};
use common::hash::Digest;
use common::ids::{Name, Rid, Tenant};
use common::message::{Body as MessageBody, Message};
use common::problem::Problem;
use common::status::Status;
use serde::{Deserialize, Serialize};

use super::{Api, broken, internal, not_found, path_part, query, read_snapshot};
use crate::engine::codes::Code;
use crate::engine::{Decision, Withdrawal};
use crate::shard::ShardState;
use crate::view::View;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    min_seq: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Answer {
    rid: Rid,
    tenant: String,
    fp: Digest,
    /// The entry that decided it.
    seq: u64,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The status that follows from it, as the record showed it.
    status: String,
    /// Every fault that was found, with its place in the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<OutcomeError>,
    /// The targets `completed` waits for, if the request named some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_chains: Vec<Name>,
    /// The entry that undid it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverted_seq: Option<u64>,
    /// For `HAS_DEPENDENTS`: who depends on the request that was to be undone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependents: Vec<Rid>,
    /// The entry that decided it is not kept here: `errors`, `target_chains` and `dependents` are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    entry_gone: bool,
    /// What was observed for the request and is no longer so at its source, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    withdrawn: Vec<Gone>,
}

/// An observation that was withdrawn after the request had been applied.
#[derive(Debug, Serialize)]
struct Gone {
    code: &'static str,
    source: String,
    /// `<CAIP-2 chain>/<tx hash>/<position>`; left out for a window of logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// The block it was seen in.
    block: u64,
    block_hash: Digest,
    /// JSON pointer into the request.
    pointer: String,
    /// The entry that says so, and its log time, Unix ms.
    seq: u64,
    time_ms: u64,
}

impl From<Withdrawal> for Gone {
    fn from(withdrawal: Withdrawal) -> Self {
        let Withdrawal { source, identity, block, block_hash, pointer, seq, time_ms } = withdrawal;
        let code = Code::ObservationWithdrawn.name();
        Self { code, source, event: identity, block, block_hash, pointer, seq, time_ms }
    }
}

/// Shows what the log decided about a request, also when its status record has expired.
#[utoipa::path(
    get,
    path = "/v1/decisions/{rid}",
    operation_id = "decision",
    tag = "sync requests",
    params(
        ("rid" = String, Path, description = "Request id"),
        ("min_seq" = Option<u64>, Query, description = "Wait until the shard has reached this entry"),
    ),
    responses(
        (status = 200, description = "The decision", body = serde_json::Value),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn one(request: HttpRequest, api: Data<Api>) -> HttpResponse {
    let rid = path_part::<Rid>(&request, "rid");
    let shard = rid.as_ref().ok().map(Rid::shard);
    let result = async {
        let principal = api.authorize(&request, Scope::Read)?;
        let rid = rid?;
        let wait = query::<Wait>(&request)?;
        let state = Arc::clone(api.reached(rid.shard(), wait.min_seq).await?);
        let tenant = principal.tenant;
        let (seq, found) = api.found(&state, async |state| find(state, rid, &tenant).await).await?;
        Ok(answered(seq, found))
    };
    let result = result.await;
    api.answer(shard, result)
}

fn answered(seq: u64, found: Option<Answer>) -> HttpResponse {
    super::answered(seq, found.ok_or_else(|| not_found("No decision about this request is known")))
}

/// The tenant's decision in one snapshot, with the snapshot's head.
async fn find(state: &Arc<ShardState>, rid: Rid, tenant: &Tenant) -> Result<(u64, Option<Answer>), Problem> {
    let tenant = tenant.clone();
    let (seq, found) = read_snapshot(Arc::clone(state), move |state, snapshot, _| {
        let decision = snapshot.decision(rid).map_err(|error| broken(&error))?;
        let Some(decision) = decision.filter(|decision| decision.tenant == tenant.as_str()) else {
            return Ok(None);
        };
        let details = Details::read(&state.view, rid, &decision)?;
        let withdrawn = snapshot.withdrawals(rid).map_err(|error| broken(&error))?;
        Ok(Some(answer(rid, decision, details, withdrawn)))
    })
    .await?;
    Ok((seq, found?))
}

/// What the deciding entry says of a request beyond its decision.
#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    errors: Vec<OutcomeError>,
    target_chains: Vec<Name>,
    dependents: Vec<Rid>,
    gone: bool,
}

/// The entry that made a decision. `None`: an archive may begin later than the log; what was decided stands in the view.
pub(super) fn deciding_entry(view: &View, seq: u64) -> Result<Option<Body>, Problem> {
    if let Some(entry) = view.entry(seq).map_err(|error| broken(&error))? {
        return entry.decode().map(Some).map_err(|error| broken(&error));
    }
    let first = view.archive_first().map_err(|error| broken(&error))?;
    if first.is_some_and(|first| first > seq) {
        Ok(None)
    } else {
        Err(internal("the entry of a decision is not in the archive"))
    }
}

impl Details {
    fn read(view: &View, rid: Rid, decision: &Decision) -> Result<Self, Problem> {
        let body = deciding_entry(view, decision.seq)?;
        Ok(body
            .map_or_else(|| Self { gone: true, ..Self::default() }, |body| Self::of(&body, rid, decision.fp)))
    }

    fn of(body: &Body, rid: Rid, fp: Digest) -> Self {
        let outcome = body
            .outcomes
            .iter()
            .find(|outcome| (outcome.rid, outcome.fp) == (rid, fp) && outcome.outcome.is_deciding());
        // Only the request's own message is decoded.
        let text = rid.to_string();
        let messages = body.inputs.iter().filter(|input| input.m.get().contains(&text));
        let request = messages.filter_map(|input| match Message::decode(&input.bytes()).ok()?.body {
            MessageBody::Collected { about, request, .. } if (about.rid, about.fp) == (rid, fp) => {
                Some(request)
            }
            _ => None,
        });
        Self {
            errors: outcome.map(|outcome| outcome.errors.clone()).unwrap_or_default(),
            dependents: outcome.map(|outcome| outcome.dependents.clone()).unwrap_or_default(),
            target_chains: request.take(1).filter_map(|request| request.target_chains).flatten().collect(),
            gone: false,
        }
    }
}

fn answer(rid: Rid, decision: Decision, details: Details, withdrawn: Vec<Withdrawal>) -> Answer {
    let status = match (decision.outcome.as_str(), decision.delivered.as_deref()) {
        ("APPLIED", None) => "committed".to_owned(),
        ("APPLIED", Some(delivered)) => delivered.to_owned(),
        ("REVERTED", _) => Status::RolledBack.name().to_owned(),
        (other, _) => other.to_ascii_lowercase(),
    };
    let Decision { tenant, fp, seq, outcome, code, reverted, .. } = decision;
    let Details { errors, target_chains, dependents, gone } = details;
    let withdrawn = withdrawn.into_iter().map(Gone::from).collect();
    Answer {
        rid,
        tenant,
        fp,
        seq,
        outcome,
        code,
        status,
        errors,
        target_chains,
        reverted_seq: reverted,
        dependents,
        entry_gone: gone,
        withdrawn,
    }
}
