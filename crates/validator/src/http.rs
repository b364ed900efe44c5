//! The read API and the operator's commands (DESIGN §11). One file per group of routes.
//!
//! Every answer carries `OSS-Seq`: the last entry whose effects it can show, which is the head of the snapshot it was
//! read from; where none was read, the shard's last entry this process knows; for routes about all shards
//! `<shard>=<seq>` for each, separated by commas. Reads of the state, the log and decisions are answered by the leader
//! and by every process that follows the log and was at its head a moment ago; what is about leading itself (the
//! pipeline, a rewind, a rollback) by the leader only. Others say 503 `no_leader`. A follower's answer is right as of its `OSS-Seq`:
//! who needs more asks with `?min_seq=`, which waits, and ends in 503 `behind`.
//! Reads take a snapshot of the view and of the tree on a thread for blocking work, so they never wait for
//! the sequencer and it hardly for them.

mod checkpoints;
mod command;
mod decisions;
mod explain;
mod locks;
mod log;
mod openapi;
mod pipeline;
mod proofs;
mod rewind;
mod rollback;
mod shards;
mod state;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use common::auth::{KeyRing, Principal, Scope};
use common::ids::{Name, Shard};
use common::problem::Problem;
use common::sse::Places;
use serde::Serialize;

use crate::error::chain;
use crate::shard::ShardState;
use crate::view::{Snapshot, View};

const OSS_SEQ: HeaderName = HeaderName::from_static("oss-seq");
/// How long `?min_seq=` waits at most.
const MIN_SEQ_WAIT: Duration = Duration::from_secs(2);
/// Streams of events that one key, and all, may have open.
const STREAMS_PER_KEY: usize = 8;
const STREAMS_MAX: usize = 128;
/// How long a stop waits for answers in flight, s.
const STOP_SECONDS: u64 = 2;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    shards: Arc<Vec<Arc<ShardState>>>,
    keys: Arc<KeyRing>,
    node: Name,
    /// Whoever holds it may rebuild a tree.
    rebuilt: Arc<tokio::sync::Mutex<Option<proofs::Rebuilt>>>,
    searches: rollback::Searches,
    places: Places,
}

impl Api {
    pub(crate) fn new(shards: Vec<Arc<ShardState>>, keys: KeyRing, node: Name) -> Self {
        let (rebuilt, searches) = (Arc::default(), rollback::Searches::default());
        let places = Places::new(STREAMS_PER_KEY, STREAMS_MAX);
        Self { shards: Arc::new(shards), keys: Arc::new(keys), node, rebuilt, searches, places }
    }

    /// The shard, if this process knows it, which it does.
    fn shard(&self, shard: Shard) -> Result<&Arc<ShardState>, Problem> {
        let found = self.shards.iter().find(|state| state.shard == shard);
        found.ok_or_else(|| internal("a shard is not served here"))
    }

    fn authorize(&self, request: &HttpRequest, scope: Scope) -> Result<Principal, Problem> {
        self.keys.authorize(request, scope)
    }

    fn authorize_any(&self, request: &HttpRequest, scopes: &[Scope]) -> Result<Principal, Problem> {
        self.keys.authorize_any(request, scopes)
    }

    /// The shard, if this process leads it.
    fn led(&self, shard: Shard) -> Result<&Arc<ShardState>, Problem> {
        let state = self.shard(shard)?;
        if state.is_leading() { Ok(state) } else { Err(no_leader()) }
    }

    /// The shard, if this process may answer reads for it.
    fn readable(&self, shard: Shard) -> Result<&Arc<ShardState>, Problem> {
        let state = self.shard(shard)?;
        if state.is_leading() || state.is_following() { Ok(state) } else { Err(no_leader()) }
    }

    /// The shard once it has reached `min_seq`; waits briefly.
    async fn reached(&self, shard: Shard, min_seq: Option<u64>) -> Result<&Arc<ShardState>, Problem> {
        let state = self.readable(shard)?;
        let Some(min_seq) = min_seq else { return Ok(state) };
        let mut standing = state.standing();
        let reached =
            tokio::time::timeout(MIN_SEQ_WAIT, standing.wait_for(|standing| standing.seq >= min_seq)).await;
        match reached {
            Ok(Ok(_)) => Ok(state),
            _ => Err(self.not_reached(state, min_seq).await),
        }
    }

