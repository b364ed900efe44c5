//! `oss explain RID`: where a request is, what holds it, what happens next, and how long each stage took.
//!
//! Out: the validator's answer, whole with `-o json`. A cause this build does not know is shown like any other.

use std::fmt::Write as _;

use common::auth::Scope;
use common::ids::Rid;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Access;
use crate::args::{ExplainArgs, Global};
use crate::client::{Client, Origin};
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// The answer as it came; kept whole for `-o json`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Shown(Value);

#[derive(Debug, Deserialize)]
struct Fields {
    rid: Rid,
    stage: String,
    status: String,
    cause: Cause,
    #[serde(default)]
    evidence: Vec<Evidence>,
    next: Next,
    #[serde(default)]
    verbs: Vec<Call>,
    #[serde(default)]
    budget: Budget,
}

#[derive(Debug, Deserialize)]
struct Cause {
    code: String,
    page: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Evidence {
    fact: String,
    value: Value,
}

#[derive(Debug, Deserialize)]
struct Next {
    action: String,
    at_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Call {
    verb: String,
    call: String,
}

/// Milliseconds; null = not yet, or not known.
#[derive(Debug, Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "they are named as in the answer")]
struct Budget {
    collect_ms: Option<u64>,
    queue_ms: Option<u64>,
    validate_ms: Option<u64>,
    broadcast_ms: Option<u64>,
    confirm_ms: Option<u64>,
    total_ms: Option<u64>,
}

pub(crate) async fn run(global: &Global, args: &ExplainArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let client = Client::new(Access::find(global)?)?;
    let path = format!("/v1/sync-requests/{}/explain", args.rid);
    let document: Value = client.get(Origin::Validator, &path, Scope::Read).await?;
    let fields: Fields = serde_json::from_value(document.clone())?;
    ui.result(&Shown(document), || human(&fields))?;
    Ok(Exit::Done)
}

fn human(fields: &Fields) -> String {
    let mut table = ui::table(["request", &fields.rid.to_string()]);
    table.add_row(["status", &fields.status]);
    table.add_row(["stage", &fields.stage]);
    table.add_row(["cause", &format!("{}: {}", fields.cause.code, fields.cause.detail)]);
    table.add_row(["see", &fields.cause.page]);
    for Evidence { fact, value } in &fields.evidence {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let value = if fact.ends_with("_ms") { time(&value) } else { value };
        table.add_row([fact.trim_end_matches("_ms").replace('_', " "), value]);
    }
    let at = fields.next.at_ms.map(|at_ms| format!(" (by {})", time(&at_ms.to_string())));
    table.add_row(["next", &format!("{}{}", fields.next.action, at.unwrap_or_default())]);
    for Call { verb, call } in &fields.verbs {
        table.add_row(["you can", &format!("{}: {call}", verb.replace('_', " "))]);
    }
    table.add_row(["time", &spent(&fields.budget)]);
    table.to_string()
}

/// Unix ms as a time of day in UTC.
fn time(unix_ms: &str) -> String {
    let ms = unix_ms.parse::<i64>().ok();
    let time = ms.filter(|ms| *ms > 0).and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| unix_ms.to_owned(), |time| format!("{time:.3}"))
}

fn spent(budget: &Budget) -> String {
    let stages = [
        ("collect", budget.collect_ms),
        ("queue", budget.queue_ms),
        ("validate", budget.validate_ms),
        ("broadcast", budget.broadcast_ms),
        ("confirm", budget.confirm_ms),
    ];
    let mut text = String::new();
    for (stage, spent_ms) in stages {
        if let Some(spent_ms) = spent_ms {
            let _infallible = write!(text, "{stage} {spent_ms} ms, ");
        }
    }
    let total = budget.total_ms.map_or_else(|| "not known".to_owned(), |total_ms| format!("{total_ms} ms"));
    format!("{text}total {total}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_explanation_is_shown_with_its_facts_its_page_and_the_stages_there_were() {
        let fields: Fields = serde_json::from_value(json!({
            "rid": "00000000-0000-7000-8000-000000000000", "stage": "broadcast", "status": "committed",
            "cause": {"code": "LANE_PAUSED", "page": "docs/causes/LANE_PAUSED.md", "detail": "base: paused"},
            "evidence": [{"fact": "paused_by", "value": "operate"}, {"fact": "relayed_ms", "value": 1_700_000_000_000_u64}],
            "next": {"action": "none until the target is resumed", "at_ms": null},
            "verbs": [{"verb": "resume", "call": "POST /v1/targets/base/resume"}],
            "budget": {"collect_ms": 0, "queue_ms": 4, "validate_ms": 7, "broadcast_ms": null, "confirm_ms": null,
                "total_ms": 11}
        }))
        .expect("reads");
        let shown = human(&fields);
        for part in [
            "LANE_PAUSED: base: paused",
            "docs/causes/LANE_PAUSED.md",
            "paused by",
            "2023-11-14T22:13:20.000Z",
            "resume: POST /v1/targets/base/resume",
            "collect 0 ms, queue 4 ms, validate 7 ms, total 11 ms",
        ] {
            assert!(shown.contains(part), "{part} is missing:\n{shown}");
        }
    }
}
