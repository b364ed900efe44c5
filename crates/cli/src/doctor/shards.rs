//! Each shard in Redis: its generation, lease, log, streams, and how far each target is.

use std::collections::BTreeMap;

use common::ids::Shard;
use common::keys::Keys;
use common::targets::Targets;
use redis::aio::MultiplexedConnection;

use super::finding::Finding;

/// Requests that wait: from here on somebody should look, and near `limits.backlog_max` they are refused.
const BACKLOG_LOOK: u64 = 1_000;
const BACKLOG_NEAR: u64 = 16_000;
/// Entries of the log that a target has not been given.
const LAG_LOOK: u64 = 100;

/// What was seen of one shard.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) shard: Shard,
    pub(super) generation: Option<String>,
    /// Who leads, and for how many ms the lease still lives.
    pub(super) leader: Option<(String, u64)>,
    pub(super) head: u64,
    /// SHA-256 of the logged list of targets, 0x….
    pub(super) targets: Option<String>,
    pub(super) watermarks: BTreeMap<String, u64>,
    pub(super) backlog: u64,
    pub(super) dead_letters: u64,
    pub(super) parked: u64,
}

pub(super) async fn look(connection: &mut MultiplexedConnection, now_ms: u64) -> anyhow::Result<Vec<Facts>> {
    let mut shards = Vec::new();
    for shard in Shard::ALL {
        let keys = Keys::new(shard);
        let (generation, lease, head): (Option<String>, BTreeMap<String, String>, BTreeMap<String, String>) =
            redis::pipe()
                .cmd("GET")
                .arg(keys.generation())
                .cmd("HGETALL")
                .arg(keys.lease())
                .cmd("HGETALL")
                .arg(keys.head())
                .query_async(connection)
                .await?;
        let lengths: [u64; 4] = {
            let mut pipeline = redis::pipe();
            for key in [keys.requests(), keys.input(), keys.dead_letters(), keys.parked()] {
                pipeline.cmd("XLEN").arg(key);
            }
            pipeline.query_async(connection).await?
        };
        let [requests, input, dead_letters, parked] = lengths;
        let number = |fields: &BTreeMap<String, String>, name: &str| {
            fields.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let left = number(&lease, "exp").saturating_sub(now_ms);
        let leader = lease.get("node").filter(|_| left > 0).map(|node| (node.clone(), left));
        let watermarks = head
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("wm:")?.to_owned(), value.parse().ok()?)));
        shards.push(Facts {
            shard,
            generation,
            leader,
            head: number(&head, "seq"),
            targets: head.get("targets").cloned(),
            watermarks: watermarks.collect(),
            backlog: requests + input,
            dead_letters,
            parked,
        });
    }
    Ok(shards)
}

pub(super) fn judge(shards: &[Facts], targets: Option<&Targets>) -> Vec<Finding> {
    shards.iter().flat_map(|facts| of_shard(facts, targets)).collect()
}

