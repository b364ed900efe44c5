//! What running services show on `/metrics` is what the lists in `docs/generated` say, and Prometheus can read it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::exposition;
use serde_json::json;
use testkit::stack::{NULL_SOURCE, Plan, Role, Stack};

use crate::scene::{self, Must as _, planned};

/// Metric name → (kind, labels) as a service's list says.
fn listed(service: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/generated/{service}.metrics.md"));
    let text = std::fs::read_to_string(path).expect("the list");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let labels = cells[2].split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        (cells[0].trim_end_matches('`').to_owned(), (cells[1].to_owned(), labels))
    })
    .collect()
}

/// What `promtool check metrics` says of a page; empty = nothing to say.
fn lint(page: &str) -> String {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: scripts/bootstrap.sh test installs it");
    tool.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads");
    let output = tool.wait_with_output().expect("it ends");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn page(stack: &Stack, role: Role) -> String {
    let service = stack.services().into_iter().find(|service| service.role == role).expect("one of each");
    let url = stack.admin_url(service).expect("it is of the plan");
    reqwest::get(format!("{url}/metrics")).await.expect("an answer").text().await.expect("text")
}

/// Metrics that a healthy stack at work has set, beside those that wait for an event that may never come.
const AT_WORK: [(Role, &[&str]); 3] = [
    (
        Role::Collector,
        &[
            "oss_stage_inflight",
            "oss_stage_duration_seconds",
            "oss_source_answers_total",
            "oss_http_requests_total",
        ],
    ),
    (
        Role::Validator,
        &[
            "oss_requests_total",
            "oss_stage_duration_seconds",
            "oss_stream_wait_seconds",
            "oss_stream_backlog",
            "oss_validator_leader",
            "oss_redis_memory_used_bytes",
            "oss_state_height",
        ],
    ),
    (
        Role::Broadcaster,
        &[
            "oss_chain_root_lag",
            "oss_chain_head_block",
            "oss_chain_rpc_seconds",
            "oss_chain_tx_total",
            "oss_broadcaster_lane_held",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_at_work_show_what_their_lists_say_and_prometheus_can_read_it() {
    let plan = Plan { chains: vec![scene::CHAINS[0]], ..Plan::default() };
    let stack = Stack::start(plan).await.must();
    let asset = json!({"id": "bond:figures"});
    let register = json!({"asset": asset, "state_changes": [{"kind": "REGISTER", "decimals": 2, "chains": ["base"]}],
        "external_apis": [NULL_SOURCE]});
    let request = planned("register", register);
    let answer = scene::complete(&stack.api(), &request.key, &request.body).await;
    assert_eq!(answer.text("/status"), "completed", "{}", answer.body);
    for (role, at_work) in AT_WORK {
        let known = listed(role.name());
        let deadline = Instant::now() + Duration::from_secs(20);
        // Some are set by a look that is taken every few seconds.
        let page = loop {
            let page = page(&stack, role).await;
            let shown = exposition::shown(&page);
            let is_busy = page.lines().any(|line| {
                line.starts_with("oss_stage_busy_ratio{")
                    && line.contains(r#"shard="financial""#)
                    && !line.ends_with(" 0")
            });
            let missing: Vec<_> = at_work.iter().filter(|name| !shown.contains_key(**name)).collect();
            if missing.is_empty() && is_busy {
                break page;
            }
            // A ratio is that of the last seconds: keep it at work.
            let rid = format!("more-{:?}", Instant::now());
            let set = json!({"asset": asset, "state_changes": [{"kind": "MINT", "to": "acct:a", "amount": "1"}],
                "external_apis": [NULL_SOURCE]});
            scene::complete(&stack.api(), &rid.replace(|c: char| !c.is_ascii_alphanumeric(), "-"), &set)
                .await;
            assert!(
                Instant::now() < deadline,
                "{} is busy: {is_busy}, lacks {missing:?}: {page}",
                role.name()
            );
        };
        for (name, (kind, labels)) in exposition::shown(&page) {
            let (listed_kind, listed_labels) =
                known.get(&name).unwrap_or_else(|| panic!("{name} is not listed"));
            assert_eq!(&kind, listed_kind, "{name}");
            assert!(labels.iter().all(|label| listed_labels.contains(label)), "{name}: {labels:?}");
        }
        assert_eq!(lint(&page), "", "{page}");
        // The control: the tool does find faults.
        assert!(
            lint(&page.replace("# HELP oss_build_info", "# NOTHING oss_build_info"))
                .contains("oss_build_info")
        );
        assert!(page.lines().count() < 2_000, "a bounded number of series");
    }
}
