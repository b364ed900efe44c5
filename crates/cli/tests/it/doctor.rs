//! `oss doctor` against a whole stack: sound, then with one part after the other broken, each named by its own check.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::stack::{Plan, Role, Service, Stack};

use crate::oss::{Ended, oss};

const RATE_SOURCE: &str = "source ust-par-yield";

/// Looks, and keeps what was printed.
async fn look(stack: &Stack, printed: &mut String) -> Ended {
    let folder = stack.folder().display().to_string();
    let mut args = vec!["--data".to_owned(), folder, "doctor".to_owned(), "-o".to_owned(), "json".to_owned()];
    for service in stack.services() {
        let url = stack.admin_url(service).expect("it is of the plan");
        args.extend(["--admin".to_owned(), format!("{}={url}", service.role.name())]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ended = oss(&args).await;
    printed.push_str(&ended.stdout);
    printed.push_str(&ended.stderr);
    ended
}

/// The checks that have failed.
fn failed(ended: &Ended) -> BTreeSet<String> {
    let report = ended.json();
    let findings = report["findings"].as_array().expect("findings").clone();
    let is_failed = |finding: &&Value| finding["verdict"] == "fail";
    assert!(findings.iter().filter(is_failed).all(|finding| finding["advice"] != ""), "{report}");
    assert_eq!(
        ended.code,
        i32::from(findings.iter().any(|finding| finding["verdict"] == "fail")),
        "{report}"
    );
    findings
        .iter()
        .filter(is_failed)
        .map(|finding| finding["check"].as_str().expect("a name").to_owned())
        .collect()
}

/// Looks until these checks, and no others, fail.
async fn until_failed(stack: &Stack, printed: &mut String, checks: &[&str]) {
    let expected: BTreeSet<String> = checks.iter().map(|check| (*check).to_owned()).collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = failed(&look(stack, printed).await);
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} instead of {expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_stack_passes_and_each_broken_part_is_named_without_a_secret() {
    let plan = Plan { chains: vec![("base", 8_453)], ..Plan::default() };
    let mut stack = Stack::start(plan).await.expect("a stack: `make unit` builds the binaries");
    let mut printed = String::new();
    // Nobody serves the reference rate here.
    until_failed(&stack, &mut printed, &[RATE_SOURCE]).await;
    let file = stack.folder().join("sources.json");
    let mut sources: Value = serde_json::from_slice(&std::fs::read(&file).expect("reads")).expect("json");
    let list = sources["sources"].as_array_mut().expect("a list");
    list.retain(|source| source["name"] != "ust-par-yield");
    std::fs::write(&file, sources.to_string()).expect("writes");
    until_failed(&stack, &mut printed, &[]).await;

    for (name, bad, good, check) in [
        ("appendfsync", "everysec", "always", "redis appendfsync"),
        ("maxmemory-policy", "allkeys-lru", "noeviction", "redis maxmemory-policy"),
    ] {
        stack.redis().config_set(name, bad).expect("sets");
        until_failed(&stack, &mut printed, &[check]).await;
        stack.redis().config_set(name, good).expect("sets");
    }
    stack.redis().command(&["ACL", "SETUSER", "collector", "+flushall"]).expect("sets");
    until_failed(&stack, &mut printed, &["redis user collector"]).await;
    stack.redis().command(&["ACL", "SETUSER", "collector", "-flushall"]).expect("sets");
    let as_once = "(~{oss:*}:members:validator +hset)";
    stack.redis().command(&["ACL", "SETUSER", "broadcaster", as_once]).expect("sets");
    until_failed(&stack, &mut printed, &["redis user broadcaster"]).await;
    stack.redis().command(&["ACL", "LOAD"]).expect("loads");
    until_failed(&stack, &mut printed, &[]).await;

    let first = |role| Service { role, index: 0 };
    stack.kill(first(Role::Collector)).expect("kills");
    until_failed(&stack, &mut printed, &["collector api", "collector readiness"]).await;
    stack.kill(first(Role::Validator)).expect("kills");
    let leaders = ["financial leader", "gaming leader", "real_estate leader", "general leader"];
    let dead = ["collector api", "collector readiness", "validator api", "validator readiness"];
    until_failed(&stack, &mut printed, &[&leaders[..], &dead[..]].concat()).await;
    stack.kill_chain("base").expect("kills");
    let with_chain = [&leaders[..], &dead[..], &["base chain"]].concat();
    // The token's chain is another one.
    until_failed(&stack, &mut printed, &with_chain).await;
    stack.kill(first(Role::Broadcaster)).expect("kills");
    stack.kill_redis().expect("kills");
    let without_redis =
        [&dead[..], &["base chain", "broadcaster api", "broadcaster readiness", "redis"]].concat();
    until_failed(&stack, &mut printed, &without_redis).await;

    for secret in ["operator/redis.password", "collector/redis.password", "validator/validator.key"] {
        let text = std::fs::read_to_string(stack.folder().join("secrets").join(secret)).expect("reads");
        assert!(!printed.contains(text.trim()), "{secret} is shown");
    }
    assert!(!printed.contains("oss_"), "an API key is shown");
}
