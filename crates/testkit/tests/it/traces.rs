//! Spans over OTLP, seen by a receiver that shares nothing with the program (`otlp_receiver.py`): one trace spans all three
//! services; without a receiver the services go on and count what they throw away.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use testkit::stack::{Api, NULL_SOURCE, Plan, Role, Stack};

use crate::scene::{self, Must as _};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const ENDPOINT: &str = "OSS__TELEMETRY__OTLP_ENDPOINT";

/// The receiver and the spans it has decoded.
struct Receiver {
    child: Child,
    port: u16,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("python3")
            .arg(here.join("tests/otlp_receiver.py"))
            .env("PYTHONPATH", here.join("../../.tools/otlp"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3: scripts/bootstrap.sh test installs it");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next().and_then(Result::ok).and_then(|line| line.parse().ok());
        let port =
            port.expect("the receiver needs opentelemetry-proto: scripts/bootstrap.sh test installs it");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&spans);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                seen.lock().expect("no panics").push(serde_json::from_str(&line).expect("a JSON line"));
            }
        });
        Self { child, port, spans }
    }

    fn spans(&self) -> Vec<Value> {
        self.spans.lock().expect("no panics").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn plan(endpoint: &str) -> Plan {
    let mut plan = Plan { chains: vec![scene::CHAINS[0]], ..Plan::default() };
    for role in [Role::Collector, Role::Validator, Role::Broadcaster] {
        plan.settings.push((role, ENDPOINT, endpoint.to_owned()));
    }
    plan
}

/// Sends a request with a source under the trace and waits for its end.
async fn complete(api: &Api) -> Value {
    let body = json!({"asset": {"id": "bond:traced"}, "external_apis": [NULL_SOURCE],
        "state_changes": [{"kind": "REGISTER", "decimals": 2, "chains": ["base"]}]});
    let request = api
        .request(Method::POST, "/v1/sync-requests?until=completed")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .header("idempotency-key", "\"traced\"")
        .header("prefer", "wait=30")
        .json(&body);
    let answer = Api::send(request.timeout(Duration::from_secs(40))).await.expect("an answer");
    assert_eq!(answer.text("/status"), "completed", "{}", answer.body);
    answer.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_from_the_client_through_all_services_to_the_chain() {
    let receiver = Receiver::start();
    let stack = Stack::start(plan(&format!("http://127.0.0.1:{}", receiver.port))).await.must();
    let rid = complete(&stack.api()).await["id"].as_str().expect("an id").to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    let names = ["POST /v1/sync-requests", "collect", "commit", "relay", "send", "final"];
    let of_trace = loop {
        let spans: Vec<Value> = receiver.spans().into_iter().filter(|span| span["trace"] == TRACE).collect();
        let is_there = |name: &&str| spans.iter().any(|span| span["name"] == **name);
        if names.iter().all(is_there) {
            break spans;
        }
        assert!(Instant::now() < deadline, "{spans:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let find = |name: &str| of_trace.iter().find(|span| span["name"] == name).expect("it is there").clone();
    let (http, collect, commit) = (find("POST /v1/sync-requests"), find("collect"), find("commit"));
    for (span, service, parent) in [
        (&http, "collector", PARENT),
        (&collect, "collector", http["span"].as_str().expect("an id")),
        (&commit, "validator", collect["span"].as_str().expect("an id")),
        (&find("relay"), "validator", collect["span"].as_str().expect("an id")),
        (&find("send"), "broadcaster", collect["span"].as_str().expect("an id")),
        (&find("final"), "broadcaster", collect["span"].as_str().expect("an id")),
    ] {
        assert_eq!(span["service"], service, "{span}");
        assert_eq!(span["parent"], parent, "{span}");
        assert_eq!(
            (span["path"].as_str(), span["type"].as_str()),
            (Some("/v1/traces"), Some("application/x-protobuf"))
        );
    }
    assert_eq!(http["attributes"]["http.response.status_code"], "200", "{http}");
    assert_eq!(commit["attributes"]["rid"], rid, "{commit}");
    // The entry is a trace of its own that names those of its requests.
    let entries = receiver.spans();
    let entry = entries.iter().find(|span| span["name"] == "entry" && span["links"] == json!([TRACE]));
    assert!(entry.is_some_and(|entry| entry["trace"] != TRACE), "{entries:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_receiver_services_go_on_and_count_what_they_throw_away() {
    // Nobody listens there.
    let stack = Stack::start(plan("http://127.0.0.1:1")).await.must();
    complete(&stack.api()).await;
    let service = stack.services().into_iter().find(|service| service.role == Role::Collector).expect("one");
    let url = format!("{}/metrics", stack.admin_url(service).expect("it is of the plan"));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = reqwest::get(&url).await.expect("an answer").text().await.expect("text");
        let lost = page.lines().find_map(|line| line.strip_prefix("oss_spans_lost_total "));
        if lost.is_some_and(|lost| lost != "0") {
            assert!(page.contains("oss_spans_sent_total 0"), "{page}");
            break;
        }
        assert!(Instant::now() < deadline, "{page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