    /// What is found of something in a snapshot, with the snapshot's head. A follower that finds nothing looks again once it has
    /// reached the log's head: it must not say that there is no such thing while the log has it.
    async fn found<T>(
        &self,
        state: &Arc<ShardState>,
        find: impl AsyncFn(&Arc<ShardState>) -> Result<(u64, Option<T>), Problem>,
    ) -> Result<(u64, Option<T>), Problem> {
        let found = find(state).await?;
        if found.1.is_some() || state.is_leading() {
            return Ok(found);
        }
        let head = state.link.head().await.map_err(|error| unreachable(&error))?.seq;
        find(self.reached(state.shard, Some(head)).await?).await
    }

    /// Why an entry is not here: the log has it and this process does not yet, or there is no such entry.
    async fn not_reached(&self, state: &ShardState, wanted: u64) -> Problem {
        match state.link.head().await {
            Ok(head) if head.seq < wanted => invalid_query(format!("the log ends at entry {}", head.seq)),
            Ok(_) => behind(state.now().seq, wanted),
            Err(error) => unreachable(&error),
        }
    }

    /// `OSS-Seq` for routes about all shards that have not said what they read.
    fn all_seqs(&self) -> String {
        let seqs: Vec<String> =
            self.shards.iter().map(|state| format!("{}={}", state.shard, state.now().seq)).collect();
        seqs.join(",")
    }

    /// The answer about one shard, with its `OSS-Seq` if it does not carry the one it was read at.
    fn answer(&self, shard: Option<Shard>, result: Result<HttpResponse, Problem>) -> HttpResponse {
        let response = result.unwrap_or_else(HttpResponse::from_error);
        if response.headers().contains_key(OSS_SEQ) {
            return response;
        }
        let seq = match shard.and_then(|shard| self.shard(shard).ok()) {
            Some(state) => state.now().seq.to_string(),
            None => self.all_seqs(),
        };
        stamped(response, &seq)
    }
}

/// Puts `OSS-Seq` on an answer.
fn stamped(mut response: HttpResponse, seq: &str) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(seq) {
        response.headers_mut().insert(OSS_SEQ, value);
    }
    response
}

/// Reads from one snapshot, off the HTTP thread, and answers with its head: what is committed meanwhile must not
/// be claimed by an answer that does not show it.
async fn from_snapshot<T: Serialize + Send + 'static>(
    state: Arc<ShardState>,
    read: impl FnOnce(&ShardState, &Snapshot, u64) -> Result<T, Problem> + Send + 'static,
) -> Result<HttpResponse, Problem> {
    let (seq, found) = read_snapshot(state, read).await?;
    Ok(answered(seq, found))
}

/// Reads from one snapshot, off the HTTP thread; gives its head too.
async fn read_snapshot<T: Send + 'static>(
    state: Arc<ShardState>,
    read: impl FnOnce(&ShardState, &Snapshot, u64) -> Result<T, Problem> + Send + 'static,
) -> Result<(u64, Result<T, Problem>), Problem> {
    blocking(move || read_at(&state.view, |snapshot, head| read(&state, snapshot, head))).await
}

fn answered<T: Serialize>(seq: u64, found: Result<T, Problem>) -> HttpResponse {
    let response = found.map_or_else(HttpResponse::from_error, |found| HttpResponse::Ok().json(found));
    stamped(response, &seq.to_string())
}

/// What is found in one snapshot, with the entry that is its head.
fn read_at<T>(
    view: &View,
    read: impl FnOnce(&Snapshot, u64) -> Result<T, Problem>,
) -> Result<(u64, Result<T, Problem>), Problem> {
    let snapshot = view.snapshot().map_err(|error| broken(&error))?;
    let head = snapshot.head().map_err(|error| broken(&error))?.seq;
    Ok((head, read(&snapshot, head)))
}

