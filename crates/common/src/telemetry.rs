//! Logs: JSON lines on stdout, or readable text when stdout is a terminal (`telemetry.log`). `RUST_LOG` selects.
//!
//! One name per thing in every line: `shard`, `rid`, `seq`, `target`, `source`, `epoch`, `code`, `error`; `request_id` and
//! `trace_id` of the HTTP request. A line is a sentence and its fields. Levels: `error` = somebody must act, or data is set
//! aside; `warn` = something failed and is tried again; `info` = a change of role or state; `debug` = each entry or request.

use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::LogFormat;

/// Installs the process' subscriber. Called once, first thing in `main` that logs.
pub fn init(default_filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    // Its spans hold the whole URL of a node, and that the key of an account with a node provider.
    let filter = match "alloy_transport_http=info".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let is_text = match format {
        LogFormat::Auto => std::io::stdout().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // A second call (several services in one test process) keeps the first subscriber.
    let installed = if is_text {
        let text = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE);
        text.with_ansi(std::io::stdout().is_terminal()).try_init()
    } else {
        json_lines(filter, std::io::stdout).try_init().map_err(Into::into)
    };
    drop(installed);
}

/// One JSON object per line, its keys once each. The library's own `target`, the module, is left out: it is the same key as
/// ours for a chain, and readers keep the last of two.
fn json_lines<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE).json();
    lines
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_writer(writer)
        .finish()
}

/// The trace id of a W3C `traceparent` (`00-<32 hex>-<16 hex>-<2 hex>`), if it is one.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let well_formed = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && fields.next().is_none()
        && trace.bytes().any(|b| b != b'0')
        && parent.bytes().any(|b| b != b'0');
    well_formed.then_some(trace)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panics").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_json_with_each_key_once_and_ours_kept() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json_lines(EnvFilter::new("info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(shard = "gaming", target = "base", rid = "r", trace_id = "t", "A sentence");
            tracing::debug!("below the level");
        });
        let text = String::from_utf8(lines.0.lock().expect("no panics").clone()).expect("text");
        assert_eq!(text.lines().count(), 1, "{text}");
        for (key, value) in [
            ("target", "base"),
            ("shard", "gaming"),
            ("rid", "r"),
            ("trace_id", "t"),
            ("message", "A sentence"),
            ("level", "INFO"),
        ] {
            assert_eq!(text.matches(&format!("\"{key}\":")).count(), 1, "{key} in {text}");
            let line: serde_json::Value = serde_json::from_str(&text).expect("json");
            assert_eq!(line[key], value, "{text}");
        }
    }
}
