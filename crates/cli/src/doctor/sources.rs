//! The configured sources: whether something listens where each of them is. Nothing is asked of them.

use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tokio::net::TcpStream;

use super::finding::Finding;

const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn check(file: &Path) -> Vec<Finding> {
    let sources = match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice::<Value>(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![Finding::warn(
                "sources",
                "no sources.json in the stack's folder",
                "requests can name no source",
            )];
        }
        Err(error) => return vec![Finding::fail("sources", error.to_string(), "make sources.json readable")],
    };
    let sources = match sources {
        Ok(sources) => sources,
        Err(error) => return vec![Finding::fail("sources", error.to_string(), "correct sources.json")],
    };
    let mut findings = Vec::new();
    for source in sources.get("sources").and_then(Value::as_array).into_iter().flatten() {
        let name = source.get("name").and_then(Value::as_str).unwrap_or("?");
        findings.extend(of_source(name, &urls(source)).await);
    }
    findings
}

/// The places of a source, by whatever kind: `rpc` of `evm_logs`, `urls` of `http_json`.
fn urls(source: &Value) -> Vec<Url> {
    let lists = ["rpc", "urls"].iter().filter_map(|field| source.get(field)?.as_array());
    lists.flatten().filter_map(|url| url.as_str()?.parse().ok()).collect()
}

/// A source with several places needs one of them.
async fn of_source(name: &str, urls: &[Url]) -> Option<Finding> {
    if urls.is_empty() {
        return None;
    }
    let check = format!("source {name}");
    let (mut open, mut shut) = (Vec::new(), Vec::new());
    for url in urls {
        // The rest of a URL may hold a key.
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0));
        let place = format!("{host}:{port}");
        match tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => open.push(place),
            Ok(Err(error)) => shut.push(format!("{place}: {error}")),
            Err(_) => shut.push(format!("{place}: no answer")),
        }
    }
    Some(match (open.is_empty(), shut.is_empty()) {
        (_, true) => Finding::ok(check, format!("reachable at {}", open.join(", "))),
        (false, false) => Finding::warn(check, shut.join("; "), "one of its endpoints is down"),
        (true, false) => Finding::fail(
            check,
            shut.join("; "),
            "requests that need it fail: mend it or correct sources.json",
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::Verdict;
    use super::*;

    async fn verdict(urls: &[&str]) -> Option<Verdict> {
        let urls: Vec<Url> = urls.iter().map(|url| url.parse().expect("a URL")).collect();
        of_source("rate", &urls).await.map(|finding| {
            assert!(!finding.evidence.contains("SECRET"), "{finding:?}");
            finding.verdict
        })
    }

    #[tokio::test]
    async fn a_source_needs_one_of_its_places_and_no_key_in_a_url_is_shown() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let open = format!("http://{}/SECRET", listener.local_addr().expect("bound"));
        let shut = "http://127.0.0.1:1/SECRET";
        assert_eq!(verdict(&[&open]).await, Some(Verdict::Ok));
        assert_eq!(verdict(&[&open, shut]).await, Some(Verdict::Warn));
        assert_eq!(verdict(&[shut]).await, Some(Verdict::Fail));
        assert_eq!(verdict(&[]).await, None);
        let source = json!({"rpc": ["http://a/"], "urls": ["http://b/"], "hosts": ["c"]});
        assert_eq!(urls(&source).len(), 2);
    }

    #[tokio::test]
    async fn a_file_that_is_not_json_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sources.json");
        assert_eq!(check(&file).await[0].verdict, Verdict::Warn);
        std::fs::write(&file, "{").expect("writes");
        assert_eq!(check(&file).await[0].verdict, Verdict::Fail);
    }
}
