//! The validator put together: the one file that knows all parts.
//!
//! [`build`] parses everything, takes a data folder and binds the ports; [`Service::run`] connects, starts the
//! parts and stops them in order: readiness off, HTTP closed, sequencers finish their entry and sync, leases
//! given back.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor as _, Arbiter};
use actix_web::dev::{Server, ServerHandle};
use common::admin::{self, Readiness};
use common::auth::{KeyFileError, KeyRing};
use common::config::ConfigError;
use common::exposition;
use common::ids::{Name, Shard};
use common::link::{self, Commands, LinkError};
use common::targets::{Targets, TargetsError};
use tokio::sync::watch;

use crate::checkpoint;
use crate::config::Settings;
use crate::data_dir::{DataDir, DataDirError};
use crate::http::{self, Api};
use crate::lease::LeaseKeeper;
use crate::life::Lives;
use crate::peers::Peers;
use crate::relay::Relay;
use crate::sequencer::{Duties, Sequencer};
use crate::shard::ShardState;
use crate::signer::{Signer, SignerError};
use crate::targets_file::TargetsFile;
use crate::threads::Threads;
use crate::trim::Trimmer;
use crate::view::{View, ViewError};

/// How long the parts may take to end.
const STOP_MAX: Duration = Duration::from_secs(8);

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Targets(#[from] TargetsError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error("redis.url")]
    Redis(#[source] LinkError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("cannot listen on {address}")]
    Listen { address: String, source: std::io::Error },
    #[error("cannot open {path}")]
    View { path: PathBuf, source: ViewError },
    #[error("the client for other validators")]
    Peers(#[source] reqwest::Error),
    #[error("the HTTP server failed")]
    Http(#[source] std::io::Error),
}

impl StartError {
    /// Exit code of [`common::exit`].
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Config(_)
            | Self::Keys(_)
            | Self::Targets(_)
            | Self::Signer(_)
            | Self::Redis(_)
            | Self::DataDir(_)
            | Self::Listen { .. } => common::exit::CONFIG,
            Self::View { .. } | Self::Http(_) | Self::Peers(_) => common::exit::ESSENTIAL,
        }
    }
}

/// A validator that is not running yet.
pub struct Service {
    settings: Settings,
    address: link::Address,
    keys: KeyRing,
    signer: Arc<Signer>,
    peers: Peers,
    targets_file: TargetsFile,
    targets: watch::Receiver<Arc<Targets>>,
    views: Vec<View>,
    listener: TcpListener,
    admin: Server,
    http_address: SocketAddr,
    admin_address: SocketAddr,
    readiness: Readiness,
    /// Held as long as the service lives.
    data: DataDir,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("data", &self.data)
            .field("http", &self.http_address)
            .finish_non_exhaustive()
    }
}

/// Parses everything, takes a data folder, binds the ports.
///
/// # Errors
/// See [`StartError`].
pub async fn build(settings: Settings) -> Result<Service, StartError> {
    settings.check()?;
    let address = settings.redis.address()?;
    let keys = KeyRing::load(&settings.keys_file)?;
    let (targets_file, targets) = TargetsFile::open(&settings.targets_file)?;
    let signer = Arc::new(Signer::load(&settings.validator_key_file)?);
    let peer_key = settings.peer.key_file.as_deref().map(common::config::read_secret).transpose()?;
    let data = DataDir::take(&settings.data_dir)?;
    let peers = Peers::new(data.node().clone(), peer_key).map_err(StartError::Peers)?;
    let views =
        Shard::ALL.into_iter().map(|shard| open_view(&data, shard, &settings)).collect::<Result<_, _>>()?;
    let listener = TcpListener::bind(&settings.http.listen)
        .map_err(|source| StartError::Listen { address: settings.http.listen.clone(), source })?;
    let http_address = listener.local_addr().map_err(StartError::Http)?;
    let readiness = Readiness::new();
    readiness.set("redis", Err("not connected yet"));
    let (admin, admin_address) = admin::serve(
        &settings.http.admin_listen,
        "validator",
        env!("CARGO_PKG_VERSION"),
        readiness.clone(),
        exposition::install("validator", env!("CARGO_PKG_VERSION"), &crate::metrics::TABLES),
    )
    .map_err(|source| StartError::Listen { address: settings.http.admin_listen.clone(), source })?;
    // As long as nothing was heard of Redis it does not answer.
    crate::metrics::redis(None);
    tracing::info!(node = %data.node(), signer = %signer.address(), %http_address, %admin_address, "Built the validator");
    Ok(Service {
        settings,
        address,
        keys,
        signer,
        peers,
        targets_file,
        targets,
        views,
        listener,
        admin,
        http_address,
        admin_address,
        readiness,
        data,
    })
}

fn open_view(data: &DataDir, shard: Shard, settings: &Settings) -> Result<View, StartError> {
    let path = data.database(shard);
    View::open(&path, shard, settings.view).map_err(|source| StartError::View { path, source })
}

impl Service {
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// What this process calls itself: `validator-<n>`.
    #[must_use]
    pub fn node(&self) -> &Name {
        self.data.node()
    }

