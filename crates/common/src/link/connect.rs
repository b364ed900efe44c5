//! Connections: one multiplexed connection for commands, dedicated ones for blocking readers.
//!
//! Bounds: connecting 1 s, a reply 2 s, a blocking reply block + 2 s. A command is never repeated by itself
//! (a lost reply of a write means "outcome unknown"); only the connection is made anew, also after a reply
//! that did not come in time: a path that has gone silent would otherwise hold every later call too.
//! TCP_NODELAY is on.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, RedisError, ScriptInvocation, TlsCertificates, Value,
};
use secrecy::{ExposeSecret, SecretString};

use super::error::LinkError;
use super::{Link, Scripts};
use crate::ids::{Name, Shard};
use crate::keys::Keys;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than BLOCK a blocking reader waits for its reply.
pub(super) const BLOCK_GRACE: Duration = Duration::from_secs(2);
const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(20);
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(250);
/// Attempts of one reconnection. Callers see the error after it and call again.
const RECONNECT_ATTEMPTS: usize = 4;
/// Commands that may be in flight; the default of 50 would serialise a busy collector.
const IN_FLIGHT_MAX: usize = 1_024;

/// Where Redis is and as whom to speak to it. The password comes from a secret file, not from the URL.
#[derive(Clone)]
pub struct Address {
    client: Client,
}

/// PEM files for a `rediss://` address.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// Who may have signed the server's certificate, and nobody else; `None` = whom the system trusts.
    pub ca: Option<Vec<u8>>,
    /// The client's own certificate and its key, where the server asks for them.
    pub client: Option<ClientCertificate>,
}

/// A certificate with its key, both PEM. Shows neither.
#[derive(Clone)]
pub struct ClientCertificate {
    pub certificate: Vec<u8>,
    pub key: SecretString,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// The one implementation of TLS cryptography in the process. Who installed another one before keeps it.
static PROVIDER: LazyLock<()> =
    LazyLock::new(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));

impl Address {
    /// `url`: `redis://host:port[/db]`, `unix:/path`, or `rediss://…` for TLS with the system's trust.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn new(url: &str, user: Option<&str>, password: Option<&SecretString>) -> Result<Self, LinkError> {
        let info = connection(url, user, password)?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            LazyLock::force(&PROVIDER);
        }
        Client::open(info).map(|client| Self { client }).map_err(LinkError::Address)
    }

    /// A `rediss://` address with certificates of its own.
    ///
    /// # Errors
    /// The URL is not one or does not speak TLS; a certificate or key cannot be read.
    pub fn with_certificates(
        url: &str,
        user: Option<&str>,
        password: Option<&SecretString>,
        certificates: &Certificates,
    ) -> Result<Self, LinkError> {
        LazyLock::force(&PROVIDER);
        let client_tls = certificates.client.as_ref().map(|client| ClientTlsConfig {
            client_cert: client.certificate.clone(),
            client_key: client.key.expose_secret().as_bytes().to_vec(),
        });
        let tls = TlsCertificates { client_tls, root_cert: certificates.ca.clone() };
        let info = connection(url, user, password)?;
        Client::build_with_tls(info, tls).map(|client| Self { client }).map_err(LinkError::Address)
    }

    /// A connection of its own, for one blocking reader or a tool: a reply may take `block` + 2 s.
    ///
    /// # Errors
    /// Redis cannot be reached or refuses the credentials.
    pub async fn dedicated(&self, block: Duration) -> Result<MultiplexedConnection, LinkError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(block + BLOCK_GRACE));
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|source| LinkError::Redis { call: "CONNECT", source })
    }
}

fn connection(
    url: &str,
    user: Option<&str>,
    password: Option<&SecretString>,
) -> Result<ConnectionInfo, LinkError> {
    let info = url.into_connection_info().map_err(LinkError::Address)?;
    let mut settings = info.redis_settings().clone();
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose_secret());
    }
    Ok(info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own form would show the user; the host is enough to find a fault.
        f.debug_tuple("Address").field(self.client.get_connection_info().addr()).finish()
    }
}

/// The connection for commands, shared by all shards and clones. Makes itself anew when it breaks.
#[derive(Clone)]
pub struct Commands {
    connection: Arc<Mutex<Connection>>,
    address: Address,
    instance: Name,
    settled: Arc<Settled>,
}

/// The connection in use. It reconnects by itself when it breaks, and is replaced when it has gone silent.
struct Connection {
    manager: ConnectionManager,
    /// Counts replacements, so that many calls timing out together replace it once.
    generation: u64,
}

/// Whether a barrier write has been answered since the connection last broke.
#[derive(Debug)]
struct Settled {
    /// Counts breaks; starts at 1 for the first connect.
    breaks: AtomicU64,
    /// The count of breaks that the last answered barrier covers.
    covered: AtomicU64,
}

