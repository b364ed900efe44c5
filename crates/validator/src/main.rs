//! The validator binary: `validator [run] [--config FILE]`, `validator healthcheck`, `validator rebuild-view`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use validator::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "validator",
    version,
    about = "Stage 2 of Oracle State Synchronizer: orders, decides, commits"
)]
struct Arguments {
    /// TOML file over the embedded defaults; `OSS__<SECTION>__<FIELD>` variables go over both.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Run the service (the default).
    Run,
    /// Ask the running service's /healthz; exit code 0 when it leads, or follows and could take over.
    Healthcheck,
    /// Delete the view of the first free data folder; the next start rebuilds it from a checkpoint, the archive
    /// and the log.
    RebuildView,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = Settings::load(arguments.config.as_deref());
    common::telemetry::init(
        "info",
        settings.as_ref().map(|settings| settings.telemetry.log).unwrap_or_default(),
    );
    let code = match settings {
        Err(error) => fail(&anyhow::Error::new(error), common::exit::CONFIG),
        Ok(settings) => match arguments.command.unwrap_or(Command::Run) {
            Command::Run => run(settings),
            Command::Healthcheck => match common::admin::healthcheck(&settings.http.admin_listen) {
                Ok(()) => common::exit::OK,
                Err(error) => fail(&anyhow::Error::new(error).context("not ready"), 1),
            },
            Command::RebuildView => match validator::clear_views(&settings) {
                Ok(()) => common::exit::OK,
                Err(error) => fail(&anyhow::Error::new(error), common::exit::ESSENTIAL),
            },
        },
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn run(settings: Settings) -> i32 {
    let _exporter = match common::trace::start(&settings.telemetry, "validator") {
        Ok(exporter) => exporter,
        Err(error) => return fail(&anyhow::Error::new(error), common::exit::CONFIG),
    };
    let result = actix::System::new().block_on(async {
        let service = validator::build(settings).await?;
        service
            .run(async {
                match common::exit::signal().await {
                    Ok(signal) => tracing::info!(signal, "Stopping"),
                    Err(error) => tracing::error!(%error, "Signals cannot be handled; stopping"),
                }
            })
            .await
    });
    match result {
        Ok(()) => common::exit::OK,
        Err(error) => {
            let code = error.exit_code();
            fail(&anyhow::Error::new(error), code)
        }
    }
}

fn fail(error: &anyhow::Error, code: i32) -> i32 {
    tracing::error!(code, error = format!("{error:#}"), "The validator ends");
    code
}
