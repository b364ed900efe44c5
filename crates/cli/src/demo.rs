//! `oss demo`: a bond's way through all three services to three chains, with every result checked.
//!
//! In: a stack (its own fresh one, or with `--attach` the running one). Out: a table of what happened and exit 0
//! only if every single thing was as expected. The facts are real ([`facts`]): a US Treasury note, a published
//! reference rate; the mints are backed by Transfer events of a token contract ([`token`]).

pub(crate) mod facts;

mod expected;
mod requests;
mod token;

mod scenario;

mod chains;
mod report;

use std::time::Duration;

use anyhow::Context as _;

use crate::access::StackFile;
use crate::args::{DemoArgs, Global};
use crate::client::Client;
use crate::exit::Exit;
use crate::stack::services::Stack;
use crate::stack::up;
use crate::ui::Ui;

pub(crate) async fn run(global: &Global, args: &DemoArgs, ui: &Ui) -> anyhow::Result<Exit> {
    // Whatever keeps the demo from its end, a time-out as well, is one thing that was not as expected.
    demonstrate(global, args, ui).await.or_else(|error| {
        ui.error(&error);
        Ok(Exit::Failed)
    })
}

async fn demonstrate(global: &Global, args: &DemoArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let timeout = Duration::from_secs(global.timeout);
    if args.attach {
        let file = StackFile::load(&global.data)?;
        return play(&file, timeout, ui).await;
    }
    let folder = tempfile::Builder::new().prefix("oss-demo-").tempdir().context("no folder for the demo")?;
    let mut stack = Stack::default();
    let played = on_fresh_stack(&mut stack, folder.path(), args, timeout, ui).await;
    let stopped = stack.stop(ui).await;
    let failed = !matches!(played, Ok(Exit::Done));
    if args.keep || failed {
        ui.progress(format!("the stack's data and logs are in {}", folder.keep().display()));
    }
    let exit = played?;
    stopped?;
    Ok(exit)
}

async fn on_fresh_stack(
    stack: &mut Stack,
    data: &std::path::Path,
    args: &DemoArgs,
    timeout: Duration,
    ui: &Ui,
) -> anyhow::Result<Exit> {
    let asked = common::exit::signal();
    tokio::pin!(asked);
    let scenario = async {
        let file = up::start(stack, data, None, &args.programs, ui).await?;
        let exit = play(&file, timeout, ui).await?;
        stack.must_run()?;
        anyhow::Ok(exit)
    };
    tokio::select! {
        played = scenario => played,
        signal = &mut asked => { signal?; anyhow::bail!("interrupted") }
    }
}

/// Plays the scenario on a running stack and prints the result.
async fn play(file: &StackFile, timeout: Duration, ui: &Ui) -> anyhow::Result<Exit> {
    let client = Client::new(file.access())?;
    let outcome = scenario::play(&client, file, timeout, ui).await?;
    ui.result(&outcome, || report::human(&outcome))?;
    if outcome.unexpected.is_empty() {
        return Ok(Exit::Done);
    }
    for fault in &outcome.unexpected {
        ui.warn(format!("not as expected: {fault}"));
    }
    Ok(Exit::Failed)
}
