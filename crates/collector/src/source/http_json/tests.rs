use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::HttpJson;
use crate::source::{Ask, Source as _, SourceFault};

/// A source over `urls`, all of whose hosts are allowed.
fn source(urls: &[String], allow_private: bool) -> HttpJson {
    let hosts = ["127.0.0.1", "localhost"];
    let settings = json!({"urls": urls, "hosts": hosts, "allow_private": allow_private, "timeout_ms": 2_000});
    HttpJson::new("rate".parse().unwrap(), &serde_json::from_value(settings).unwrap()).unwrap()
}

async fn observe(source: &HttpJson) -> Result<String, SourceFault> {
    let ask = Ask { events: Vec::new(), deadline: Instant::now() + Duration::from_secs(20) };
    source.observe(&ask).await.map(|observations| observations[0].value.get().to_owned())
}

async fn server(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(template).mount(&server).await;
    server
}

#[actix::test]
async fn every_copy_is_asked_and_a_fault_worth_another_attempt_is_not_hidden_by_a_final_one() {
    let down = server(ResponseTemplate::new(503)).await;
    let gone = server(ResponseTemplate::new(404)).await;
    let good = server(ResponseTemplate::new(200).set_body_json(json!(7))).await;
    let of = |servers: &[&MockServer]| {
        let urls: Vec<String> = servers.iter().map(|server| server.uri()).collect();
        source(&urls, true)
    };
    for order in [[&gone, &down, &good], [&down, &gone, &good]] {
        assert_eq!(observe(&of(&order)).await, Ok("7".to_owned()));
    }
    for order in [[&gone, &down], [&down, &gone]] {
        let fault = observe(&of(&order)).await.unwrap_err();
        assert_eq!((fault.code(), fault.is_transient()), ("SOURCE_UNAVAILABLE", true));
    }
    let fault = observe(&of(&[&gone, &gone])).await.unwrap_err();
    assert_eq!((fault.code(), fault.is_transient()), ("SOURCE_INVALID", false));
}

/// A listener of this machine, and whether anybody has connected to it.
fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn is_reached(listener: &TcpListener) -> bool {
    listener.accept().is_ok()
}

#[actix::test]
async fn a_listed_name_that_points_inside_is_never_connected_to() {
    let listener = listener();
    let urls = [format!("https://localhost:{}/", listener.local_addr().unwrap().port())];
    let fault = observe(&source(&urls, false)).await.unwrap_err();
    assert_eq!(fault.code(), "SOURCE_UNAVAILABLE");
    assert!(!is_reached(&listener));
    // The control: allowed, the same name leads there.
    assert!(observe(&source(&urls, true)).await.is_err(), "nobody answers");
    assert!(is_reached(&listener));
}

const CHILD_URL: &str = "OSS_TEST_URL";

/// Not a test of its own: what the process of the next test runs. Without its variable it does nothing.
#[actix::test]
async fn child_that_fetches() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    assert_eq!(observe(&source(&[url], true)).await, Ok("7".to_owned()));
}

#[actix::test]
async fn proxies_of_the_environment_are_not_used() {
    let (good, proxy) = (server(ResponseTemplate::new(200).set_body_json(Value::from(7))).await, listener());
    let proxied = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "source::http_json::tests::child_that_fetches"]).env(CHILD_URL, good.uri());
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(variable, &proxied);
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").stdout(Stdio::null()).stderr(Stdio::null());
    let ended = actix_rt::task::spawn_blocking(move || child.status().unwrap()).await.unwrap();
    assert!(ended.success() && !is_reached(&proxy));
    assert_eq!(good.received_requests().await.unwrap().len(), 1, "it did fetch");
}
