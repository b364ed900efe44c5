//! The `collector` binary: `run` (default), `healthcheck`, `print-dev-key`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand, ValueEnum};
use collector::{DEFAULTS, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "collector", version, about = "Stage 1 of the Oracle State Synchronizer")]
struct Cli {
    /// TOML file with settings; `OSS__<SECTION>__<FIELD>` variables override it.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Run the service (the default).
    Run,
    /// Ask this service's own /healthz; exit 0 when it is ready.
    Healthcheck,
    /// Print a development API key.
    PrintDevKey {
        /// The scope the key is for.
        #[arg(long, value_enum, default_value_t = DevScope::Submit)]
        scope: DevScope,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DevScope {
    Submit,
    Read,
    Operate,
    Regulate,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match common::config::load::<Settings>(DEFAULTS, cli.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return failed(&error.into(), common::exit::CONFIG),
    };
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => run(settings),
        Command::Healthcheck => match common::admin::healthcheck(&settings.http.admin_listen) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error.into(), 1),
        },
        Command::PrintDevKey { scope } => match dev_key(Path::new(&settings.dev_keys_file), scope) {
            Ok(key) => {
                #[expect(clippy::print_stdout, reason = "the key is this command's output")]
                {
                    println!("{key}");
                }
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, common::exit::CONFIG),
        },
    }
}

fn run(settings: Settings) -> ExitCode {
    common::telemetry::init("info", settings.telemetry.log);
    let _exporter = match common::trace::start(&settings.telemetry, "collector") {
        Ok(exporter) => exporter,
        Err(error) => return failed(&error.into(), common::exit::CONFIG),
    };
    let ended = actix_web::rt::System::new().block_on(async move {
        let service = match collector::build(settings).await {
            Ok(service) => service,
            Err(error) => {
                let code = error.exit_code();
                return Err((anyhow!(error), code));
            }
        };
        let until = async {
            match common::exit::signal().await {
                Ok(signal) => tracing::info!(signal, "Shutting down"),
                Err(error) => tracing::error!(%error, "Signals cannot be waited for; shutting down"),
            }
        };
        service.run(until).await.map_err(|error| (error.into(), common::exit::ESSENTIAL))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((error, code)) => failed(&error, code),
    }
}

/// The key of one scope from the file `{"submit": token, …}`.
fn dev_key(file: &Path, scope: DevScope) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read dev_keys_file {}", file.display()))?;
    let keys: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&text).context("dev_keys_file is not of the form {scope: token}")?;
    let name = match scope {
        DevScope::Submit => "submit",
        DevScope::Read => "read",
        DevScope::Operate => "operate",
        DevScope::Regulate => "regulate",
    };
    keys.get(name).cloned().ok_or_else(|| anyhow!("dev_keys_file has no key for scope {name}"))
}

fn failed(error: &anyhow::Error, code: i32) -> ExitCode {
    // Before telemetry is up, and for the short commands, the error stream is all there is.
    eprintln!("collector: {error:#}");
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