impl Settled {
    fn missing(&self) -> Option<u64> {
        let breaks = self.breaks.load(Ordering::SeqCst);
        (self.covered.load(Ordering::SeqCst) < breaks).then_some(breaks)
    }
}

impl Commands {
    /// Connects. `instance` names this process in `:barrier:<instance>` and must be unique among the
    /// running ones.
    ///
    /// # Errors
    /// Redis cannot be reached or refuses the credentials.
    pub async fn connect(address: &Address, instance: &Name) -> Result<Self, LinkError> {
        let manager = ConnectionManager::new_with_config(address.client.clone(), manager_config())
            .await
            .map_err(|source| LinkError::Redis { call: "CONNECT", source })?;
        Ok(Self {
            connection: Arc::new(Mutex::new(Connection { manager, generation: 0 })),
            address: address.clone(),
            instance: instance.clone(),
            settled: Arc::new(Settled { breaks: AtomicU64::new(1), covered: AtomicU64::new(0) }),
        })
    }

    #[must_use]
    pub fn shard(&self, shard: Shard) -> Link {
        Link::new(self.clone(), shard)
    }

    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    #[must_use]
    pub fn instance(&self) -> &Name {
        &self.instance
    }

    pub(super) async fn invoke(
        &self,
        keys: &Keys,
        call: &'static str,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<Value, LinkError> {
        self.settle(keys).await?;
        let (mut manager, generation) = self.current();
        let result = invocation.invoke_async(&mut manager).await;
        self.answer(keys, call, generation, result).await
    }

    pub(super) async fn query(
        &self,
        keys: &Keys,
        call: &'static str,
        command: &Cmd,
    ) -> Result<Value, LinkError> {
        self.settle(keys).await?;
        let (mut manager, generation) = self.current();
        let result = command.query_async(&mut manager).await;
        self.answer(keys, call, generation, result).await
    }

    pub(super) async fn query_all(
        &self,
        keys: &Keys,
        call: &'static str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, LinkError> {
        self.settle(keys).await?;
        let (mut manager, generation) = self.current();
        let result = pipeline.query_async(&mut manager).await;
        self.answer(keys, call, generation, result).await
    }

    /// Gives a reply out; one that came over a connection made anew while the call ran only after a
    /// barrier write as well.
    async fn answer<T>(
        &self,
        keys: &Keys,
        call: &'static str,
        generation: u64,
        result: Result<T, RedisError>,
    ) -> Result<T, LinkError> {
        let value = result.map_err(|source| self.fault(call, generation, source))?;
        self.settle(keys).await?;
        Ok(value)
    }

    /// Counts a break, and replaces a connection that has gone silent.
    fn fault(&self, call: &'static str, generation: u64, source: RedisError) -> LinkError {
        if source.is_timeout() {
            self.replace(generation);
        }
        let error = LinkError::Redis { call, source };
        if error.is_unsettling() {
            self.settled.breaks.fetch_add(1, Ordering::SeqCst);
        }
        error
    }

    fn slot(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> (ConnectionManager, u64) {
        let slot = self.slot();
        (slot.manager.clone(), slot.generation)
    }

    /// What is still in flight on the old connection ends there by itself.
    fn replace(&self, generation: u64) {
        let mut slot = self.slot();
        if slot.generation == generation
            && let Ok(manager) =
                ConnectionManager::new_lazy_with_config(self.address.client.clone(), manager_config())
        {
            *slot = Connection { manager, generation: generation + 1 };
        }
    }

    /// Makes one durable write if the connection is new since the last one: what the reads before and
    /// after it showed is on disk once its reply is here, as `appendfsync always` syncs the whole file.
    async fn settle(&self, keys: &Keys) -> Result<(), LinkError> {
        let Some(breaks) = self.settled.missing() else { return Ok(()) };
        let scripts = Scripts::standard();
        let invocation = super::barrier::invocation(&scripts, keys, &self.instance);
        let (mut manager, generation) = self.current();
        match invocation.invoke_async::<Value>(&mut manager).await {
            Ok(_) => {
                self.settled.covered.fetch_max(breaks, Ordering::SeqCst);
                Ok(())
            }
            Err(source) => Err(self.fault("BARRIER", generation, source)),
        }
    }
}

fn manager_config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT))
        .set_number_of_retries(RECONNECT_ATTEMPTS)
        .set_min_delay(RECONNECT_DELAY_MIN)
        .set_max_delay(RECONNECT_DELAY_MAX)
        .set_pipeline_buffer_size(IN_FLIGHT_MAX)
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands")
            .field("address", &self.address)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}
