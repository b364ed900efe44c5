//! What the runs share: the three chains, a drained and checked end, the command line's own verdict.

mod token;

use std::process::Command;
use std::time::Duration;

use common::ids::{Shard, Tenant};
use testkit::checker::{self, Evidence, Summary};
use testkit::load::{Acknowledged, Planned};
use testkit::stack::{Answer, Api, Stack};

pub(crate) use token::Token;

/// Names and chain ids of the targets, as `oss up` has them.
pub(crate) const CHAINS: [(&str, u64); 3] = [("base", 8_453), ("arbitrum", 42_161), ("optimism", 10)];

pub(crate) fn tenant() -> Tenant {
    "demo".parse().expect("a tenant")
}

/// Unwraps with the whole chain of causes, as people read it: an error here may carry the end of a log.
pub(crate) trait Must<T> {
    fn must(self) -> T;
}

impl<T, E: std::error::Error> Must<T> for Result<T, E> {
    #[expect(
        clippy::panic,
        reason = "this is how a test fails; `expect` would print the log's end on one line"
    )]
    fn must(self) -> T {
        self.unwrap_or_else(|error| {
            let causes = std::iter::successors(error.source(), |cause| cause.source());
            let causes: Vec<String> = causes.map(|cause| format!(": {cause}")).collect();
            panic!("{error}{}", causes.concat())
        })
    }
}

/// The seed of this run: `OSS_SEED`, else the clock's. Printed, so that a failure can be run again.
pub(crate) fn seed() -> u64 {
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(1, |time| u64::from(time.subsec_nanos()));
    let seed =
        std::env::var("OSS_SEED").ok().map_or_else(clock, |text| text.parse().expect("OSS_SEED is a number"));
    eprintln!("seed {seed}: run again with OSS_SEED={seed}");
    seed
}

/// A request under a key, with the id it will have.
pub(crate) fn planned(key: &str, body: serde_json::Value) -> Planned {
    Planned::new(&tenant(), key, body).expect("the tests' requests are well formed")
}

/// Notes a request that was answered 2xx.
pub(crate) fn acknowledged(request: &Planned) -> Acknowledged {
    Acknowledged::once(request)
}

/// Every request that nothing could save was rejected with its code.
pub(crate) async fn doomed_as_foretold(stack: &Stack, acknowledged: &[Acknowledged]) {
    for request in acknowledged {
        if let Some(code) = request.doomed {
            let answer = stack.api().status(request.rid).await.expect("a status");
            assert_eq!((answer.text("/status"), answer.text("/code")), ("rejected", code), "{}", answer.body);
        }
    }
}

/// Submits and waits for the end.
pub(crate) async fn complete(api: &Api, key: &str, body: &serde_json::Value) -> Answer {
    let answer = api.submit(key, body, Some("wait=30")).await.expect("the collector answers");
    assert_eq!(answer.status, 200, "{key} has ended: {}", answer.body);
    answer
}

/// Drains, gathers, checks every invariant, and has `oss verify log` say the same of every shard.
pub(crate) async fn settle(
    stack: &Stack,
    sent: &[Planned],
    acknowledged: &[Acknowledged],
    within: Duration,
) -> (Evidence, Summary) {
    checker::drained(&stack.api(), acknowledged, within).await.must();
    let evidence = checker::gather(stack, sent, acknowledged).await.must();
    let summary = checker::check_all(&evidence).must();
    for shard in Shard::ALL {
        verify_log(stack, shard).await;
    }
    assert_eq!(stack.panics(), Vec::<String>::new());
    (evidence, summary)
}

/// `oss verify log` of one shard must end with 0, at the place where the validator says that the shard stands.
pub(crate) async fn verify_log(stack: &Stack, shard: Shard) {
    let mut command = Command::new(stack.programs().oss());
    command.args(["--quiet", "-o", "json", "--data"]).arg(stack.folder());
    command.args(["verify", "log", "--shard", shard.name()]);
    let done = command.output().expect("oss runs");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "oss verify log of {shard}: {out}{err}");
    let report: serde_json::Value = serde_json::from_str(&out).expect("a JSON report");
    assert_eq!(report["equal"], true, "{report}");
    let shown = stack.api().read(&format!("/v1/shards/{shard}")).await.must();
    for (field, name) in [("entries", "seq"), ("head", "digest"), ("root", "root"), ("aux", "aux")] {
        assert!(!shown[name].is_null(), "{shown}");
        assert_eq!(report[field], shown[name], "{shard}: {name}");
    }
}
