//! The services: their APIs, readiness and versions, and what lanes say of their targets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use common::auth::Scope;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::finding::Finding;
use crate::access::StackFile;

const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen of one service.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) name: String,
    /// What its API answered, or why it did not.
    pub(super) api: Option<Result<(), String>>,
    /// The state and the parts that are not ready, from its admin port.
    pub(super) readiness: Option<Result<(String, Vec<String>), String>>,
    pub(super) version: Option<String>,
    /// `limits.backlog_max`, which collectors show among their metrics.
    pub(super) backlog_max: Option<u64>,
    pub(super) lanes: Vec<Lane>,
}

/// One lane as `GET /v1/targets` shows it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Lane {
    #[serde(default)]
    pub(super) target: String,
    pub(super) shard: String,
    pub(super) state: String,
    pub(super) next_nonce: u64,
    pub(super) in_flight: usize,
    #[serde(default)]
    pub(super) alarms: Vec<Alarm>,
    pub(super) sender: Option<String>,
    pub(super) last_error: Option<Alarm>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Alarm {
    pub(super) code: String,
    pub(super) detail: String,
}

/// A gas wallet on one target, with the first nonce that its lane has not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) target: String,
    pub(super) shard: String,
    pub(super) address: String,
    pub(super) next_nonce: u64,
    pub(super) in_flight: usize,
}

pub(super) async fn look(stack: &StackFile, admins: &[(String, String)]) -> Vec<Facts> {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap_or_default();
    let mut services = Vec::new();
    for (name, base, path, scope) in [
        ("collector", &stack.collector, "/v1/sync-requests?limit=1", Scope::Read),
        ("validator", &stack.validator, "/v1/shards", Scope::Read),
        ("broadcaster", &stack.broadcaster, "/v1/targets", Scope::Operate),
    ] {
        let answer = ask(http.get(format!("{base}{path}")).bearer_auth(stack.keys.of(scope))).await;
        let lanes = answer.as_ref().map(lanes).unwrap_or_default();
        services.push(Facts {
            name: name.to_owned(),
            api: Some(answer.map(drop)),
            lanes,
            ..Facts::default()
        });
    }
    for (name, url) in admins {
        for url in replicas(url).await {
            let (readiness, version) = admin(&http, &url).await;
            let facts = Facts {
                name: format!("{name} at {url}"),
                readiness: Some(readiness),
                version,
                backlog_max: backlog_bound(&http, &url).await,
                ..Facts::default()
            };
            match services.iter_mut().find(|known| known.name == *name && known.readiness.is_none()) {
                Some(known) => {
                    let (name, api) = (std::mem::take(&mut known.name), known.api.take());
                    *known = Facts { name, api, lanes: std::mem::take(&mut known.lanes), ..facts };
                }
                None => services.push(facts),
            }
        }
    }
    services
}

/// The least bound of the collectors that say theirs.
pub(super) fn backlog_max(services: &[Facts]) -> Option<u64> {
    services.iter().filter_map(|facts| facts.backlog_max).min()
}

/// The URL once for each replica behind its host. One that cannot be resolved stays as it is, and the look at it says why
/// it fails.
async fn replicas(url: &str) -> Vec<String> {
    let Ok(parsed) = url.parse::<Url>() else { return vec![url.to_owned()] };
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
        return vec![url.to_owned()];
    };
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let addresses = found.ok().and_then(Result::ok).into_iter().flatten().collect();
    at_each(&parsed, &addresses).unwrap_or_else(|| vec![url.to_owned()])
}

/// The URL with each address in its host's place; `None` if it stays as it is. A replica may have an address of either
/// family, so only those of one family are counted: IPv4 if there is any.
fn at_each(url: &Url, addresses: &BTreeSet<SocketAddr>) -> Option<Vec<String>> {
    let is_any_v4 = addresses.iter().any(SocketAddr::is_ipv4);
    let used: Vec<_> = addresses.iter().filter(|address| address.is_ipv4() == is_any_v4).collect();
    let path = url.path().trim_end_matches('/');
    let is_split = used.len() > 1 && url.scheme() == "http";
    is_split.then(|| used.into_iter().map(|address| format!("http://{address}{path}")).collect())
}

/// The gauge `oss_backlog_max` of a metrics page.
async fn backlog_bound(http: &reqwest::Client, url: &str) -> Option<u64> {
    let page = http.get(format!("{url}/metrics")).send().await.ok()?.text().await.ok()?;
    page.lines().find_map(|line| line.strip_prefix("oss_backlog_max "))?.trim().parse().ok()
}

