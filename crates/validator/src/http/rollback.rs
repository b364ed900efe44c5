//! `POST /v1/rollbacks` `{"rid": …, "dry_run": false}`: undo one applied request that no later one rests on.
//!
//! What can be told from the view is told at once, without an entry: 404, or 409 with the reason and who depends on it.
//! Else the command goes to `:inx`, and the log decides: 202 with the command's id, whose decision is at
//! `GET /v1/decisions/{rid}`; with `Prefer: wait=N` 200 once it is decided (`?until=completed`: once what
//! supersedes the request is final on every chain), or 409 if something that came before it in the log is in the way.
//! `dry_run` answers what would be undone and what blocks it, and orders nothing.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use common::auth::Scope;
use common::entry::Outcome;
use common::ids::Rid;
use common::message::Command;
use common::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use super::command::{Order, REPLAYED, backpressure};
use super::{Api, blocking, broken, not_found, query, unreachable};
use crate::engine::Decision;
use crate::engine::Needs;
use crate::engine::codes::Code;
use crate::engine::revert::{Refusal, foresee};
use crate::shard::ShardState;

const BODY_BYTES_MAX: usize = 4 * 1024;
/// Rollbacks in `:ctl` that some target has not passed; with more no further one is taken.
const CONTROL_MAX: u64 = 1_000;
/// Searches through the log at a time; for more a client has to come again.
const SEARCHES_MAX: usize = 2;
/// Longest wait a client gets.
const WAIT_SECONDS_MAX: u64 = 30;
/// How often a waiting answer looks at the view if no entry wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Permits to look through the log, which takes a thread, and up to 64 MiB of messages, for a part of a second.
#[derive(Debug, Clone)]
pub(super) struct Searches(Arc<Semaphore>);

impl Default for Searches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SEARCHES_MAX)))
    }
}

impl Searches {
    /// To be held as long as the search goes on, whether the client waits for it or not.
    fn begin(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = |_| {
            let title = "Other rollbacks are being looked at";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", title).retry_after(1)
        };
        Arc::clone(&self.0).try_acquire_owned().map_err(busy)
    }
}

/// What to undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
pub(super) struct Asked {
    /// The request to undo.
    #[schema(value_type = String)]
    rid: Rid,
    /// Only say what would be undone.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Until {
    #[default]
    Committed,
    Completed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    #[serde(default)]
    until: Until,
}

