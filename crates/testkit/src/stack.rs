//! A whole deployment for one test: a private redis-server, private chains, and the real binaries as children.
//!
//! In: a [`Plan`]. Out: a running [`Stack`] whose parts can be killed (`kill -9`) and started again on the same address
//! and data. With chains the configuration is made by the real `oss init`; a stack with `null` targets only needs
//! no contracts, so its files are written here. Dropped, everything is stopped; if the test failed, the ends
//! of the logs are printed and the folder is kept.

mod api;
mod configuration;
mod process;
mod programs;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use common::ids::{Name, Shard};
use tempfile::TempDir;

use crate::anvil::{Anvil, AnvilError, AnvilOptions, Mining};
use crate::ports;
use crate::redis::{RedisOptions, RedisServer, RedisServerError};

pub use api::{Answer, Api, ApiError};
pub use configuration::Tokens;
use process::Process;
pub use programs::Programs;

/// From a process' start to its readiness; a validator may have a log to replay.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// The collector's null source in every stack.
pub const NULL_SOURCE: &str = "quiet";

/// The three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Validator,
    Collector,
    Broadcaster,
}

impl Role {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Collector => "collector",
            Self::Broadcaster => "broadcaster",
        }
    }
}

/// One process of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    pub role: Role,
    pub index: usize,
}

