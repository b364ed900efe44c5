//! The real binary: exit codes, commands, and its death between any two steps.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use common::ids::Shard;
use common::link::Stream;
use serde_json::{Value, json};

use crate::bed::{Answer, Bed, SUBMIT, failure, mint, text, until, with};

const BINARY: &str = env!("CARGO_BIN_EXE_collector");

struct Process {
    child: Child,
    base: String,
    admin: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(bed: &Bed) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .env("OSS__REDIS__URL", bed.redis.url())
        .env("OSS__INSTANCE", "collector-1")
        .env("OSS__KEYS_FILE", bed.path("keys.json"))
        .env("OSS__TARGETS_FILE", bed.path("targets.json"))
        .env("OSS__SOURCES_FILE", bed.path("sources.json"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts it on free ports, which it tells in its log. One that dies before has no addresses.
fn spawn(bed: &Bed, crash_point: Option<&str>) -> Process {
    let mut command = command(bed);
    command.env("OSS__HTTP__LISTEN", "127.0.0.1:0").env("OSS__HTTP__ADMIN_LISTEN", "127.0.0.1:0");
    if let Some(point) = crash_point {
        command.env("OSS_CRASH_POINT", point);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let up = lines
        .by_ref()
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .find(|line| line["message"] == "The collector is up")
        .unwrap_or_default();
    // Read on, so that the process never waits for its log to be read.
    std::thread::spawn(move || lines.for_each(drop));
    let address = |field: &str| up[field].as_str().unwrap_or_default().to_owned();
    Process { child, base: format!("http://{}", address("http_address")), admin: address("admin_address") }
}

impl Process {
    async fn ready(&self, bed: &Bed) {
        until("the binary is ready", async || {
            let ready = bed.client.get(format!("http://{}/readyz", self.admin)).send().await;
            ready.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    /// The answer, or `None` when the process died under the request.
    async fn post(&self, bed: &Bed, body: &Value) -> Option<Answer> {
        let request = bed.client.post(format!("{}/v1/sync-requests", self.base)).bearer_auth(SUBMIT);
        let request = request.header("content-type", "application/json").header("idempotency-key", "k");
        match request.body(body.to_string()).send().await {
            Ok(answer) => Some(Answer::of(answer).await),
            Err(_) => None,
        }
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        until("the process ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }
}

#[actix_rt::test]
async fn a_death_between_any_two_steps_loses_nothing_and_doubles_nothing() {
    for point in [
        "link.submit.before",
        "link.submit.after",
        "link.collecting.before",
        "link.collecting.after",
        "collector.collected",
        "link.collected.before",
        "link.collected.after",
    ] {
        let bed = Bed::new().await;
        bed.sources(&json!([{"name": "quick", "kind": "null"}]));
        let body = with("X", &json!({"event_sources": ["quick"]}));
        let mut doomed = spawn(&bed, Some(point));
        doomed.ready(&bed).await;
        drop(doomed.post(&bed, &body).await);
        assert_eq!(doomed.exit_code().await, None, "{point}: ended by a signal");
        let next = spawn(&bed, None);
        next.ready(&bed).await;
        let answer = next.post(&bed, &body).await.expect("an answer");
        assert_eq!(answer.status, 202, "{point}");
        let input = bed.input(1).await;
        until("nothing is left to do", async || bed.messages(Stream::Requests).await.is_empty()).await;
        assert_eq!((input.len(), bed.records()), (1, 1), "{point}");
        assert_eq!(bed.messages(Stream::Input).await.len(), 1, "{point}");
    }
}

#[actix_rt::test]
async fn a_request_that_kills_its_collector_every_time_fails_after_three_more_tries() {
    let bed = Bed::new().await;
    bed.sources(&json!([{"name": "quick", "kind": "null"}]));
    let mut process = spawn(&bed, Some("collector.collected"));
    process.ready(&bed).await;
    drop(process.post(&bed, &with("X", &json!({"event_sources": ["quick"]}))).await);
    for _ in 0..4 {
        assert_eq!(process.exit_code().await, None, "ended by a signal");
        process = spawn(&bed, Some("collector.collected"));
    }
    let (_, message) = bed.input(1).await.remove(0);
    assert_eq!(failure(&message).code, "COLLECT_CRASH");
    process.ready(&bed).await;
}

#[actix_rt::test]
async fn another_generation_ends_the_process_with_exit_code_4() {
    let bed = Bed::new().await;
    let mut wiped = spawn(&bed, None);
    wiped.ready(&bed).await;
    bed.redis.command(&["FLUSHALL"]).unwrap();
    assert_eq!(wiped.exit_code().await, Some(4));

    let _ = bed.link(Shard::Financial).await.init("generation-2", true).await.unwrap();
    for shard in Shard::ALL {
        let _ = bed.link(shard).await.init("generation-2", true).await.unwrap();
    }
    let mut restored = spawn(&bed, None);
    restored.ready(&bed).await;
    bed.redis.command(&["SET", "{oss:gaming}:gen", "generation-1"]).unwrap();
    assert_eq!(restored.exit_code().await, Some(4));
}

#[actix_rt::test]
async fn before_a_validator_has_initialised_redis_nothing_is_accepted_and_readiness_says_why() {
    let bed = Bed::uninitialised();
    let process = spawn(&bed, None);
    until("the API answers", async || process.post(&bed, &mint("X")).await.is_some()).await;
    let refused = process.post(&bed, &mint("X")).await.unwrap();
    assert_eq!((refused.status, refused.body["code"].as_str()), (503, Some("unavailable")));
    let ready =
        Answer::of(bed.client.get(format!("http://{}/readyz", process.admin)).send().await.unwrap()).await;
    assert_eq!((ready.status, ready.body["checks"]["redis"]["ready"].as_bool()), (503, Some(false)));
    let check = |process: &Process| {
        Command::new(BINARY)
            .arg("healthcheck")
            .env("OSS__HTTP__ADMIN_LISTEN", &process.admin)
            .output()
            .unwrap()
    };
    assert_eq!(check(&process).status.code(), Some(1));
    for shard in Shard::ALL {
        let _ = bed.link(shard).await.init("generation-1", true).await.unwrap();
    }
    process.ready(&bed).await;
    assert_eq!(check(&process).status.code(), Some(0));
    assert_eq!(process.post(&bed, &mint("X")).await.unwrap().status, 202);
}

#[actix_rt::test]
async fn sigterm_ends_it_in_order_with_exit_code_0() {
    let bed = Bed::new().await;
    let mut process = spawn(&bed, None);
    process.ready(&bed).await;
    let pid = process.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(process.exit_code().await, Some(0));
}

#[actix_rt::test]
async fn settings_that_cannot_be_used_end_it_with_exit_code_2_and_a_reason() {
    let bed = Bed::new().await;
    for (name, value, reason) in [
        ("OSS__COLLECT__DEADLINE_MS", "99999", "collect.deadline_ms"),
        ("OSS__COLLECT__DEADLINE", "1", "deadline"),
        ("OSS__KEYS_FILE", "/nowhere", "/nowhere"),
        ("OSS__SOURCES_FILE", "/nowhere", "/nowhere"),
    ] {
        let output = command(&bed).env(name, value).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
        assert!(stderr.contains(reason), "{reason} in {stderr}");
    }
}

#[actix_rt::test]
async fn an_address_that_is_taken_ends_it_with_exit_code_70_and_says_which() {
    let bed = Bed::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (name, other) in [("LISTEN", "ADMIN_LISTEN"), ("ADMIN_LISTEN", "LISTEN")] {
        let mut command = command(&bed);
        command.env(format!("OSS__HTTP__{name}"), &address).env(format!("OSS__HTTP__{other}"), "127.0.0.1:0");
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(70), "{name}: {stderr}");
        assert!(stderr.contains(&format!("cannot listen on {address}")), "{name}: {stderr}");
    }
}

#[test]
fn print_dev_key_prints_the_key_of_a_scope_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dev.json");
    std::fs::write(&file, json!({"submit": "oss_a_b", "read": "oss_c_d"}).to_string()).unwrap();
    let print = |arguments: &[&str]| {
        Command::new(BINARY).args(arguments).env("OSS__DEV_KEYS_FILE", text(&file)).output().unwrap()
    };
    assert_eq!(print(&["print-dev-key"]).stdout, b"oss_a_b\n");
    assert_eq!(print(&["print-dev-key", "--scope", "read"]).stdout, b"oss_c_d\n");
    let missing = print(&["print-dev-key", "--scope", "operate"]);
    assert_eq!((missing.status.code(), missing.stdout), (Some(2), Vec::new()));
}