/// Where a rollback is.
#[derive(Debug, Serialize)]
struct Answer {
    /// The command's own id: its decision is that of the rollback.
    rid: Rid,
    /// The request it undoes.
    undoes: Rid,
    status: String,
    /// The entry that decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

/// What a rollback would do.
#[derive(Debug, Serialize)]
struct Plan {
    undone: Vec<Rid>,
    /// Who depends on it; they have to be undone before.
    blocked_by: Vec<Rid>,
    /// Why it would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Undoes one applied request that no later one rests on. The key needs the scope operate.
#[utoipa::path(
    post,
    path = "/v1/rollbacks",
    operation_id = "rollback",
    tag = "rollbacks",
    params(
        ("Idempotency-Key" = String, Header, description = "Ordering it twice with one key is one rollback"),
        ("Prefer" = Option<String>, Header, description = "wait=N: answer when it is decided, at most after N seconds (30)"),
        ("until" = Option<String>, Query, description = "What to wait for: committed, or completed (final on every chain)"),
    ),
    request_body = Asked,
    responses(
        (status = 200, description = "The request is undone; for a dry run, what would be", body = serde_json::Value),
        (status = 202, description = "Ordered; GET /v1/decisions/{rid} tells what came of it", body = serde_json::Value),
        (status = 409, description = "It cannot be undone: the code says why, dependents who rests on it", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = common::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body is not valid, or the key was used for something else", body = common::problem::Problem, content_type = "application/problem+json"),
        common::openapi::Refusals,
    ),
    security(("api_key" = []))
)]
pub(super) async fn rollback(
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
    api: Data<Api>,
) -> HttpResponse {
    let asked = body.map_err(|_| too_large()).and_then(|body| parse(&body));
    let shard = asked.as_ref().ok().map(|asked| asked.rid.shard());
    let result = answer(&request, &api, asked).await;
    api.answer(shard, result)
}

/// The route's own bound of the body.
pub(super) fn payload() -> web::PayloadConfig {
    web::PayloadConfig::new(BODY_BYTES_MAX)
}

async fn answer(
    request: &HttpRequest,
    api: &Api,
    asked: Result<Asked, Problem>,
) -> Result<HttpResponse, Problem> {
    let principal = api.authorize(request, Scope::Operate)?;
    let asked = asked?;
    let until = query::<Query>(request)?.until;
    let content: [&[u8]; 2] = [b"rollback", asked.rid.as_bytes()];
    let order = Order::new(request, api, &principal, asked.rid.shard(), &content)?;
    if asked.dry_run {
        return plan(api, &order, asked.rid, principal.tenant.as_str()).await;
    }
    if let Some(decision) = order.decided().await? {
        return decided(&order, asked.rid, &decision, true).await;
    }
    match refusal(api, &order, asked.rid, principal.tenant.as_str()).await? {
        None => {}
        // It may be this very command that has undone it, a moment ago.
        Some(refusal) => match order.decided().await? {
            Some(decision) => return decided(&order, asked.rid, &decision, true).await,
            None => return Err(refused(refusal)),
        },
    }
    let waiting = order.state.link.control_len().await.map_err(|error| unreachable(&error))?;
    if waiting >= CONTROL_MAX {
        return Err(backpressure("Targets have not passed the rollbacks before"));
    }
    let replayed = order.send(Command::Rollback { rid: asked.rid }).await?;
    let Some(longest) = common::headers::wait(request.headers(), WAIT_SECONDS_MAX) else {
        return Ok(accepted(&order, asked.rid, replayed));
    };
    match tokio::time::timeout(longest, settled(&order, until)).await {
        Ok(decision) => decided(&order, asked.rid, &decision?, replayed).await,
        Err(_) => Ok(accepted(&order, asked.rid, replayed)),
    }
}

/// Waits until the command is decided, or what it orders is delivered.
async fn settled(order: &Order, until: Until) -> Result<Decision, Problem> {
    let mut standing = order.state.standing();
    loop {
        standing.mark_unchanged();
        if let Some(decision) = order.decided().await?
            && (until == Until::Committed
                || decision.delivered.is_some()
                || decision.outcome != common::status::OutcomeKind::Applied.name())
        {
            return Ok(decision);
        }
        // The end of the watch is the end of the process.
        drop(tokio::time::timeout(LOOK_EVERY, standing.changed()).await);
    }
}

fn accepted(order: &Order, undoes: Rid, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    if replayed {
        response.insert_header(REPLAYED);
    }
    response.insert_header(("Location", format!("/v1/decisions/{}", order.rid)));
    response.json(Answer { rid: order.rid, undoes, status: "accepted".to_owned(), seq: None })
}

/// 200 or 409, as the log says.
async fn decided(
    order: &Order,
    undoes: Rid,
    decision: &Decision,
    replayed: bool,
) -> Result<HttpResponse, Problem> {
    if decision.outcome == common::status::OutcomeKind::Applied.name() {
        let status = decision.delivered.clone().unwrap_or_else(|| "committed".to_owned());
        let mut response = HttpResponse::Ok();
        if replayed {
            response.insert_header(REPLAYED);
        }
        response.insert_header(("Location", format!("/v1/decisions/{}", order.rid)));
        return Ok(response.json(Answer { rid: order.rid, undoes, status, seq: Some(decision.seq) }));
    }
    let (state, rid, seq) = (Arc::clone(&order.state), order.rid, decision.seq);
    let outcome = blocking(move || outcome(&state, rid, seq)).await?;
    let detail =
        outcome.as_ref().and_then(|outcome| outcome.errors.first()).map(|error| error.detail.clone());
    let dependents = outcome.map(|outcome| outcome.dependents).unwrap_or_default();
    let code = decision.code.as_deref().unwrap_or_default();
    Err(conflict(code, detail.unwrap_or_default(), &dependents))
}

/// What the deciding entry says of the command.
fn outcome(state: &ShardState, rid: Rid, seq: u64) -> Result<Option<Outcome>, Problem> {
    let entry = state.view.entry(seq).map_err(|error| broken(&error))?;
    let body = entry.map(|entry| entry.decode()).transpose().map_err(|error| broken(&error))?;
    Ok(body.and_then(|body| body.outcomes.into_iter().find(|outcome| outcome.rid == rid)))
}

/// Why the request cannot be undone, as far as this process' view says.
async fn refusal(api: &Api, order: &Order, rid: Rid, tenant: &str) -> Result<Option<Refusal>, Problem> {
    let record = order.state.link.record(rid).await.map_err(|error| unreachable(&error))?;
    let record = record.filter(|record| record.tenant.as_str() == tenant);
    // What a client was told by a record, of this request or of one that rests on it, has to be seen.
    let head = order.state.link.head().await.map_err(|error| unreachable(&error))?;
    api.reached(rid.shard(), Some(head.seq)).await?;
    let (state, about, permit) = (Arc::clone(&order.state), order.about.clone(), api.searches.begin()?);
    let (is_known, refusal) = blocking(move || {
        let _permit = permit;
        let snapshot = state.view.snapshot().map_err(|error| broken(&error))?;
        let decision = snapshot.decision(rid).map_err(|error| broken(&error))?;
        let is_known = decision.is_some_and(|decision| decision.tenant == about.tenant.as_str());
        // Nothing is looked for on behalf of who may not know.
        let needs = Needs { rids: [rid].into(), undone: Some(rid), ..Needs::default() };
        let needs = if is_known { needs } else { Needs::default() };
        let loaded = snapshot.load(&needs).map_err(|error| broken(&error))?;
        let targets = snapshot.head().and_then(|head| head.targets()).map_err(|error| broken(&error))?;
        Ok((is_known, foresee(about, rid, loaded, &targets).map_err(|error| broken(&error))?))
    })
    .await?;
    if is_known || record.is_some() { Ok(refusal) } else { Err(not_found("There is no such request")) }
}

async fn plan(api: &Api, order: &Order, rid: Rid, tenant: &str) -> Result<HttpResponse, Problem> {
    let plan = match refusal(api, order, rid, tenant).await? {
        None => Plan { undone: vec![rid], blocked_by: Vec::new(), code: None, detail: None },
        Some(refusal) => {
            let blocked_by = refusal.dependents.clone();
            let (code, detail) = refusal.reason();
            Plan { undone: Vec::new(), blocked_by, code: Some(code), detail: Some(detail) }
        }
    };
    Ok(HttpResponse::Ok().json(plan))
}

fn refused(refusal: Refusal) -> Problem {
    let dependents = refusal.dependents.clone();
    let (code, detail) = refusal.reason();
    conflict(&code, detail, &dependents)
}

/// 409 under the word that the log has for it.
fn conflict(code: &str, detail: String, dependents: &[Rid]) -> Problem {
    let problem = Problem::new(StatusCode::CONFLICT, code, "The request cannot be undone")
        .detail(detail.clone())
        .error("/rid", code, detail);
    if code == Code::HasDependents.name() { problem.extension("dependents", &dependents) } else { problem }
}

fn too_large() -> Problem {
    let title = "The body is too large";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", title)
        .detail(format!("at most {BODY_BYTES_MAX} bytes"))
}

/// Every fault of the body, each with its place.
fn parse(body: &[u8]) -> Result<Asked, Problem> {
    const FIELDS: [&str; 2] = ["rid", "dry_run"];
    let invalid = || {
        let title = "The request is not valid";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", title)
    };
    let json = serde_json::from_slice::<Value>(body)
        .map_err(|error| invalid().error("", "invalid", format!("not JSON: {error}")))?;
    let Value::Object(object) = &json else {
        return Err(invalid().error("", "invalid", "expected an object"));
    };
    let mut problem = invalid();
    for field in object.keys().filter(|field| !FIELDS.contains(&field.as_str())).take(8) {
        let pointer = format!("/{}", field.replace('~', "~0").replace('/', "~1"));
        problem = problem.error(pointer, "unknown_field", "is not a field of a rollback");
    }
    match object.get("rid") {
        None => problem = problem.error("/rid", "missing", "is required"),
        Some(rid) if serde_json::from_value::<Rid>(rid.clone()).is_err() => {
            problem = problem.error("/rid", "invalid", "expected a request id");
        }
        Some(_) => {}
    }
    if object.get("dry_run").is_some_and(|dry_run| !dry_run.is_boolean()) {
        problem = problem.error("/dry_run", "invalid", "expected true or false");
    }
    if !problem.errors.is_empty() {
        return Err(problem);
    }
    serde_json::from_value(json).map_err(|error| invalid().error("", "invalid", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_search_at_a_time_and_one_that_ends_makes_room() {
        let searches = Searches::default();
        let held: Vec<_> = (0..SEARCHES_MAX).map(|_| searches.begin().expect("a permit")).collect();
        let problem = searches.clone().begin().expect_err("no more");
        assert_eq!((problem.status, problem.code.as_str()), (503, "busy"));
        drop(held);
        assert!(searches.begin().is_ok());
    }

    #[test]
    fn every_fault_of_a_body_is_told_with_its_place() {
        let rid = "00000000-0000-7000-8000-000000000000";
        let faults = |body: &str| -> Vec<String> {
            let problem = parse(body.as_bytes()).expect_err(body);
            assert_eq!((problem.status, problem.code.as_str()), (422, "invalid_request"), "{body}");
            problem.errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect()
        };
        assert_eq!(faults("{"), [" invalid"]);
        assert_eq!(faults("[]"), [" invalid"]);
        assert_eq!(faults("{}"), ["/rid missing"]);
        assert_eq!(faults(r#"{"rid": "x", "dry_run": 1}"#), ["/rid invalid", "/dry_run invalid"]);
        assert_eq!(faults(&format!(r#"{{"rid": "{rid}", "to/c": 1}}"#)), ["/to~1c unknown_field"]);
        let asked = parse(format!(r#"{{"rid": "{rid}", "dry_run": true}}"#).as_bytes()).expect("valid");
        assert_eq!((asked.rid.to_string().as_str(), asked.dry_run), (rid, true));
    }
}
