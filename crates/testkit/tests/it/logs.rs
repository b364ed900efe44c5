//! What services write to stdout: JSON lines by which a request can be found again, at the most talkative level without a
//! secret.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::stack::{Api, NULL_SOURCE, Plan, Role, Stack};

use crate::scene::{self, Must as _};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Passwords, the validator's key, gas keys and API keys of a stack.
fn secrets(stack: &Stack) -> Vec<String> {
    let read = |name: &str| {
        std::fs::read_to_string(stack.folder().join("secrets").join(name)).expect("a file with a secret")
    };
    let owners = ["operator", "collector", "validator", "broadcaster"];
    let mut secrets: Vec<String> = owners.map(|owner| read(&format!("{owner}/redis.password"))).to_vec();
    secrets.push(read("validator/validator.key"));
    for file in ["broadcaster/sender-keys.json", "collector/dev-keys.json"] {
        let values: serde_json::Map<String, Value> = serde_json::from_str(&read(file)).expect("an object");
        secrets.extend(values.values().map(|value| value.as_str().expect("text").to_owned()));
    }
    secrets.iter().map(|secret| secret.trim().trim_start_matches("0x").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_found_in_json_lines_that_hold_no_secret_at_any_level() {
    let mut plan = Plan { chains: vec![scene::CHAINS[0]], ..Plan::default() };
    for role in [Role::Collector, Role::Validator, Role::Broadcaster] {
        plan.settings.push((role, "RUST_LOG", "trace".to_owned()));
    }
    let stack = Stack::start(plan).await.must();
    let body = json!({"asset": {"id": "bond:logged"}, "external_apis": [NULL_SOURCE],
        "state_changes": [{"kind": "REGISTER", "decimals": 2, "chains": ["base"]}]});
    let request = stack
        .api()
        .request(Method::POST, "/v1/sync-requests?until=completed")
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .header("x-request-id", "logged-1")
        .header("prefer", "wait=30")
        .json(&body);
    let answer = Api::send(request.timeout(Duration::from_secs(40))).await.expect("an answer");
    assert_eq!(answer.text("/status"), "completed", "{}", answer.body);
    let text = stack.log_tails(usize::MAX);
    let lines: Vec<Value> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--- "))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()));
    let is_answer =
        |line: &&Value| line["message"] == "Answered a request" && line["request_id"] == "logged-1";
    let line = lines.iter().find(is_answer).expect("a line of the request");
    assert_eq!(
        (line["trace_id"].as_str(), line["route"].as_str()),
        (Some(TRACE), Some("/v1/sync-requests")),
        "{line}"
    );
    let is_sent = |line: &&Value| line["message"] == "A transaction carries traced requests";
    let line = lines.iter().find(is_sent).expect("a line of the transaction");
    assert_eq!(line["target"], "base", "{line}");
    assert!(line["traces"].as_str().is_some_and(|traces| traces.contains(TRACE)), "{line}");
    // The control: what is looked for would be found.
    assert!(text.contains("logged-1"));
    for secret in secrets(&stack) {
        assert!(secret.len() >= 16, "a secret worth the name");
        assert!(!text.contains(&secret), "a line shows a secret");
    }
}