    /// Runs until `until` resolves, then stops in order.
    ///
    /// # Errors
    /// Redis refuses for good, or a server fails.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<(), StartError> {
        let mut until = std::pin::pin!(until);
        let admin = self.admin.handle();
        actix::spawn(self.admin);
        let connect = async || Commands::connect(&self.address, self.data.node()).await;
        let commands = tokio::select! {
            commands = crate::retry::until_known("connect", connect) => commands.map_err(StartError::Redis)?,
            () = &mut until => {
                admin.stop(false).await;
                return Ok(());
            }
        };
        let url = self.settings.peer.url(self.http_address, std::env::var("HOSTNAME").ok());
        let shards: Vec<Arc<ShardState>> = self
            .views
            .into_iter()
            .map(|view| Arc::new(ShardState::new(commands.shard(view.shard()), view).at(&url)))
            .collect();
        // Made before anything whose end would end the process without this error; it accepts once it is spawned.
        let api = Api::new(shards.clone(), self.keys, self.data.node().clone());
        let server = http::serve(self.listener, self.settings.http.workers, api).map_err(StartError::Http)?;
        let (stop, stopped) = watch::channel(false);
        let lives = Lives::new();
        let parts = Parts {
            settings: &self.settings,
            node: self.data.node(),
            signer: &self.signer,
            peers: &self.peers,
            targets: &self.targets,
            readiness: &self.readiness,
            stopped: &stopped,
            lives: &lives,
        };
        let arbiters = parts.start(&shards);
        let keeper = checkpoint::keeper::run(shards.clone(), self.settings.checkpoint, stopped.clone());
        actix::spawn(common::supervise::essential("checkpoint", keeper));
        actix::spawn(common::supervise::essential("look", crate::look::run(shards)));
        let watch = self.targets_file.watch(self.readiness.clone());
        actix::spawn(common::supervise::essential("targets", watch));
        let http = server.handle();
        let mut server = actix::spawn(server);
        let ended = tokio::select! {
            () = until => Ok(()),
            ended = &mut server => ended.unwrap_or_else(|error| Err(std::io::Error::other(error))),
        };
        self.readiness.set("process", Err("stopping"));
        stop_all(&http, &admin, &stop, lives).await;
        for arbiter in arbiters {
            arbiter.stop();
        }
        ended.map_err(StartError::Http)
    }
}

async fn stop_all(http: &ServerHandle, admin: &ServerHandle, stop: &watch::Sender<bool>, lives: Lives) {
    lives.begin_shutdown();
    http.stop(true).await;
    stop.send_replace(true);
    if tokio::time::timeout(STOP_MAX, lives.ended()).await.is_err() {
        tracing::error!("Not every part ended in time; the process ends without them");
    }
    admin.stop(false).await;
}

/// What the actors are made of.
struct Parts<'a> {
    settings: &'a Settings,
    node: &'a Name,
    signer: &'a Arc<Signer>,
    peers: &'a Peers,
    targets: &'a watch::Receiver<Arc<Targets>>,
    readiness: &'a Readiness,
    stopped: &'a watch::Receiver<bool>,
    lives: &'a Lives,
}

impl Parts<'_> {
    /// Starts all actors; sequencers and relays on threads of their own.
    fn start(&self, shards: &[Arc<ShardState>]) -> Vec<Arbiter> {
        let mut arbiters = Vec::new();
        for shard in shards {
            let (sequencer, relay) = (self.sequencer(shard), self.relay(shard));
            let arbiter = Arbiter::new();
            Sequencer::start_in_arbiter(&arbiter.handle(), |_| sequencer);
            arbiters.push(arbiter);
            let arbiter = Arbiter::new();
            Relay::start_in_arbiter(&arbiter.handle(), |_| relay);
            arbiters.push(arbiter);
        }
        LeaseKeeper::new(
            shards.to_vec(),
            self.node.clone(),
            self.settings.lease,
            self.readiness.clone(),
            self.stopped.clone(),
            self.lives.of("lease"),
        )
        .start();
        Trimmer::new(
            shards.to_vec(),
            self.node.clone(),
            self.settings.log,
            self.stopped.clone(),
            self.lives.of("trim"),
        )
        .start();
        arbiters
    }

    fn sequencer(&self, shard: &Arc<ShardState>) -> Sequencer {
        let duties = Duties {
            node: self.node.clone(),
            targets: self.targets.clone(),
            lease: self.settings.lease,
            peers: self.peers.clone(),
            readiness: self.readiness.clone(),
            stand_in: self.settings.stand_in,
            crew: Threads::of_this_machine(),
            stop: self.stopped.clone(),
        };
        Sequencer::new(Arc::clone(shard), duties, self.lives.of(format!("sequencer.{}", shard.shard)))
    }

    fn relay(&self, shard: &Arc<ShardState>) -> Relay {
        Relay::new(
            Arc::clone(shard),
            Arc::clone(self.signer),
            self.settings.relay,
            shard.watch_orders(),
            self.stopped.clone(),
            self.lives.of(format!("relay.{}", shard.shard)),
        )
    }
}

/// Deletes the views of the first free data folder; the archive stays.
///
/// # Errors
/// No folder is free, or a database cannot be used.
pub fn clear_views(settings: &Settings) -> Result<(), StartError> {
    let data = DataDir::take(&settings.data_dir)?;
    for shard in Shard::ALL {
        let view = open_view(&data, shard, settings)?;
        view.clear().map_err(|source| StartError::View { path: data.database(shard), source })?;
        tracing::info!(%shard, node = %data.node(), "Deleted the view; the next start rebuilds it");
    }
    Ok(())
}
