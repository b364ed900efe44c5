//! A private redis-server for one test: loopback, a free port, its own folder, durable as in production.
//!
//! `appendonly yes`, `appendfsync always`, `noeviction`; optionally in cluster mode with all slots assigned
//! (there a script with a key of another slot, or an undeclared one, fails) or with little memory. Dropping
//! it stops the server and removes its folder. `redis-server` is taken from the path.

mod power;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection, IntoConnectionInfo as _, RedisError, Value};
use tempfile::TempDir;

use crate::ports;
use power::Shim;

/// How long a start may take: loading the file, and the two seconds a cluster node waits before it is ok.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(4);
/// Where Redis keeps its append-only files.
const AOF_FOLDER: &str = "appendonlydir";
/// Another process may take the port between the search and the start.
const START_ATTEMPTS: usize = 5;

/// Users of a private server; its `default` is on only if the file says so.
#[derive(Debug, Clone)]
pub struct Users {
    /// The whole ACL file.
    pub file: String,
    /// Who runs [`RedisServer::command`], and with which password.
    pub admin: &'static str,
    pub password: String,
}

/// Certificates for a second port that speaks TLS and asks every client for its own.
#[derive(Debug, Clone)]
pub struct Tls {
    pub port: u16,
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a private server is to be like.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// One node that owns all slots.
    pub cluster: bool,
    /// For example `8mb`.
    pub maxmemory: Option<String>,
    /// Its power can be cut and its clock moved; needs `gcc`.
    pub shim: bool,
    /// None = everybody may do everything.
    pub users: Option<Users>,
    pub tls: Option<Tls>,
}

/// A server could not be started or spoken to.
#[derive(Debug, thiserror::Error)]
pub enum RedisServerError {
    #[error("redis-server could not be run")]
    Run(#[from] io::Error),
    #[error("redis-server on port {port} was not ready in time")]
    NotReady { port: u16 },
    #[error("redis-server refused a command")]
    Command(#[from] RedisError),
}

/// A running private server.
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
    shim: Option<Shim>,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// There is no `redis-server`, or it does not become ready.
    pub fn start(options: RedisOptions) -> Result<Self, RedisServerError> {
        let shim = options.shim.then(Shim::build).transpose()?;
        let mut server = Self { options, port: ports::free()?, folder: new_folder()?, child: None, shim };
        for _ in 1..START_ATTEMPTS {
            if server.spawn().is_ok() {
                return server.assign_slots().map(|()| server);
            }
            server.kill()?;
            (server.port, server.folder) = (ports::free()?, new_folder()?);
        }
        server.spawn()?;
        server.assign_slots().map(|()| server)
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The folder with the append-only file.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the server as a power cut of the process would: `kill -9`, nothing is flushed.
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn kill(&mut self) -> Result<(), RedisServerError> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ends the server as a power cut of its machine would: `kill -9`, and what was not fsynced is gone.
    /// Answers how many bytes of the append-only file that were.
    ///
    /// # Errors
    /// It was started without a shim, or its files cannot be cut.
    pub fn cut_power(&mut self) -> Result<u64, RedisServerError> {
        self.kill()?;
        Ok(self.shim()?.cut(&self.folder.path().join(AOF_FOLDER))?)
    }

    /// Moves the server's wall clock: so far ahead of the machine's, or behind it.
    ///
    /// # Errors
    /// It was started without a shim.
    pub fn set_clock(&self, offset_ms: i64) -> Result<(), RedisServerError> {
        Ok(self.shim()?.set_clock(offset_ms)?)
    }

    /// The server stops answering without closing anything (SIGSTOP).
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn freeze(&self) -> Result<(), RedisServerError> {
        self.signal("-STOP")
    }

    /// The server goes on (SIGCONT).
    ///
    /// # Errors
    /// The process cannot be signalled.
    pub fn thaw(&self) -> Result<(), RedisServerError> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), RedisServerError> {
        let Some(child) = &self.child else { return Ok(()) };
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("kill failed").into()) }
    }

    fn shim(&self) -> Result<&Shim, RedisServerError> {
        self.shim.as_ref().ok_or_else(|| io::Error::other("the server runs without a shim").into())
    }

    /// Starts the server again on the same port and data.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn restart(&mut self) -> Result<(), RedisServerError> {
        self.kill()?;
        self.spawn()
    }

    /// Runs one command on a connection of its own.
    ///
    /// # Errors
    /// Redis' error.
    pub fn command(&self, parts: &[&str]) -> Result<Value, RedisServerError> {
        let mut command = redis::Cmd::new();
        for part in parts {
            command.arg(*part);
        }
        Ok(command.query(&mut self.connection()?)?)
    }

    /// `CONFIG SET name value`.
    ///
    /// # Errors
    /// Redis' error.
    pub fn config_set(&self, name: &str, value: &str) -> Result<(), RedisServerError> {
        self.command(&["CONFIG", "SET", name, value]).map(drop)
    }

    fn connection(&self) -> Result<Connection, RedisServerError> {
        let mut info = self.url().into_connection_info()?;
        if let Some(users) = &self.options.users {
            let settings = info.redis_settings().clone();
            info = info.set_redis_settings(settings.set_username(users.admin).set_password(&*users.password));
        }
        Ok(Client::open(info)?.get_connection_with_timeout(Duration::from_secs(1))?)
    }

    fn spawn(&mut self) -> Result<(), RedisServerError> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--daemonize", "no"]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.args(["--maxmemory-policy", "noeviction", "--hash-max-listpack-value", "512"]);
        command.arg("--dir").arg(self.folder.path()).args(["--logfile", "redis.log"]);
        if self.options.cluster {
            command.args(["--cluster-enabled", "yes"]);
        }
        if let Some(maxmemory) = &self.options.maxmemory {
            command.args(["--maxmemory", maxmemory]);
        }
        if let Some(users) = &self.options.users {
            let file = self.folder.path().join("users.acl");
            std::fs::write(&file, &users.file)?;
            command.arg("--aclfile").arg(file);
        }
        if let Some(Tls { port, ca, certificate, key }) = &self.options.tls {
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "yes"]);
            command.arg("--tls-ca-cert-file").arg(ca);
            command.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key);
        }
        if let Some(shim) = &self.shim {
            command.envs(shim.variables());
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.child = Some(child);
        self.wait_until(Self::answers)
    }

    /// Polls a condition until it holds, the process has ended or the time is over.
    fn wait_until(&mut self, holds: fn(&Self) -> bool) -> Result<(), RedisServerError> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            let is_alive = match &mut self.child {
                Some(child) => child.try_wait()?.is_none(),
                None => false,
            };
            if !is_alive {
                break;
            }
            if holds(self) {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(RedisServerError::NotReady { port: self.port })
    }

    /// Our own server answers, with its data loaded, and its cluster of one is ok.
    fn answers(&self) -> bool {
        let pid = self.child.as_ref().map(Child::id);
        let Ok(Value::BulkString(info)) = self.command(&["INFO", "server"]) else { return false };
        let info = String::from_utf8_lossy(&info);
        let is_ours =
            pid.is_some_and(|pid| info.lines().any(|line| line.trim() == format!("process_id:{pid}")));
        is_ours && self.command(&["PING"]).is_ok() && self.is_cluster_ready()
    }

    /// Before its slots are assigned a node is ready when it knows that it has none.
    fn is_cluster_ready(&self) -> bool {
        if !self.options.cluster {
            return true;
        }
        let Ok(Value::BulkString(info)) = self.command(&["CLUSTER", "INFO"]) else { return false };
        let info = String::from_utf8_lossy(&info);
        info.contains("cluster_slots_assigned:0") || info.contains("cluster_state:ok")
    }

    fn assign_slots(&mut self) -> Result<(), RedisServerError> {
        if !self.options.cluster {
            return Ok(());
        }
        self.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
        self.wait_until(Self::is_cluster_ready)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Nobody is left to tell: a process that cannot be signalled is gone.
        drop(self.kill());
    }
}