fn of_shard(facts: &Facts, targets: Option<&Targets>) -> Vec<Finding> {
    let name = |what: &str| format!("{} {what}", facts.shard);
    let mut findings = vec![match &facts.generation {
        Some(generation) => Finding::ok(name("generation"), generation),
        None => Finding::fail(
            name("generation"),
            ":gen is missing",
            "Redis was wiped, or no validator has run: do not start the services before reading Restore in docs/operating.md",
        ),
    }];
    findings.push(match &facts.leader {
        Some((node, left)) => Finding::ok(name("leader"), format!("{node}, lease for another {left} ms")),
        None => Finding::fail(
            name("leader"),
            "nobody holds the lease",
            "start a validator; if one runs, its /readyz says what keeps it from leading",
        ),
    });
    let waiting = format!("{} wait", facts.backlog);
    findings.push(match facts.backlog {
        BACKLOG_NEAR.. => {
            Finding::fail(name("backlog"), waiting, "see OssBacklogNearBound in docs/operating.md")
        }
        BACKLOG_LOOK.. => {
            Finding::warn(name("backlog"), waiting, "see OssBacklogGrowing in docs/operating.md")
        }
        _ => Finding::ok(name("backlog"), waiting),
    });
    for (what, count, advice) in [
        ("dead letters", facts.dead_letters, "read them with GET /v1/dlq"),
        ("parked messages", facts.parked, "finish the upgrade: they are of a newer version"),
    ] {
        let evidence = count.to_string();
        findings.push(if count == 0 {
            Finding::ok(name(what), evidence)
        } else {
            Finding::warn(name(what), evidence, advice)
        });
    }
    findings.extend(targets.map(|targets| logged(facts, targets)));
    findings.extend(targets.into_iter().flat_map(Targets::iter).filter(|target| !target.retired).map(
        |target| {
            let check = format!("{} log at {}", facts.shard, target.name);
            let Some(watermark) = facts.watermarks.get(target.name.as_str()) else {
                return Finding::warn(
                    check,
                    "nothing was ever relayed",
                    "a new target starts within a second; else look at the leader's log",
                );
            };
            let lag = facts.head.saturating_sub(*watermark);
            let evidence = format!("relayed up to {watermark} of {}", facts.head);
            if lag <= LAG_LOOK {
                Finding::ok(check, evidence)
            } else {
                Finding::warn(
                    check,
                    evidence,
                    "the target is slow, paused or down: GET /v1/targets says which",
                )
            }
        },
    ));
    findings
}

/// Whether the file and the log name the same targets.
fn logged(facts: &Facts, targets: &Targets) -> Finding {
    let (check, own) = (format!("{} targets", facts.shard), targets.digest().to_string());
    let is_same = |logged: &str| logged.trim_start_matches("0x") == own.trim_start_matches("0x");
    match &facts.targets {
        Some(logged) if is_same(logged) => Finding::ok(check, "the log has the file's list"),
        Some(_) => Finding::fail(
            check,
            "the log has another list than the file",
            "the leader's /readyz names the target that keeps it from taking the file over",
        ),
        None => Finding::fail(check, "no list is logged", "a validator has to lead first"),
    }
}

#[cfg(test)]
mod tests {
    use common::targets::Target;

    use super::super::finding::{Broken, Verdict, assert_each_is_found};
    use super::*;

    fn targets() -> Targets {
        Targets::new(vec![Target::null("bench".parse().expect("a name"))]).expect("one target")
    }

    fn sound() -> Facts {
        Facts {
            shard: Shard::Gaming,
            generation: Some("a1".to_owned()),
            leader: Some(("validator-1".to_owned(), 2_000)),
            head: 7,
            targets: Some(targets().digest().to_string()),
            watermarks: [("bench".to_owned(), 7)].into(),
            backlog: 0,
            dead_letters: 0,
            parked: 0,
        }
    }

    #[test]
    fn a_sound_shard_has_nothing_to_do_and_each_fault_is_found_by_its_own_check() {
        let targets = targets();
        let faults: [Broken<'_, Facts>; 10] = [
            ("gaming generation", Verdict::Fail, |facts| facts.generation = None),
            ("gaming leader", Verdict::Fail, |facts| facts.leader = None),
            ("gaming backlog", Verdict::Warn, |facts| facts.backlog = BACKLOG_LOOK),
            ("gaming backlog", Verdict::Fail, |facts| facts.backlog = BACKLOG_NEAR),
            ("gaming dead letters", Verdict::Warn, |facts| facts.dead_letters = 1),
            ("gaming parked messages", Verdict::Warn, |facts| facts.parked = 1),
            ("gaming targets", Verdict::Fail, |facts| facts.targets = Some("0x00".to_owned())),
            ("gaming targets", Verdict::Fail, |facts| facts.targets = None),
            ("gaming log at bench", Verdict::Warn, |facts| facts.head += LAG_LOOK + 1),
            ("gaming log at bench", Verdict::Warn, |facts| facts.watermarks.clear()),
        ];
        assert_each_is_found(sound, |facts| judge(&[facts], Some(&targets)), &faults);
    }
}
