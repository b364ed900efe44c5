//! The API: `/v1/targets`, pause and resume, `/v1/deliveries/{rid}`, `/v1/dlq`.
//!
//! Answers come from Redis and from what the lanes report; no request waits for a chain.

mod deliveries;
mod dlq;
mod openapi;
mod targets;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use common::auth::KeyRing;
use common::config::HttpSettings;
use common::ids::Shard;
use common::link::{Link, LinkError};
use common::problem::Problem;
use common::targets::Targets;

use crate::board::Board;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) keys: KeyRing,
    pub(crate) links: BTreeMap<Shard, Link>,
    pub(crate) targets: Targets,
    pub(crate) board: Board,
}

/// The server and the address it listens on.
pub(crate) fn serve(settings: &HttpSettings, api: Api) -> std::io::Result<(Server, SocketAddr)> {
    let listener = TcpListener::bind(&settings.listen)?;
    let address = listener.local_addr()?;
    let api = Data::new(api);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(api.clone())
            .wrap(from_fn(common::envelope::wrap))
            .service(
                web::scope("/v1")
                    .service(targets::list)
                    .service(targets::pause)
                    .service(targets::resume)
                    .service(deliveries::get)
                    .service(dlq::list),
            )
            .default_service(web::to(not_found))
    })
    .workers(settings.workers.max(1))
    .disable_signals()
    .shutdown_timeout(2)
    .listen(listener)?
    .run();
    Ok((server, address))
}

async fn not_found() -> Result<(), Problem> {
    Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "There is no such resource"))
}

/// Redis did not answer: the caller tries again.
fn unavailable(error: &LinkError) -> Problem {
    tracing::warn!(%error, "A request could not be answered");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Redis does not answer").retry_after(1)
}
