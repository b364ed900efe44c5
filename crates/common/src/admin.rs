//! The admin port of every service: `/livez`, `/readyz`, `/metrics`, `/version`, and the check behind
//! `<binary> healthcheck`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;

/// What the process needs to be ready, each part by name.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<RwLock<BTreeMap<String, Result<String, String>>>>,
}

impl Readiness {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports a part: `Ok(text)` = ready, `Err(text)` = not ready and why.
    pub fn set(&self, part: &str, state: Result<&str, &str>) {
        let state = state.map(str::to_owned).map_err(str::to_owned);
        self.parts.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(part.to_owned(), state);
    }

    fn snapshot(&self) -> BTreeMap<String, Result<String, String>> {
        self.parts.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Every reported part is ready, and there is at least one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let parts = self.snapshot();
        !parts.is_empty() && parts.values().all(Result::is_ok)
    }
}

/// Installs the process' metrics recorder. Every further call in the process answers a handle of the same one, so that
/// a service that is built anew goes on with it.
#[must_use]
pub fn install_metrics() -> PrometheusHandle {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Only a recorder from elsewhere could be there already; then this one stays empty.
        drop(metrics::set_global_recorder(recorder));
        handle
    };
    INSTALLED.get_or_init(install).clone()
}

/// The admin server and the address it listens on.
///
/// # Errors
/// The address cannot be bound.
pub fn serve(
    listen: &str,
    service: &'static str,
    version: &'static str,
    readiness: Readiness,
    metrics: PrometheusHandle,
) -> std::io::Result<(Server, SocketAddr)> {
    let listener = TcpListener::bind(listen)?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(readiness.clone()))
            .app_data(Data::new(metrics.clone()))
            .app_data(Data::new((service, version)))
            .route("/livez", web::get().to(async || HttpResponse::Ok().json(json!({"status": "alive"}))))
            .route("/readyz", web::get().to(ready))
            .route("/metrics", web::get().to(render))
            .route("/version", web::get().to(version_of))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .listen(listener)?
    .run();
    Ok((server, address))
}

async fn ready(readiness: Data<Readiness>) -> HttpResponse {
    let parts = readiness.snapshot();
    let ready = readiness.is_ready();
    let checks: BTreeMap<&String, serde_json::Value> = parts
        .iter()
        .map(|(part, state)| match state {
            Ok(text) => (part, json!({"ready": true, "detail": text})),
            Err(text) => (part, json!({"ready": false, "detail": text})),
        })
        .collect();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({"ready": ready, "checks": checks}))
}

async fn render(metrics: Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(metrics.render())
}

async fn version_of(service: Data<(&'static str, &'static str)>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"service": service.0, "version": service.1}))
}

/// Asks `/readyz` of the process that listens on `admin_listen`; `Ok` when it is ready.
///
/// # Errors
/// Nobody answers, or the answer is not 200.
pub fn healthcheck(admin_listen: &str) -> std::io::Result<()> {
    let port = admin_listen.rsplit(':').next().unwrap_or_default();
    let address = format!("127.0.0.1:{port}")
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| std::io::Error::other("no address to ask"))?;
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(());
    }
    Err(std::io::Error::other(answer.lines().last().unwrap_or("no answer").to_owned()))
}
