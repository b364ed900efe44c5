//! The `broadcaster` binary: `run` (default), `healthcheck`, `--version`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use broadcaster::{Settings, StartError};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Stage 3 of the Oracle State Synchronizer: delivers committed entries to their targets"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// TOML settings over the embedded defaults.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT.
    Run,
    /// Ask this process' own /healthz; exit 0 when ready.
    Healthcheck,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match Settings::load(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return fail(&error.into(), common::exit::CONFIG),
    };
    if let Some(Command::Healthcheck) = arguments.command {
        return match common::admin::healthcheck(&settings.http.admin_listen) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&anyhow::Error::new(error).context("not ready"), 1),
        };
    }
    common::telemetry::init("info", settings.telemetry.log);
    let _exporter = match common::trace::start(&settings.telemetry, "broadcaster") {
        Ok(exporter) => exporter,
        Err(error) => return fail(&error.into(), common::exit::CONFIG),
    };
    match actix_web::rt::System::new().block_on(run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code =
                error.downcast_ref::<StartError>().map_or(common::exit::ESSENTIAL, StartError::exit_code);
            fail(&error, code)
        }
    }
}

/// Serves until asked to stop. A changed target list drains the service and builds it anew in the same process, because
/// supervisors take the end of a process for a failure.
async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut asked = std::pin::pin!(common::exit::signal());
    loop {
        let service = broadcaster::build(settings.clone()).await?;
        let renewal = service.renewal();
        let ended = service.run(async {
            tokio::select! {
                signal = &mut asked => Some(signal),
                () = renewal => None,
            }
        });
        if let Some(signal) = ended.await {
            return signal.map(drop).context("the signal handlers cannot be installed");
        }
        tracing::info!("The target list has changed; starting anew with the new one");
    }
}

fn fail(error: &anyhow::Error, code: i32) -> ExitCode {
    tracing::error!(error = format!("{error:#}"), code, "The broadcaster cannot run");
    eprintln!("broadcaster: {error:#}");
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
