//! Results to stdout, progress and errors to stderr. Colour only on a terminal and without `NO_COLOR`.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Row, Table, presets};
use common::problem::Problem;
use console::Style;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::{Format, Global};
use crate::client::ClientError;

/// How often a spinner moves.
const SPINNER_TICK: Duration = Duration::from_millis(100);

/// The two output streams.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    format: Format,
    quiet: bool,
    stderr_is_terminal: bool,
    colour: bool,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let stderr_is_terminal = std::io::stderr().is_terminal();
        if no_colour || !std::io::stdout().is_terminal() {
            console::set_colors_enabled(false);
        }
        let colour = stderr_is_terminal && !no_colour;
        console::set_colors_enabled_stderr(colour);
        Self { format: global.output, quiet: global.quiet, stderr_is_terminal, colour }
    }

    /// The same without progress, for what is a detail of something larger.
    pub(crate) fn quieted(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    pub(crate) const fn is_json(&self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// A result as JSON, or as what `human` prints.
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = if self.is_json() { serde_json::to_string_pretty(value)? } else { human() };
        print(text.trim_end())
    }

    /// One line of a running command, on stderr.
    pub(crate) fn progress(&self, text: impl AsRef<str>) {
        if !self.quiet {
            // Nobody is left to tell when stderr is closed.
            let _unread = writeln!(std::io::stderr(), "{}", text.as_ref());
        }
    }

    /// A line that needs attention but ends nothing.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        let label = self.styled("warning:", &Style::new().yellow().bold());
        let _unread = writeln!(std::io::stderr(), "{label} {}", text.as_ref());
    }

    /// Why a command ended, with what a problem document says.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let label = self.styled("error:", &Style::new().red().bold());
        let mut text = format!("{label} {error:#}\n");
        if let Some(ClientError::Problem(problem)) = error.downcast_ref::<ClientError>() {
            text = problem_text(&label, problem);
        }
        let _unread = std::io::stderr().write_all(text.as_bytes());
    }

    /// A spinner while something is waited for; silent without a terminal.
    pub(crate) fn spinner(&self, text: impl Into<String>) -> ProgressBar {
        if self.quiet || !self.stderr_is_terminal {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner().with_message(text.into());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(SPINNER_TICK);
        bar
    }

    fn styled(&self, text: &str, style: &Style) -> String {
        if self.colour {
            style.clone().for_stderr().force_styling(true).apply_to(text).to_string()
        } else {
            text.to_owned()
        }
    }
}

fn problem_text(label: &str, problem: &Problem) -> String {
    let mut lines = vec![format!("{label} {}", problem.title), format!("  code: {}", problem.code)];
    lines.extend(problem.detail.iter().map(|detail| format!("  detail: {detail}")));
    let faults = problem.errors.iter();
    lines.extend(faults.map(|fault| format!("  {} {}: {}", fault.pointer, fault.code, fault.detail)));
    let members = problem.extensions.iter();
    lines.extend(members.map(|(name, value)| format!("  {name}: {value}")));
    lines.extend(problem.trace_id.iter().map(|trace| format!("  trace id: {trace}")));
    lines.join("\n") + "\n"
}

/// Text to stdout, with a line end.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        // The reader has seen enough, as `head` does; the exit code still tells the result.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

/// A table with a head, as wide as it needs to be when stdout is no terminal.
pub(crate) fn table(head: impl Into<Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let arrangement = if std::io::stdout().is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    };
    table.set_content_arrangement(arrangement);
    table.set_header(head);
    table
}
