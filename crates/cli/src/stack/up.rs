//! `oss up`: the whole stack as child processes, until Ctrl-C or SIGTERM.
//!
//! Order: Redis, chains and the reference rate; then keys, contracts and files; then the services. The end
//! goes the other way: collector, validator, broadcaster, rate, chains, Redis.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::targets::Tier;

use super::child::{Child, Launch};
use super::files::{self, Access};
use super::init::{self, TARGETS_FILE};
use super::ports::Ports;
use super::programs::{self, Found};
use super::services::{Role, Stack};
use super::settings::{self, Listen, Listens, Tuning};
use super::{anvil, redis_server, secrets};
use crate::access::{STACK_FILE, StackFile};
use crate::args::{Global, NamedUrl, Programs, UpArgs};
use crate::exit::Exit;
use crate::rate;
use crate::ui::{self, Ui};

/// How often the children are looked at.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// How long the chains may take to answer while contracts are deployed.
const CHAIN_WAIT: Duration = Duration::from_mins(1);

pub(crate) async fn run(global: &Global, args: &UpArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut stack = Stack::default();
    let ended = run_until_asked(&mut stack, global, args, ui).await;
    if !stack.is_empty() {
        ui.progress("stopping");
    }
    let stopped = stack.stop(ui).await;
    ended?;
    stopped?;
    Ok(Exit::Done)
}

async fn run_until_asked(stack: &mut Stack, global: &Global, args: &UpArgs, ui: &Ui) -> anyhow::Result<()> {
    let asked = common::exit::signal();
    tokio::pin!(asked);
    let lock = lock(&global.data)?;
    let started = tokio::select! {
        started = start(stack, &global.data, args.port_base, &args.programs, ui) => started?,
        signal = &mut asked => { signal?; return Ok(()) }
    };
    report(&started, ui)?;
    loop {
        tokio::select! {
            signal = &mut asked => { signal?; break }
            () = tokio::time::sleep(WATCH_EVERY) => stack.must_run()?,
        }
    }
    drop(lock);
    Ok(())
}

/// One stack per folder at a time; the lock goes with the process.
pub(crate) fn lock(data: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    let path = data.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("another stack runs in {}", data.display());
    }
    Ok(file)
}

/// Starts everything and gives the stack file, which is also written.
pub(crate) async fn start(
    stack: &mut Stack,
    data: &Path,
    port_base: Option<u16>,
    programs: &Programs,
    ui: &Ui,
) -> anyhow::Result<StackFile> {
    let (found, anvil_program) = (programs::find(programs)?, programs::anvil(programs)?);
    // Children do not share this process's folder in their settings: every path is absolute.
    let data = data.canonicalize().with_context(|| format!("cannot use {}", data.display()))?;
    let logs = data.join("logs");
    std::fs::create_dir_all(&logs)?;
    let mut ports = Ports::new(port_base);
    let mut listen = || anyhow::Ok(Listen { api: ports.take()?, admin: ports.take()? });
    let (collector, validator, broadcaster) = (listen()?, listen()?, listen()?);
    let (redis_port, rate_port, source_port) = (ports.take()?, ports.take()?, ports.take()?);
    let target_ports = [ports.take()?, ports.take()?, ports.take()?];
    drop(ports);

    ui.progress("starting redis, the chains and the reference rate");
    secrets::ensure(&data)?;
    let (redis, users) = (data.join("redis"), data.join(secrets::names::REDIS_USERS));
    stack
        .add(Role::Redis, redis_server::start(&found.redis_server, &redis, &users, &logs, redis_port).await?);
    let chains_folder = data.join("chains");
    let chains =
        [anvil::SOURCE].into_iter().zip([source_port]).chain(anvil::TARGETS.into_iter().zip(target_ports));
    for (chain, port) in chains {
        stack.add(Role::Chain, anvil::start(&anvil_program, chain, &chains_folder, &logs, port).await?);
    }
    stack.add(Role::RateSource, start_rate_source(&found, rate_port, &logs)?);

    ui.progress("keys, contracts and configuration");
    let targets = named_urls(target_ports)?;
    let plan = init::Plan {
        chains: &targets,
        source_chain: &anvil::url(source_port),
        rate_url: &format!("http://127.0.0.1:{rate_port}{}", rate::PATH),
        tier: Tier::Finalized,
        wait: CHAIN_WAIT,
    };
    let made = init::ensure(&data, &plan, ui).await?;
    let redis_url = redis_server::url(redis_port);
    let listens = Listens { redis_url, collector, more_collectors: Vec::new(), validator, broadcaster };
    let file = StackFile {
        collector: collector.url(),
        validator: validator.url(),
        broadcaster: broadcaster.url(),
        keys: made.tokens,
        targets_file: data.join(TARGETS_FILE),
        chains: made.chains,
        redis_url: Some(listens.redis_url.clone()),
        source_chain: Some(made.source_chain),
    };
    files::write_json(&data.join(STACK_FILE), &file, Access::Owner)?;
    start_services(stack, &found, &data, &listens, Tuning::default(), ui).await?;
    Ok(file)
}

/// Writes the services' settings, starts them together and waits until all are ready.
pub(crate) async fn start_services(
    stack: &mut Stack,
    found: &Found,
    data: &Path,
    listens: &Listens,
    tuning: Tuning,
    ui: &Ui,
) -> anyhow::Result<()> {
    let logs: PathBuf = data.join("logs");
    let files = settings::write(data, listens, tuning)?;
    ui.progress("starting validator, collector and broadcaster");
    for role in [Role::Validator, Role::Collector, Role::Broadcaster] {
        stack.start_service(role, found, &files, &logs)?;
    }
    let services = [
        ("validator", listens.validator),
        ("collector", listens.collector),
        ("broadcaster", listens.broadcaster),
    ];
    for (name, listen) in services {
        stack.wait_ready(name, listen).await?;
    }
    Ok(())
}

fn start_rate_source(found: &Found, port: u16, logs: &Path) -> anyhow::Result<Child> {
    let args = ["rate-source", "--listen", &format!("127.0.0.1:{port}")].map(str::to_owned).to_vec();
    Child::start(&Launch { name: "rate-source".to_owned(), program: found.oss.clone(), args }, logs)
}

fn named_urls(ports: [u16; 3]) -> anyhow::Result<Vec<NamedUrl>> {
    anvil::TARGETS
        .into_iter()
        .zip(ports)
        .map(|(chain, port)| Ok(NamedUrl { name: chain.name.parse()?, url: anvil::url(port) }))
        .collect()
}

fn report(file: &StackFile, ui: &Ui) -> anyhow::Result<()> {
    ui.result(file, || {
        let mut table = ui::table(["ready", "url"]);
        table.add_row(["submit and status (collector)", &format!("{}/docs", file.collector)]);
        table.add_row(["state and proofs (validator)", &file.validator]);
        table.add_row(["targets (broadcaster)", &file.broadcaster]);
        for (name, url) in &file.chains {
            table.add_row([&format!("chain {name}"), url]);
        }
        if let Some(source) = &file.source_chain {
            table.add_row([format!("source chain, token {}", source.token), source.rpc.clone()]);
        }
        format!(
            "{table}\nsubmit with: oss submit examples/bond-register.json --until completed\nend with Ctrl-C"
        )
    })
}
