//! The public API: `/v1/sync-requests`, `/v1/stream`, `/openapi.json`, `/docs`.
//!
//! In: HTTP. Out: status resources and RFC 9457 problems, each with `X-Request-Id`. Every route under `/v1` is
//! registered in the one scope here; actix does not look past a scope that matches a prefix.

mod batch;
mod cancel;
mod events;
mod get;
mod headers;
mod list;
mod openapi;
mod stream;
mod submit;
mod wait;

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpMessage as _, HttpRequest, HttpResponse, HttpServer};
use common::auth::{KeyRing, Principal, Scope};
use common::ids::{Rid, Shard};
use common::link::{Commands, Disposition, Link, LinkError};
use common::problem::Problem;
use common::sse::Places;
use common::supervise::Shutdown;
use std::sync::Arc;
use tokio::sync::Semaphore;

use crate::admit::Configured;
use crate::config::Settings;
use crate::decisions::Validators;
use crate::feed::Live;
use crate::generation::Generation;
use crate::rates::{Rates, Standing, Use};
use crate::submitter::{Handle, Submitter};
use crate::watcher::Waiters;

/// How long an idle connection stays open: longer than the idle pools of common clients and of the proxy
/// before it expect, so that a request rarely meets a connection that is being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(100);
/// How long answers under way may take at the end. Clients that wait are answered at its beginning.
const SHUTDOWN_SECONDS: u64 = 5;

const RATELIMIT: header::HeaderName = header::HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: header::HeaderName = header::HeaderName::from_static("ratelimit-policy");

/// What all HTTP threads share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) configured: Arc<Configured>,
    pub(crate) commands: Commands,
    pub(crate) generation: Generation,
    pub(crate) waiters: Waiters,
    pub(crate) validators: Validators,
    /// Places of batches at work.
    pub(crate) batches: Arc<Semaphore>,
    /// How long a client may be silent in the middle of something.
    pub(crate) patience: Duration,
    pub(crate) rates: Rates,
    pub(crate) live: Live,
    pub(crate) places: Places,
    /// How often a stream shows that it lives.
    pub(crate) heartbeat: Duration,
}

/// What a handler works with: the shared parts and its thread's submitters, by shard number.
#[derive(Debug)]
struct Api {
    shared: Shared,
    submitters: Vec<Handle>,
}

/// Of who may have a request taken in; which of them it needs depends on the request.
const SUBMITTING: [Scope; 2] = [Scope::Submit, Scope::Regulate];

impl Api {
    fn link(&self, shard: Shard) -> Link {
        self.shared.commands.shard(shard)
    }

    fn submitter(&self, shard: Shard) -> Result<&Handle, Problem> {
        self.submitters.get(usize::from(shard.number())).ok_or_else(unavailable)
    }

    fn authorize(&self, request: &HttpRequest, scopes: &[Scope]) -> Result<Principal, Problem> {
        self.shared.keys.authorize_any(request, scopes)
    }

    /// As [`Self::authorize`], and counts the request against the key's rate: before anything of it is read.
    fn admit(&self, request: &HttpRequest, scopes: &[Scope], spent_on: Use) -> Result<Principal, Problem> {
        let principal = self.authorize(request, scopes)?;
        let (standing, result) = match self.shared.rates.spend(&principal.key_id, spent_on) {
            Ok(standing) => (standing, Ok(principal)),
            Err((standing, problem)) => (Some(standing), Err(problem)),
        };
        if let Some(standing) = standing {
            request.extensions_mut().insert(standing);
        }
        result
    }

    /// Refuses to answer from a data set that is not known to be the right one.
    fn require_known_data(&self) -> Result<(), Problem> {
        if self.shared.generation.is_known() { Ok(()) } else { Err(unavailable()) }
    }
}

