//! `oss rollback RID`: undoes an applied request that no later one rests on, and follows it until what supersedes it is
//! final on every chain.
//!
//! Out: the rollback as it is then. A refusal is the service's problem, with who rests on the request, and exit code 2.

use std::time::{Duration, Instant};

use common::ids::{IdempotencyKey, Rid};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Access;
use crate::args::{Global, RollbackArgs, Until};
use crate::client::{Client, ClientError, Wait};
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// The command as the validator shows it; kept whole for `-o json`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown(Value);

/// What is needed of it.
#[derive(Debug, Deserialize)]
struct Fields {
    rid: Rid,
    status: String,
    #[serde(default)]
    seq: Option<u64>,
}

/// What a dry run says.
#[derive(Debug, Deserialize)]
struct Plan {
    undone: Vec<Rid>,
    blocked_by: Vec<Rid>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    detail: Option<String>,
}

pub(crate) async fn run(global: &Global, args: &RollbackArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let client = Client::new(Access::find(global)?)?;
    let started = Instant::now();
    let left = || Duration::from_secs(global.timeout).saturating_sub(started.elapsed());
    let key = match &args.key {
        Some(key) => key.clone(),
        None => Rid::fresh(args.rid.shard()).to_string().parse::<IdempotencyKey>()?,
    };
    let wait = |until| Wait { seconds: left().as_secs(), completed: until == Until::Completed };
    let first = (!args.dry_run).then(|| wait(args.until));
    let document = client.rollback(args.rid, args.dry_run, &key, first).await?;
    if args.dry_run {
        return planned(document, args.rid, ui);
    }
    let fields: Fields = serde_json::from_value(document.clone())?;
    let command = fields.rid;
    ui.progress(format!("{command} {}", fields.status));
    let (mut document, mut fields) = (document, fields);
    while !is_reached(&fields, args.until) {
        if left().is_zero() {
            let what = format!("the rollback {command} being {}", name(args.until));
            return Err(ClientError::Timeout { what, seconds: global.timeout }.into());
        }
        // Asked again under the same key the service answers for the command there is.
        document = client.rollback(args.rid, false, &key, Some(wait(args.until))).await?;
        let now: Fields = serde_json::from_value(document.clone())?;
        if now.status != fields.status {
            ui.progress(format!("{command} {}", now.status));
        }
        fields = now;
        if !is_reached(&fields, args.until) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    ui.result(&Shown(document), || human(&fields, args.rid))?;
    Ok(if fields.status == "failed" { Exit::Rejected } else { Exit::Done })
}

fn planned(document: Value, rid: Rid, ui: &Ui) -> anyhow::Result<Exit> {
    let plan: Plan = serde_json::from_value(document.clone())?;
    let is_possible = !plan.undone.is_empty();
    ui.result(&Shown(document), || {
        let mut table = ui::table(["dry run", &rid.to_string()]);
        table.add_row(["possible", if is_possible { "yes" } else { "no" }]);
        if let Some(code) = &plan.code {
            table.add_row(["reason", &format!("{code}: {}", plan.detail.as_deref().unwrap_or_default())]);
        }
        for rid in &plan.blocked_by {
            table.add_row(["blocked by", &rid.to_string()]);
        }
        table.to_string()
    })?;
    Ok(if is_possible { Exit::Done } else { Exit::Rejected })
}

fn is_reached(fields: &Fields, until: Until) -> bool {
    match fields.status.as_str() {
        "completed" | "failed" => true,
        "committed" => until == Until::Committed,
        _ => false,
    }
}

const fn name(until: Until) -> &'static str {
    match until {
        Until::Committed => "committed",
        Until::Completed => "completed",
    }
}

fn human(fields: &Fields, undone: Rid) -> String {
    let mut table = ui::table(["rollback", &fields.rid.to_string()]);
    table.add_row(["undoes", &undone.to_string()]);
    table.add_row(["status", &fields.status]);
    if let Some(seq) = fields.seq {
        table.add_row(["log entry", &format!("{} {seq}", undone.shard())]);
    }
    table.to_string()
}
