//! One child process: its start, its log file, its end. It stays in the test's process group, so that a test
//! runner that ends a hanging test ends it too.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{ASK_TIMEOUT, POLL, Service, StackError};

/// Longer than the services' own bound of a drain.
const STOP_WITHIN: Duration = Duration::from_secs(35);

/// A service that runs, or can be started again with the same settings.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    program: PathBuf,
    settings: Vec<(String, String)>,
    api: u16,
    admin: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub(super) fn new(
        service: Service,
        program: PathBuf,
        settings: Vec<(String, String)>,
        api: u16,
        admin: u16,
        logs: &Path,
    ) -> Self {
        let name = format!("{}-{}", service.role.name(), service.index);
        let log = logs.join(format!("{name}.log"));
        Self { name, program, settings, api, admin, log, child: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    pub(super) fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// Its id, if it was started.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it unless it runs.
    pub(super) fn start(&mut self) -> io::Result<()> {
        if self.child.is_some() && self.ended()?.is_none() {
            return Ok(());
        }
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let out = File::options().create(true).append(true).open(&self.log)?;
        let errors = out.try_clone()?;
        let mut command = Command::new(&self.program);
        command.arg("run").envs(self.settings.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn()?);
        Ok(())
    }

    /// How it ended, if it was started and has ended by itself.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), Child::try_wait)
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal by name, if it runs.
    pub(super) fn signal(&self, signal: &str) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status()?;
        Ok(())
    }

    /// SIGTERM and a bounded wait; `None` = it did not run.
    pub(super) async fn stop(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.child.is_none() {
            return Ok(None);
        }
        self.signal("-TERM")?;
        let deadline = Instant::now() + STOP_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                self.child = None;
                return Ok(Some(status));
            }
            tokio::time::sleep(POLL).await;
        }
        self.kill()?;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} did not end on SIGTERM", self.name)))
    }

    /// Asks the admin port until it says ready.
    pub(super) async fn wait_ready(
        &mut self,
        http: &reqwest::Client,
        until: Instant,
    ) -> Result<(), StackError> {
        let url = self.admin_url("/readyz");
        let mut said = "nothing".to_owned();
        loop {
            if let Some(status) = self.ended()? {
                let (name, tail) = (self.name.clone(), self.log_tail(30));
                return Err(StackError::Ended { name, status, tail });
            }
            match http.get(&url).timeout(ASK_TIMEOUT).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => said = answer.text().await.unwrap_or_default(),
                Err(error) => keep_last_words(&mut said, &error),
            }
            if Instant::now() > until {
                let (name, tail) = (self.name.clone(), self.log_tail(30));
                return Err(StackError::NotReady { name, said, tail });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub(super) fn log_lines_with(&self, words: &str) -> Vec<String> {
        let text = self.log_text();
        text.lines()
            .filter(|line| line.contains(words))
            .map(|line| format!("{}: {line}", self.name))
            .collect()
    }

    pub(super) fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }
}

/// Keeps the last words of a process that has just stopped answering.
fn keep_last_words(said: &mut String, error: &reqwest::Error) {
    if said == "nothing" {
        *said = error.to_string();
    }
}
