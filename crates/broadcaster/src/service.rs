//! Wires the broadcaster: one watch per shard, one lane per shard and target, the API, the admin port.
//!
//! Shutdown, in order and bounded: fail readiness → lanes finish their turn, which binds nothing more and leaves every
//! signed transaction stored and sent → leases are given back → HTTP stops.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use common::admin::{self, Readiness};
use common::auth::KeyRing;
use common::exposition;
use common::ids::{Name, Shard};
use common::link::{Commands, Link, LinkError, Scripts, Token};
use common::supervise::Shutdown;
use common::targets::{Target as Configured, TargetKind, Targets};
use tokio::sync::{mpsc, watch};

use crate::board::Board;
use crate::config::{NullSettings, Settings};
use crate::endpoints::Endpoints;
use crate::error::StartError;
use crate::http::{self, Api};
use crate::lane::{Lane, LaneParts};
use crate::metrics::LaneLabels;
use crate::renewal::Renewal;
use crate::target::evm::{Evm, Limits, Place, Rpc, Wallets};
use crate::target::null::Null;
use crate::watch::{ShardWatch, WatchParts};

/// What the names of broadcasters begin with, in leases and among members.
const MEMBER_PREFIX: &str = "broadcaster-";
/// How long lanes get to finish their turns; a turn is bounded by the time limits of its calls.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// Attempts to reach Redis at the start, one per half second.
const CONNECT_ATTEMPTS: u32 = 20;

/// Where the service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub http: SocketAddr,
    pub admin: SocketAddr,
}

/// A running broadcaster. Lives in the actix system it was built in.
#[derive(Debug)]
pub struct Service {
    addresses: Addresses,
    instance: Name,
    readiness: Readiness,
    shutdown: Shutdown,
    drain: watch::Sender<bool>,
    drained: mpsc::Receiver<()>,
    renewal: watch::Receiver<bool>,
    servers: Vec<ServerHandle>,
}

/// Starts everything; ports are bound and lanes run when it returns.
///
/// # Errors
/// A file or setting cannot be used, Redis cannot be reached, or a port is taken.
pub async fn build(settings: Settings) -> Result<Service, StartError> {
    build_with_scripts(settings, Scripts::standard()).await
}

/// As [`build`], with other link scripts: only tests that show what a step is for do this.
///
/// # Errors
/// As [`build`].
pub async fn build_with_scripts(settings: Settings, scripts: Arc<Scripts>) -> Result<Service, StartError> {
    let targets = Targets::load(&settings.targets_file)?;
    let keys = KeyRing::load(&settings.keys_file)?;
    let evm = EvmParts::load(&settings, &targets)?;
    let instance = instance(&settings.instance)?;
    let commands = connect(&settings, &instance).await?;
    let links: BTreeMap<Shard, Link> = Shard::ALL
        .into_iter()
        .map(|shard| (shard, Link::with_scripts(commands.clone(), shard, Arc::clone(&scripts))))
        .collect();
    let readiness = Readiness::new();
    let shutdown = Shutdown::new();
    let board = Board::default();
    let (drain, drain_seen) = watch::channel(false);
    let (renewal, renewal_seen) = Renewal::new(settings.clone());
    let (drained_sender, drained) = mpsc::channel(1);
    let names: Vec<Name> = targets.iter().map(|target| target.name.clone()).collect();

    let api = Api { keys, links: links.clone(), targets: targets.clone(), board: board.clone() };
    let (server, http_address) = http::serve(&settings.http, api)
        .map_err(|source| StartError::Listen { address: settings.http.listen.clone(), source })?;
    let (admin_server, admin_address) = admin_server(&settings, &readiness)?;

    let journals: Vec<Link> = links.values().cloned().collect();
    for (shard, link) in links {
        readiness.set(&format!("shard:{shard}"), Err("starting"));
        let watch = WatchParts {
            link: link.clone(),
            targets: names.clone(),
            digest: targets.digest(),
            every: Duration::from_millis(settings.lane.watch_ms),
            member_ttl_ms: settings.lane.lease_ttl_ms,
            readiness: readiness.clone(),
            drain: drain_seen.clone(),
            renewal: renewal.clone(),
        };
        let views = ShardWatch::start(watch, shutdown.lifeline(format!("watch of shard {shard}")));
        for target in targets.iter() {
            let parts = LaneParts {
                link: link.clone(),
                journals: journals.clone(),
                target: target.name.clone(),
                node: instance.clone(),
                token: Token::random(),
                settings: settings.lane.clone(),
                views: views.clone(),
                drain: drain_seen.clone(),
                board: board.clone(),
                readiness: readiness.clone(),
                labels: LaneLabels::new(shard, &target.name, settings.lane.window),
                drained: drained_sender.clone(),
            };
            start_lane(parts, target, evm.as_ref(), settings.null, &shutdown)?;
        }
    }
    let servers = vec![server.handle(), admin_server.handle()];
    run_server(server, &shutdown, "http");
    run_server(admin_server, &shutdown, "admin port");
    let addresses = Addresses { http: http_address, admin: admin_address };
    tracing::info!(%instance, http = %addresses.http, admin = %addresses.admin, "The broadcaster runs");
    Ok(Service { addresses, instance, readiness, shutdown, drain, drained, renewal: renewal_seen, servers })
}

/// What lanes of kind `evm` share.
pub(crate) struct EvmParts {
    wallets: Wallets,
    endpoints: Endpoints,
    limits: Limits,
    rpc_limit: Duration,
}

