//! The admin port of every service: `/livez`, `/readyz`, `/healthz`, `/metrics`, `/version`, and the check behind
//! `<binary> healthcheck`.
//!
//! | path | 200 means | who asks |
//! |---|---|---|
//! | `/livez` | the process runs | people |
//! | `/readyz` | it serves its routes | the proxy |
//! | `/healthz` | it serves its routes, or stands by for one that does | the container engine, by `healthcheck` |

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::exposition;

/// How a part of the process is, and the process by the worst of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Ready,
    /// Another process does this work; this one would take over.
    Standby,
    NotReady,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Standby => "standby",
            Self::NotReady => "not_ready",
        }
    }
}

/// What the process needs to be ready, each part by name, with what there is to say of it.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<RwLock<BTreeMap<String, (Health, String)>>>,
}

impl Readiness {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports a part: `Ok(text)` = ready, `Err(text)` = not ready and why.
    pub fn set(&self, part: &str, state: Result<&str, &str>) {
        match state {
            Ok(text) => self.put(part, Health::Ready, text),
            Err(text) => self.put(part, Health::NotReady, text),
        }
    }

    /// Reports a part that leaves its work to another process and would take over.
    pub fn stand_by(&self, part: &str, text: &str) {
        self.put(part, Health::Standby, text);
    }

    fn put(&self, part: &str, health: Health, text: &str) {
        let mut parts = self.parts.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        parts.insert(part.to_owned(), (health, text.to_owned()));
    }

    fn snapshot(&self) -> BTreeMap<String, (Health, String)> {
        self.parts.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The worst of all reported parts; without any there is nothing to rely on.
    #[must_use]
    pub fn health(&self) -> Health {
        self.snapshot().values().map(|(health, _)| *health).max().unwrap_or(Health::NotReady)
    }

    /// Every reported part is ready, and there is at least one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.health() == Health::Ready
    }
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
    actix_web::rt::spawn(exposition::keep_up(metrics.clone()));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(readiness.clone()))
            .app_data(Data::new(metrics.clone()))
            .app_data(Data::new((service, version)))
            .route("/livez", web::get().to(async || HttpResponse::Ok().json(json!({"status": "alive"}))))
            .route("/readyz", web::get().to(ready))
            .route("/healthz", web::get().to(healthy))
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
    report(&readiness, Health::Ready)
}

async fn healthy(readiness: Data<Readiness>) -> HttpResponse {
    report(&readiness, Health::Standby)
}

/// Every part; 200 unless the process is worse than `worst`.
fn report(readiness: &Readiness, worst: Health) -> HttpResponse {
    let parts = readiness.snapshot();
    let checks: BTreeMap<&String, serde_json::Value> = parts
        .iter()
        .map(|(part, (health, text))| {
            let ready = *health == Health::Ready;
            (part, json!({"ready": ready, "state": health.word(), "detail": text}))
        })
        .collect();
    let health = readiness.health();
    let mut response = if health <= worst { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({"ready": health == Health::Ready, "state": health.word(), "checks": checks}))
}

async fn render(metrics: Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(metrics.render())
}

async fn version_of(service: Data<(&'static str, &'static str)>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"service": service.0, "version": service.1}))
}

/// Asks `/healthz` of the process that listens on `admin_listen`; `Ok` when it is ready or stands by.
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
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(());
    }
    Err(std::io::Error::other(answer.lines().last().unwrap_or("no answer").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_as_its_worst_part_and_not_ready_before_any_has_reported() {
        let readiness = Readiness::new();
        assert_eq!(readiness.health(), Health::NotReady);
        readiness.set("redis", Ok("answers"));
        assert!(readiness.is_ready());
        readiness.stand_by("leader", "led by another");
        assert_eq!((readiness.health(), readiness.is_ready()), (Health::Standby, false));
        readiness.set("redis", Err("silent"));
        assert_eq!(readiness.health(), Health::NotReady);
        readiness.set("redis", Ok("answers"));
        readiness.set("leader", Ok("leads"));
        assert_eq!(readiness.health(), Health::Ready);
    }

    #[test]
    fn standing_by_is_healthy_and_not_ready_for_the_proxy() {
        let readiness = Readiness::new();
        let codes = || {
            let code = |worst| report(&readiness, worst).status().as_u16();
            (code(Health::Ready), code(Health::Standby))
        };
        assert_eq!(codes(), (503, 503));
        readiness.stand_by("leader", "led by another");
        assert_eq!(codes(), (503, 200));
        readiness.set("leader", Ok("leads"));
        assert_eq!(codes(), (200, 200));
    }
}
