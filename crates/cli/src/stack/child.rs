//! One child process: its start, its log file, its ordered end.
//!
//! - A child is in a process group of its own, so that a Ctrl-C in the terminal reaches only the parent,
//!   which then ends the children in their order.
//! - Should the parent be killed, the kernel sends SIGTERM to the children: each is started through
//!   `setpriv --pdeathsig` (util-linux). Without that program only an orderly end is covered.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child as Process, Command};

/// The last lines of a log that a failure shows.
const LOG_TAIL_LINES: usize = 12;

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Names the log file and messages.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
}

/// A running process. Dropped without [`Child::stop`] it is killed.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: Process,
    log: PathBuf,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Stopped {
    /// By itself after SIGTERM, with this code (`None` = by a signal).
    Asked(Option<i32>),
    /// Killed, as it had not ended in time.
    Killed,
    /// It had ended before it was asked.
    Before(Option<i32>),
}

impl Child {
    /// Starts a process that writes stdout and stderr to `<logs>/<name>.log`.
    pub(crate) fn start(launch: &Launch, logs: &Path) -> anyhow::Result<Self> {
        let log = logs.join(format!("{}.log", launch.name));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let errors = out.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = match super::programs::in_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "TERM", "--"]).arg(&launch.program);
                command
            }
            None => Command::new(&launch.program),
        };
        let process = command
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", launch.program.display()))?;
        Ok(Self { name: launch.name.clone(), process, log })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Its end, if it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.try_wait().with_context(|| format!("cannot watch {}", self.name))
    }

    /// An error with the end of its log if it has ended.
    pub(crate) fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended ({status}); the end of {}:\n{}", self.name, self.log.display(), self.log_tail());
        }
        Ok(())
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default().join("\n")
    }

    /// SIGTERM, a bounded wait, then SIGKILL.
    pub(crate) async fn stop(mut self, within: Duration) -> anyhow::Result<Stopped> {
        if let Some(status) = self.ended()? {
            return Ok(Stopped::Before(status.code()));
        }
        self.signal("TERM").await?;
        if let Ok(status) = tokio::time::timeout(within, self.process.wait()).await {
            return Ok(Stopped::Asked(status?.code()));
        }
        self.process.kill().await.with_context(|| format!("cannot kill {}", self.name))?;
        Ok(Stopped::Killed)
    }

    /// Sends a signal (`TERM`, `STOP`, …). By the shell's own `kill`: every system has one, and it needs no unsafe call.
    pub(crate) async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let script = "kill -\"$1\" \"$2\" 2>/dev/null || true";
        let args = ["-c", script, "sh", name, &pid.to_string()];
        Command::new("/bin/sh").args(args).status().await.context("cannot run /bin/sh")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        Launch { name: "probe".into(), program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] }
    }

    #[tokio::test]
    async fn a_child_that_ends_on_sigterm_tells_its_code() {
        let logs = tempfile::tempdir().expect("a folder");
        let child =
            Child::start(&shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"), logs.path());
        let child = child.expect("it starts");
        while !child.log_tail().contains("up") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(child.stop(Duration::from_secs(10)).await.expect("it stops"), Stopped::Asked(Some(7)));
    }

    #[tokio::test]
    async fn a_child_that_ignores_sigterm_is_killed() {
        let logs = tempfile::tempdir().expect("a folder");
        let child = Child::start(&shell("trap '' TERM; echo up; while :; do sleep 0.05; done"), logs.path());
        let child = child.expect("it starts");
        while !child.log_tail().contains("up") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(child.stop(Duration::from_millis(50)).await.expect("it stops"), Stopped::Killed);
    }

    #[tokio::test]
    async fn a_child_that_ended_by_itself_is_an_error_with_its_log() {
        let logs = tempfile::tempdir().expect("a folder");
        let mut child = Child::start(&shell("echo the reason; exit 3"), logs.path()).expect("it starts");
        child.process.wait().await.expect("it ends");
        let error = child.must_run().expect_err("it has ended").to_string();
        assert!(error.contains("the reason") && error.contains("exit status: 3"), "{error}");
        assert_eq!(child.stop(Duration::from_secs(1)).await.expect("it is over"), Stopped::Before(Some(3)));
    }
}