/// What a stack consists of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name and chain id of target chains, each on an anvil of its own.
    pub chains: Vec<(&'static str, u64)>,
    /// Targets that take everything and send nothing. Used only without chains.
    pub null_targets: Vec<&'static str>,
    pub collectors: usize,
    pub validators: usize,
    pub broadcasters: usize,
    /// How long the source [`NULL_SOURCE`] takes.
    pub source_delay_ms: u64,
    /// When a transaction is final: `latest`, `safe` or `finalized`.
    pub tier: &'static str,
    /// Further settings of a role, as `OSS__…` variables.
    pub settings: Vec<(Role, &'static str, String)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            chains: Vec::new(),
            null_targets: vec!["sink"],
            collectors: 1,
            validators: 1,
            broadcasters: 1,
            source_delay_ms: 5,
            tier: "finalized",
            settings: Vec::new(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("a file or process could not be used")]
    Io(#[from] io::Error),
    #[error("{path} is missing: build the binaries with `make unit`, or name their folder with OSS_BIN_DIR")]
    Binary { path: PathBuf },
    #[error(transparent)]
    Redis(#[from] RedisServerError),
    #[error(transparent)]
    Anvil(#[from] AnvilError),
    #[error("oss init failed:\n{output}")]
    Init { output: String },
    #[error("a configuration file is not what was expected: {file}")]
    Configuration { file: &'static str },
    #[error("{name} ended by itself ({status}); the end of its log:\n{tail}")]
    Ended { name: String, status: ExitStatus, tail: String },
    #[error("{name} was not ready in time, it says {said}; the end of its log:\n{tail}")]
    NotReady { name: String, said: String, tail: String },
    #[error("the stack has no such part: {name}")]
    NoSuchPart { name: String },
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A private chain that is a target, and its contract.
#[derive(Debug)]
pub struct Chain {
    pub name: Name,
    pub anvil: Anvil,
    /// The `StateBridge`, 0x hex.
    pub contract: String,
}

/// A running stack.
#[derive(Debug)]
pub struct Stack {
    // Declared in the order of dropping: services first, then what they need.
    services: BTreeMap<Service, Process>,
    chains: Vec<Chain>,
    source: Option<Anvil>,
    redis: RedisServer,
    tokens: Tokens,
    // One for all: to make a client takes as long as many a test.
    http: reqwest::Client,
    programs: Programs,
    folder: Option<TempDir>,
}

impl Stack {
    /// Starts everything and waits until every service is ready.
    ///
    /// # Errors
    /// A binary is missing, or a part does not start.
    pub async fn start(plan: Plan) -> Result<Self, StackError> {
        let programs = Programs::find()?;
        let folder = TempDir::with_prefix("oss-stack-")?;
        let redis = RedisServer::start(RedisOptions::default())?;
        let anvil =
            |chain_id| Anvil::start(AnvilOptions { chain_id, mining: Mining::Every(1), keep_state: true });
        let (mut anvils, mut source) = (Vec::new(), None);
        if !plan.chains.is_empty() {
            source = Some(anvil(1)?);
            for (name, chain_id) in &plan.chains {
                anvils.push(((*name).to_owned(), anvil(*chain_id)?));
            }
        }
        let made = configuration::make(folder.path(), &plan, &programs, &anvils, source.as_ref())?;
        let chains = anvils.into_iter().map(|(name, anvil)| {
            let contract = made.contracts.get(&name).cloned().unwrap_or_default();
            let name = name.parse().map_err(|_| StackError::NoSuchPart { name })?;
            Ok(Chain { name, anvil, contract })
        });
        let chains = chains.collect::<Result<_, StackError>>()?;
        let (tokens, http, services) = (made.tokens, api::http(), BTreeMap::new());
        let mut stack =
            Self { services, chains, source, redis, tokens, http, programs, folder: Some(folder) };
        stack.services = stack.processes(&plan)?;
        configuration::write_stack_file(&stack)?;
        for process in stack.services.values_mut() {
            process.start()?;
        }
        stack.wait_ready().await?;
        Ok(stack)
    }

    fn processes(&self, plan: &Plan) -> Result<BTreeMap<Service, Process>, StackError> {
        let mut ports = BTreeMap::new();
        for (role, count) in [
            (Role::Validator, plan.validators),
            (Role::Collector, plan.collectors),
            (Role::Broadcaster, plan.broadcasters),
        ] {
            for index in 0..count {
                ports.insert(Service { role, index }, (ports::free()?, ports::free()?));
            }
        }
        let validators: Vec<String> = ports
            .iter()
            .filter(|(service, _)| service.role == Role::Validator)
            .map(|(_, (api, _))| format!("http://127.0.0.1:{api}"))
            .collect();
        let process = |(service, (api, admin)): (&Service, &(u16, u16))| {
            let mut settings =
                configuration::settings(*service, self.folder(), &self.redis.url(), &validators);
            settings.push(("OSS__HTTP__LISTEN".to_owned(), format!("127.0.0.1:{api}")));
            settings.push(("OSS__HTTP__ADMIN_LISTEN".to_owned(), format!("127.0.0.1:{admin}")));
            let own = plan.settings.iter().filter(|(role, ..)| *role == service.role);
            settings.extend(own.map(|(_, name, value)| ((*name).to_owned(), value.clone())));
            let program = self.programs.service(service.role);
            (*service, Process::new(*service, program, settings, *api, *admin, &self.logs()))
        };
        Ok(ports.iter().map(process).collect())
    }

    /// The folder with configuration, data and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }

    fn logs(&self) -> PathBuf {
        self.folder().join("logs")
    }

    /// The chains that are targets, in the plan's order.
    #[must_use]
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// The chain whose token's events back mints.
    #[must_use]
    pub fn source_chain(&self) -> Option<&Anvil> {
        self.source.as_ref()
    }

    #[must_use]
    pub fn redis(&self) -> &RedisServer {
        &self.redis
    }

    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Every service process of the plan.
    #[must_use]
    pub fn services(&self) -> Vec<Service> {
        self.services.keys().copied().collect()
    }

    /// A client of all its services.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(
            self.http.clone(),
            self.urls(Role::Collector),
            self.urls(Role::Validator),
            self.tokens.clone(),
        )
    }

    /// The validator that leads, if one does at this moment.
    pub async fn leader(&self) -> Option<Service> {
        for (service, process) in self.services.iter().filter(|(service, _)| service.role == Role::Validator)
        {
            let alone = Api::new(self.http.clone(), Vec::new(), vec![process.url()], self.tokens.clone());
            if alone.position(Shard::Financial).await.is_ok() {
                return Some(*service);
            }
        }
        None
    }

    fn urls(&self, role: Role) -> Vec<String> {
        let of_role = self.services.iter().filter(|(service, _)| service.role == role);
        of_role.map(|(_, process)| process.url()).collect()
    }

    fn process(&mut self, service: Service) -> Result<&mut Process, StackError> {
        let missing = || StackError::NoSuchPart { name: format!("{service:?}") };
        self.services.get_mut(&service).ok_or_else(missing)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// There is no such process, or it cannot be signalled.
    pub fn kill(&mut self, service: Service) -> Result<(), StackError> {
        Ok(self.process(service)?.kill()?)
    }

    /// Starts a process again if it does not run; does not wait until it is ready.
    ///
    /// # Errors
    /// There is no such process, or it cannot be started.
    pub fn launch(&mut self, service: Service) -> Result<(), StackError> {
        Ok(self.process(service)?.start()?)
    }

    /// Ends every service as an operator does (SIGTERM), collectors first. Answers each one's end.
    ///
    /// # Errors
    /// A process cannot be signalled.
    pub async fn stop_services(&mut self) -> Result<Vec<(Service, ExitStatus)>, StackError> {
        let mut ended = Vec::new();
        for role in [Role::Collector, Role::Validator, Role::Broadcaster] {
            for (service, process) in self.services.iter_mut().filter(|(service, _)| service.role == role) {
                ended.extend(process.stop().await?.map(|status| (*service, status)));
            }
        }
        Ok(ended)
    }

    /// Starts every service that does not run and waits until all are ready.
    ///
    /// # Errors
    /// One does not become ready.
    pub async fn restart_services(&mut self) -> Result<(), StackError> {
        for process in self.services.values_mut() {
            process.start()?;
        }
        self.wait_ready().await
    }

    /// Starts again what has ended by itself, as a supervisor does; answers what it was and how it ended.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn revive(&mut self) -> Result<Vec<(Service, ExitStatus)>, StackError> {
        let mut ended = Vec::new();
        for (service, process) in &mut self.services {
            if let Some(status) = process.ended()? {
                ended.push((*service, status));
                process.start()?;
            }
        }
        Ok(ended)
    }

    /// `kill -9` of redis; nothing is flushed.
    ///
    /// # Errors
    /// It cannot be signalled.
    pub fn kill_redis(&mut self) -> Result<(), StackError> {
        Ok(self.redis.kill()?)
    }

    /// Starts redis again on the same port and data and waits until it answers.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn restart_redis(&mut self) -> Result<(), StackError> {
        Ok(self.redis.restart()?)
    }

    fn anvil(&mut self, name: &str) -> Result<&mut Anvil, StackError> {
        let missing = || StackError::NoSuchPart { name: name.to_owned() };
        let found = self.chains.iter_mut().find(|chain| chain.name.as_str() == name);
        found.map(|chain| &mut chain.anvil).ok_or_else(missing)
    }

    /// `kill -9` of a chain: it falls back to its state file, at most a second old.
    ///
    /// # Errors
    /// There is no such chain, or it cannot be signalled.
    pub fn kill_chain(&mut self, name: &str) -> Result<(), StackError> {
        Ok(self.anvil(name)?.kill()?)
    }

    /// Ends a chain cleanly: its state is written.
    ///
    /// # Errors
    /// There is no such chain, or it cannot be signalled.
    pub fn stop_chain(&mut self, name: &str) -> Result<(), StackError> {
        Ok(self.anvil(name)?.stop()?)
    }

    /// Starts a chain again from its state file.
    ///
    /// # Errors
    /// There is no such chain, or it does not become ready.
    pub fn restart_chain(&mut self, name: &str) -> Result<(), StackError> {
        Ok(self.anvil(name)?.restart()?)
    }

    /// Waits until every service answers that it is ready. One that has ended is an error at once.
    ///
    /// # Errors
    /// See [`StackError::Ended`] and [`StackError::NotReady`].
    pub async fn wait_ready(&mut self) -> Result<(), StackError> {
        let deadline = Instant::now() + READY_WITHIN;
        let http = self.http.clone();
        // A second validator stands by: it is ready only when it leads.
        let validators = self.services.keys().filter(|service| service.role == Role::Validator).count();
        let mut leading = validators == 0;
        for (service, process) in &mut self.services {
            let is_validator = service.role == Role::Validator;
            let within = if is_validator && validators > 1 { Instant::now() + POLL } else { deadline };
            match process.wait_ready(&http, within).await {
                Ok(()) => leading |= is_validator,
                Err(StackError::NotReady { .. }) if is_validator && validators > 1 => {}
                Err(error) => return Err(error),
            }
        }
        while !leading {
            for (_, process) in
                self.services.iter_mut().filter(|(service, _)| service.role == Role::Validator)
            {
                leading |= process.wait_ready(&http, Instant::now() + POLL).await.is_ok();
            }
            if Instant::now() > deadline {
                let said = "no validator leads".to_owned();
                return Err(StackError::NotReady { name: "validator".to_owned(), said, tail: String::new() });
            }
        }
        Ok(())
    }

    /// The last lines of every log.
    #[must_use]
    pub fn log_tails(&self, lines: usize) -> String {
        let tail = |process: &Process| format!("--- {}\n{}\n", process.name(), process.log_tail(lines));
        self.services.values().map(tail).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for process in self.services.values_mut() {
            // Nobody is left to tell: a process that cannot be signalled is gone.
            drop(process.kill());
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_tails(30));
            if let Some(folder) = self.folder.take() {
                eprintln!("the stack's files are kept in {}", folder.keep().display());
            }
        }
    }
}
