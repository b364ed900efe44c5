//! `oss submit FILE`: sends a request; with `--wait` or `--until` follows it.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use common::request::limits;

use crate::access::Access;
use crate::args::{Global, SubmitArgs, Until};
use crate::client::Client;
use crate::exit::Exit;
use crate::ui::Ui;
use crate::watch;

pub(crate) async fn run(global: &Global, args: &SubmitArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let body = read(&args.file)?;
    let client = Client::new(Access::find(global)?)?;
    let answer = client.submit(body, args.key.as_ref(), None).await?;
    let rid = answer.view.fields.rid;
    ui.progress(if answer.replayed { format!("{rid} replayed") } else { format!("{rid} accepted") });
    let view = match (args.until, args.wait) {
        (None, false) => answer.view,
        (until, _) => {
            let until = until.unwrap_or(Until::Committed);
            watch::follow(&client, answer, until, Duration::from_secs(global.timeout), ui).await?
        }
    };
    ui.result(&view, || view.human())?;
    Ok(view.exit())
}

/// Reads a file, or stdin for `-`; a request cannot be longer than the service takes.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes_max = limits::BODY_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(bytes_max).read_to_end(&mut bytes).context("cannot read stdin")?;
    } else {
        let source = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        source
            .take(bytes_max)
            .read_to_end(&mut bytes)
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(bytes)
}
