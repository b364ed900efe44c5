//! `oss doctor`: looks at an installation from outside and inside and says what is wrong with it and what to do.
//!
//! In: the stack file and, for what only an operator sees, Redis' administrator. Out: one finding per check. Everything is
//! read only; each part first gathers facts and then judges them with a pure function. No secret is shown: passwords and keys are read from
//! files, and of URLs only host and port are named.

mod chains;
mod compose;
mod finding;
mod redis;
mod services;
mod shards;
mod sources;

use std::path::Path;

use common::config::RedisSettings;
use common::targets::Targets;

use crate::access::StackFile;
use crate::args::{DoctorArgs, Global};
use crate::exit::Exit;
use crate::ui::{self, Ui};
use finding::{Finding, Verdict};

/// The administrator's password in a stack's folder.
const PASSWORD_FILE: &str = "secrets/operator/redis.password";
const VALIDATOR_KEY_FILE: &str = "secrets/validator/validator.key";
const SOURCES_FILE: &str = "sources.json";

pub(crate) async fn run(global: &Global, args: &DoctorArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let mut stack = StackFile::load(&global.data)?;
    if let Some(url) = &global.url {
        // Seen from where this runs the services may be elsewhere than the stack file says.
        let origin = crate::access::origin(url)?;
        (stack.collector, stack.validator, stack.broadcaster) = (origin.clone(), origin.clone(), origin);
    }
    let (targets, mut findings) = match Targets::load(&stack.targets_file) {
        Ok(targets) => (Some(targets), Vec::new()),
        Err(error) => {
            let finding = Finding::fail(
                "targets file",
                error.to_string(),
                "correct targets.json; every service reads it",
            );
            (None, vec![finding])
        }
    };
    let spinner = ui.spinner("looking");
    let services = services::look(&stack, &admin_urls(&global.data, args)).await;
    let redis = settings(global, args, &stack);
    findings.extend(of_redis(redis, targets.as_ref(), services::backlog_max(&services)).await);
    findings.extend(services::judge(&services));
    findings.extend(sources::check(&global.data.join(SOURCES_FILE)).await);
    if let Some(targets) = &targets {
        let signer = validator::Signer::load(&global.data.join(VALIDATOR_KEY_FILE)).ok();
        let signer = signer.map(|signer| signer.address());
        let facts = chains::look(targets, &stack.chains, &services::senders(&services)).await;
        findings.extend(chains::judge(&facts, signer));
    }
    spinner.finish_and_clear();
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    let report = serde_json::json!({"verdict": verdict, "findings": findings});
    ui.result(&report, || human(&findings, verdict))?;
    Ok(if verdict == Verdict::Fail { Exit::Failed } else { Exit::Done })
}

/// How to reach Redis as its administrator; `None` = nobody says where it is.
fn settings(global: &Global, args: &DoctorArgs, stack: &StackFile) -> Option<RedisSettings> {
    let password = args.redis_password_file.clone().unwrap_or_else(|| global.data.join(PASSWORD_FILE));
    Some(RedisSettings {
        url: args.redis_url.as_ref().or(stack.redis_url.as_ref())?.clone(),
        username: Some(redis::ADMIN.to_owned()),
        password_file: Some(password),
        ca_file: args.redis_ca_file.clone(),
        cert_file: args.redis_cert_file.clone(),
        key_file: args.redis_key_file.clone(),
    })
}

async fn of_redis(
    settings: Option<RedisSettings>,
    targets: Option<&Targets>,
    backlog_max: Option<u64>,
) -> Vec<Finding> {
    let Some(settings) = settings else {
        return vec![Finding::warn("redis", "not looked at: the stack file names none", "give --redis-url")];
    };
    let looked = async {
        let mut connection = settings.address()?.dedicated(redis::PATIENCE).await?;
        let facts = redis::look(&mut connection).await?;
        let shards = shards::look(&mut connection, facts.time_ms, targets).await?;
        anyhow::Ok((facts, shards))
    };
    match looked.await {
        Ok((facts, shards)) => {
            let mut findings = vec![Finding::ok("redis", format!("answers as {}", redis::ADMIN))];
            findings.extend(redis::judge(&facts));
            findings.extend(shards::judge(&shards, targets, backlog_max));
            findings
        }
        Err(error) => {
            let advice = "start Redis, or correct --redis-url and the --redis-…-file options (under compose: docker compose run --rm doctor); its shards were not looked at";
            vec![Finding::fail("redis", format!("{error:#}"), advice)]
        }
    }
}

/// Where the admin ports are: as given, else as the settings in the stack's folder say.
fn admin_urls(data: &Path, args: &DoctorArgs) -> Vec<(String, String)> {
    if !args.admin.is_empty() {
        return args.admin.iter().map(|named| (named.name.to_string(), named.url.clone())).collect();
    }
    let listens = |service: &str| {
        let text = std::fs::read_to_string(data.join(format!("{service}.toml"))).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("admin_listen = "))?.to_owned();
        Some((service.to_owned(), format!("http://{}", line.trim_matches('"'))))
    };
    ["collector", "validator", "broadcaster"].into_iter().filter_map(listens).collect()
}

fn human(findings: &[Finding], verdict: Verdict) -> String {
    let mut table = ui::table(["check", "", "what was seen", "what to do"]);
    for finding in findings {
        table.add_row([
            finding.check.clone(),
            finding.verdict.word().to_owned(),
            finding.evidence.clone(),
            finding.advice.clone(),
        ]);
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (warnings, faults) = (count(Verdict::Warn), count(Verdict::Fail));
    format!("{table}\n{}: {} checks, {warnings} to look at, {faults} failed", verdict.word(), findings.len())
}
