//! The one file that wires: settings → files → Redis → actors → HTTP, and the ordered end.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use common::admin::{self, Readiness};
use common::auth::KeyRing;
use common::exposition;
use common::ids::Name;
use common::link::{Commands, Disposition, LinkError};
use common::sse::Places;
use common::supervise::Shutdown;
use common::targets::Targets;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::admit::Configured;
use crate::config::Settings;
use crate::decisions::Validators;
use crate::error::StartError;
use crate::feed::Live;
use crate::generation::Generation;
use crate::http;
use crate::pipeline::Pipeline;
use crate::rates::Rates;
use crate::source::Catalog;
use crate::watcher::{Audience, Waiters};

const CONNECT_PAUSE: Duration = Duration::from_millis(500);
/// How long requests under way may take at the end; what is left is given back to the other collectors.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// A collector that is up.
pub struct Service {
    http: Running,
    http_address: SocketAddr,
    admin: Running,
    admin_address: SocketAddr,
    pipeline: Pipeline,
    readiness: Readiness,
    shutdown: Shutdown,
    audience: Audience,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("http", &self.http_address)
            .field("admin", &self.admin_address)
            .finish_non_exhaustive()
    }
}

/// A server at work on this system.
struct Running {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(server: Server) -> Self {
        Self { handle: server.handle(), task: actix::spawn(server) }
    }
}

/// Brings a collector up on the current actix system. The admin port answers from the first moment on;
/// Redis is waited for.
///
/// # Errors
/// See [`StartError`].
pub async fn build(settings: Settings) -> Result<Service, StartError> {
    let shutdown = Shutdown::new();
    let built = start(settings, shutdown.clone()).await;
    // The error says why it ends; the parts that run already must not end the process before it is told.
    built.inspect_err(|_| shutdown.begin())
}

async fn start(settings: Settings, shutdown: Shutdown) -> Result<Service, StartError> {
    let settings = settings.checked()?;
    let keys = Arc::new(KeyRing::load(&settings.keys_file)?);
    let targets = Targets::load(&settings.targets_file)?;
    let catalog = match settings.sources_file.as_str() {
        "" => Catalog::default(),
        path => Catalog::load(Path::new(path))?,
    };
    let validators = Validators::new(&settings.validators)?;

    let readiness = Readiness::new();
    readiness.set("redis", Err("not reached yet"));
    let metrics = exposition::install("collector", env!("CARGO_PKG_VERSION"), &crate::metrics::TABLES);
    crate::metrics::begin(&settings, &catalog.followed());
    let (version, listen) = (env!("CARGO_PKG_VERSION"), &settings.http.admin_listen);
    let (admin, admin_address) = admin::serve(listen, "collector", version, readiness.clone(), metrics)
        .map_err(|source| StartError::Listen { address: listen.clone(), source })?;
    let admin = Running::start(admin);

    let commands = connect(&settings, &readiness).await?;
    let generation = Generation::new();
    let lifeline = shutdown.lifeline("generation watch");
    let watch = generation.clone().watch(commands.clone(), readiness.clone());
    actix::spawn(async move {
        let _lifeline = lifeline;
        watch.await
    });
    let audience = Audience { waiters: Waiters::new(settings.limits.waiters_max), live: Live::new() };
    let pipeline = Pipeline::start(&commands, settings.collect, &catalog, &generation, &audience, &shutdown)
        .map_err(StartError::Source)?;

    let rates = Rates::new(&keys, &settings.limits);
    let configured = Arc::new(Configured::new(catalog, &targets));
    let shared = http::Shared {
        keys,
        configured,
        commands,
        generation,
        waiters: audience.waiters.clone(),
        validators,
        batches: Arc::new(Semaphore::new(settings.limits.batches_max)),
        patience: Duration::from_millis(settings.limits.request_timeout_ms),
        rates,
        live: audience.live.clone(),
        places: Places::new(settings.limits.streams_per_key_max, settings.limits.streams_max),
        heartbeat: Duration::from_millis(settings.limits.heartbeat_ms),
    };
    let failed = |source| StartError::Listen { address: settings.http.listen.clone(), source };
    let listener = TcpListener::bind(&settings.http.listen).map_err(failed)?;
    let http_address = listener.local_addr().map_err(failed)?;
    let http = Running::start(http::serve(listener, &settings, shared, &shutdown).map_err(failed)?);
    tracing::info!(%http_address, %admin_address, instance = settings.instance, "The collector is up");
    Ok(Service { http, http_address, admin, admin_address, pipeline, readiness, shutdown, audience })
}

/// Waits for Redis as long as it takes; only an address or a password that is wrong ends it.
async fn connect(settings: &Settings, readiness: &Readiness) -> Result<Commands, StartError> {
    let address = settings.redis.address()?;
    let instance: Name = settings
        .instance
        .parse()
        .map_err(|error: common::ids::IdError| StartError::Source(error.to_string()))?;
    loop {
        let error: LinkError = match Commands::connect(&address, &instance).await {
            Ok(commands) => return Ok(commands),
            Err(error) => error,
        };
        if matches!(error.disposition(), Disposition::Halt | Disposition::Reject) {
            return Err(error.into());
        }
        readiness.set("redis", Err("not reached yet"));
        tracing::warn!(error = ?error, "Redis is not reached yet");
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

impl Service {
    /// Where the API listens.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where the admin port listens.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Whether everything the collector needs is there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Serves until `until` resolves, then ends in order: readiness fails, waiting clients are answered, no
    /// new connections and no new entries, answers and collecting under way end (bounded), what is unfinished is
    /// given back, the admin port closes.
    ///
    /// # Errors
    /// A server ended by itself.
    pub async fn run(self, until: impl Future<Output = ()>) -> std::io::Result<()> {
        let Self { mut http, admin, pipeline, readiness, shutdown, audience, .. } = self;
        tokio::select! {
            () = until => {}
            ended = &mut http.task => {
                shutdown.begin();
                return ended.map_err(std::io::Error::other).and_then(|result| result);
            }
        }
        shutdown.begin();
        readiness.set("shutdown", Err("shutting down"));
        audience.close();
        tokio::join!(http.handle.stop(true), pipeline.drain(DRAIN_PATIENCE));
        admin.handle.stop(true).await;
        Ok(())
    }
}
