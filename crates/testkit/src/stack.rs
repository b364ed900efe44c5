//! A whole deployment for one test: a private redis-server, private chains, and the real binaries as children.
//!
//! In: a [`Plan`]. Out: a running [`Stack`] whose parts can be killed (`kill -9`) and started again on the same address
//! and data. With chains the configuration is made by the real `oss init`; a stack with `null` targets only needs
//! no contracts, so its files are written here. Dropped, everything is stopped; if the test failed, the ends
//! of the logs are printed and the folder is kept.

mod api;
mod configuration;
mod faults;
mod links;
mod look;
mod plan;
mod process;
mod programs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::ids::Name;
use tempfile::TempDir;

use crate::anvil::{Anvil, AnvilOptions, Mining};
use crate::ports;
use crate::redis::{RedisOptions, RedisServer};

pub use api::{Answer, Api, ApiError};
pub use configuration::Tokens;
pub use links::Link;
use links::Links;
pub use look::{Held, Metrics, held};
pub use plan::{NULL_SOURCE, Plan, Role, Service, StackError};
use process::Process;
pub use programs::Programs;

/// From a process' start to its readiness; a validator may have a log to replay.
const READY_WITHIN: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
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
    links: Links,
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
        let users = configuration::redis_users(folder.path())?;
        let options = RedisOptions { shim: plan.fragile, users: Some(users), ..RedisOptions::default() };
        let redis = RedisServer::start(options)?;
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
        let endpoints = folder.path().join(configuration::ENDPOINTS);
        let links =
            if plan.fragile { Links::to_chains(&anvils, &endpoints).await? } else { Links::default() };
        let chains = anvils.into_iter().map(|(name, anvil)| {
            let contract = made.contracts.get(&name).cloned().unwrap_or_default();
            let name = name.parse().map_err(|_| StackError::NoSuchPart { name })?;
            Ok(Chain { name, anvil, contract })
        });
        let chains = chains.collect::<Result<_, StackError>>()?;
        let (tokens, http, services) = (made.tokens, api::http(), BTreeMap::new());
        let mut stack =
            Self { services, chains, source, redis, links, tokens, http, programs, folder: Some(folder) };
        stack.services = stack.processes(&plan).await?;
        configuration::write_stack_file(&stack)?;
        for process in stack.services.values_mut() {
            process.start()?;
        }
        stack.wait_ready().await?;
        Ok(stack)
    }

    async fn processes(&mut self, plan: &Plan) -> Result<BTreeMap<Service, Process>, StackError> {
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
        let mut processes = BTreeMap::new();
        for (service, (api, admin)) in &ports {
            let redis = if plan.fragile {
                self.links.add_redis(*service, self.redis.port()).await?
            } else {
                self.redis.url()
            };
            let mut settings = configuration::settings(*service, self.folder(), &redis, &validators);
            settings.push(("OSS__HTTP__LISTEN".to_owned(), format!("127.0.0.1:{api}")));
            settings.push(("OSS__HTTP__ADMIN_LISTEN".to_owned(), format!("127.0.0.1:{admin}")));
            let own = plan.settings.iter().filter(|(role, ..)| *role == service.role);
            settings.extend(own.map(|(_, name, value)| ((*name).to_owned(), value.clone())));
            let program = self.programs.service(service.role);
            let process = Process::new(*service, program, settings, *api, *admin, &self.logs());
            processes.insert(*service, process);
        }
        Ok(processes)
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
            if alone.leads().await {
                return Some(*service);
            }
        }
        None
    }

    fn urls(&self, role: Role) -> Vec<String> {
        let of_role = self.services.iter().filter(|(service, _)| service.role == role);
        of_role.map(|(_, process)| process.url()).collect()
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

    /// The base URL of a service's admin port.
    #[must_use]
    pub fn admin_url(&self, service: Service) -> Option<String> {
        self.services.get(&service).map(|process| process.admin_url(""))
    }

    /// Every panic that a service has logged, whoever survived it.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        self.services.values().flat_map(|process| process.log_lines_with("panicked at")).collect()
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