/// Starts the API on an open listener. Every thread has its own submitters.
///
/// # Errors
/// The listener cannot be used.
pub(crate) fn serve(
    listener: std::net::TcpListener,
    settings: &Settings,
    shared: Shared,
    shutdown: &Shutdown,
) -> std::io::Result<Server> {
    let (limits, shutdown) = (settings.limits, shutdown.clone());
    let server = HttpServer::new(move || {
        let submitters = Shard::ALL.map(|shard| {
            Submitter::start(
                shared.commands.shard(shard),
                limits.backlog_max,
                limits.submit_queue_max,
                shared.generation.clone(),
                shutdown.lifeline(format!("submitter {shard}")),
            )
        });
        let api = Data::new(Api { shared: shared.clone(), submitters: submitters.into() });
        App::new()
            .app_data(api)
            .wrap(from_fn(common::envelope::wrap))
            .configure(routes)
            .default_service(web::to(not_found))
    });
    Ok(server
        .workers(settings.http.workers)
        .max_connections(settings.limits.connections_max)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(Duration::from_millis(settings.limits.request_timeout_ms))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?
        .run())
}

fn routes(app: &mut ServiceConfig) {
    let only = |allowed: &'static str| {
        web::to(move |request: HttpRequest| std::future::ready(wrong_method(&request, allowed)))
    };
    app.service(
        web::scope("/v1")
            .wrap(from_fn(show_standing))
            .service(
                web::resource("/sync-requests")
                    .route(web::post().to(submit::submit))
                    .route(web::get().to(list::list))
                    .default_service(only("GET, POST")),
            )
            .service(
                web::resource("/sync-requests/batch")
                    .route(web::post().to(batch::submit_batch))
                    .default_service(only("POST")),
            )
            .service(
                web::resource("/sync-requests/{rid}")
                    .route(web::get().to(get::get))
                    .route(web::delete().to(cancel::cancel))
                    .default_service(only("GET, DELETE")),
            )
            .service(
                web::resource("/sync-requests/{rid}/events")
                    .route(web::get().to(events::events))
                    .default_service(only("GET")),
            )
            .service(
                web::resource("/stream").route(web::get().to(stream::stream)).default_service(only("GET")),
            )
            .default_service(web::to(not_found)),
    )
    .route(
        "/docs",
        web::get().to(async || {
            HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
        }),
    )
    .service(openapi::docs());
}

/// Says in every answer what is left of the rate its request was counted against.
async fn show_standing<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let standing = response.request().extensions().get::<Standing>().copied();
    if let Some(standing) = standing {
        for (name, value) in [(RATELIMIT_POLICY, standing.policy()), (RATELIMIT, standing.left())] {
            if let Ok(value) = header::HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
    }
    Ok(response)
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address"))
}

fn wrong_method(request: &HttpRequest, allowed: &'static str) -> HttpResponse {
    let method: &Method = request.method();
    let problem =
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The method does not exist here")
            .detail(format!("{method} is not one of {allowed}"));
    let mut response = HttpResponse::from_error(problem);
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

/// The request id of the path; what is not one names nothing.
fn path_rid(text: &str) -> Result<Rid, Problem> {
    text.parse().map_err(|_| unknown_request())
}

fn unknown_request() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such request").error(
        "#path/rid",
        "invalid",
        "names no request of this tenant",
    )
}

fn unavailable() -> Problem {
    let title = "The service cannot answer now";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title).retry_after(1)
}

/// What a failed read or send means to a client. Not even a failure for good ends the process here: one
/// record that this build cannot read must not be a way to stop it. The actors end it for what is general.
fn failed(shard: Shard, call: &'static str, error: &LinkError) -> Problem {
    crate::metrics::link_failed(shard, call, error);
    match error.disposition() {
        Disposition::Backpressure => Problem::backpressure(),
        Disposition::Retry => unavailable(),
        Disposition::Reject | Disposition::Halt => internal(),
    }
}

/// A fault of ours; nothing of it leaves the process.
fn internal() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed")
}