async fn ask(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let answer = request.send().await.map_err(|error| chain(&error.without_url()))?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(|error| chain(&error.without_url()))?;
    if status.is_success() {
        return Ok(body);
    }
    let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
    Err(format!("{status} {code}").trim_end().to_owned())
}

async fn admin(http: &reqwest::Client, url: &str) -> (Result<(String, Vec<String>), String>, Option<String>) {
    let version = ask(http.get(format!("{url}/version"))).await;
    let version = version.ok().and_then(|body| body.get("version")?.as_str().map(str::to_owned));
    // 503 has the same body as 200.
    let ready = async {
        let answer = http.get(format!("{url}/readyz")).send().await?;
        answer.json::<Value>().await
    };
    let readiness = ready.await.map_err(|error| chain(&error.without_url())).map(|body| readiness(&body));
    (readiness, version)
}

fn readiness(body: &Value) -> (String, Vec<String>) {
    let state = body.get("state").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let checks = body.get("checks").and_then(Value::as_object).into_iter().flatten();
    let unready = checks.filter(|(_, check)| check.get("state").and_then(Value::as_str) == Some("not_ready"));
    let detail = |check: &Value| check.get("detail").and_then(Value::as_str).unwrap_or_default().to_owned();
    (state, unready.map(|(part, check)| format!("{part}: {}", detail(check))).collect())
}

fn lanes(body: &Value) -> Vec<Lane> {
    let targets = body.get("targets").and_then(Value::as_array).into_iter().flatten();
    targets
        .flat_map(|target| {
            let name = target.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let lanes = target.get("lanes").and_then(Value::as_array).into_iter().flatten();
            lanes
                .filter_map(|lane| serde_json::from_value::<Lane>(lane.clone()).ok())
                .map(move |lane| Lane { target: name.clone(), ..lane })
                .collect::<Vec<_>>()
        })
        .collect()
}

pub(super) fn senders(services: &[Facts]) -> Vec<Sender> {
    let lanes = services.iter().flat_map(|facts| &facts.lanes);
    lanes
        .filter_map(|lane| {
            Some(Sender {
                target: lane.target.clone(),
                shard: lane.shard.clone(),
                address: lane.sender.clone()?,
                next_nonce: lane.next_nonce,
                in_flight: lane.in_flight,
            })
        })
        .collect()
}

pub(super) fn judge(services: &[Facts]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for facts in services {
        if let Some(api) = &facts.api {
            let check = format!("{} api", facts.name);
            findings.push(match api {
                Ok(()) => Finding::ok(check, "answers"),
                Err(why) => Finding::fail(check, why, "is it running? docker compose ps, and its log"),
            });
        }
        let check = format!("{} readiness", facts.name);
        findings.push(match &facts.readiness {
            None => Finding::warn(check, "not looked at", "give its admin port with --admin NAME=URL"),
            Some(Err(why)) => Finding::fail(check, why, "its admin port does not answer: is it running?"),
            Some(Ok((state, unready))) if unready.is_empty() => Finding::ok(check, state),
            Some(Ok((_, unready))) => {
                Finding::fail(check, unready.join("; "), "see /readyz in docs/operating.md")
            }
        });
        findings.extend(facts.lanes.iter().filter_map(of_lane));
    }
    findings.extend(versions(services));
    findings
}

/// Healthy lanes say nothing: there are many.
fn of_lane(lane: &Lane) -> Option<Finding> {
    let check = format!("lane {} to {}", lane.shard, lane.target);
    let error = lane
        .last_error
        .as_ref()
        .map_or_else(String::new, |error| format!("{}: {}", error.code, error.detail));
    if lane.state == "stopped" {
        return Some(Finding::fail(
            check,
            error,
            "it stands still: see OssTargetStopped in docs/operating.md",
        ));
    }
    let alarms: Vec<String> =
        lane.alarms.iter().map(|alarm| format!("{}: {}", alarm.code, alarm.detail)).collect();
    if !alarms.is_empty() {
        return Some(Finding::warn(
            check,
            alarms.join("; "),
            "see the alert of that name in docs/operating.md",
        ));
    }
    match lane.state.as_str() {
        "paused" => Some(Finding::warn(
            check,
            "paused by an operator",
            "POST /v1/targets/{name}/resume when it may go on",
        )),
        "retrying" => Some(Finding::warn(check, error, "the target or Redis fails; it goes on by itself")),
        _ => None,
    }
}

