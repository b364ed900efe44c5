//! `oss watch RID`: a line per change of status or chain until the request has ended.
//!
//! Each round is one conditional request that the server holds back until something has changed
//! (`If-None-Match` with `Prefer: wait`), so a change is shown when it happens and nothing is polled idly.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::ids::{Name, Rid};
use common::status::{Delivery, Status};

use crate::access::Access;
use crate::args::{Global, Until, WatchArgs};
use crate::client::{Answer, Client, ClientError, WAIT_MAX_S, Wait};
use crate::exit::Exit;
use crate::request_view::RequestView;
use crate::ui::Ui;

/// Least time between two rounds. A server that answers at once, because it cannot hold back an answer
/// whose document has not changed, is not asked more often than this.
const ROUND_MIN: Duration = Duration::from_millis(100);

pub(crate) async fn run(global: &Global, args: &WatchArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let client = Client::new(Access::find(global)?)?;
    let Some(answer) = client.request_status(args.rid, None, None).await? else {
        anyhow::bail!("the service answered 304 to an unconditional request");
    };
    let view = follow(&client, answer, Until::Completed, Duration::from_secs(global.timeout), ui).await?;
    ui.result(&view, || view.human())?;
    Ok(view.exit())
}

/// Follows a request from what is known of it until `until` or any end.
///
/// # Errors
/// [`ClientError::Timeout`] when `timeout` is over first, and what a read can give.
pub(crate) async fn follow(
    client: &Client,
    answer: Answer,
    until: Until,
    timeout: Duration,
    ui: &Ui,
) -> Result<RequestView, ClientError> {
    let started = Instant::now();
    let rid = answer.view.fields.rid;
    let mut shown = Shown::default();
    let Answer { mut view, mut etag, .. } = answer;
    let spinner = ui.spinner(format!("{rid}"));
    loop {
        for line in shown.changes(&view) {
            spinner.suspend(|| ui.progress(format!("{:>7.2}s  {line}", started.elapsed().as_secs_f64())));
        }
        if is_reached(&view, until) {
            spinner.finish_and_clear();
            return Ok(view);
        }
        let Some(left) = timeout.checked_sub(started.elapsed()) else {
            spinner.finish_and_clear();
            return Err(timed_out(rid, until, timeout));
        };
        let round = Instant::now();
        let wait =
            Wait { seconds: left.as_secs().clamp(1, WAIT_MAX_S), completed: until == Until::Completed };
        if let Some(next) = client.request_status(rid, etag.as_deref(), Some(wait)).await? {
            (view, etag) = (next.view, next.etag);
        }
        tokio::time::sleep(ROUND_MIN.saturating_sub(round.elapsed())).await;
    }
}

fn is_reached(view: &RequestView, until: Until) -> bool {
    let status = view.fields.status;
    status.is_end() || (until == Until::Committed && status.rank() >= Status::Committed.rank())
}

fn timed_out(rid: Rid, until: Until, timeout: Duration) -> ClientError {
    let end = match until {
        Until::Committed => "committed",
        Until::Completed => "completed",
    };
    ClientError::Timeout { what: format!("{rid} {end}"), seconds: timeout.as_secs() }
}

/// What has been printed, so that each change is printed once.
#[derive(Debug, Default)]
struct Shown {
    status: Option<Status>,
    targets: BTreeMap<Name, Delivery>,
}

impl Shown {
    fn changes(&mut self, view: &RequestView) -> Vec<String> {
        let mut lines = Vec::new();
        let status = view.fields.status;
        // An end is told after the chains that led to it.
        let is_new = self.status.replace(status) != Some(status);
        if is_new && !status.is_end() {
            lines.push(status.name().to_owned());
        }
        for (name, target) in &view.fields.targets {
            let Some(state) = target.state else { continue };
            if self.targets.insert(name.clone(), state) != Some(state) {
                let tx = target.tx.first().map_or_else(String::new, |tx| format!("  {tx}"));
                lines.push(format!("{name} {}{tx}", state.name()));
            }
        }
        if is_new && status.is_end() {
            let reason = view.reason().map_or_else(String::new, |reason| format!("  {reason}"));
            lines.push(format!("{}{reason}", status.name()));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(status: &str, base: Option<&str>) -> RequestView {
        let targets =
            base.map_or_else(|| json!({}), |state| json!({"base": {"state": state, "tx": ["0xaa"]}}));
        serde_json::from_value(json!({
            "id": "019ab0de-2c4b-7d3f-8f6e-5d0c6f3f2a00", "status": status, "targets": targets,
        }))
        .expect("a request document")
    }

    #[test]
    fn each_change_is_told_once_and_the_end_after_the_chains() {
        let mut shown = Shown::default();
        assert_eq!(shown.changes(&view("committed", None)), ["committed"]);
        assert_eq!(shown.changes(&view("committed", None)), Vec::<String>::new());
        assert_eq!(shown.changes(&view("broadcasting", Some("sent"))), ["broadcasting", "base sent  0xaa"]);
        assert_eq!(shown.changes(&view("completed", Some("final"))), ["base final  0xaa", "completed"]);
    }

    #[test]
    fn committed_is_enough_only_for_who_waits_for_committed() {
        assert!(is_reached(&view("committed", None), Until::Committed));
        assert!(!is_reached(&view("committed", None), Until::Completed));
        assert!(!is_reached(&view("queued", None), Until::Committed));
        assert!(is_reached(&view("rejected", None), Until::Completed));
    }
}
