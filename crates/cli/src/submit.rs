//! `oss submit FILE`: sends a request; with `--wait` or `--until` follows it.

use std::path::Path;
use std::time::Duration;

use common::request::limits;

use crate::access::Access;
use crate::args::{Global, SubmitArgs, Until};
use crate::client::Client;
use crate::exit::Exit;
use crate::input;
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

/// Reads the request, as far as the service takes one; a longer one gets the service's own refusal.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    input::read(file, limits::BODY_BYTES_MAX as u64 + 1)
}