impl EvmParts {
    /// `None` if no target needs it: then neither keys nor endpoints have to exist.
    pub(crate) fn load(settings: &Settings, targets: &Targets) -> Result<Option<Self>, StartError> {
        if targets.iter().all(|target| target.kind != TargetKind::Evm) {
            return Ok(None);
        }
        let evm = &settings.evm;
        let limits = Limits {
            tx_gas_max: evm.tx_gas_max,
            transactions_max: evm.transactions_max,
            window: settings.lane.window,
            caps: evm.caps(),
            poll: Duration::from_millis(evm.poll_ms),
            patience: evm.patience(),
            gap_ms: evm.gap_ms,
            stuck_ms: evm.stuck_ms,
            balance_min: evm.balance_min_transactions,
            retry: evm.retry(),
        };
        let wallets = Wallets::load(&settings.sender_keys_file)?;
        let endpoints = Endpoints::load(&settings.endpoints_file)?;
        // Seen before anything runs: a target without an endpoint.
        for target in targets.iter().filter(|target| target.kind == TargetKind::Evm) {
            endpoints.of(&target.name)?;
        }
        Ok(Some(Self { wallets, endpoints, limits, rpc_limit: Duration::from_millis(evm.rpc_timeout_ms) }))
    }
}

fn start_lane(
    parts: LaneParts,
    target: &Configured,
    evm: Option<&EvmParts>,
    null: NullSettings,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let shard = parts.link.shard();
    let lifeline = shutdown.lifeline(format!("lane {shard}/{}", target.name));
    // `Targets` has checked that EVM targets have all three.
    if let (Some(evm), Some(chain_id), Some(contract), Some(tier)) =
        (evm, target.chain_id, target.contract, target.tier)
    {
        let wallet = evm.wallets.of(shard)?.clone();
        parts.board.update(shard, &target.name, |report| report.sender = Some(wallet.address().to_string()));
        let place = Place { shard, chain_id, contract: contract.0.into(), tier };
        let rpc = Rpc::new(evm.endpoints.of(&target.name)?, evm.rpc_limit, chain_id);
        drop(Lane::start(parts, Evm::new(place, evm.limits, rpc, wallet), lifeline));
    } else {
        drop(Lane::start(parts, Null::new(null), lifeline));
    }
    Ok(())
}

fn instance(configured: &str) -> Result<Name, StartError> {
    let name = if configured.is_empty() {
        format!("{MEMBER_PREFIX}{:08x}", rand_suffix())
    } else if configured.starts_with(MEMBER_PREFIX) {
        configured.to_owned()
    } else {
        format!("{MEMBER_PREFIX}{configured}")
    };
    name.parse().map_err(StartError::Instance)
}

/// 32 random bits, of a fresh token.
fn rand_suffix() -> u32 {
    let digest = common::hash::Digest::of(&[Token::random().as_str().as_bytes()]);
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Redis may start a moment later than this process.
async fn connect(settings: &Settings, instance: &Name) -> Result<Commands, StartError> {
    let address = settings.redis.address()?;
    let mut attempt = 1;
    loop {
        match Commands::connect(&address, instance).await {
            Ok(commands) => return Ok(commands),
            Err(error) if attempt >= CONNECT_ATTEMPTS || !is_worth_waiting(&error) => {
                return Err(error.into());
            }
            Err(error) => tracing::warn!(%error, attempt, "Redis does not answer yet"),
        }
        attempt += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn is_worth_waiting(error: &LinkError) -> bool {
    error.disposition() == common::link::Disposition::Retry
}

fn admin_server(settings: &Settings, readiness: &Readiness) -> Result<(Server, SocketAddr), StartError> {
    let listen = &settings.http.admin_listen;
    let metrics = exposition::install("broadcaster", env!("CARGO_PKG_VERSION"), &crate::metrics::TABLES);
    admin::serve(listen, "broadcaster", env!("CARGO_PKG_VERSION"), readiness.clone(), metrics)
        .map_err(|source| StartError::Listen { address: listen.clone(), source })
}

fn run_server(server: Server, shutdown: &Shutdown, part: &'static str) {
    let lifeline = shutdown.lifeline(part);
    actix_web::rt::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, part, "A server ended");
        }
        drop(lifeline);
    });
}

impl Service {
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The name in leases and among members.
    #[must_use]
    pub fn instance(&self) -> &Name {
        &self.instance
    }

    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Resolves when the log names another target list and the targets file holds it: the process should drain
    /// and build itself anew.
    pub fn renewal(&self) -> impl Future<Output = ()> + use<> {
        let mut renewal = self.renewal.clone();
        async move {
            if renewal.wait_for(|is_wanted| *is_wanted).await.is_err() {
                // Nobody looks any more: the process drains.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Serves until `until` resolves, then drains; answers what it resolved to.
    pub async fn run<T>(mut self, until: impl Future<Output = T>) -> T {
        let reason = until.await;
        tracing::info!("Draining");
        self.shutdown.begin();
        self.readiness.set("shutdown", Err("draining"));
        self.drain.send_replace(true);
        if tokio::time::timeout(DRAIN_LIMIT, self.drained.recv()).await.is_err() {
            tracing::warn!(
                "Lanes did not finish their turns in time; the next owner goes on from the journal"
            );
        }
        for server in &self.servers {
            server.stop(true).await;
        }
        reason
    }
}
