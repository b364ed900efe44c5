//! The real binary under test, and its HTTP.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::{Bed, Check, PATIENCE, SECRET};

/// A running broadcaster process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    log_file: String,
    pub(crate) http: String,
    pub(crate) admin: String,
}

/// Short intervals, so that tests wait for facts and not for time.
const QUICK: &[(&str, &str)] = &[
    ("OSS__LANE__LEASE_TTL_MS", "1500"),
    ("OSS__LANE__WATCH_MS", "50"),
    ("OSS__LANE__IDLE_MS", "50"),
    ("OSS__LANE__RETRY_MIN_MS", "50"),
    ("OSS__LANE__RETRY_MAX_MS", "300"),
    ("OSS__LANE__EXAMINE_MS", "500"),
    ("OSS__EVM__POLL_MS", "30"),
    ("OSS__EVM__RESEND_MS", "500"),
    ("OSS__EVM__GAP_MS", "300"),
    ("OSS__EVM__RPC_TIMEOUT_MS", "1000"),
    ("OSS__EVM__RETRY_MIN_MS", "100"),
    ("OSS__EVM__RETRY_MAX_MS", "500"),
];

/// The answer, once somebody listens: a process that was just started may not yet.
async fn heard(request: reqwest::RequestBuilder) -> Check<reqwest::Response> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let again = request.try_clone().ok_or("a body that cannot be sent twice")?;
        match again.send().await {
            Err(error) if error.is_connect() && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => return Ok(answer?),
        }
    }
}

impl Process {
    pub(crate) fn start(bed: &Bed) -> Check<Self> {
        Self::start_with(bed, "one", &[])
    }

    /// `instance` names it; `extra` are more variables.
    pub(crate) fn start_with(bed: &Bed, instance: &str, extra: &[(&str, &str)]) -> Check<Self> {
        let address = || testkit::ports::free().map(|port| format!("127.0.0.1:{port}"));
        let (http, admin) = (address()?, address()?);
        let mut command = Command::new(env!("CARGO_BIN_EXE_broadcaster"));
        command.env_clear().env("RUST_LOG", "broadcaster=debug,info");
        command.env("OSS__INSTANCE", instance).env("OSS__REDIS__URL", bed.redis.url());
        for (field, file) in [
            ("OSS__KEYS_FILE", "keys.json"),
            ("OSS__TARGETS_FILE", "targets.json"),
            ("OSS__ENDPOINTS_FILE", "endpoints.json"),
            ("OSS__SENDER_KEYS_FILE", "senders.json"),
        ] {
            command.env(field, bed.path(file));
        }
        command.env("OSS__HTTP__LISTEN", &http).env("OSS__HTTP__ADMIN_LISTEN", &admin);
        command.envs(QUICK.iter().copied()).envs(extra.iter().copied());
        let log_file = format!("{instance}-{}.log", http.replace(':', "-"));
        let log = std::fs::File::create(bed.path(&log_file))?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(Stdio::inherit()).spawn()?;
        let name = format!("broadcaster-{instance}");
        Ok(Self { child, name, log_file, http: format!("http://{http}"), admin: format!("http://{admin}") })
    }

    /// What it has logged so far.
    pub(crate) fn log(&self, bed: &Bed) -> Check<String> {
        Ok(std::fs::read_to_string(self.log_path(bed))?)
    }

    /// The file it logs to.
    pub(crate) fn log_path(&self, bed: &Bed) -> std::path::PathBuf {
        bed.path(&self.log_file)
    }

    pub(crate) fn is_running(&mut self) -> Check<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Stops it without its knowledge (SIGSTOP).
    pub(crate) fn freeze(&self) -> Check {
        self.signal("-STOP")
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn thaw(&self) -> Check {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Check {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err("kill failed".into()) }
    }

    /// Its name in leases.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Ends it with `kill -9`.
    pub(crate) fn kill(mut self) -> Check {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it with SIGTERM; answers its exit code.
    pub(crate) fn terminate(mut self) -> Check<Option<i32>> {
        self.signal("-TERM")?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("did not end on SIGTERM".into())
    }

    /// Waits until it has ended by itself, as at a crash point; answers its exit code (`None` = by a signal).
    pub(crate) async fn ended(&mut self) -> Check<Option<i32>> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("did not end".into())
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Check<(u16, Value)> {
        self.ask(reqwest::Method::GET, path, key).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str) -> Check<(u16, Value)> {
        self.ask(reqwest::Method::POST, path, key).await
    }

    pub(crate) async fn ask(&self, method: reqwest::Method, path: &str, key: &str) -> Check<(u16, Value)> {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.http));
        let answer = heard(request.bearer_auth(format!("oss_{key}_{SECRET}"))).await?;
        Ok((answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)))
    }

    /// The page of metrics.
    pub(crate) async fn metrics(&self) -> Check<String> {
        Ok(heard(reqwest::Client::new().get(format!("{}/metrics", self.admin))).await?.text().await?)
    }

    /// `/readyz`: status and checks; 0 while nobody listens.
    pub(crate) async fn ready(&self) -> (u16, Value) {
        match reqwest::get(format!("{}/readyz", self.admin)).await {
            Err(_) => (0, Value::Null),
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null)),
        }
    }

    /// The lane of the tests' shard in `GET /v1/targets`.
    pub(crate) async fn lane(&self, target: &str) -> Check<Value> {
        let (status, body) = self.get("/v1/targets", "read").await?;
        assert_eq!(status, 200, "{body}");
        let targets = body["targets"].as_array().ok_or("no targets")?;
        let found = targets.iter().find(|found| found["name"] == target).ok_or("no such target")?;
        let lanes = found["lanes"].as_array().ok_or("no lanes")?;
        let lane = lanes.iter().find(|lane| lane["shard"] == "financial").ok_or("no such lane")?;
        Ok(lane.clone())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