fn new_folder() -> io::Result<TempDir> {
    TempDir::with_prefix("oss-redis-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_survives_a_kill_and_a_restart_on_the_same_port() {
        let mut server = RedisServer::start(RedisOptions::default()).expect("starts");
        server.command(&["SET", "a", "1"]).expect("writes");
        server.kill().expect("is killed");
        assert!(server.command(&["PING"]).is_err());
        server.restart().expect("starts again");
        assert_eq!(server.command(&["GET", "a"]).expect("reads"), Value::BulkString(b"1".to_vec()));
    }

    fn shimmed() -> RedisServer {
        RedisServer::start(RedisOptions { shim: true, ..RedisOptions::default() }).expect("starts")
    }

    #[test]
    fn a_power_cut_takes_what_was_not_fsynced_and_nothing_else() {
        let mut server = shimmed();
        server.command(&["SET", "safe", "1"]).expect("writes");
        server.config_set("appendfsync", "no").expect("sets");
        server.command(&["SET", "lost", "1"]).expect("writes");
        assert!(server.cut_power().expect("is cut") > 0);
        server.restart().expect("starts again");
        let get = |key| server.command(&["GET", key]).expect("reads");
        assert_eq!((get("safe"), get("lost")), (Value::BulkString(b"1".to_vec()), Value::Nil));

        // With every write fsynced nothing is lost; `kill -9` alone never takes what was written.
        server.command(&["SET", "safe", "2"]).expect("writes");
        assert_eq!(server.cut_power().expect("is cut"), 0);
        server.restart().expect("starts again");
        assert_eq!(server.command(&["GET", "safe"]).expect("reads"), Value::BulkString(b"2".to_vec()));
    }

    #[test]
    fn the_clock_of_a_server_can_be_moved_both_ways() {
        let server = shimmed();
        let seconds = || match server.command(&["TIME"]).expect("answers") {
            Value::Array(parts) => match parts.first() {
                Some(Value::BulkString(text)) => {
                    String::from_utf8_lossy(text).parse::<i64>().expect("a number")
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let before = seconds();
        for (offset_ms, least, most) in [(3_600_000, 3_600, 3_700), (-3_600_000, -3_600, -3_500)] {
            server.set_clock(offset_ms).expect("moves");
            let moved = seconds() - before;
            assert!((least..most).contains(&moved), "{moved}");
        }
    }

    #[test]
    fn a_cluster_node_serves_all_slots_and_refuses_keys_of_two_in_one_command() {
        let server =
            RedisServer::start(RedisOptions { cluster: true, ..RedisOptions::default() }).expect("starts");
        server.command(&["MSET", "{t}a", "1", "{t}b", "2"]).expect("one slot");
        assert!(server.command(&["MSET", "a", "1", "b", "2"]).is_err());
    }
}
