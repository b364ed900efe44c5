//! What is measured: a stack with `null` targets and `null` sources, without chains.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use common::ids::{IdempotencyKey, Tenant};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::access::{StackFile, Tokens};
use crate::args::{Programs, Until};
use crate::client::Client;
use crate::exit::Exit;
use crate::stack::files::{self, Access};
use crate::stack::init::{ENDPOINTS_FILE, SOURCES_FILE, TARGETS_FILE};
use crate::stack::ports::Ports;
use crate::stack::programs::{self, Found};
use crate::stack::services::{Role, Stack};
use crate::stack::settings::{self, Listen, Listens, SettingsFiles, Tuning};
use crate::stack::{redis_server, secrets};
use crate::ui::Ui;
use crate::watch;

/// The backlog the collector admits: the drain needs room for a whole run.
const BACKLOG_MAX: u64 = 4_000_000;
const SETUP_TIMEOUT: Duration = Duration::from_mins(1);

/// How a stack is made.
#[derive(Debug, Clone)]
pub(super) struct Plan<'a> {
    /// Names of `null` targets and of `null` sources, which take so long.
    pub(super) targets: &'a [&'a str],
    pub(super) sources: &'a [&'a str],
    pub(super) source_ms: u64,
    pub(super) collectors: u8,
    pub(super) tuning: Tuning,
}

impl Plan<'_> {
    /// With room for a backlog of any length that a bench makes.
    pub(super) const fn roomy() -> Tuning {
        Tuning { backlog_max: Some(BACKLOG_MAX), in_flight_max: None, validate_ms: 0, deliver_ms: 0 }
    }
}

/// The running stack.
#[derive(Debug)]
pub(super) struct Target {
    stack: Stack,
    found: Found,
    listens: Listens,
    settings: SettingsFiles,
    logs: PathBuf,
    /// With the administrator's rights: the bench watches streams and runs the bare relay beside the services.
    redis_admin: SecretString,
    pub(super) tokens: Tokens,
    pub(super) tenant: Tenant,
}

impl Target {
    pub(super) async fn start(
        data: &Path,
        plan: &Plan<'_>,
        programs: &Programs,
        ui: &Ui,
    ) -> anyhow::Result<Self> {
        let found = programs::find(programs)?;
        let logs = data.join("logs");
        std::fs::create_dir_all(&logs)?;
        let mut ports = Ports::new(None);
        let mut listen = || anyhow::Ok(Listen { api: ports.take()?, admin: ports.take()? });
        let (collector, validator, broadcaster) = (listen()?, listen()?, listen()?);
        let more_collectors = (1..plan.collectors).map(|_| listen()).collect::<Result<_, _>>()?;
        let redis_port = ports.take()?;
        drop(ports);
        let redis_url = redis_server::url(redis_port);
        let listens = Listens { redis_url, collector, more_collectors, validator, broadcaster };
        let secrets = secrets::ensure(data)?;
        let file = |name: &str, value: serde_json::Value| {
            files::write_json(&data.join(name), &value, Access::Everybody)
        };
        let target = |name: &&str| json!({"name": name, "kind": "null"});
        let source = |name: &&str| json!({"name": name, "kind": "null", "delay_ms": plan.source_ms});
        file(TARGETS_FILE, json!({"targets": plan.targets.iter().map(target).collect::<Vec<_>>()}))?;
        file(ENDPOINTS_FILE, json!({}))?;
        file(SOURCES_FILE, json!({"sources": plan.sources.iter().map(source).collect::<Vec<_>>()}))?;
        let settings = settings::write(data, &listens, plan.tuning)?;
        let mut target = Self {
            stack: Stack::default(),
            found,
            listens,
            settings,
            logs,
            redis_admin: redis_server::admin_url(redis_port, &secrets.redis_admin).into(),
            tokens: secrets.tokens,
            tenant: secrets::tenant()?,
        };
        let started = target.start_all(data, redis_port, ui).await;
        match started {
            Ok(()) => Ok(target),
            Err(error) => {
                target.stop(ui).await?;
                Err(error)
            }
        }
    }

    async fn start_all(&mut self, data: &Path, redis_port: u16, ui: &Ui) -> anyhow::Result<()> {
        ui.progress("starting redis and the services");
        let (folder, users) = (data.join("redis"), data.join(secrets::names::REDIS_USERS));
        let redis =
            redis_server::start(&self.found.redis_server, &folder, &users, &self.logs, redis_port).await?;
        self.stack.add(Role::Redis, redis);
        self.start_role(Role::Validator)?;
        self.start_role(Role::Collector)?;
        self.start_role(Role::Broadcaster)?;
        self.stack.wait_ready("validator", self.listens.validator).await?;
        for listen in [self.listens.collector].iter().chain(&self.listens.more_collectors) {
            self.stack.wait_ready("collector", *listen).await?;
        }
        self.stack.wait_ready("broadcaster", self.listens.broadcaster).await
    }

    fn start_role(&mut self, role: Role) -> anyhow::Result<()> {
        self.stack.start_service(role, &self.found, &self.settings, &self.logs)
    }

    /// Sends a signal (`STOP`, `CONT`) to the processes of one role.
    pub(super) async fn signal(&self, role: Role, name: &str) -> anyhow::Result<()> {
        self.stack.signal(role, name).await
    }

    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        self.stack.must_run()
    }

    pub(super) fn pids(&self) -> Vec<(Role, u32)> {
        self.stack.pids()
    }

    pub(super) fn redis_url(&self) -> &str {
        self.redis_admin.expose_secret()
    }

    /// `host:port` of the collector.
    pub(super) fn collector_address(&self) -> String {
        format!("127.0.0.1:{}", self.listens.collector.api)
    }

    /// `host:port` of every collector.
    pub(super) fn collector_addresses(&self) -> Vec<String> {
        let listens =
            [self.listens.collector].into_iter().chain(self.listens.more_collectors.iter().copied());
        listens.map(|listen| format!("127.0.0.1:{}", listen.api)).collect()
    }

    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let file = StackFile {
            collector: self.listens.collector.url(),
            validator: self.listens.validator.url(),
            broadcaster: self.listens.broadcaster.url(),
            keys: self.tokens.clone(),
            targets_file: PathBuf::new(),
            chains: std::collections::BTreeMap::new(),
            redis_url: None,
            source_chain: None,
        };
        Client::new(file.access())
    }

    /// Submits requests, one after the other, and waits until the last one is completed: in log order that is all.
    pub(super) async fn set_up(
        &self,
        requests: impl ExactSizeIterator<Item = Value>,
        run: &str,
        ui: &Ui,
    ) -> anyhow::Result<()> {
        let (client, quiet, count) = (self.client()?, ui.quieted(), requests.len());
        for (number, request) in requests.enumerate() {
            let key: IdempotencyKey =
                format!("{run}-setup-{number}").parse().context("an idempotency key")?;
            let answer = client
                .submit(serde_json::to_vec(&request)?, Some(&key), None)
                .await
                .context("setting up an asset")?;
            if number + 1 == count {
                let view = watch::follow(&client, answer, Until::Completed, SETUP_TIMEOUT, &quiet).await?;
                if view.exit() != Exit::Done {
                    anyhow::bail!("setting up the assets ended as {}", view.fields.status.name());
                }
            }
        }
        Ok(())
    }

    pub(super) async fn stop(self, ui: &Ui) -> anyhow::Result<()> {
        self.stack.stop(ui).await
    }
}