/// The API server on a bound port.
pub(crate) fn serve(listener: TcpListener, workers: usize, api: Api) -> std::io::Result<Server> {
    let server = HttpServer::new(move || {
        App::new().app_data(Data::new(api.clone())).wrap(from_fn(common::envelope::wrap)).configure(routes)
    });
    Ok(server.workers(workers).disable_signals().shutdown_timeout(STOP_SECONDS).listen(listener)?.run())
}

fn routes(app: &mut web::ServiceConfig) {
    app.route("/v1/assets/{asset}", web::get().to(state::asset))
        .route("/v1/assets/{asset}/proof", web::get().to(proofs::asset))
        .route("/v1/holdings/{asset}/{account}", web::get().to(state::holding))
        .route("/v1/holdings/{asset}/{account}/proof", web::get().to(proofs::holding))
        .route("/v1/shards", web::get().to(shards::list))
        .route("/v1/shards/{shard}", web::get().to(shards::one))
        .route("/v1/shards/{shard}/log", web::get().to(log::page))
        .route("/v1/shards/{shard}/checkpoints/{hash}", web::get().to(checkpoints::part))
        .service(
            web::resource("/v1/checkpoints")
                .route(web::get().to(checkpoints::list))
                .route(web::post().to(checkpoints::write)),
        )
        .route("/v1/decisions/{rid}", web::get().to(decisions::one))
        .route("/v1/locks", web::get().to(locks::list))
        .route("/v1/locks/events", web::get().to(locks::events))
        .route("/v1/sync-requests/{rid}/explain", web::get().to(explain::one))
        .route("/v1/pipeline", web::get().to(pipeline::all))
        .service(
            web::resource("/v1/rollbacks")
                .app_data(rollback::payload())
                .route(web::post().to(rollback::rollback)),
        )
        .route("/v1/targets/{target}/rewind", web::post().to(rewind::rewind))
        .default_service(web::route().to(unknown_route));
}

async fn unknown_route(api: Data<Api>) -> HttpResponse {
    api.answer(None, Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such route")))
}

/// Parses one variable part of the path.
fn path_part<T: std::str::FromStr<Err = common::ids::IdError>>(
    request: &HttpRequest,
    name: &str,
) -> Result<T, Problem> {
    let text = request.match_info().query(name);
    text.parse().map_err(|error: common::ids::IdError| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "The path is not valid").error(
            format!("#path/{name}"),
            "invalid",
            error.to_string(),
        )
    })
}

/// Parses the query string.
fn query<T: serde::de::DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|error| invalid_query(error.to_string()))
}

/// A fault in a named part of the URL.
fn invalid(pointer: &str, code: &str, why: &str) -> Problem {
    let what = if pointer.starts_with("#path") { "The path is not valid" } else { "The query is not valid" };
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", what).error(pointer, code, why)
}

fn invalid_query(why: String) -> Problem {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "The query is not valid");
    problem.error("#query", "invalid", why)
}

/// Runs what reads the database or hashes, off the HTTP thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    web::block(work).await.unwrap_or_else(|_| Err(internal("the server is stopping")))
}

fn no_leader() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "no_leader",
        "This process neither leads the shard nor is at the head of its log",
    )
    .retry_after(1)
}

fn behind(seq: u64, wanted: u64) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "behind", "The shard has not reached that entry yet")
        .detail(format!("at entry {seq}, asked for {wanted}"))
        .retry_after(1)
}

fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", what)
}

/// A fault of ours; the log has the cause, the client does not.
fn internal(cause: &str) -> Problem {
    tracing::error!(cause, "A request could not be answered");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The request could not be answered")
}

fn broken(error: &dyn std::error::Error) -> Problem {
    internal(&chain(error))
}

/// Redis did not answer a question that only it can.
fn unreachable(error: &common::link::LinkError) -> Problem {
    tracing::warn!(error = %chain(error), "Redis did not answer a question of a client");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Redis does not answer").retry_after(1)
}

#[cfg(test)]
mod tests;
