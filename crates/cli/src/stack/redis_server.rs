//! A private redis-server that loses nothing it has acknowledged: AOF, synced with every write. It lets in whom
//! its users file names, and nobody else.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use common::link::acl::{ADMIN, HEALTH};
use secrecy::{ExposeSecret as _, SecretString};

use super::child::{Child, Launch};

/// Ready within this, also after a crash with a large AOF.
const READY_WITHIN: Duration = Duration::from_mins(1);
const ASK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/0")
}

/// With the administrator's rights. Not to be shown.
pub(crate) fn admin_url(port: u16, password: &SecretString) -> String {
    format!("redis://{ADMIN}:{}@127.0.0.1:{port}/0", password.expose_secret())
}

/// How to start it with its data in `folder` and the users of the file `users`.
pub(crate) fn launch(program: &Path, folder: &Path, users: &Path, port: u16) -> Launch {
    let text = |text: &str| text.to_owned();
    let settings: [(&str, String); 13] = [
        ("--bind", text("127.0.0.1")),
        ("--port", port.to_string()),
        ("--dir", folder.display().to_string()),
        ("--aclfile", users.display().to_string()),
        ("--appendonly", text("yes")),
        ("--appendfsync", text("always")),
        ("--save", text("")),
        // As deploy/redis.conf: the file is rewritten seldom, and at less cost.
        ("--auto-aof-rewrite-min-size", text("256mb")),
        ("--rdbcompression", text("no")),
        ("--maxmemory-policy", text("noeviction")),
        // Status records stay in the compact form.
        ("--hash-max-listpack-value", text("512")),
        ("--daemonize", text("no")),
        ("--loglevel", text("notice")),
    ];
    let args = settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
    Launch { name: "redis".to_owned(), program: program.to_owned(), args }
}

/// Waits until it answers PING.
pub(crate) async fn wait_ready(url: &str, within: Duration, child: Option<&mut Child>) -> anyhow::Result<()> {
    let started = Instant::now();
    let client = redis::Client::open(url)?;
    let mut child = child;
    loop {
        if let Some(child) = child.as_deref_mut() {
            child.must_run()?;
        }
        if ping(&client).await.is_ok() {
            return Ok(());
        }
        if started.elapsed() > within {
            // The URL may hold a password.
            let address = client.get_connection_info().addr();
            bail!("Redis at {address} did not answer within {} s", within.as_secs());
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn ping(client: &redis::Client) -> redis::RedisResult<String> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").query_async(&mut connection).await
}

/// Starts it and waits until it answers.
pub(crate) async fn start(
    program: &Path,
    folder: &Path,
    users: &Path,
    logs: &Path,
    port: u16,
) -> anyhow::Result<Child> {
    std::fs::create_dir_all(folder)?;
    let mut child = Child::start(&launch(program, folder, users, port), logs)?;
    // This user has no password; the client sends one with every name.
    wait_ready(&format!("redis://{HEALTH}:-@127.0.0.1:{port}"), READY_WITHIN, Some(&mut child)).await?;
    Ok(child)
}