fn versions(services: &[Facts]) -> Option<Finding> {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for facts in services {
        if let Some(version) = &facts.version {
            by_version.entry(version).or_default().push(&facts.name);
        }
    }
    let text: Vec<String> =
        by_version.iter().map(|(version, names)| format!("{version}: {}", names.join(", "))).collect();
    match by_version.len() {
        0 => None,
        1 => Some(Finding::ok("versions", text.join("; "))),
        _ => Some(Finding::warn(
            "versions",
            text.join("; "),
            "finish the upgrade: all services should be of one version",
        )),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes: Vec<String> = causes.map(|cause| format!(": {cause}")).collect();
    format!("{error}{}", causes.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::finding::{Broken, Verdict, assert_each_is_found};
    use super::*;

    fn sound() -> Vec<Facts> {
        let lane = json!({"targets": [{"name": "base", "lanes": [{"shard": "gaming", "state": "driving", "next_nonce": 3,
            "in_flight": 1, "alarms": [], "sender": "0x01", "last_error": null}]}]});
        ["collector", "broadcaster"]
            .map(|name| Facts {
                name: name.to_owned(),
                api: Some(Ok(())),
                readiness: Some(Ok(("ready".to_owned(), vec![]))),
                version: Some("0.1.0".to_owned()),
                backlog_max: None,
                lanes: if name == "broadcaster" { lanes(&lane) } else { vec![] },
            })
            .to_vec()
    }

    #[test]
    fn sound_services_have_nothing_to_do_and_each_fault_is_found_by_its_own_check() {
        let low: fn(&mut Vec<Facts>) =
            |all| all[1].lanes[0].alarms.push(Alarm { code: "WALLET_LOW".into(), detail: String::new() });
        let faults: [Broken<'_, Vec<Facts>>; 8] = [
            ("collector api", Verdict::Fail, |all| all[0].api = Some(Err("refused".to_owned()))),
            ("collector readiness", Verdict::Fail, |all| all[0].readiness = Some(Err("refused".to_owned()))),
            ("collector readiness", Verdict::Fail, |all| {
                all[0].readiness = Some(Ok(("not_ready".to_owned(), vec!["redis: silent".to_owned()])));
            }),
            ("collector readiness", Verdict::Warn, |all| all[0].readiness = None),
            ("versions", Verdict::Warn, |all| all[0].version = Some("0.2.0".to_owned())),
            ("lane gaming to base", Verdict::Warn, low),
            ("lane gaming to base", Verdict::Fail, |all| all[1].lanes[0].state = "stopped".to_owned()),
            ("lane gaming to base", Verdict::Warn, |all| all[1].lanes[0].state = "paused".to_owned()),
        ];
        assert_each_is_found(sound, |facts| judge(&facts), &faults);
    }

    #[test]
    fn a_replica_is_one_address_of_one_family_and_the_path_is_kept() {
        let at = |url: &str, addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
            at_each(&url.parse().expect("a URL"), &addresses)
        };
        let (url, v4, v6) = ("http://collector:9080", ["10.0.0.1:9080", "10.0.0.2:9080"], "[fd00::1]:9080");
        // One replica with an address of each family is one.
        assert_eq!(at(url, &[v4[0], v6]), None);
        let both = ["http://10.0.0.1:9080", "http://10.0.0.2:9080"].map(str::to_owned).to_vec();
        assert_eq!(at(url, &v4), Some(both.clone()));
        assert_eq!(at(url, &[v4[0], v6, v4[1], "[fd00::2]:9080"]), Some(both));
        let without_v4 = ["http://[fd00::1]:9080", "http://[fd00::2]:9080"].map(str::to_owned).to_vec();
        assert_eq!(at(url, &[v6, "[fd00::2]:9080"]), Some(without_v4));
        let below = ["http://10.0.0.1:9080/oss/admin", "http://10.0.0.2:9080/oss/admin"].map(str::to_owned);
        assert_eq!(at("http://collector:9080/oss/admin/", &v4), Some(below.to_vec()));
        // A certificate names the host.
        assert_eq!(at("https://collector:9080", &v4), None);
        assert_eq!(at(url, &[]), None);
    }

    #[test]
    fn the_parts_that_are_not_ready_are_named_with_their_reason() {
        let body = json!({"state": "not_ready", "checks": {"redis": {"state": "not_ready", "detail": "silent"},
            "leader": {"state": "standby", "detail": "led by another"}}});
        assert_eq!(readiness(&body), ("not_ready".to_owned(), vec!["redis: silent".to_owned()]));
    }
}
