//! `oss`: starts a whole stack on one machine, sends requests, watches them, checks results from outside.
//!
//! In: the command line and, for most commands, the stack file that `oss up` wrote (`.oss/secrets/operator/stack.json`) or
//! `OSS_URL` and `OSS_KEY`. Out: results on stdout (tables or `-o json`), progress on stderr, and an exit code
//! ([`exit::Exit`]). Nothing here decides anything about state: it asks the services, and for a check it
//! recomputes with the same formats (`common`) and the same engine (`validator`).

mod args;
mod exit;
mod input;
mod ui;

mod access;
mod client;
mod request_view;

mod explain;
mod get;
mod rollback;
mod submit;
mod watch;

mod verify;

mod doctor;

mod stack;

mod rate;

mod demo;

mod bench;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command, VerifyCommand};
use crate::exit::Exit;
use crate::ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results; everything else is a fault of the command line.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // A closed pipe leaves nobody to tell.
            let _unread = error.print();
            return exit.into();
        }
    };
    let ui = Ui::new(&cli.global);
    // One thread: children are started from the main thread, whose end is what ends them if this process is
    // killed (see `stack::child`). What needs cores of its own starts its own threads.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            ui.error(&anyhow::Error::new(error).context("cannot start the runtime"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(run(cli, &ui)).unwrap_or_else(|error| {
        ui.error(&error);
        Exit::of_error(&error)
    });
    exit.into()
}

async fn run(cli: Cli, ui: &Ui) -> anyhow::Result<Exit> {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => stack::up::run(&global, &args, ui).await,
        Command::Init(args) => stack::init::run(&args, ui).await,
        Command::RateSource(args) => rate::serve(&args, ui).await,
        Command::Demo(args) => demo::run(&global, &args, ui).await,
        Command::Submit(args) => submit::run(&global, &args, ui).await,
        Command::Get(args) => get::run(&global, &args, ui).await,
        Command::Explain(args) => explain::run(&global, &args, ui).await,
        Command::Rollback(args) => rollback::run(&global, &args, ui).await,
        Command::Watch(args) => watch::run(&global, &args, ui).await,
        Command::Verify(VerifyCommand::Proof(args)) => verify::proof::run(&args, ui),
        Command::Verify(VerifyCommand::Log(args)) => verify::log::run(&global, &args, ui).await,
        Command::Doctor(args) => doctor::run(&global, &args, ui).await,
        Command::Bench(bench) => bench::run(&bench, ui).await,
    }
}
