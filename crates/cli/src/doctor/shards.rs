//! Each shard in Redis: its generation, lease, log, streams, and how far each target is.

use std::collections::BTreeMap;

use common::ids::Shard;
use common::keys::Keys;
use common::targets::{Target, Targets};
use redis::aio::MultiplexedConnection;

use super::finding::Finding;

/// Shares of `limits.backlog_max` in per cent: from the first on somebody should look, near the second requests are refused.
const BACKLOG_LOOK: u64 = 5;
const BACKLOG_NEAR: u64 = 80;
/// `limits.backlog_max` as long as it is not set, and no collector says what it is.
const BACKLOG_MAX: u64 = 20_000;
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
    /// Cancels, commands and receipts that the validator has not taken in.
    pub(super) messages: u64,
    /// Entries in the outboxes: work of a target that is not final there.
    pub(super) undelivered: u64,
    pub(super) dead_letters: u64,
    pub(super) parked: u64,
}

pub(super) async fn look(
    connection: &mut MultiplexedConnection,
    now_ms: u64,
    targets: Option<&Targets>,
) -> anyhow::Result<Vec<Facts>> {
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
        let lengths: [u64; 6] = {
            let mut pipeline = redis::pipe();
            for key in [
                keys.requests(),
                keys.input(),
                keys.input_express(),
                keys.receipts(),
                keys.dead_letters(),
                keys.parked(),
            ] {
                pipeline.cmd("XLEN").arg(key);
            }
            pipeline.query_async(connection).await?
        };
        let [requests, input, express, receipts, dead_letters, parked] = lengths;
        let mut undelivered = 0;
        for target in targets.into_iter().flat_map(Targets::iter) {
            undelivered +=
                redis::cmd("XLEN").arg(keys.out(&target.name)).query_async::<u64>(connection).await?;
        }
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
            messages: express + receipts,
            undelivered,
            dead_letters,
            parked,
        });
    }
    Ok(shards)
}

pub(super) fn judge(shards: &[Facts], targets: Option<&Targets>, backlog_max: Option<u64>) -> Vec<Finding> {
    shards.iter().flat_map(|facts| of_shard(facts, targets, backlog_max.unwrap_or(BACKLOG_MAX))).collect()
}

/// What a shard has not finished; nothing of it = the shard is drained, as docs/operating.md wants it before a backup.
fn under_way(facts: &Facts, targets: Option<&Targets>) -> Finding {
    let Facts { shard, backlog, messages, undelivered, .. } = facts;
    let check = format!("{shard} under way");
    let Some(targets) = targets else {
        return Finding::warn(
            check,
            "not known: the list of targets cannot be read",
            "correct targets.json: it says which outboxes there are",
        );
    };
    let relayed = |target: &Target| facts.watermarks.get(target.name.as_str()).copied().unwrap_or(0);
    let unrelayed =
        targets.iter().map(|target| facts.head.saturating_sub(relayed(target))).max().unwrap_or(0);
    let evidence = if backlog + messages + undelivered + unrelayed == 0 {
        "nothing".to_owned()
    } else {
        format!(
            "{backlog} requests, {messages} other messages, {undelivered} deliveries, {unrelayed} entries to relay"
        )
    };
    Finding::ok(check, evidence)
}

fn of_shard(facts: &Facts, targets: Option<&Targets>, backlog_max: u64) -> Vec<Finding> {
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
    let waiting = format!("{} of at most {backlog_max} wait", facts.backlog);
    findings.push(match facts.backlog.saturating_mul(100).checked_div(backlog_max).unwrap_or(u64::MAX) {
        BACKLOG_NEAR.. => {
            Finding::fail(name("backlog"), waiting, "see OssBacklogNearBound in docs/operating.md")
        }
        BACKLOG_LOOK.. => {
            Finding::warn(name("backlog"), waiting, "see OssBacklogGrowing in docs/operating.md")
        }
        _ => Finding::ok(name("backlog"), waiting),
    });
    findings.push(under_way(facts, targets));
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
    findings.extend(targets.into_iter().flat_map(Targets::iter).map(|target| {
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
            Finding::warn(check, evidence, "the target is slow, paused or down: GET /v1/targets says which")
        }
    }));
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
            messages: 0,
            undelivered: 0,
            dead_letters: 0,
            parked: 0,
        }
    }

    #[test]
    fn a_sound_shard_has_nothing_to_do_and_each_fault_is_found_by_its_own_check() {
        let faults: [Broken<'_, (Facts, Option<Targets>)>; 11] = [
            ("gaming generation", Verdict::Fail, |(facts, _)| facts.generation = None),
            ("gaming leader", Verdict::Fail, |(facts, _)| facts.leader = None),
            ("gaming backlog", Verdict::Warn, |(facts, _)| facts.backlog = 50),
            ("gaming backlog", Verdict::Fail, |(facts, _)| facts.backlog = 800),
            ("gaming under way", Verdict::Warn, |(_, targets)| *targets = None),
            ("gaming dead letters", Verdict::Warn, |(facts, _)| facts.dead_letters = 1),
            ("gaming parked messages", Verdict::Warn, |(facts, _)| facts.parked = 1),
            ("gaming targets", Verdict::Fail, |(facts, _)| facts.targets = Some("0x00".to_owned())),
            ("gaming targets", Verdict::Fail, |(facts, _)| facts.targets = None),
            ("gaming log at bench", Verdict::Warn, |(facts, _)| facts.head += LAG_LOOK + 1),
            ("gaming log at bench", Verdict::Warn, |(facts, _)| facts.watermarks.clear()),
        ];
        let judged =
            |(facts, targets): (Facts, Option<Targets>)| judge(&[facts], targets.as_ref(), Some(1_000));
        assert_each_is_found(|| (sound(), Some(targets())), judged, &faults);
    }

    #[test]
    fn the_bound_of_the_backlog_is_the_collectors_and_what_is_under_way_is_counted_wherever_it_is() {
        let targets = targets();
        let of = |facts: &Facts, check: &str, bound| {
            let findings = judge(std::slice::from_ref(facts), Some(&targets), bound);
            findings.into_iter().find(|finding| finding.check == check).expect("the check")
        };
        let waiting = Facts { backlog: 900, ..sound() };
        assert_eq!(of(&waiting, "gaming backlog", Some(1_000)).verdict, Verdict::Fail);
        assert_eq!(of(&waiting, "gaming backlog", Some(100_000)).verdict, Verdict::Ok);
        assert_eq!(of(&waiting, "gaming backlog", None).verdict, Verdict::Ok);
        assert_eq!(of(&sound(), "gaming under way", None).evidence, "nothing");
        for unfinished in [
            waiting,
            Facts { messages: 1, ..sound() },
            Facts { undelivered: 1, ..sound() },
            Facts { head: 8, ..sound() },
            Facts { watermarks: BTreeMap::new(), ..sound() },
        ] {
            assert_ne!(of(&unfinished, "gaming under way", None).evidence, "nothing", "{unfinished:?}");
        }
    }
}
