//! A running stack: its children in the order they end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::child::{Child, Launch, Stopped};
use super::programs::Found;
use super::settings::{Listen, SettingsFiles};
use crate::ui::Ui;

/// Ready within this: a validator may have a log to replay.
const READY_WITHIN: Duration = Duration::from_secs(90);
const ASK_AGAIN: Duration = Duration::from_millis(50);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Longer than the services' own bound of a drain.
const STOP_WITHIN: Duration = Duration::from_secs(35);

/// Parts of a stack, in the order in which they are stopped: each may still need those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Collector,
    Validator,
    Broadcaster,
    RateSource,
    Chain,
    Redis,
}

/// The children of one stack. Dropped, it kills them; [`Stack::stop`] ends them in order.
#[derive(Debug, Default)]
pub(crate) struct Stack {
    children: Vec<(Role, Child)>,
}

impl Stack {
    pub(crate) fn add(&mut self, role: Role, child: Child) {
        self.children.push((role, child));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// The running children with their process ids.
    pub(crate) fn pids(&self) -> Vec<(Role, u32)> {
        self.children.iter().filter_map(|(role, child)| Some((*role, child.pid()?))).collect()
    }

    /// An error with the end of its log if any child has ended.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        self.children.iter_mut().try_for_each(|(_, child)| child.must_run())
    }

    /// Starts one of the three services; of the collector, all.
    pub(crate) fn start_service(
        &mut self,
        role: Role,
        found: &Found,
        settings: &SettingsFiles,
        logs: &Path,
    ) -> anyhow::Result<()> {
        let (name, program, file): (&str, &PathBuf, &PathBuf) = match role {
            Role::Collector => ("collector", &found.collector, &settings.collector),
            Role::Validator => ("validator", &found.validator, &settings.validator),
            Role::Broadcaster => ("broadcaster", &found.broadcaster, &settings.broadcaster),
            Role::RateSource | Role::Chain | Role::Redis => bail!("{role:?} is not a service"),
        };
        self.start_one(role, name.to_owned(), program, file, logs)?;
        if role == Role::Collector {
            for (number, file) in (2..).zip(&settings.more_collectors) {
                self.start_one(role, format!("{name}-{number}"), program, file, logs)?;
            }
        }
        Ok(())
    }

    fn start_one(
        &mut self,
        role: Role,
        name: String,
        program: &Path,
        file: &Path,
        logs: &Path,
    ) -> anyhow::Result<()> {
        let args = vec!["run".to_owned(), "--config".to_owned(), file.display().to_string()];
        let launch = Launch { name, program: program.to_owned(), args };
        self.add(role, Child::start(&launch, logs)?);
        Ok(())
    }

    /// Waits until a service says that it is ready.
    pub(crate) async fn wait_ready(&mut self, name: &str, listen: Listen) -> anyhow::Result<()> {
        let started = Instant::now();
        let url = listen.readiness_url();
        let http = reqwest::Client::builder().timeout(ASK_TIMEOUT).build()?;
        let mut last = "no answer".to_owned();
        loop {
            self.must_run()?;
            match http.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => last = answer.text().await.unwrap_or_default(),
                Err(error) => last = if last == "no answer" { error.without_url().to_string() } else { last },
            }
            if started.elapsed() > READY_WITHIN {
                bail!("{name} was not ready within {} s; it says: {last}", READY_WITHIN.as_secs());
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Sends a signal to the children of one role.
    pub(crate) async fn signal(&self, role: Role, name: &str) -> anyhow::Result<()> {
        for (_, child) in self.children.iter().filter(|(of, _)| *of == role) {
            child.signal(name).await?;
        }
        Ok(())
    }

    /// Ends everything, in order; every child is asked even if another one makes trouble.
    pub(crate) async fn stop(mut self, ui: &Ui) -> anyhow::Result<()> {
        self.children.sort_by_key(|(role, _)| *role);
        let mut first_error = Ok(());
        for (_, child) in std::mem::take(&mut self.children) {
            let stopped = stop_one(child, ui).await;
            if first_error.is_ok() {
                first_error = stopped;
            }
        }
        first_error
    }
}

async fn stop_one(child: Child, ui: &Ui) -> anyhow::Result<()> {
    let name = child.name().to_owned();
    match child.stop(STOP_WITHIN).await.with_context(|| format!("cannot stop {name}"))? {
        Stopped::Asked(_) => ui.progress(format!("{name} stopped")),
        Stopped::Before(code) => ui.warn(format!("{name} had ended before (code {code:?})")),
        Stopped::Killed => {
            ui.warn(format!("{name} did not stop within {} s and was killed", STOP_WITHIN.as_secs()));
        }
    }
    Ok(())
}
