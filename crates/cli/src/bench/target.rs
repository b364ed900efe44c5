//! What is measured: a stack with a `null` target and a `null` source, without chains.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use common::ids::{IdempotencyKey, Tenant};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::requests::{ASSETS, NULL_SOURCE, NULL_TARGET, Shape};
use crate::access::{StackFile, Tokens};
use crate::args::{ThroughputArgs, Until};
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
    pub(super) async fn start(data: &Path, args: &ThroughputArgs, ui: &Ui) -> anyhow::Result<Self> {
        let found = programs::find(&args.programs)?;
        let logs = data.join("logs");
        std::fs::create_dir_all(&logs)?;
        let mut ports = Ports::new(None);
        let mut listen = || anyhow::Ok(Listen { api: ports.take()?, admin: ports.take()? });
        let (collector, validator, broadcaster) = (listen()?, listen()?, listen()?);
        let redis_port = ports.take()?;
        drop(ports);
        let listens = Listens { redis_url: redis_server::url(redis_port), collector, validator, broadcaster };
        let secrets = secrets::ensure(data)?;
        let file = |name: &str, value: serde_json::Value| {
            files::write_json(&data.join(name), &value, Access::Everybody)
        };
        file(TARGETS_FILE, json!({"targets": [{"name": NULL_TARGET, "kind": "null"}]}))?;
        file(ENDPOINTS_FILE, json!({}))?;
        file(SOURCES_FILE, json!({"sources": [{"name": NULL_SOURCE, "kind": "null", "delay_ms": 0}]}))?;
        let settings = settings::write(data, &listens, Tuning { backlog_max: Some(BACKLOG_MAX) })?;
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
        self.stack.wait_ready("collector", self.listens.collector).await?;
        self.stack.wait_ready("broadcaster", self.listens.broadcaster).await
    }

    pub(super) fn start_role(&mut self, role: Role) -> anyhow::Result<()> {
        self.stack.start_service(role, &self.found, &self.settings, &self.logs)
    }

    pub(super) async fn stop_role(&mut self, role: Role, ui: &Ui) -> anyhow::Result<()> {
        self.stack.stop_role(role, ui).await
    }

    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        self.stack.must_run()
    }

    pub(super) async fn wait_ready(&mut self, role: Role) -> anyhow::Result<()> {
        let (name, listen) = match role {
            Role::Validator => ("validator", self.listens.validator),
            Role::Broadcaster => ("broadcaster", self.listens.broadcaster),
            _ => ("collector", self.listens.collector),
        };
        self.stack.wait_ready(name, listen).await
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.stack.pids()
    }

    pub(super) fn redis_url(&self) -> &str {
        self.redis_admin.expose_secret()
    }

    /// `host:port` of the collector.
    pub(super) fn collector_address(&self) -> String {
        format!("127.0.0.1:{}", self.listens.collector.api)
    }

    /// Registers the assets of a shape; those that are there stay.
    pub(super) async fn set_up(&self, shape: &Shape, run: &str, ui: &Ui) -> anyhow::Result<()> {
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
        let client = Client::new(file.access())?;
        let quiet = ui.quieted();
        for asset in 0..ASSETS {
            let key: IdempotencyKey = format!("{run}-setup-{asset}").parse().context("an idempotency key")?;
            let body = serde_json::to_vec(&shape.setup(asset))?;
            let answer = client.submit(body, Some(&key), None).await.context("setting up an asset")?;
            // One after the other would wait for each; the last one's end is the end of all, in log order.
            if asset + 1 == ASSETS {
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
